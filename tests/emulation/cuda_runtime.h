// CUDA's runtime, as far as the kernels use it, for the emulation: one fibre for each thread of a block.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "emulation.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (emulation::thread_index())
#define blockIdx (emulation::block_index())
#define blockDim (emulation::block_size())
#define gridDim (emulation::grid_size())

using dim3 = emulation::Dim3;

enum cudaError_t { cudaSuccess = 0 };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount, cudaDevAttrL2CacheSize };

inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const emulation::Limits& limits = emulation::limits();
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = limits.shared_bytes; break;
    case cudaDevAttrMultiProcessorCount: *value = limits.multiprocessors; break;
    case cudaDevAttrL2CacheSize: *value = limits.l2_bytes; break;
  }
  return cudaSuccess;
}

inline void __syncthreads(int line = __builtin_LINE()) { emulation::barrier(line); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int apart, int line = __builtin_LINE()) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = emulation::shuffle(mask, bits, static_cast<int>(emulation::thread_index().x % 32) ^ apart, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
