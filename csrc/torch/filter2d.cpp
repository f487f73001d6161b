// spectrans::filter2d and its derivatives.
#include <tuple>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// The call without what it writes to; the first size of a response is h.
Filter2d call_of(const Tensor& x, const char* name, int64_t h) {
  Filter2d call{{.element = element(x, name), .x = signal(x, name)}, h};
  expect(h > 0 && call.x.n % h == 0, "n must be h * w");
  return call;
}

// Sets the response of a call; the tensor to be kept while the call runs.
[[nodiscard]] Tensor set_response(Filter2d& call, const Tensor& response) {
  const int64_t w = call.x.n / call.h;
  expect(response.dim() == 4 && response.size(1) == w / 2 + 1 && response.size(2) == call.x.d && response.size(3) == 2,
         "response must have shape [h, w // 2 + 1, d, 2]");
  expect(response.scalar_type() == compute_type(call.element), "response must have the dtype x is computed in");
  const Tensor held = aligned_pairs(as_contiguous(response));
  call.response = held.data_ptr();
  call.bin_stride = 2 * call.x.d;
  call.channel_stride = 2;
  return held;
}

Tensor fresh_response(const Tensor& x, const Filter2d& call) {
  const int64_t w = call.x.n / call.h;
  return fresh(x, {call.h, w / 2 + 1, call.x.d, 2}, compute_type(call.element));
}

int64_t height(const Tensor& response) { return response.dim() > 0 ? response.size(0) : 0; }

// irfft2(rfft2(x) H): x [..., h w, d], response [h, w / 2 + 1, d, 2] -> strides of torch.empty_like(x)
Tensor filter2d(Device& device, const Tensor& x, const Tensor& response, bool adjoint) {
  Filter2d call = call_of(x, "x", height(response));
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  call.adjoint = adjoint;
  device.run(kernels::filter2d, call);
  return y;
}

// sum over the batch: grad, x [..., h w, d] -> [h, w / 2 + 1, d, 2]
Tensor filter2d_response_grad(Device& device, const Tensor& grad, const Tensor& x, int64_t h) {
  expect_same(grad, x, "grad must have the shape and dtype of x");
  Filter2d call = call_of(grad, "grad", h);
  Tensor result = fresh_response(x, call);
  if (x.numel() == 0) return torch::stable::zero_(result);
  call.with = signal(x, "x");
  call.response_grad = result.data_ptr();
  device.run(kernels::filter2d, call);
  return result;
}

// Both derivatives in one pass over grad.
std::tuple<Tensor, Tensor> filter2d_backward(Device& device, const Tensor& grad, const Tensor& x,
                                             const Tensor& response) {
  expect_same(grad, x, "grad must have the shape and dtype of x");
  Filter2d call = call_of(grad, "grad", height(response));
  const Tensor held = set_response(call, response);
  Tensor y = fresh_like(grad), response_grad = fresh_response(x, call);
  if (x.numel() == 0) return {y, torch::stable::zero_(response_grad)};
  call.with = signal(x, "x");
  call.y = signal(y, "y");
  call.response_grad = response_grad.data_ptr();
  call.adjoint = true;
  device.run(kernels::filter2d, call);
  return {y, response_grad};
}

}  // namespace

SPECTRANS_REGISTER(Op<"filter2d", filter2d>, Op<"filter2d_response_grad", filter2d_response_grad>,
                   Op<"filter2d_backward", filter2d_backward>)

}  // namespace spectrans::torch_ops
