// The norm checks' kernels against their definitions in long double, at the instruction set SPECTRANS_CPU names.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>

#include "oracle.h"

namespace {

using oracle::Wide;

template <class T>
constexpr spectrans::Element kElement =
    std::is_same_v<T, double> ? spectrans::Element::float64 : spectrans::Element::float32;

template <class T>
std::vector<T> draw(std::int64_t count, unsigned seed) {
  const std::vector<double> values = oracle::noise(count, seed);
  return {values.begin(), values.end()};
}

// Axes [size], contiguous but for `order` (from the outermost in memory to the innermost); the last ones are summed
// over.
template <class T>
void energy(oracle::Report& report, std::vector<std::int64_t> size, std::vector<int> order, int reduced, int threads) {
  const int axes = static_cast<int>(size.size());
  spectrans::Energy call{};
  call.element = kElement<T>;
  call.kept = axes - reduced;
  call.reduced = reduced;
  std::int64_t count = 1, results = 1;
  for (int at = axes - 1; at >= 0; --at) {
    call.size[order[at]] = size[order[at]];
    call.stride[order[at]] = count;
    count *= size[order[at]];
  }
  for (int at = 0; at < call.kept; ++at) results *= size[at];
  const std::vector<T> x = draw<T>(count, 1);
  std::vector<double> y(results, std::numeric_limits<double>::quiet_NaN());
  std::vector<Wide> expected(results, 0);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, offset = 0, result = 0, scale = 1;
    for (int at = axes - 1; at >= 0; --at) {
      const std::int64_t index = rest % size[at];
      rest /= size[at];
      offset += index * call.stride[at];
      if (at < call.kept) {
        result += index * scale;
        scale *= size[at];
      }
    }
    expected[result] += static_cast<Wide>(x[offset]) * x[offset];
  }
  call.x = x.data();
  call.energy = y.data();
  spectrans::energy({{call, call}, 1}, oracle::pool(threads));
  report.check("energy", count, oracle::relative_error(y, expected), 1e-13);
}

// t [m, n] or, for pairs, [m, n, 2]; columns first in memory where `transposed`
template <class T>
void orthogonality(oracle::Report& report, std::int64_t m, std::int64_t n, bool pairs, bool transposed) {
  const std::int64_t unit = pairs ? 2 : 1;
  const std::vector<T> t = draw<T>(m * n * unit, 2);
  spectrans::Signal signal = oracle::signal(const_cast<T*>(t.data()), 1, m, n);
  signal.n_stride = unit * (transposed ? 1 : n);
  signal.d_stride = unit * (transposed ? m : 1);
  const auto at = [&](std::int64_t i, std::int64_t j, int part) -> Wide {
    return part < unit ? t[i * signal.n_stride + j * signal.d_stride + part] : T{0};
  };
  Wide sum = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t k = 0; k < m; ++k) {
      Wide re = i == k ? -1 : 0, im = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        re += at(i, j, 0) * at(k, j, 0) + at(i, j, 1) * at(k, j, 1);
        im += at(i, j, 1) * at(k, j, 0) - at(i, j, 0) * at(k, j, 1);
      }
      sum += re * re + im * im;
    }
  }
  std::vector<double> error(1);
  spectrans::orthogonality({kElement<T>, pairs, signal, error.data()}, oracle::pool(2));
  report.check("orthogonality", m * n, oracle::relative_error(error, {std::sqrt(sum)}), 1e-13);
}

// A matrix with singular values 1 (once), 0.9, 0.9, 0.45, ...: two reflections and, for pairs, a phase a row.
template <class T>
void spectral_norm(oracle::Report& report, std::int64_t m, std::int64_t n, bool pairs, bool transposed, double scale) {
  const std::int64_t unit = pairs ? 2 : 1, rank = std::min(m, n);
  std::vector<double> left = oracle::noise(m, 3), right = oracle::noise(n, 4), a(m * n, 0.0);
  const auto normalise = [](std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    for (double& x : v) x /= std::sqrt(sum);
  };
  normalise(left);
  normalise(right);
  for (std::int64_t k = 0; k < rank; ++k) {
    const double value = k == rank / 2 ? 1 : k < 3 ? 0.9 : 0.9 / static_cast<double>(k);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        a[i * n + j] += value * ((i == k) - 2 * left[i] * left[k]) * ((j == k) - 2 * right[j] * right[k]);
      }
    }
  }
  std::vector<T> x(m * n * unit);
  spectrans::Signal signal = oracle::signal(x.data(), 1, m, n);
  signal.n_stride = unit * (transposed ? 1 : n);
  signal.d_stride = unit * (transposed ? m : 1);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      T* to = x.data() + i * signal.n_stride + j * signal.d_stride;
      to[0] = static_cast<T>(scale * a[i * n + j] * (pairs ? std::cos(i) : 1));
      if (pairs) to[1] = static_cast<T>(scale * a[i * n + j] * std::sin(i));
    }
  }
  std::vector<T> value(1), u(m * unit), v(n * unit);
  spectrans::spectral_norm({kElement<T>, pairs, signal, value.data(), u.data(), v.data()}, oracle::pool(2));
  report.check("spectral norm", m * n, oracle::relative_error(value, {scale}),
               std::is_same_v<T, double> ? 1e-10 : 1e-6);
  // x v = value u
  std::vector<Wide> product(m * unit, 0);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const T *from = x.data() + i * signal.n_stride + j * signal.d_stride, *with = v.data() + j * unit;
      const Wide im = pairs ? from[1] : 0, with_im = pairs ? with[1] : 0;
      product[i * unit] += (static_cast<Wide>(from[0]) * with[0] - im * with_im) / value[0];
      if (pairs) product[i * unit + 1] += (from[0] * with_im + im * with[0]) / value[0];
    }
  }
  report.check("singular vectors", m * n, oracle::relative_error(u, product), 64 * std::numeric_limits<T>::epsilon());
}

