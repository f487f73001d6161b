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

// On the device of `like`.
inline Tensor fresh(const Tensor& like, Sizes sizes, Sizes strides, ScalarType dtype) {
  const auto code = torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(dtype));
  AtenTensorHandle result = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<std::int64_t>(sizes.size()), sizes.data(),
                                                         strides.data(), code, device_type(like),
                                                         like.get_device_index(), &result));
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
