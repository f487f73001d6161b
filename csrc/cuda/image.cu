// Whether this library holds code for a GPU.
#include <atomic>

#include "device.h"
#include "kernels.h"

namespace spectrans::cuda {

#if defined(SPECTRANS_EMULATION)

const char* why_none_here() { return nullptr; }

#else

namespace {

__global__ void image() {}  // compiled for whatever all kernels are compiled for

bool has_image() {
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, image) == cudaSuccess) return true;
  (void)cudaGetLastError();  // or the next launch, whoever's it is, would report it
  return false;
}

constexpr int kRemembered = 64;  // devices: asking takes as long as a launch

}  // namespace

const char* why_none_here() {
  enum : char { unknown, there, absent };
  static std::atomic<char> images[kRemembered];
  int device = 0;
  check(cudaGetDevice(&device));
  char image = device < kRemembered ? images[device].load(std::memory_order_relaxed) : char{unknown};
  if (image == unknown) {
    image = has_image() ? there : absent;
    if (device < kRemembered) images[device].store(image, std::memory_order_relaxed);
  }
  return image == there ? nullptr : "the CUDA kernels were not compiled for this GPU's architecture";
}

#endif

}  // namespace spectrans::cuda