template <class T>
void degenerate(oracle::Report& report) {
  for (const double element : {0.0, HUGE_VAL, -HUGE_VAL, static_cast<double>(NAN)}) {
    std::vector<T> x(35, element == 0 ? T{0} : T{1}), value(1), u(7, T{1}), v(5, T{1});
    x[17] = static_cast<T>(element);
    spectrans::spectral_norm({kElement<T>, false, oracle::signal(x.data(), 1, 7, 5), value.data(), u.data(), v.data()},
                             oracle::pool(1));
    const bool right = element == 0 ? value[0] == 0 : std::isnan(value[0]);
    report.check("degenerate matrix", 35, right && u[6] == 0 && v[4] == 0 ? 0 : 1, 0);
  }
}

template <class T>
void largest_modulus(oracle::Report& report, std::int64_t count, T scale) {
  for (const std::int64_t at : {std::int64_t{0}, count / 2, count - 1}) {
    std::vector<T> pairs = draw<T>(2 * count, 5);
    for (T& part : pairs) part *= scale / 100;
    pairs[2 * at] = -scale / 2;
    pairs[2 * at + 1] = scale / 2;
    std::int64_t index = -1;
    const spectrans::LargestModulus call{kElement<T>, pairs.data(), 1, count, &index};
    spectrans::largest_modulus(call, oracle::pool(1));
    report.check("largest modulus", count, index == at ? 0 : 1, 0);
    pairs[2 * (count / 3) + 1] = std::numeric_limits<T>::quiet_NaN();
    spectrans::largest_modulus(call, oracle::pool(1));
    report.check("largest modulus, NaN", count, index == count / 3 ? 0 : 1, 0);
  }
}

template <class T>
void all(oracle::Report& report) {
  for (const std::int64_t n : {1, 2, 3, 7, 8, 16, 17, 33, 100, 129, 300}) {
    for (const int threads : {1, 2}) {
      energy<T>(report, {3, n, 5}, {0, 1, 2}, 2, threads);
      energy<T>(report, {3, 5, n}, {0, 1, 2}, 1, threads);
      energy<T>(report, {3, n, 5}, {0, 2, 1}, 1, threads);
      energy<T>(report, {n, 3, 5}, {1, 2, 0}, 2, threads);
      energy<T>(report, {n, 5, 2}, {1, 0, 2}, 2, threads);
      energy<T>(report, {2, n, 3, 5}, {2, 1, 0, 3}, 2, threads);
    }
    largest_modulus<T>(report, n, T{1});
    largest_modulus<T>(report, 4 * n + 500, std::numeric_limits<T>::max() / 2);
    largest_modulus<T>(report, n, std::numeric_limits<T>::min());
  }
  energy<T>(report, {2, 300, 500}, {0, 1, 2}, 2, 2);
  energy<T>(report, {500, 700}, {1, 0}, 1, 2);
  for (const bool pairs : {false, true}) {
    for (const bool transposed : {false, true}) {
      for (const std::int64_t m : {1, 2, 5, 8, 24, 25, 97}) {
        for (const std::int64_t n : {1, 3, 16, 33, 270}) {
          if (m * n < 10000) orthogonality<T>(report, m, n, pairs, transposed);
          for (const double scale : {1.0, 1e-30, 1e30}) spectral_norm<T>(report, m, n, pairs, transposed, scale);
        }
      }
    }
  }
  spectral_norm<T>(report, 400, 130, false, false, 1.0);
  for (const bool pairs : {false, true}) {  // A^H A, from the start and after two steps
    spectral_norm<T>(report, 700, 40, pairs, false, 1.0);
    spectral_norm<T>(report, pairs ? 70 : 130, 1100, pairs, true, 1.0);
  }
  degenerate<T>(report);
}

}  // namespace

int main() {
  const char* wanted = std::getenv("SPECTRANS_CPU");
  if (wanted != nullptr && std::strcmp(wanted, spectrans::instruction_set()) != 0) {
    std::printf("skipped: this CPU has no %s\n", wanted);
    return 77;
  }
  oracle::Report report;
  all<float>(report);
  all<double>(report);
  spectral_norm<double>(report, 20, 9, false, false, 1e200);
  spectral_norm<double>(report, 20, 9, true, true, 1e-200);
  return report.finish();
}
