// Building the plans of Rader's algorithm.
#include <vector>

#include "butterflies.h"
#include "length.h"
#include "numbers.h"
#include "plan.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

// Mixed radix in long double, for tables only; roots: of a length that is a multiple of x's.
std::vector<Complex<long double>> host_dft(const std::vector<Complex<long double>>& x,
                                           const std::vector<Complex<long double>>& roots) {
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  if (n == 1) return x;
  const std::int64_t r = prime_factors(n).back(), m = n / r, step = static_cast<std::int64_t>(roots.size()) / n;
  const auto part = [&](std::int64_t t) {
    std::vector<Complex<long double>> every_rth(m);
    for (std::int64_t j = 0; j < m; ++j) every_rth[j] = x[j * r + t];
    return host_dft(every_rth, roots);
  };
  std::vector<Complex<long double>> y(n);
  if (r == 2) {  // nearly always
    const std::vector<Complex<long double>> even = part(0), odd = part(1);
    for (std::int64_t k = 0; k < m; ++k) {
      const Complex<long double> w = roots[k * step], turned = times(odd[k], w.re, w.im);
      y[k] = even[k] + turned;
      y[k + m] = even[k] - turned;
    }
    return y;
  }
  for (std::int64_t t = 0; t < r; ++t) {
    const std::vector<Complex<long double>> bins = part(t);
    for (std::int64_t k = 0; k < n; ++k) {
      const Complex<long double> w = roots[k * t % n * step];
      y[k] = y[k] + times(bins[k % m], w.re, w.im);
    }
  }
  return y;
}

std::vector<Complex<long double>> host_dft(const std::vector<long double>& x) {
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  std::vector<Complex<long double>> values(n), roots(n);
  for (std::int64_t i = 0; i < n; ++i) {
    const trig::Point w = trig::unit_root(i, n);
    values[i] = {x[i], 0};
    roots[i] = {w.cos, -w.sin};
  }
  return host_dft(values, roots);
}

template <class T>
struct Owner {
  Table<std::int32_t> gather, scatter;
  Table<T> response;
  PrimePlan<T> plan;

  explicit Owner(std::int64_t p) : gather(p - 1), scatter(p - 1) {
    const std::int64_t m = is_smooth(p - 1) ? p - 1 : padded_length(2 * p - 3);
    const RealPlan<T>& convolution = real_plan<T>(m);
    const std::int64_t g = generator(p), inverse = inverse_mod(g, p);
    std::int64_t up = 1, down = 1;
    for (std::int64_t q = 0; q < p - 1; ++q) {
      gather[q] = static_cast<std::int32_t>(up);
      scatter[q] = static_cast<std::int32_t>(down);
      up = up * g % p;
      down = down * inverse % p;
    }
    // Kernel h[s] = cas(2 pi g^-s / p), wrapped to length m when padded; its spectrum from the definition of
    // the transform would be quadratic, so a small recursive one is used.
    std::vector<long double> kernel(m, 0.0L);
    for (std::int64_t s = 0; s < p - 1; ++s) {
      const trig::Point w = trig::unit_root(scatter[s], p);
      kernel[s] = w.cos + w.sin;
      if (s > 0 && m > p - 1) kernel[m - (p - 1) + s] = kernel[s];
    }
    const std::vector<Complex<long double>> spectrum = host_dft(kernel);
    response.resize(convolution.slots);
    for (std::int64_t k = 0; k <= m / 2; ++k) {
      response[convolution.re[k]] = static_cast<T>(spectrum[k].re / m);
      if (convolution.im[k] >= 0) {
        response[convolution.im[k]] = static_cast<T>(convolution.sign[k] * spectrum[k].im / m);
      }
    }
    plan = {p, &convolution, gather.data(), scatter.data(), response.data()};
  }
};

}  // namespace

template <class T>
const PrimePlan<T>& prime_plan(std::int64_t p) {
  return planned<Owner<T>>(p).plan;
}

template const PrimePlan<float>& prime_plan<float>(std::int64_t);
template const PrimePlan<double>& prime_plan<double>(std::int64_t);

}  // namespace spectrans
