// spectrans::hermitian_half, and its derivative.
#include <tuple>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

Element real_element(const Tensor& tensor, const char* name) {
  const Element type = element(tensor, name);
  expect(type == Element::float32 || type == Element::float64, "responses must be float32 or float64");
  return type;
}

// real, imag [n, d] -> [n // 2 + 1, d, 2]
Tensor hermitian_half(Device& device, const Tensor& real, const Tensor& imag) {
  const Element type = real_element(real, "real");
  expect(real.dim() == 2 && real.size(0) > 0, "real must have shape [n, d], n > 0");
  expect_same(imag, real, "imag must have the shape and dtype of real");
  const int64_t n = real.size(0), d = real.size(1);
  Tensor half = fresh(real, {n / 2 + 1, d, 2}, real.scalar_type());
  if (d == 0) return half;
  const Tensor re = as_contiguous(real), im = as_contiguous(imag);
  device.run(kernels::hermitian_half, HermitianHalf{type, n, d, re.data_ptr(), im.data_ptr(), half.data_ptr(), false});
  return half;
}

// grad [n // 2 + 1, d, 2] -> those of real and imag, [n, d]
std::tuple<Tensor, Tensor> hermitian_half_backward(Device& device, const Tensor& grad, int64_t n) {
  const Element type = real_element(grad, "grad");
  expect(n > 0 && grad.dim() == 3 && grad.size(0) == n / 2 + 1 && grad.size(2) == 2,
         "grad must have shape [n // 2 + 1, d, 2], n > 0");
  const int64_t d = grad.size(1);
  Tensor real = fresh(grad, {n, d}, grad.scalar_type()), imag = fresh(grad, {n, d}, grad.scalar_type());
  if (d == 0) return {real, imag};
  const Tensor half = aligned_pairs(as_contiguous(grad));
  device.run(kernels::hermitian_half,
             HermitianHalf{type, n, d, real.data_ptr(), imag.data_ptr(), half.data_ptr(), true});
  return {real, imag};
}

}  // namespace

SPECTRANS_REGISTER(Op<"hermitian_half", hermitian_half>, Op<"hermitian_half_backward", hermitian_half_backward>)

}  // namespace spectrans::torch_ops
