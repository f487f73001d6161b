// spectrans::filter and its derivatives.
#include <tuple>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// Sets the response of a call; the tensor to be kept while the call runs.
[[nodiscard]] Tensor set_response(Filter& call, const Tensor& response) {
  const Signal& x = call.x;
  expect(response.dim() == 3 && response.size(0) == x.n / 2 + 1 && response.size(1) == x.d && response.size(2) == 2,
         "response must have shape [n // 2 + 1, d, 2]");
  expect(response.scalar_type() == compute_type(call.element), "response must have the dtype x is computed in");
  const bool beside = response.stride(0) == 2 || response.stride(1) == 2;
  const Tensor held = aligned_pairs(beside ? response : as_contiguous(response));
  call.response = held.data_ptr();
  call.bin_stride = held.stride(0);
  call.channel_stride = held.stride(1);
  return held;
}

Tensor fresh_response(const Tensor& x, const Signal& signal, Element element) {
  return fresh(x, {signal.n / 2 + 1, signal.d, 2}, compute_type(element));
}

// irfft(rfft(x) H): x [..., n, d], response [n / 2 + 1, d, 2] -> strides of torch.empty_like(x)
Tensor filter(Device& device, const Tensor& x, const Tensor& response, bool adjoint) {
  const Element type = element(x, "x");
  Filter call{.element = type, .x = signal(x, "x"), .adjoint = adjoint};
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  device.run(kernels::filter, call);
  return y;
}

// sum over the batch: grad, x [..., n, d] -> [n / 2 + 1, d, 2]
Tensor filter_response_grad(Device& device, const Tensor& grad, const Tensor& x) {
  const Element type = element(x, "x");
  expect_same(grad, x, "grad must have the shape and dtype of x");
  Filter call{.element = type, .x = signal(grad, "grad"), .with = signal(x, "x")};
  Tensor result = fresh_response(x, call.x, type);
  if (x.numel() == 0) return torch::stable::zero_(result);
  call.response_grad = result.data_ptr();
  device.run(kernels::filter, call);
  return result;
}

// Both derivatives in one pass over grad.
std::tuple<Tensor, Tensor> filter_backward(Device& device, const Tensor& grad, const Tensor& x,
                                           const Tensor& response) {
  const Element type = element(x, "x");
  expect_same(grad, x, "grad must have the shape and dtype of x");
  Filter call{.element = type, .x = signal(grad, "grad"), .with = signal(x, "x"), .adjoint = true};
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(grad), response_grad = fresh_response(x, call.x, type);
  if (x.numel() == 0) return {y, torch::stable::zero_(response_grad)};
  call.y = signal(y, "y");
  call.response_grad = response_grad.data_ptr();
  device.run(kernels::filter, call);
  return {y, response_grad};
}

}  // namespace

SPECTRANS_REGISTER(Op<"filter", filter>, Op<"filter_response_grad", filter_response_grad>,
                   Op<"filter_backward", filter_backward>)

}  // namespace spectrans::torch_ops
