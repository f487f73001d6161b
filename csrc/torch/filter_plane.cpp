// spectrans::filter_plane and its derivatives.
#include <tuple>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// The call without what it writes to.
FilterPlane call_of(const Tensor& x, const char* name) { return {{.element = element(x, name), .x = signal(x, name)}}; }

// Sets the response of a call; the tensor to be kept while the call runs.
[[nodiscard]] Tensor set_response(FilterPlane& call, const Tensor& response) {
  const Signal& x = call.x;
  expect(response.dim() == 3 && response.size(0) == x.n && response.size(1) == x.d && response.size(2) == 2,
         "response must have shape [n, d, 2]");
  expect(response.scalar_type() == compute_type(call.element), "response must have the dtype x is computed in");
  const Tensor held = aligned_pairs(as_contiguous(response));
  call.response = held.data_ptr();
  return held;
}

Tensor fresh_response(const Tensor& x, const FilterPlane& call) {
  return fresh(x, {call.x.n, call.x.d, 2}, compute_type(call.element));
}

// Re ifft2(fft2(x) H): x [..., n, d], response [n, d, 2] -> strides of torch.empty_like(x)
Tensor filter_plane(Device& device, const Tensor& x, const Tensor& response, bool adjoint) {
  FilterPlane call = call_of(x, "x");
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  call.adjoint = adjoint;
  device.run(kernels::filter_plane, call);
  return y;
}

// sum over the batch: grad, x [..., n, d] -> [n, d, 2]
Tensor filter_plane_response_grad(Device& device, const Tensor& grad, const Tensor& x) {
  expect_same(grad, x, "grad must have the shape and dtype of x");
  FilterPlane call = call_of(grad, "grad");
  Tensor result = fresh_response(x, call);
  if (x.numel() == 0) return torch::stable::zero_(result);
  call.with = signal(x, "x");
  call.response_grad = result.data_ptr();
  device.run(kernels::filter_plane, call);
  return result;
}

// Both derivatives in one pass over grad.
std::tuple<Tensor, Tensor> filter_plane_backward(Device& device, const Tensor& grad, const Tensor& x,
                                                 const Tensor& response) {
  expect_same(grad, x, "grad must have the shape and dtype of x");
  FilterPlane call = call_of(grad, "grad");
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(grad), response_grad = fresh_response(x, call);
  if (x.numel() == 0) return {y, torch::stable::zero_(response_grad)};
  call.with = signal(x, "x");
  call.y = signal(y, "y");
  call.response_grad = response_grad.data_ptr();
  call.adjoint = true;
  device.run(kernels::filter_plane, call);
  return {y, response_grad};
}

}  // namespace

SPECTRANS_REGISTER(Op<"filter_plane", filter_plane>, Op<"filter_plane_response_grad", filter_plane_response_grad>,
                   Op<"filter_plane_backward", filter_plane_backward>)

}  // namespace spectrans::torch_ops
