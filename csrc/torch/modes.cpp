// spectrans::modes and spectrans::modes_inverse.
#include <utility>
#include <vector>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// [..., n, d], seen through a tensor [..., d, n] where that is how channels_first has it.
Signal sequences(const Tensor& tensor, const char* name, bool channels_first, bool pairs = false) {
  Signal result = signal(tensor, name, pairs);
  if (channels_first) {
    std::swap(result.n, result.d);
    std::swap(result.n_stride, result.d_stride);
  }
  return result;
}

// x [..., n, d] -> [..., modes, d, 2]; channels_first: x [..., d, n] -> [..., d, modes, 2]; contiguous
Tensor modes(Device& device, const Tensor& x, int64_t modes, bool channels_first, bool mirrored, int64_t norm) {
  const Element type = element(x, "x");
  Modes call{type, sequences(x, "x", channels_first), {}, false, mirrored, static_cast<int>(norm)};
  expect(1 <= modes && modes <= call.x.n / 2 + 1, "modes must be between 1 and n // 2 + 1");
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape[shape.size() - (channels_first ? 1 : 2)] = modes;
  shape.push_back(2);
  Tensor bins = fresh(x, shape, compute_type(type));
  if (x.numel() == 0) return bins;
  call.bins = sequences(bins, "bins", channels_first, true);
  device.run(kernels::modes, call);
  return bins;
}

// spectrum [..., modes, d, 2] -> [..., n, d]; channels_first: [..., d, modes, 2] -> [..., d, n]; contiguous
Tensor modes_inverse(Device& device, const Tensor& spectrum, int64_t n, ScalarType dtype, bool channels_first,
                     bool mirrored, int64_t norm) {
  const Element type = element(dtype, "dtype");
  expect(spectrum.scalar_type() == compute_type(type), "spectrum must have the dtype that dtype is computed in");
  const int64_t dims = spectrum.dim();
  expect(dims >= 3 && spectrum.size(dims - 1) == 2, "spectrum must have shape [..., modes, d, 2]");
  const Tensor held = aligned_pairs(spectrum);
  Modes call{type, {}, sequences(held, "spectrum", channels_first, true), true, mirrored, static_cast<int>(norm)};
  expect(1 <= call.bins.n && call.bins.n <= n / 2 + 1, "spectrum must have between 1 and n // 2 + 1 modes");
  std::vector<int64_t> shape(spectrum.sizes().begin(), spectrum.sizes().end() - 1);
  shape[shape.size() - (channels_first ? 1 : 2)] = n;
  Tensor x = fresh(spectrum, shape, dtype);
  if (x.numel() == 0) return x;
  call.x = sequences(x, "x", channels_first);
  device.run(kernels::modes, call);
  return x;
}

}  // namespace

SPECTRANS_REGISTER(Op<"modes", modes>, Op<"modes_inverse", modes_inverse>)

}  // namespace spectrans::torch_ops
