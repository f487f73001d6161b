// spectrans::mixing.
#include <cmath>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// x [..., n, d] -> the same, strides of torch.empty_like(x)
Tensor mixing(Device& device, const Tensor& x, bool sequence, bool hidden, bool hartley, int64_t norm) {
  expect(sequence || hidden, "mixing needs the sequence axis, the hidden axis, or both");
  Mixing call{element(x, "x"), signal(x, "x"), {}, sequence, hidden, hartley, 1.0};
  Tensor y = fresh_like(x);
  if (x.numel() == 0) return y;
  call.y = signal(y, "y");
  const double length = (sequence ? double(call.x.n) : 1.0) * (hidden ? double(call.x.d) : 1.0);
  call.scale = norm == 0 ? 1.0 : norm == 1 ? 1.0 / std::sqrt(length) : 1.0 / length;
  device.run(kernels::mixing, call);
  return y;
}

}  // namespace

SPECTRANS_REGISTER(Op<"mixing", mixing>)

}  // namespace spectrans::torch_ops
