// What differs between the op libraries: the dispatch key, how a device runs a call, and which calls it has no kernel
// for.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <cstdint>

#if defined(SPECTRANS_CUDA)
#include <torch/csrc/stable/accelerator.h>

#include <cstddef>
#include <stdexcept>
#include <vector>

#include "../cuda/kernels.h"
#else
#include "../cpu/kernels.h"
#endif
#include "fresh.h"

#if defined(SPECTRANS_CUDA) && !defined(SPECTRANS_EMULATION)
#define SPECTRANS_KEY CUDA
// Weak: a torch without CUDA lacks it, and loads this library all the same.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(std::int32_t device, void** stream);
#else
#define SPECTRANS_KEY CPU
#endif

namespace spectrans::torch_ops {

#if defined(SPECTRANS_CUDA)

namespace kernels = spectrans::cuda;

// The device of an op's first argument, while the op runs: no kernel runs where one is only asked for.
class Device {
 public:
  static constexpr bool kTakesAll = false;

  explicit Device(const Tensor& first, bool only_asked = false)
      : first_(first),
#if !defined(SPECTRANS_EMULATION)
        guard_(first.get_device_index()),
#endif
        only_asked_(only_asked) {
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  template <class Call>
  void run(void (*kernel)(const Call&, const cuda::Stream&), const Call& call) {
    refusal_ = cuda::why_not(call);
    if (refusal_ == nullptr) refusal_ = cuda::why_none_here();
    if (refusal_ == nullptr && !only_asked_) kernel(call, {current_stream(), &allocate, this});
  }

  // Why no kernel takes the call that was to be run, or null.
  const char* refusal() const { return refusal_; }

 private:
  void* current_stream() const {
    void* stream = nullptr;
#if !defined(SPECTRANS_EMULATION)
    if (aoti_torch_get_current_cuda_stream == nullptr) throw std::runtime_error("this torch is built without CUDA");
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(first_.get_device_index(), &stream));
#endif
    return stream;
  }

  // A tensor's memory: torch's allocator gives what was freed to work that is queued later on the same stream.
  static void* allocate(std::size_t bytes, void* context) {
    constexpr std::uintptr_t alignment = 256;  // more than torch has on the CPU, less than on a GPU
    Device& device = *static_cast<Device*>(context);
    const auto room = static_cast<std::int64_t>(bytes + alignment);
    device.scratch_.push_back(fresh(device.first_, {room}, ScalarType::Byte));
    const auto start = reinterpret_cast<std::uintptr_t>(device.scratch_.back().data_ptr());
    return reinterpret_cast<void*>((start + alignment - 1) / alignment * alignment);
  }

  const Tensor& first_;
#if !defined(SPECTRANS_EMULATION)
  torch::stable::accelerator::DeviceGuard guard_;
#endif
  bool only_asked_;
  const char* refusal_ = nullptr;
  std::vector<Tensor> scratch_;
};

#else

namespace kernels = spectrans;

// The CPU, with torch's threads.
class Device {
 public:
  static constexpr bool kTakesAll = true;

  explicit Device(const Tensor&, bool = false) {}

  template <class Call>
  static void run(void (*kernel)(const Call&, const ThreadPool&), const Call& call) {
    const auto run = [](int64_t count, int64_t grain, void (*body)(int64_t, int64_t, void*), void* context) {
      STABLE_TORCH_ERROR_CODE_CHECK(torch_parallel_for(0, count, grain, body, context));
    };
    kernel(call, {run, static_cast<int>(torch::stable::get_num_threads())});
  }

  static constexpr const char* refusal() { return nullptr; }
};

#endif

}  // namespace spectrans::torch_ops
