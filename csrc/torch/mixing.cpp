// CPU kernel of spectrans::mixing.
#include <cmath>

#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// x [..., n, d] -> the same, strides of torch.empty_like(x)
Tensor mixing_cpu(const Tensor& x, bool sequence, bool hidden, bool hartley, int64_t norm) {
  expect(sequence || hidden, "mixing needs the sequence axis, the hidden axis, or both");
  Mixing call{element(x, "x"), signal(x, "x"), {}, sequence, hidden, hartley, 1.0};
  Tensor y = empty_result(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  const double length = (sequence ? double(call.x.n) : 1.0) * (hidden ? double(call.x.d) : 1.0);
  call.scale = norm == 0 ? 1.0 : norm == 1 ? 1.0 / std::sqrt(length) : 1.0 / length;
  mixing(call, thread_pool());
  return y;
}

}  // namespace
}  // namespace spectrans::torch_ops

STABLE_TORCH_LIBRARY_IMPL(spectrans, CPU, m) { m.impl("mixing", TORCH_BOX(&spectrans::torch_ops::mixing_cpu)); }
