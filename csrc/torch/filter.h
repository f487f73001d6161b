// The ops of a kind of filter and of its derivatives: what they have in common.
#pragma once

#include <tuple>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {

// Kind is what tells one kind of filter from another:
//   Call             what its kernel, `run`, is asked
//   call_of          the call for x, without operands; after x's name comes its response, or what tells the shape of it
//   shape(call)      that shape, and kShape, in words
//   held(response)   the response, as the kernel takes it; set_strides(call, held): its strides. (An axis of size 1 of
//                    what torch takes for contiguous has any.)
template <class Kind>
struct FilterOps {
  using Call = typename Kind::Call;

  // x [..., n, d] -> strides of torch.empty_like(x)
  static Tensor forward(Device& device, const Tensor& x, const Tensor& response, bool adjoint) {
    Call call = Kind::call_of(x, "x", response);
    const Tensor held = set_response(call, response);
    Tensor y = fresh_like(x);
    if (x.numel() == 0) return y;
    call.y = signal(y, "y");
    call.adjoint = adjoint;
    device.run(Kind::run, call);
    return y;
  }

  // Sum over the batch: grad, x [..., n, d] -> the shape of a response. `more` is what else tells that shape.
  template <class... More>
  static Tensor response_grad(Device& device, const Tensor& grad, const Tensor& x, More... more) {
    expect_same(grad, x, "grad must have the shape and dtype of x");
    Call call = Kind::call_of(grad, "grad", more...);
    Tensor result = fresh_response(x, call);
    if (x.numel() == 0) return torch::stable::zero_(result);
    call.with = signal(x, "x");
    call.response_grad = result.data_ptr();
    device.run(Kind::run, call);
    return result;
  }

  // Both derivatives in one pass over grad.
  static std::tuple<Tensor, Tensor> backward(Device& device, const Tensor& grad, const Tensor& x,
                                             const Tensor& response) {
    expect_same(grad, x, "grad must have the shape and dtype of x");
    Call call = Kind::call_of(grad, "grad", response);
    const Tensor held = set_response(call, response);
    Tensor y = fresh_like(grad), gradient = fresh_response(x, call);
    if (x.numel() == 0) return {y, torch::stable::zero_(gradient)};
    call.with = signal(x, "x");
    call.y = signal(y, "y");
    call.response_grad = gradient.data_ptr();
    call.adjoint = true;
    device.run(Kind::run, call);
    return {y, gradient};
  }

 private:
  // Sets the response of a call; the tensor to be kept while the call runs.
  [[nodiscard]] static Tensor set_response(Call& call, const Tensor& response) {
    const auto shape = Kind::shape(call);
    bool fits = response.dim() == static_cast<int64_t>(shape.size());
    for (std::size_t axis = 0; fits && axis < shape.size(); ++axis) fits = response.size(axis) == shape[axis];
    expect(fits, Kind::kShape);
    expect(response.scalar_type() == compute_type(call.element), "response must have the dtype x is computed in");
    const Tensor held = aligned_pairs(Kind::held(response));
    call.response = held.data_ptr();
    Kind::set_strides(call, held);
    return held;
  }

  static Tensor fresh_response(const Tensor& x, const Call& call) {
    return fresh(x, Kind::shape(call), compute_type(call.element));
  }
};

}  // namespace spectrans::torch_ops
