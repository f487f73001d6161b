// The Hermitian part of a response, at the frequencies of a half spectrum, and the adjoint of taking it: a thread to
// each of them.
#include "device.h"
#include "kernels.h"
#include "lines.h"

namespace spectrans::cuda {
namespace {

constexpr int kHalfThreads = 256;

template <class T>
__global__ void __launch_bounds__(kHalfThreads) hermitian_half_kernel(const __grid_constant__ HermitianHalf p) {
  const std::int64_t at = blockIdx.x * std::int64_t{kHalfThreads} + threadIdx.x, k = at / p.d;
  if (k > p.n / 2) return;
  const std::int64_t image = (k == 0 ? 0 : p.n - 2 * k) * p.d + at;
  T *const real = static_cast<T*>(p.real), *const imag = static_cast<T*>(p.imag);
  auto* const half = static_cast<Pair<T>*>(p.half) + at;
  if (!p.adjoint) {
    const T re = load(real + at) + load(real + image), im = load(imag + at) - load(imag + image);
    store(half, {re / 2, im / 2});
  } else if (image == at) {
    store(real + at, load(half).re);
    store(imag + at, T(0));
  } else {
    const Pair<T> z = load(half);
    store(real + at, z.re / 2);
    store(real + image, z.re / 2);
    store(imag + at, z.im / 2);
    store(imag + image, -z.im / 2);
  }
}

}  // namespace

const char* why_not(const HermitianHalf&) { return nullptr; }

void hermitian_half(const HermitianHalf& call, const Stream& stream) {
  const std::int64_t values = (call.n / 2 + 1) * call.d;
  const Grid grid{dim3(static_cast<unsigned>((values + kHalfThreads - 1) / kHalfThreads)), kHalfThreads, 0};
  const bool wide = call.element == Element::float64;
  launch(wide ? &hermitian_half_kernel<double> : &hermitian_half_kernel<float>, grid, stream.stream, call);
}

}  // namespace spectrans::cuda
