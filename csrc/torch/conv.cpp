// spectrans::conv and its derivative.
#include <optional>
#include <tuple>
#include <utility>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

using Optional = std::optional<Tensor>;

// Everything a call reads but the incoming gradient. Holds the skip's values, contiguous.
struct Arguments {
  Conv call{};
  Optional skip;

  Arguments(const Tensor& u, const Tensor& k, const Optional& pre, const Optional& post, const Optional& skip_,
            bool causal) {
    call.element = element(u, "u");
    call.u = signal(u, "u");
    const ScalarType compute = compute_type(call.element);
    expect(k.dim() == 2 && k.size(0) >= 1 && k.size(1) == call.u.d, "k must have shape [m, d], m >= 1");
    expect(k.scalar_type() == compute, "k must have the dtype u is computed in");
    call.k = signal(k, "k");
    for (const auto& [gate, to] : {std::pair{&pre, &call.pre}, std::pair{&post, &call.post}}) {
      if (!gate->has_value()) continue;
      expect_same(**gate, u, "gates must have the shape and dtype of u");
      *to = signal(**gate, "gate");
    }
    if (skip_.has_value()) {
      expect(skip_->dim() == 1 && skip_->size(0) == call.u.d, "skip must have shape [d]");
      expect(skip_->scalar_type() == compute, "skip must have the dtype u is computed in");
      skip = as_contiguous(*skip_);
      call.skip = skip->data_ptr();
    }
    call.causal = causal;
  }
};

// u [..., n, d], k [m, d], pre and post like u, skip [d] -> strides of torch.empty_like(u)
Tensor conv(Device& device, const Tensor& u, const Tensor& k, const Optional& pre, const Optional& post,
            const Optional& skip, bool causal, bool adjoint) {
  Arguments arguments(u, k, pre, post, skip, causal);
  Tensor y = fresh_like(u);
  if (u.numel() == 0) return y;
  arguments.call.adjoint = adjoint;
  arguments.call.y = signal(y, "y");
  device.run(kernels::conv, arguments.call);
  return y;
}

// The gradients of u, k, pre and post, in one pass; [0] for a gate that is absent.
std::tuple<Tensor, Tensor, Tensor, Tensor> conv_backward(Device& device, const Tensor& grad, const Tensor& u,
                                                         const Tensor& k, const Optional& pre, const Optional& post,
                                                         const Optional& skip, bool causal) {
  Arguments arguments(u, k, pre, post, skip, causal);
  Conv& call = arguments.call;
  expect_same(grad, u, "grad must have the shape and dtype of u");
  call.grad = signal(grad, "grad");
  const auto of_gate = [&](const Optional& gate) {
    return gate.has_value() ? fresh_like(*gate) : fresh(u, {0}, u.scalar_type());
  };
  Tensor of_u = fresh_like(u), of_k = fresh_like(k), of_pre = of_gate(pre), of_post = of_gate(post);
  if (u.numel() == 0) return {of_u, torch::stable::zero_(of_k), of_pre, of_post};
  call.grad_u = signal(of_u, "grad_u");
  call.grad_k = signal(of_k, "grad_k");
  if (pre.has_value()) call.grad_pre = signal(of_pre, "grad_pre");
  if (post.has_value()) call.grad_post = signal(of_post, "grad_post");
  device.run(kernels::conv, call);
  return {of_u, of_k, of_pre, of_post};
}

}  // namespace

SPECTRANS_REGISTER(Op<"conv", conv>, Op<"conv_backward", conv_backward>)

}  // namespace spectrans::torch_ops
