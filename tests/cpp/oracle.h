// What the kernels are held against: the definitions, in wider types; and a minimal test report.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <type_traits>
#include <vector>

#include "cpu/kernels.h"
#include "fft/butterflies.h"

namespace oracle {

using spectrans::Complex;
using Wide = long double;
// What is wider than T by far. (Emulated, a long double of 128 bits takes its time.)
template <class T>
using WiderThan = std::conditional_t<std::is_same_v<T, float>, double, Wide>;

// exp(2 pi i k / n), k < n
template <class W>
const std::vector<Complex<W>>& roots(std::int64_t n) {
  static std::map<std::int64_t, std::vector<Complex<W>>> known;
  std::vector<Complex<W>>& root = known[n];
  for (std::int64_t k = static_cast<std::int64_t>(root.size()); k < n; ++k) {
    const Wide angle = 2 * spectrans::trig::kPi * static_cast<Wide>(k) / static_cast<Wide>(n);
    root.push_back({static_cast<W>(std::cos(angle)), static_cast<W>(std::sin(angle))});
  }
  return root;
}

// sum_j x[j] exp(sign 2 pi i j k / n): the definition for prime n, otherwise
// sum_t exp(sign 2 pi i t k / n) (the same of x[t], x[t + r], ...)[k], r the smallest prime factor.
template <class W>
std::vector<Complex<W>> dft(const std::vector<Complex<W>>& x, int sign) {
  const std::int64_t n = static_cast<std::int64_t>(x.size());
  if (n == 1) return x;
  std::int64_t r = 2;
  while (n % r != 0) ++r;
  const std::int64_t m = n / r;
  const std::vector<Complex<W>>& root = roots<W>(n);
  std::vector<Complex<W>> y(n, {0, 0}), part(m);
  for (std::int64_t t = 0; t < r; ++t) {
    for (std::int64_t j = 0; j < m; ++j) part[j] = x[t + r * j];
    const std::vector<Complex<W>> bins = dft(part, sign);
    for (std::int64_t k = 0, turn = 0, bin = 0; k < n; ++k) {
      y[k] = y[k] + spectrans::times(bins[bin], root[turn].re, sign * root[turn].im);
      if ((turn += t) >= n) turn -= n;
      if (++bin == m) bin = 0;
    }
  }
  return y;
}

// The same over both axes of x [h, w].
template <class W>
std::vector<Complex<W>> dft2(std::vector<Complex<W>> x, std::int64_t h, std::int64_t w, int sign) {
  const auto over = [&](std::int64_t lines, std::int64_t step, std::int64_t n, std::int64_t stride) {
    for (std::int64_t i = 0; i < lines; ++i) {
      std::vector<Complex<W>> line(n);
      for (std::int64_t j = 0; j < n; ++j) line[j] = x[i * step + j * stride];
      line = dft(line, sign);
      for (std::int64_t j = 0; j < n; ++j) x[i * step + j * stride] = line[j];
    }
  };
  over(h, w, w, 1);
  over(w, 1, h, w);
  return x;
}

inline std::vector<double> noise(std::size_t count, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(count);
  for (double& value : values) value = normal(generator);
  return values;
}

// The pool of the tests: two halves, one after the other, in the order that a pool least expects.
inline spectrans::ThreadPool pool(int threads) {
  return {[](std::int64_t count, std::int64_t, void (*body)(std::int64_t, std::int64_t, void*), void* context) {
            const std::int64_t half = count / 2;
            body(half, count, context);
            if (half > 0) body(0, half, context);
          },
          threads};
}

inline spectrans::Signal signal(void* data, std::int64_t batch, std::int64_t n, std::int64_t d) {
  spectrans::Signal result{};
  result.data = data;
  result.n = n;
  result.d = d;
  result.n_stride = d;
  result.d_stride = 1;
  result.batch = batch;
  result.axes = 1;
  result.size[0] = batch;
  result.stride[0] = n * d;
  return result;
}

struct Report {
  int passed = 0, failed = 0;
  int part = 1, parts = 1;  // of the cases
  int cases = 0;

  // Whether the next case is of this part.
  bool takes() { return cases++ % parts == part - 1; }

  // error, relative to the size of what was expected, within `tolerance`; NaN fails
  void check(const char* what, std::int64_t n, double error, double tolerance) {
    if (error <= tolerance) {
      ++passed;
      return;
    }
    ++failed;
    std::printf("FAILED %s n=%lld: error %.3g, tolerance %.3g\n", what, static_cast<long long>(n), error, tolerance);
  }
  int finish() const {
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
  }
};

// ||actual - expected|| / ||expected||
template <class T, class W = Wide>
double relative_error(const std::vector<T>& actual, const std::vector<W>& expected) {
  W error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const W difference = static_cast<W>(actual[i]) - expected[i];
    error += difference * difference;
    norm += expected[i] * expected[i];
  }
  return static_cast<double>(std::sqrt(error / (norm > 0 ? norm : 1)));
}

}  // namespace oracle
