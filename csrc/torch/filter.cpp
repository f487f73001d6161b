// CPU kernels of spectrans::filter and its derivatives.
#include <tuple>

#include "signal.h"

namespace spectrans::torch_ops {
namespace {

Tensor checked_response(const Tensor& response, const Signal& x, Element element) {
  expect(response.dim() == 3 && response.size(0) == x.n / 2 + 1 && response.size(1) == x.d && response.size(2) == 2,
         "response must have shape [n // 2 + 1, d, 2]");
  expect(response.scalar_type() == compute_type(element), "response must have the dtype x is computed in");
  return torch::stable::contiguous(response);
}

Tensor empty_response(const Tensor& x, const Signal& signal, Element element) {
  return torch::stable::new_empty(x, {signal.n / 2 + 1, signal.d, 2}, compute_type(element));
}

void expect_same(const Tensor& grad, const Tensor& x) {
  bool same = grad.dim() == x.dim() && grad.scalar_type() == x.scalar_type();
  for (int64_t axis = 0; same && axis < x.dim(); ++axis) same = grad.size(axis) == x.size(axis);
  expect(same, "grad must have the shape and dtype of x");
}

// irfft(rfft(x) H): x [..., n, d], response [n / 2 + 1, d, 2] -> strides of torch.empty_like(x)
Tensor filter_cpu(const Tensor& x, const Tensor& response, bool adjoint) {
  const Element type = element(x, "x");
  Filter call{type, signal(x, "x"), {}, {}, nullptr, nullptr, adjoint};
  const Tensor held = checked_response(response, call.x, type);
  Tensor y = empty_result(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  call.response = held.data_ptr();
  filter(call, thread_pool());
  return y;
}

// sum over the batch: grad, x [..., n, d] -> [n / 2 + 1, d, 2]
Tensor filter_response_grad_cpu(const Tensor& grad, const Tensor& x) {
  const Element type = element(x, "x");
  expect_same(grad, x);
  Filter call{type, signal(grad, "grad"), {}, signal(x, "x"), nullptr, nullptr, false};
  Tensor result = empty_response(x, call.x, type);
  if (x.numel() == 0) return torch::stable::zero_(result);
  call.response_grad = result.data_ptr();
  filter(call, thread_pool());
  return result;
}

// Both derivatives in one pass over grad.
std::tuple<Tensor, Tensor> filter_backward_cpu(const Tensor& grad, const Tensor& x, const Tensor& response) {
  const Element type = element(x, "x");
  expect_same(grad, x);
  Filter call{type, signal(grad, "grad"), {}, signal(x, "x"), nullptr, nullptr, true};
  const Tensor held = checked_response(response, call.x, type);
  Tensor y = empty_result(grad), response_grad = empty_response(x, call.x, type);
  if (x.numel() == 0) return {y, torch::stable::zero_(response_grad)};
  call.y = signal(y, "y");
  call.response = held.data_ptr();
  call.response_grad = response_grad.data_ptr();
  filter(call, thread_pool());
  return {y, response_grad};
}

}  // namespace
}  // namespace spectrans::torch_ops

STABLE_TORCH_LIBRARY_IMPL(spectrans, CPU, m) {
  m.impl("filter", TORCH_BOX(&spectrans::torch_ops::filter_cpu));
  m.impl("filter_response_grad", TORCH_BOX(&spectrans::torch_ops::filter_response_grad_cpu));
  m.impl("filter_backward", TORCH_BOX(&spectrans::torch_ops::filter_backward_cpu));
}
