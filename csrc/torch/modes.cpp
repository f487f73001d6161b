// spectrans::modes and spectrans::modes_inverse.
#include <optional>
#include <utility>
#include <vector>

#include "fresh.h"
#include "op.h"
#include "signal.h"

namespace spectrans::torch_ops {
namespace {

// [..., n, d], seen through a tensor [..., d, n] where that is how channels_first has it.
Signal sequences(const Tensor& tensor, const char* name, bool channels_first) {
  Signal result = signal(tensor, name);
  if (channels_first) {
    std::swap(result.n, result.d);
    std::swap(result.n_stride, result.d_stride);
  }
  return result;
}

// Complex numbers as pairs of real ones.
Signal spectra(const Tensor& tensor, const char* name, bool channels_first) {
  Signal result = sequences(tensor, name, channels_first);
  result.n_stride *= 2;
  result.d_stride *= 2;
  for (int axis = 0; axis < result.axes; ++axis) result.stride[axis] *= 2;
  return result;
}

// x [..., n, d] -> [..., modes, d], complex; channels_first: x [..., d, n] -> [..., d, modes]; contiguous
Tensor modes(Device& device, const Tensor& x, int64_t modes, bool channels_first, bool mirrored, int64_t norm) {
  const Element type = element(x, "x");
  Modes call{type, sequences(x, "x", channels_first), {}, false, mirrored, static_cast<int>(norm)};
  expect(1 <= modes && modes <= call.x.n / 2 + 1, "modes must be between 1 and n // 2 + 1");
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape[shape.size() - (channels_first ? 1 : 2)] = modes;
  Tensor bins = fresh(x, shape, complex_type(type));
  if (x.numel() == 0) return bins;
  call.bins = spectra(bins, "bins", channels_first);
  device.run(kernels::modes, call);
  return bins;
}

// spectrum [..., modes, d], complex -> [..., n, d]; channels_first: [..., d, modes] -> [..., d, n]; contiguous. The
// precision is that of the spectrum, where no dtype is given.
Tensor modes_inverse(Device& device, const Tensor& spectrum, int64_t n, std::optional<ScalarType> given,
                     bool channels_first, bool mirrored, int64_t norm) {
  const bool is_double = spectrum.scalar_type() == ScalarType::ComplexDouble;
  const ScalarType dtype = given.value_or(is_double ? ScalarType::Double : ScalarType::Float);
  const Element type = element(dtype, "dtype");
  expect(spectrum.scalar_type() == complex_type(type), "spectrum must have the dtype that dtype is computed in");
  Modes call{type, {}, spectra(spectrum, "spectrum", channels_first), true, mirrored, static_cast<int>(norm)};
  expect(1 <= call.bins.n && call.bins.n <= n / 2 + 1, "spectrum must have between 1 and n // 2 + 1 modes");
  std::vector<int64_t> shape(spectrum.sizes().begin(), spectrum.sizes().end());
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
