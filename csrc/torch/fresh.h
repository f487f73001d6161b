// Tensors to be written to, and contiguous ones. torch::stable's own functions look their op up by its name at every
// call, which takes as long as a small transform.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device.h"

namespace spectrans::torch_ops {

using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

// On the device of `like`.
inline Tensor fresh_strided(const Tensor& like, Sizes sizes, Sizes strides, ScalarType dtype) {
  std::int32_t device_type = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  const auto code = torch::stable::detail::to<std::int32_t>(torch::stable::detail::from(dtype));
  AtenTensorHandle result = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<std::int64_t>(sizes.size()), sizes.data(),
                                                         strides.data(), code, device_type, like.get_device_index(),
                                                         &result));
  return Device::fresh(Tensor(result));
}

// Contiguous.
inline Tensor fresh(const Tensor& like, Sizes sizes, ScalarType dtype) {
  std::vector<std::int64_t> strides(sizes.size());
  std::int64_t stride = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= std::max<std::int64_t>(sizes[axis], 1);
  }
  return fresh_strided(like, sizes, strides, dtype);
}

// The strides of torch.empty_like(x).
inline Tensor fresh_like(const Tensor& x) {
  if (!x.is_contiguous()) return Device::fresh(torch::stable::empty_like(x));
  return fresh_strided(x, x.sizes(), x.strides(), x.scalar_type());
}

inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

}  // namespace spectrans::torch_ops
