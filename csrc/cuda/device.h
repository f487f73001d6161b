// What kernels and launches need of CUDA, spelled so that the same sources also run as plain C++: tests/emulation has
// headers of the same names, and checks every access that goes through here.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "../calls.h"
#include "../fft/butterflies.h"

#if defined(__CUDACC__)
#define SPECTRANS_DEVICE __device__ __forceinline__
#define SPECTRANS_SITE
#else
#define SPECTRANS_DEVICE inline
#define SPECTRANS_SITE , int site = __builtin_LINE()  // tells the accesses of one instruction from those of another
#endif

namespace spectrans::cuda {

// A complex number as memory has it: one access moves both parts.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T re, im;
};

// ---- global memory --------------------------------------------------------------------------------------------------

template <class T>
SPECTRANS_DEVICE T load(const T* at SPECTRANS_SITE) {
#if defined(SPECTRANS_EMULATION)
  if (!emulation::reads_global(at, sizeof(T), site)) return T{};
#endif
  return *at;
}

template <class T>
SPECTRANS_DEVICE void store(T* at, T value SPECTRANS_SITE) {
#if defined(SPECTRANS_EMULATION)
  if (!emulation::writes_global(at, sizeof(T), site)) return;
#endif
  *at = value;
}

// ---- shared memory --------------------------------------------------------------------------------------------------

// Values of type T from a place in the block's shared memory on.
template <class T>
struct Shared {
  T* base;

  SPECTRANS_DEVICE T load(int i SPECTRANS_SITE) const {
#if defined(SPECTRANS_EMULATION)
    if (!emulation::reads_shared(base + i, sizeof(T), site)) return T{};
#endif
    return base[i];
  }

  SPECTRANS_DEVICE void store(int i, T value SPECTRANS_SITE) const {
#if defined(SPECTRANS_EMULATION)
    if (!emulation::writes_shared(base + i, sizeof(T), site)) return;
#endif
    base[i] = value;
  }
};

// The block's shared memory from byte `offset` on, which T's alignment divides.
template <class T>
SPECTRANS_DEVICE Shared<T> shared(int offset) {
#if defined(SPECTRANS_EMULATION)
  unsigned char* const memory = emulation::shared_memory();
#else
  extern __shared__ __align__(16) unsigned char memory[];
#endif
  return {reinterpret_cast<T*>(memory + offset)};
}

// ---- elements -------------------------------------------------------------------------------------------------------
//
// A storage type has an arithmetic type T: float for all but double. Halves are rounded once, on store.

template <class S>
struct Arithmetic {
  using type = float;
};
template <>
struct Arithmetic<double> {
  using type = double;
};

SPECTRANS_DEVICE float widen(float value) { return value; }
SPECTRANS_DEVICE double widen(double value) { return value; }
SPECTRANS_DEVICE float widen(__half value) { return __half2float(value); }
SPECTRANS_DEVICE float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class S>
SPECTRANS_DEVICE S narrow(typename Arithmetic<S>::type value) {
  return value;
}
template <>
SPECTRANS_DEVICE __half narrow<__half>(float value) {
  return __float2half_rn(value);
}
template <>
SPECTRANS_DEVICE __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// ---- launches -------------------------------------------------------------------------------------------------------

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

constexpr std::int64_t kMaxBlocksAlongY = 65535;  // and along z: kernels go on from there in a loop

struct Grid {
  dim3 blocks;
  int threads, shared_bytes;
};

// Queues kernel(parameters...) on a stream. A kernel takes what it needs as one value.
template <class Parameters>
void launch(void (*kernel)(Parameters), const Grid& grid, void* stream, const Parameters& parameters) {
#if defined(SPECTRANS_EMULATION)
  emulation::launch(grid.blocks, grid.threads, grid.shared_bytes, [&] { kernel(parameters); });
  (void)stream;
#else
  const void* const function = reinterpret_cast<const void*>(kernel);
  if (grid.shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, grid.shared_bytes));
  }
  void* arguments[] = {const_cast<Parameters*>(&parameters)};
  check(cudaLaunchKernel(function, grid.blocks, dim3(grid.threads), arguments, grid.shared_bytes,
                         static_cast<cudaStream_t>(stream)));
#endif
}

// Calls f with a value of the storage type of an element.
template <class F>
void with_storage(Element element, F&& f) {
  switch (element) {
    case Element::float32: return f(float{});
    case Element::float64: return f(double{});
    case Element::bfloat16: return f(__nv_bfloat16{});
    case Element::float16: return f(__half{});
  }
}

}  // namespace spectrans::cuda
