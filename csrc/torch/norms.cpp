// The norm checks: spectrans::energy, energies, orthogonality_error, spectral_norm, largest_modulus.
#include <tuple>
#include <utility>
#include <vector>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// What is left of the shape, and the call that fills `energy`, of that shape, in.
Energy energy_call(const Tensor& x, const std::vector<int64_t>& dims, const char* name, std::vector<int64_t>& shape) {
  const int64_t axes = x.dim();
  std::vector<bool> summed(axes, false);
  for (const int64_t axis : dims) {
    expect(-axes <= axis && axis < axes, "dims must be axes of the tensor");
    summed[axis < 0 ? axis + axes : axis] = true;
  }
  Energy call{};
  call.element = element(x, name);
  call.x = x.data_ptr();
  for (const bool pass : {false, true}) {
    for (int64_t axis = 0; axis < axes; ++axis) {
      if (summed[axis] != pass) continue;
      if (!pass) shape.push_back(x.size(axis));
      if (x.size(axis) == 1) continue;
      const int at = call.kept + call.reduced;
      expect(at < kMaxAxes, "too many axes");
      call.size[at] = x.size(axis);
      call.stride[at] = x.stride(axis);
      ++(pass ? call.reduced : call.kept);
    }
  }
  return call;
}

Tensor energies_of(const Tensor& x, const std::vector<int64_t>& dims, const char* name, Energies& calls) {
  std::vector<int64_t> shape;
  Energy call = energy_call(x, dims, name, shape);
  Tensor energy = fresh(x, shape, ScalarType::Double);
  if (energy.numel() == 0) return energy;
  if (x.numel() == 0) return torch::stable::zero_(energy);
  call.energy = static_cast<double*>(energy.data_ptr());
  calls.of[calls.count++] = call;
  return energy;
}

// x [any] -> [axes not in dims], float64
Tensor energy(Device& device, const Tensor& x, const std::vector<int64_t>& dims) {
  Energies calls{};
  Tensor energy = energies_of(x, dims, "x", calls);
  if (calls.count > 0) device.run(kernels::energy, calls);
  return energy;
}

std::tuple<Tensor, Tensor> energies(Device& device, const Tensor& a, const Tensor& b,
                                    const std::vector<int64_t>& dims) {
  Energies calls{};
  Tensor of_a = energies_of(a, dims, "a", calls), of_b = energies_of(b, dims, "b", calls);
  if (calls.count > 0) device.run(kernels::energy, calls);
  return {of_a, of_b};
}

// [..., m, n], or [..., m, n, 2] for pairs
struct Matrices {
  Tensor held;
  Signal signal;
  std::vector<int64_t> batch;
};

Matrices matrices(const Tensor& t, const char* name, bool pairs) {
  const int64_t dims = t.dim();
  expect(dims >= (pairs ? 3 : 2), "expected matrices [..., m, n], or pairs [..., m, n, 2]");
  if (pairs) expect(t.size(dims - 1) == 2, "pairs must have shape [..., m, n, 2]");
  const bool beside = !pairs || t.stride(dims - 1) == 1;
  Tensor held = beside ? t : as_contiguous(t);
  const Signal found = signal(held, name, pairs);
  return {held, found, {t.sizes().begin(), t.sizes().end() - (pairs ? 3 : 2)}};
}

// t [..., m, n], or [..., m, n, 2] for pairs -> [...], float64
Tensor orthogonality_error(Device& device, const Tensor& t, bool pairs) {
  const Matrices of = matrices(t, "t", pairs);
  Tensor error = fresh(t, of.batch, ScalarType::Double);
  if (error.numel() == 0) return error;
  const Orthogonality call{element(t, "t"), pairs, of.signal, static_cast<double*>(error.data_ptr())};
  device.run(kernels::orthogonality, call);
  return error;
}

constexpr int64_t kVeryWide = 4;

// x [..., m, d], or [..., m, d, 2] for pairs -> value [...], u [..., m], v [..., d], or u [..., m, 2], v [..., d, 2]
std::tuple<Tensor, Tensor, Tensor> spectral_norm(Device& device, const Tensor& x, bool pairs) {
  const Element type = element(x, "x");
  Matrices of = matrices(x, "x", pairs);
  const int64_t step = pairs ? 2 : 1;
  if (of.signal.d_stride != step && of.signal.n_stride != step) {
    of.held = as_contiguous(of.held);
    of.signal = signal(of.held, "x", pairs);
  }
  if (of.signal.n < of.signal.d / kVeryWide && of.signal.n_stride != step && of.signal.n * step > SpectralNorm::kFew) {
    const int64_t rows_at = of.held.dim() - (pairs ? 3 : 2);
    of.held = as_contiguous(torch::stable::transpose(of.held, rows_at, rows_at + 1));
    of.signal = signal(of.held, "x", pairs);
    std::swap(of.signal.n, of.signal.d);
    std::swap(of.signal.n_stride, of.signal.d_stride);
  }
  std::vector<int64_t> rows = of.batch, columns = of.batch;
  rows.push_back(of.signal.n);
  columns.push_back(of.signal.d);
  if (pairs) {
    rows.push_back(2);
    columns.push_back(2);
  }
  const ScalarType compute = compute_type(type);
  Tensor value = fresh(x, of.batch, compute), u = fresh(x, rows, compute), v = fresh(x, columns, compute);
  if (x.numel() == 0) return {torch::stable::zero_(value), torch::stable::zero_(u), torch::stable::zero_(v)};
  const SpectralNorm call{type, pairs, of.signal, value.data_ptr(), u.data_ptr(), v.data_ptr()};
  device.run(kernels::spectral_norm, call);
  return {value, u, v};
}

// pairs [batch, count, 2] -> [batch], int64
Tensor largest_modulus(Device& device, const Tensor& pairs) {
  const Element type = element(pairs, "pairs");
  expect(type == Element::float32 || type == Element::float64, "pairs must be float32 or float64");
  expect(pairs.dim() == 3 && pairs.size(2) == 2, "pairs must have shape [batch, count, 2]");
  expect(pairs.size(1) > 0, "pairs must not be empty");
  const Tensor held = as_contiguous(pairs);
  Tensor index = fresh(pairs, {pairs.size(0)}, ScalarType::Long);
  if (index.numel() == 0) return index;
  const LargestModulus call{type, held.data_ptr(), held.size(0), held.size(1), static_cast<int64_t*>(index.data_ptr())};
  device.run(kernels::largest_modulus, call);
  return index;
}

}  // namespace

SPECTRANS_REGISTER(Op<"energy", energy>, Op<"energies", energies>, Op<"orthogonality_error", orthogonality_error>,
                   Op<"spectral_norm", spectral_norm>, Op<"largest_modulus", largest_modulus>)

}  // namespace spectrans::torch_ops
