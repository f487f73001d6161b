// Tensors to be written to. torch::stable's own functions look their op up by its name at every call, which takes as
// long as a small transform.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kept.h"

// Weak: torch 2.10 lacks it.
extern "C" __attribute__((weak)) AOTITorchError torch_from_blob(void* data, std::int64_t axes,
                                                                const std::int64_t* sizes, const std::int64_t* strides,
                                                                std::int64_t offset, std::int32_t dtype,
                                                                std::int32_t device_type, std::int32_t device_index,
                                                                AtenTensorHandle* result, std::int32_t layout,
                                                                const std::uint8_t* opaque, std::int64_t opaque_size,
                                                                void (*deleter)(void*, void*), void* deleter_context);

namespace spectrans::torch_ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

inline std::int32_t device_type(const Tensor& tensor) {
  std::int32_t type = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(tensor.get(), &type));
  return type;
}

// A large result on the CPU is mostly fresh memory, and faulting it in by pages of 4 KB costs several times what
// computing it does.
inline Tensor advised(const Tensor& result) {
#if defined(__linux__)
  if (device_type(result) != aoti_torch_device_type_cpu()) return result;
  constexpr std::uintptr_t page = 4096, huge = std::uintptr_t{2} << 20;
  const auto start = reinterpret_cast<std::uintptr_t>(result.data_ptr());
  const std::uintptr_t bytes = result.numel() * result.element_size();
  if (bytes >= 2 * huge) {
    const std::uintptr_t first = (start + page - 1) / page * page, last = (start + bytes) / page * page;
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // advice: failing is fine
  }
#endif
  return result;
}

// In kept memory, or null.
inline AtenTensorHandle fresh_kept(const Tensor& like, Sizes sizes, Sizes strides, std::int32_t dtype) {
  if (torch_from_blob == nullptr) return nullptr;
  std::size_t elements = 1;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (sizes[axis] == 0) return nullptr;
    elements += (sizes[axis] - 1) * strides[axis];
  }
  const std::size_t bytes = elements * aoti_torch_dtype_element_size(dtype);
  void* const block = take_kept(bytes);
  if (block == nullptr) return nullptr;
  AtenTensorHandle result = nullptr;
  const AOTITorchError error = torch_from_blob(
      block, static_cast<std::int64_t>(sizes.size()), sizes.data(), strides.data(), 0, dtype,
      aoti_torch_device_type_cpu(), like.get_device_index(), &result, aoti_torch_layout_strided(), nullptr, 0,
      [](void* data, void* context) { give_kept(data, reinterpret_cast<std::size_t>(context)); },
      reinterpret_cast<void*>(bytes));
  if (error != AOTI_TORCH_SUCCESS) give_kept(block, bytes);
  STABLE_TORCH_ERROR_CODE_CHECK(error);
  return result;
}

// On the device of `like`.
inline Tensor fresh(const Tensor& like, Sizes sizes, Sizes strides, ScalarType dtype) {
  const auto code = torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(dtype));
  const std::int32_t device = device_type(like);
  if (device == aoti_torch_device_type_cpu()) {
    if (AtenTensorHandle result = fresh_kept(like, sizes, strides, code); result != nullptr) return Tensor(result);
  }
  AtenTensorHandle result = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<std::int64_t>(sizes.size()), sizes.data(),
                                                         strides.data(), code, device, like.get_device_index(),
                                                         &result));
  return advised(Tensor(result));
}

// Contiguous.
inline Tensor fresh(const Tensor& like, Sizes sizes, ScalarType dtype) {
  std::vector<std::int64_t> strides(sizes.size());
  std::int64_t stride = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= std::max<std::int64_t>(sizes[axis], 1);
  }
  return fresh(like, sizes, strides, dtype);
}

// The strides of torch.empty_like(x): those of x where it is contiguous.
inline Tensor fresh_like(const Tensor& x) {
  return x.is_contiguous() ? fresh(x, x.sizes(), x.strides(), x.scalar_type()) : advised(torch::stable::empty_like(x));
}

}  // namespace spectrans::torch_ops
