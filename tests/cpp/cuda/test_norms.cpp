// The CUDA kernels of the norm checks, emulated, against their definitions in long double.
#include <algorithm>
#include <limits>
#include <numeric>

#include "../oracle.h"
#include "cuda/kernels.h"
#include "cuda/singular_value.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Wide;

// ---- energy ---------------------------------------------------------------------------------------------------------

// A tensor whose axis `order[i]` is the i-th from the outermost in memory; `gap` times as far apart as they could be,
// `shift` elements from where memory begins; the last `reduced` axes are summed over.
struct Layout {
  std::vector<std::int64_t> size;
  std::vector<int> order;
  int reduced;
  std::int64_t gap = 1, shift = 0;
};

template <class S>
struct EnergyCase {
  spectrans::Energy call{};
  std::unique_ptr<Buffer<S>> x;
  std::unique_ptr<Buffer<double>> energy;
  std::vector<Wide> expected;

  explicit EnergyCase(const Layout& layout, double scale = 1) {
    const int axes = static_cast<int>(layout.size.size());
    call.element = element<S>();
    call.kept = axes - layout.reduced;
    call.reduced = layout.reduced;
    std::int64_t count = layout.gap, results = 1;
    for (int at = axes - 1; at >= 0; --at) {
      call.size[layout.order[at]] = layout.size[layout.order[at]];
      call.stride[layout.order[at]] = count;
      count *= layout.size[layout.order[at]];
    }
    for (int at = 0; at < call.kept; ++at) results *= layout.size[at];
    std::vector<double> values = oracle::noise(layout.shift + count - layout.gap + 1, 1);
    for (double& value : values) value *= scale;
    x = std::make_unique<Buffer<S>>(values);
    energy = std::make_unique<Buffer<double>>(std::vector<double>(results, NAN));
    call.x = static_cast<S*>(x->data()) + layout.shift;
    call.energy = static_cast<double*>(energy->data());
    sum(layout.shift);
  }

  void sum(std::int64_t shift) {
    const int axes = call.kept + call.reduced;
    const auto all = std::accumulate(call.size, call.size + axes, std::int64_t{1}, std::multiplies<>());
    expected.assign(energy->size(), 0);
    for (std::int64_t i = 0; i < all; ++i) {
      std::int64_t rest = i, offset = shift, result = 0, scale = 1;
      for (int at = axes - 1; at >= 0; --at) {
        const std::int64_t index = rest % call.size[at];
        rest /= call.size[at];
        offset += index * call.stride[at];
        if (at < call.kept) {
          result += index * scale;
          scale *= call.size[at];
        }
      }
      expected[result] += static_cast<Wide>((*x)[offset]) * (*x)[offset];
    }
  }

  void check(oracle::Report& report) const {
    for (std::int64_t i = 0; i < energy->size(); ++i) {
      const double error = std::abs(static_cast<double>(((*energy)[i] - expected[i]) / expected[i]));
      report.check("energy", i, expected[i] == 0 ? (*energy)[i] : error, 1e-13);
    }
  }
};

template <class S>
void energy(oracle::Report& report, const Layout& layout, double scale = 1) {
  const EnergyCase<S> one(layout, scale);
  Queue queue;
  spectrans::cuda::energy({{one.call, {}}, 1}, queue.stream());
  one.check(report);
}

template <class S, class Other>
void two_energies(oracle::Report& report, const Layout& a, const Layout& b) {
  const EnergyCase<S> first(a);
  const EnergyCase<Other> second(b);
  Queue queue;
  spectrans::cuda::energy({{first.call, second.call}, 2}, queue.stream());
  first.check(report);
  second.check(report);
}

template <class S>
void energies(oracle::Report& report) {
  for (const std::int64_t n : {1, 2, 3, 7, 8, 9, 16, 17, 33, 100, 129, 300}) {
    energy<S>(report, {{3, n, 5}, {0, 1, 2}, 2});
    energy<S>(report, {{3, 5, n}, {0, 1, 2}, 1});
    energy<S>(report, {{3, n, 5}, {0, 2, 1}, 1});
    energy<S>(report, {{n, 3, 5}, {1, 2, 0}, 2});
    energy<S>(report, {{n, 5, 2}, {1, 0, 2}, 2});
    energy<S>(report, {{2, n, 3, 5}, {2, 1, 0, 3}, 2});
    energy<S>(report, {{2, 3, n}, {0, 1, 2}, 2, 3});
    energy<S>(report, {{n, 8, 16}, {0, 1, 2}, 1, 1, 16 / sizeof(S)});
    energy<S>(report, {{4, n, 16}, {1, 0, 2}, 2, 1, 1});
    energy<S>(report, {{n, 3}, {1, 0}, 1, 1, 1});
  }
  energy<S>(report, {{2, 300, 500}, {0, 1, 2}, 2});       // several pieces
  energy<S>(report, {{70, 3000}, {1, 0}, 1});             // of lines, beside each other
  energy<S>(report, {{2, 3, 9001}, {0, 1, 2}, 1});        // of a line
  energy<S>(report, {{2, 9001, 3}, {1, 0, 2}, 2});        // of lines that cannot be joined
  energy<S>(report, {{700, 1, 24}, {0, 1, 2}, 1});        // many results
  energy<S>(report, {{4000}, {0}, 0});                    // of one term each
  energy<S>(report, {{}, {}, 0});                         // of a scalar
  energy<S>(report, {{3, 200, 40, 2}, {0, 2, 1, 3}, 2});  // pairs
  energy<S>(report, {{40, 700, 2}, {1, 0, 2}, 2});        // pairs, beside each other
}

// Zero strides, negative ones, and more axes than anyone needs.
void unusual_axes(oracle::Report& report) {
  EnergyCase<float> of({{3, 4, 5, 6}, {0, 1, 2, 3}, 2});
  const auto run = [&](std::int64_t shift) {
    Queue queue;
    of.call.x = static_cast<float*>(of.x->data()) + shift;
    of.sum(shift);
    spectrans::cuda::energy({{of.call, {}}, 1}, queue.stream());
    of.check(report);
  };
  of.call.stride[2] = 0;
  run(0);
  of.call.stride[0] = 0;
  run(0);
  of.call.stride[2] = -6;
  of.call.stride[0] = -120;
  run(240 + 24);
  of.call.stride[3] = 0;
  run(240 + 24);
  std::vector<std::int64_t> size(spectrans::kMaxAxes, 1);
  std::vector<int> order(spectrans::kMaxAxes);
  std::iota(order.begin(), order.end(), 0);
  for (const int at : {0, 3, 31, 32, 60, 64}) size[at] = 3;
  energy<float>(report, {size, order, 32});
}

void energies_that_are_not_finite(oracle::Report& report) {
  for (const double value : {HUGE_VAL, -HUGE_VAL, static_cast<double>(NAN)}) {
    std::vector<double> values = oracle::noise(3 * 50, 1);
    values[50 + 17] = value;
    Buffer<float> x(values);
    Buffer<double> y(std::vector<double>(3, NAN));
    const spectrans::Energy call{spectrans::Element::float32,   x.data(), 1, 1, {3, 50}, {50, 1},
                                 static_cast<double*>(y.data())};
    Queue queue;
    spectrans::cuda::energy({{call, {}}, 1}, queue.stream());
    const bool right = std::isnan(value) ? std::isnan(y[1]) : y[1] == HUGE_VAL;
    report.check("energy, not finite", 50, right && std::isfinite(y[0]) && std::isfinite(y[2]) ? 0 : 1, 0);
  }
}

// The order of a sum depends on shapes alone: not on where memory begins, which decides about vector loads.
void energy_of_any_alignment(oracle::Report& report) {
  for (const Layout& layout : {Layout{{2, 3000}, {0, 1}, 1}, Layout{{24, 500}, {1, 0}, 1}}) {
    EnergyCase<float> aligned(layout);
    std::vector<double> values(aligned.x->size() + 1);
    for (std::int64_t i = 0; i < aligned.x->size(); ++i) values[i + 1] = (*aligned.x)[i];
    Buffer<float> moved(values);
    Buffer<double> y(std::vector<double>(aligned.energy->size(), NAN));
    spectrans::Energy call = aligned.call;
    call.x = static_cast<float*>(moved.data()) + 1;
    call.energy = static_cast<double*>(y.data());
    Queue queue;
    spectrans::cuda::energy({{aligned.call, {}}, 1}, queue.stream());
    spectrans::cuda::energy({{call, {}}, 1}, queue.stream());
    for (std::int64_t i = 0; i < y.size(); ++i) {
      report.check("energy, bits", i, y[i] == (*aligned.energy)[i] ? 0 : 1, 0);
    }
  }
}

// Sectors moved against what x has.
void energy_traffic(oracle::Report& report) {
  for (const Layout& layout :
       {Layout{{4, 64, 512}, {0, 1, 2}, 2}, Layout{{1 << 17}, {0}, 1}, Layout{{768, 128}, {1, 0}, 1},
        Layout{{2000, 64}, {0, 1}, 1}, Layout{{40, 24, 128}, {0, 1, 2}, 1}, Layout{{3, 5000, 3}, {0, 1, 2}, 2}}) {
    const EnergyCase<float> of(layout);
    Queue queue;
    emulation::start_counting();
    spectrans::cuda::energy({{of.call, {}}, 1}, queue.stream());
    const emulation::Counts counts = emulation::stop_counting();
    const double least = static_cast<double>(of.x->bytes() + of.energy->bytes());
    report.check("energy, sectors over ideal", of.x->size(), 32 * counts.global_sectors / least, 1.1);
    report.check("energy, passes over shared memory", of.x->size(), counts.shared_passes / counts.shared_ideal, 2.5);
  }
}

// ---- orthogonality --------------------------------------------------------------------------------------------------

// t [batch, m, n] or, for pairs, [batch, m, n, 2]; columns first in memory where `transposed`.
template <class S>
struct Matrices {
  std::int64_t batch, m, n, unit;
  Buffer<S> memory;
  spectrans::Signal of;

  Matrices(const std::vector<double>& values, std::int64_t batch_, std::int64_t m_, std::int64_t n_, bool pairs,
           bool transposed)
      : batch(batch_), m(m_), n(n_), unit(pairs ? 2 : 1), memory(values), of(signal(memory, batch, m, n)) {
    of.n_stride = unit * (transposed ? 1 : n);
    of.d_stride = unit * (transposed ? m : 1);
    of.stride[0] = unit * m * n;
  }
  [[nodiscard]] Wide at(std::int64_t item, std::int64_t i, std::int64_t j, int part) const {
    return part < unit ? memory[item * of.stride[0] + i * of.n_stride + j * of.d_stride + part] : 0;
  }
};

template <class S>
void orthogonality(oracle::Report& report, std::int64_t batch, std::int64_t m, std::int64_t n, bool pairs,
                   bool transposed, double scale = 1) {
  std::vector<double> values = oracle::noise(batch * m * n * (pairs ? 2 : 1), 2);
  for (double& value : values) value *= scale;
  Matrices<S> t(values, batch, m, n, pairs, transposed);
  Buffer<double> error(std::vector<double>(batch, NAN));
  Queue queue;
  const spectrans::Orthogonality call{element<S>(), pairs, t.of, static_cast<double*>(error.data())};
  spectrans::cuda::orthogonality(call, queue.stream());
  for (std::int64_t item = 0; item < batch; ++item) {
    Wide sum = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t k = 0; k < m; ++k) {
        Wide re = i == k ? -1 : 0, im = 0;
        for (std::int64_t j = 0; j < n; ++j) {
          const Wide a = t.at(item, i, j, 0), b = t.at(item, i, j, 1), c = t.at(item, k, j, 0), d = t.at(item, k, j, 1);
          re += a * c + b * d;
          im += b * c - a * d;
        }
        sum += re * re + im * im;
      }
    }
    report.check("orthogonality", m * n, oracle::relative_error(std::vector<double>{error[item]}, {std::sqrt(sum)}),
                 1e-13);
  }
}

template <class S>
void orthogonalities(oracle::Report& report) {
  for (const bool pairs : {false, true}) {
    for (const bool transposed : {false, true}) {
      for (const std::int64_t m : {1, 2, 5, 16, 17, 33}) {
        for (const std::int64_t n : {1, 3, 16, 33, 70}) orthogonality<S>(report, 2, m, n, pairs, transposed);
      }
    }
    orthogonality<S>(report, 1, 5, 1030, pairs, false);  // several blocks a tile
    orthogonality<S>(report, 1, 70, 50, pairs, false);   // several tiles
  }
  orthogonality<S>(report, 1, 70, 1100, false, true);
  orthogonality<S>(report, 3, 4, 6, false, false, sizeof(S) == 2 ? 1 : 1e-30);
  orthogonality<S>(report, 3, 4, 6, true, true, sizeof(S) == 2 ? 1 : 1e30);
}

void orthogonality_of_special_matrices(oracle::Report& report) {
  const auto error_of = [](const std::vector<double>& values, std::int64_t m, std::int64_t n) {
    Matrices<double> t(values, 1, m, n, false, false);
    Buffer<double> error(std::vector<double>(1, NAN));
    Queue queue;
    const spectrans::Orthogonality call{spectrans::Element::float64, false, t.of, static_cast<double*>(error.data())};
    spectrans::cuda::orthogonality(call, queue.stream());
    return error[0];
  };
  for (const std::int64_t n : {1, 9, 16, 40, 130}) {
    std::vector<double> identity(n * n, 0.0);
    for (std::int64_t i = 0; i < n; ++i) identity[i * n + i] = 1;
    report.check("orthogonality of I", n, error_of(identity, n, n), 0);
    if (n > 5) {
      identity[3 * n + 5] = 1e-12;  // what a difference of norms would not see
      report.check("orthogonality near I", n, std::abs(error_of(identity, n, n) - std::sqrt(2.0) * 1e-12), 1e-27);
    }
    for (const double value : {HUGE_VAL, static_cast<double>(NAN)}) {
      identity[n * n - 1] = value;
      report.check("orthogonality, not finite", n, std::isfinite(error_of(identity, n, n)) ? 1 : 0, 0);
    }
  }
  report.check("orthogonality of 0", 9, std::abs(error_of(std::vector<double>(36, 0.0), 9, 4) - 3), 0);
  report.check("orthogonality without columns", 4, std::abs(error_of({}, 4, 0) - 2), 0);
  report.check("orthogonality without rows", 4, error_of({}, 0, 4), 0);
}

// ---- largest singular value -----------------------------------------------------------------------------------------

std::vector<double> unit_vector(std::int64_t n, unsigned seed) {
  std::vector<double> v = oracle::noise(n, seed);
  const double norm = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
  for (double& x : v) x /= norm;
  return v;
}

// [m, n] with the given singular values: a diagonal matrix between two reflections.
std::vector<double> with_values(const std::vector<double>& values, std::int64_t m, std::int64_t n) {
  const std::vector<double> left = unit_vector(m, 3), right = unit_vector(n, 4);
  std::vector<double> a(m * n, 0.0);
  for (std::int64_t k = 0; k < std::min({m, n, static_cast<std::int64_t>(values.size())}); ++k) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        a[i * n + j] += values[k] * ((i == k) - 2 * left[i] * left[k]) * ((j == k) - 2 * right[j] * right[k]);
      }
    }
  }
  return a;
}

template <class T>
constexpr double kAccuracy = sizeof(T) == 8 ? 1e-10 : 1e-6;

// The matrices a [batch, m, n], with a phase for each row if they are to be complex; `expected`: their largest singular
// values, as far as known. x v = value u, x^H u = value v, and u and v are of norm 1.
template <class S>
void spectral_norms(oracle::Report& report, const std::vector<double>& a, std::int64_t batch, std::int64_t m,
                    std::int64_t n, bool pairs, bool transposed, const std::vector<double>& expected,
                    const spectrans::cuda::Limits* limits = nullptr) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const std::int64_t unit = pairs ? 2 : 1;
  std::vector<double> values(batch * m * n * unit);
  for (std::int64_t item = 0; item < batch; ++item) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t at = (item * m * n + (transposed ? j * m + i : i * n + j)) * unit;
        const double value = a[(item * m + i) * n + j];
        values[at] = value * (pairs ? std::cos(i) : 1);
        if (pairs) values[at + 1] = value * std::sin(i);
      }
    }
  }
  Matrices<S> x(values, batch, m, n, pairs, transposed);
  Buffer<T> value(std::vector<double>(batch, 7)), u(std::vector<double>(batch * m * unit, 7)),
      v(std::vector<double>(batch * n * unit, 7));
  const spectrans::SpectralNorm call{element<S>(), pairs, x.of, value.data(), u.data(), v.data()};
  report.check("spectral norm, why not", m * n, spectrans::cuda::why_not(call) == nullptr ? 0 : 1, 0);
  Queue queue;
  if (limits == nullptr) {
    spectrans::cuda::spectral_norm(call, queue.stream());
  } else {
    const spectrans::cuda::Stream stream = queue.stream();
    spectrans::cuda::LargestSingularValue(call, stream, *limits).run();
  }
  const double eps = std::numeric_limits<T>::epsilon();
  for (std::int64_t item = 0; item < batch; ++item) {
    const double found = value[item], is = expected[item];
    const auto zero = [&](Buffer<T>& vector, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        if (vector[item * count + i] != 0) return false;
      }
      return true;
    };
    if (is == 0 || std::isnan(is)) {
      const bool same = is == 0 ? found == 0 : std::isnan(found);
      report.check("degenerate matrix", m * n, same && zero(u, m * unit) && zero(v, n * unit) ? 0 : 1, 0);
      continue;
    }
    const double tiny = std::numeric_limits<T>::denorm_min();
    report.check("spectral norm", m * n, std::max(0.0, std::abs(found - is) - tiny) / is,
                 kAccuracy<T> + (sizeof(S) == 2 ? 0x1p-8 : 0));
    if (is < std::numeric_limits<T>::min() || std::isinf(found)) continue;
    // Both products, and both norms, in long double.
    Wide of_u = 0, of_v = 0, left = 0, right = 0;
    const auto get = [&](Buffer<T>& vector, std::int64_t count, std::int64_t i, int part) -> Wide {
      return part < unit ? vector[(item * count + i) * unit + part] : 0;
    };
    const auto residual = [&](Buffer<T>& of, std::int64_t count, Buffer<T>& with, std::int64_t other, bool adjoint,
                              Wide& norm) {
      Wide sum = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        Wide re = -Wide(found) * get(of, count, i, 0), im = -Wide(found) * get(of, count, i, 1);
        for (std::int64_t j = 0; j < other; ++j) {
          const std::int64_t row = adjoint ? j : i, column = adjoint ? i : j;
          const Wide b = x.at(item, row, column, 0), c = (adjoint ? -1 : 1) * x.at(item, row, column, 1);
          const Wide d = get(with, other, j, 0), e = get(with, other, j, 1);
          re += b * d - c * e;
          im += b * e + c * d;
        }
        sum += re * re + im * im;
        norm += get(of, count, i, 0) * get(of, count, i, 0) + get(of, count, i, 1) * get(of, count, i, 1);
      }
      return std::sqrt(sum) / found;
    };
    left = residual(u, m, v, n, false, of_u);
    right = residual(v, n, u, m, true, of_v);
    const bool iterates = limits != nullptr && limits->direct == 0;  // until the residual is small enough
    const double bound = 16 * eps + (!iterates ? 0 : sizeof(T) == 8 ? 5e-12 : 5e-8);
    report.check("x v = value u", m * n, static_cast<double>(left), bound);
    report.check("x^H u = value v", m * n, static_cast<double>(right), bound);
    report.check("|u|", m * n, std::abs(static_cast<double>(std::sqrt(of_u)) - 1), bound);
    report.check("|v|", m * n, std::abs(static_cast<double>(std::sqrt(of_v)) - 1), bound);
  }
}

std::vector<double> scaled(std::vector<double> a, double scale) {
  for (double& value : a) value *= scale;
  return a;
}

// Singular values 1 (once), 0.9, 0.9, 0.45, ...
std::vector<double> usual_values(std::int64_t rank) {
  std::vector<double> values(rank);
  for (std::int64_t k = 0; k < rank; ++k) values[k] = k == rank / 2 ? 1 : k < 3 ? 0.9 : 0.9 / static_cast<double>(k);
  return values;
}

// Close together at the top.
std::vector<double> slow_values(std::int64_t rank) {
  std::vector<double> values(rank);
  for (std::int64_t k = 0; k < rank; ++k) values[k] = std::cos(static_cast<double>(k) / static_cast<double>(rank));
  return values;
}

template <class S>
void spectral_norms_of_sizes(oracle::Report& report) {
  for (const bool pairs : {false, true}) {
    for (const bool transposed : {false, true}) {
      for (const std::int64_t m : {1, 2, 5, 8, 17, 33}) {
        for (const std::int64_t n : {1, 3, 16, 33}) {
          spectral_norms<S>(report, with_values(usual_values(std::min(m, n)), m, n), 1, m, n, pairs, transposed, {1});
        }
      }
    }
  }
  spectral_norms<S>(report, with_values(usual_values(3), 3, 1100), 1, 3, 1100, false, false, {1});
  spectral_norms<S>(report, with_values(usual_values(3), 1100, 3), 1, 1100, 3, true, false, {1});
}

// Where an iteration would be slow, or wrong.
template <class S>
void spectral_norms_of_hard_matrices(oracle::Report& report, std::int64_t n, bool pairs) {
  const auto check = [&](const std::vector<double>& a, double value) {
    spectral_norms<S>(report, a, 1, n, n, pairs, false, {value});
  };
  std::vector<double> values(n), a(n * n);
  const auto of_values = [&](auto&& value) {
    for (std::int64_t k = 0; k < n; ++k) values[k] = value(k);
    check(with_values(values, n, n), *std::max_element(values.begin(), values.end()));
  };
  const auto of_entries = [&](double value, auto&& entry) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j) a[i * n + j] = entry(i, j);
    }
    check(a, value);
  };
  const double size = static_cast<double>(n);
  of_entries(1, [](std::int64_t i, std::int64_t j) { return i == j ? 1.0 : 0.0; });
  of_entries(0, [](std::int64_t, std::int64_t) { return 0.0; });
  of_entries(size, [](std::int64_t, std::int64_t) { return 1.0; });
  of_entries(size, [](std::int64_t i, std::int64_t j) { return (i + j) % 2 == 0 ? 1.0 : -1.0; });
  of_entries(n > 1 ? 1 : 0, [](std::int64_t i, std::int64_t j) { return i + 1 == j ? 1.0 : 0.0; });
  of_entries(1, [&](std::int64_t i, std::int64_t j) { return i + j == n - 1 ? 1.0 : 0.0; });
  of_entries(1, [&](std::int64_t i, std::int64_t j) { return i == n - 1 && j == n - 1 ? 1.0 : 0.0; });
  of_entries(1.01, [&](std::int64_t i, std::int64_t j) { return i != j ? 0.0 : i == n - 1 ? 1.01 : 1.0; });
  of_entries(std::sqrt(size), [&](std::int64_t, std::int64_t j) { return j == n / 2 ? 1.0 : 0.0; });
  of_entries(1, [&](std::int64_t i, std::int64_t j) { return i != j ? 0.0 : std::pow(10.0, 0.5 * (i - n + 1)); });
  for (const double gap : {1e-3, 1e-7, 1e-9, 1e-13}) {
    of_values([&](std::int64_t k) { return k == 0 ? 1 : k == 1 ? 1 - gap : 0.9 - 0.8 * k / size; });
  }
  of_values([](std::int64_t k) { return k < 3 ? 1.0 : 0.5; });
  of_values([&](std::int64_t k) { return k < n - 1 ? 1.0 : 0.5; });
  of_values([](std::int64_t k) { return std::pow(0.5, k); });
  of_values([&](std::int64_t k) { return std::cos(1.5 * k / size); });
  of_values([&](std::int64_t k) { return 1 - 1e-6 * k / size; });
  of_values([](std::int64_t k) { return k == 0 ? 3.0 : 0.0; });
}

// The iteration that large matrices are tried with, in a batch with others; and few steps, which prove nothing.
template <class S>
void iterated_spectral_norms(oracle::Report& report) {
  const spectrans::cuda::Limits always{std::int64_t{1} << 28, 0, 24};
  const auto in_a_batch = [&](std::int64_t m, std::int64_t n, bool transposed) {
    const std::int64_t size = m * n;
    std::vector<double> a = with_values(usual_values(std::min(m, n)), m, n);
    a.resize(4 * size, 0.0);
    std::copy(a.begin(), a.begin() + size, a.begin() + 3 * size);
    a[3 * size - 1] = NAN;
    spectral_norms<S>(report, a, 4, m, n, false, transposed, {1, 0, NAN, 1}, &always);
  };
  in_a_batch(1, 1, false);
  in_a_batch(20, 33, false);
  in_a_batch(33, 20, true);
  in_a_batch(3, 530, false);  // several places a thread
  spectral_norms<S>(report, with_values(slow_values(40), 40, 50), 1, 40, 50, false, false, {1}, &always);
}

// What it ends with: a proof, or what is known of a matrix that is zero or not finite, or nothing.
template <class S>
void iteration(oracle::Report& report, std::int64_t n, const std::vector<double>& a, int steps, double state,
               double theta) {
  Matrices<S> x(a, 1, n, n, false, false);
  const spectrans::cuda::Rows rows{element<S>(), x.of, n, n, n, 1, false, nullptr};
  Queue queue;
  const spectrans::cuda::Stream stream = queue.stream();
  const spectrans::cuda::Lanczos of = spectrans::cuda::prepare_lanczos(rows, 1, stream);
  spectrans::cuda::iterate(of, 1, steps, stream);
  report.check("Lanczos, state", n, *of.state == state || (std::isnan(*of.state) && std::isnan(state)) ? 0 : 1, 0);
  if (state != 1) return;
  double found = 0;
  for (int i = 0; i < of.segments; ++i) found += of.dots[of.segments + i];
  report.check("Lanczos, theta", n, std::abs(found / theta - 1), kAccuracy<S>);
}

template <class S>
void iterations(oracle::Report& report) {
  constexpr double open = spectrans::cuda::kOpen;
  const std::int64_t n = 40;
  std::vector<double> zero(n * n, 0.0), identity = zero, bad = zero;
  for (std::int64_t k = 0; k < n; ++k) identity[k * n + k] = 1;
  bad[77] = HUGE_VAL;
  iteration<S>(report, n, with_values(usual_values(n), n, n), 48, 1, 1);
  iteration<S>(report, n, with_values(slow_values(n), n, n), 24, open, 1);
  if (sizeof(S) == 4) return;  // only the matrix is in another type
  iteration<S>(report, n, with_values(slow_values(n), n, n), 96, 1, 1);
  iteration<S>(report, n, with_values({3, 3, 2}, n, n), 24, 1, 9);
  iteration<S>(report, n, with_values({2}, n, n), 24, 1, 4);
  iteration<S>(report, n, identity, 24, 1, 1);
  iteration<S>(report, n, zero, 24, 0, 0);
  iteration<S>(report, n, bad, 24, NAN, 0);
  // Of rank two, and the start has no part of the larger one's vector.
  std::vector<double> start(n), other(n), unseen(n * n);
  for (std::int64_t j = 0; j < n; ++j) {
    std::uint64_t z = (j + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    start[j] = (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-52 - 1;
  }
  const double norm = std::sqrt(std::inner_product(start.begin(), start.end(), start.begin(), 0.0));
  for (double& value : start) value /= norm;
  other = unit_vector(n, 9);
  const double along = std::inner_product(start.begin(), start.end(), other.begin(), 0.0);
  for (std::int64_t j = 0; j < n; ++j) other[j] = (other[j] - along * start[j]) / std::sqrt(1 - along * along);
  for (std::int64_t j = 0; j < n; ++j) {
    unseen[j] = 2 * other[j];
    unseen[n + j] = start[j];
  }
  iteration<S>(report, n, unseen, 24, 1, 4);
}

// Every scale, zero and what is not finite in one batch, whole and a few items at a time.
template <class S>
void spectral_norms_of_a_batch(oracle::Report& report, const std::vector<double>& scales) {
  const std::int64_t m = 5, n = 7;
  const spectrans::cuda::Limits a_few{4096};
  for (const bool pairs : {false, true}) {
    std::vector<double> a, expected;
    for (const double scale : scales) {
      const std::vector<double> one = scaled(with_values({0.999, 0.5, 0.3, 0.1}, m, n), scale);
      a.insert(a.end(), one.begin(), one.end());
      expected.push_back(0.999 * scale);
    }
    for (const double element : {HUGE_VAL, -HUGE_VAL, static_cast<double>(NAN)}) {
      std::vector<double> one(m * n, 0.0);
      one[17] = element;
      a.insert(a.end(), one.begin(), one.end());
      expected.push_back(NAN);
    }
    const auto batch = static_cast<std::int64_t>(expected.size());
    spectral_norms<S>(report, a, batch, m, n, pairs, false, expected);
    spectral_norms<S>(report, a, batch, m, n, pairs, true, expected, &a_few);
  }
}

// ---- largest modulus ------------------------------------------------------------------------------------------------

template <class S>
std::vector<std::int64_t> largest_modulus_of(Buffer<S>& pairs, std::int64_t batch, std::int64_t shift = 0) {
  Buffer<double> room(std::vector<double>(batch, NAN));
  auto* index = static_cast<std::int64_t*>(room.data());
  Queue queue;
  spectrans::cuda::largest_modulus(
      {element<S>(), static_cast<S*>(pairs.data()) + shift, batch, (pairs.size() - shift) / 2 / batch, index},
      queue.stream());
  return {index, index + batch};
}

template <class S>
void largest_modulus(oracle::Report& report, std::int64_t batch, std::int64_t count, double scale) {
  std::vector<double> values = oracle::noise(2 * batch * count, 5);
  for (double& value : values) value *= scale / 100;
  std::vector<std::int64_t> expected(batch), nan(batch);
  for (std::int64_t row = 0; row < batch; ++row) {
    double* pairs = values.data() + 2 * row * count;
    expected[row] = row * 7919 % count;
    for (const std::int64_t at : {expected[row], count - 1}) {  // the first of two
      pairs[2 * at] = (at % 2 == 0 ? -1 : 1) * scale / 2;
      pairs[2 * at + 1] = scale / 4;
      if (at == count - 1) std::swap(pairs[2 * at], pairs[2 * at + 1]);
    }
  }
  Buffer<S> pairs(values);
  report.check("largest modulus", count, largest_modulus_of(pairs, batch) == expected ? 0 : 1, 0);
  std::vector<double> moved(values);
  moved.insert(moved.begin(), 0.0);
  Buffer<S> not_aligned(moved);
  report.check("largest modulus, not aligned", count,
               largest_modulus_of(not_aligned, batch, 1) == largest_modulus_of(pairs, batch) ? 0 : 1, 0);
  for (std::int64_t row = 0; row < batch; ++row) {
    nan[row] = row * 104729 % count;
    double* of_row = values.data() + 2 * row * count;
    of_row[0] = HUGE_VAL;
    of_row[2 * nan[row] + row % 2] = of_row[2 * count - 2] = NAN;
  }
  Buffer<S> with_nan(values);
  report.check("largest modulus, NaN", count, largest_modulus_of(with_nan, batch) == nan ? 0 : 1, 0);
}

template <class S>
void largest_moduli(oracle::Report& report) {
  for (const std::int64_t count : {1, 2, 3, 8, 17, 33, 100, 1000, 3001}) {
    for (const double scale : {1.0, static_cast<double>(std::numeric_limits<S>::max()),
                               static_cast<double>(std::numeric_limits<S>::min())}) {
      largest_modulus<S>(report, 3, count, scale);
    }
  }
  largest_modulus<S>(report, 70, 5, 1);
  largest_modulus<S>(report, 2, 40000, 1);  // several pieces
  Buffer<S> nothing(std::vector<double>(2 * 33, 0.0));
  report.check("largest modulus of zeros", 33, static_cast<double>(largest_modulus_of(nothing, 1)[0]), 0);
  std::vector<double> infinite(2 * 33, 1.0);
  infinite[2 * 9] = infinite[2 * 20 + 1] = -HUGE_VAL;
  Buffer<S> of_infinite(infinite);
  report.check("largest modulus, infinite", 33, largest_modulus_of(of_infinite, 1)[0] == 9 ? 0 : 1, 0);
}

}  // namespace

int main() {
  oracle::Report report;
  energies<float>(report);
  energies<double>(report);
  energies<__half>(report);
  energies<__nv_bfloat16>(report);
  for (const double scale : {1e-43, 1e-30, 1e30}) energy<float>(report, {{3, 5, 7}, {0, 1, 2}, 2}, scale);
  energy<float>(report, {{3, 5, 7}, {0, 1, 2}, 2}, 0);
  two_energies<float, float>(report, {{3, 40, 50}, {0, 1, 2}, 2}, {{3, 7000}, {0, 1}, 1});
  two_energies<float, float>(report, {{30, 40, 5}, {0, 1, 2}, 2}, {{30, 200}, {1, 0}, 1});
  two_energies<__nv_bfloat16, double>(report, {{3, 40, 50}, {0, 1, 2}, 2}, {{3, 40, 50}, {0, 2, 1}, 2});
  unusual_axes(report);
  energies_that_are_not_finite(report);
  energy_of_any_alignment(report);
  energy_traffic(report);

  orthogonalities<float>(report);
  orthogonalities<double>(report);
  orthogonality<__half>(report, 2, 9, 33, false, false);
  orthogonality<__nv_bfloat16>(report, 2, 9, 33, true, true);
  orthogonality_of_special_matrices(report);

  spectral_norms_of_sizes<float>(report);
  spectral_norms_of_sizes<double>(report);
  for (const std::int64_t n : {1, 2, 7, 40}) {
    spectral_norms_of_hard_matrices<double>(report, n, false);
    if (n < 40) spectral_norms_of_hard_matrices<float>(report, n, true);
  }
  spectral_norms<float>(report, with_values(usual_values(140), 140, 140), 1, 140, 140, false, false, {1});
  spectral_norms<double>(report, with_values(usual_values(67), 67, 80), 1, 67, 80, true, true, {1});
  spectral_norms<__half>(report, with_values(usual_values(9), 9, 20), 1, 9, 20, true, false, {1});
  spectral_norms<__nv_bfloat16>(report, with_values(usual_values(9), 20, 9), 1, 20, 9, false, false, {1});
  spectral_norms_of_a_batch<float>(report, {1, 0, 1e30, 1e-30, 1e19, 1e-19, 3.4e38, 1.2e-38, 1e-40});
  spectral_norms_of_a_batch<double>(report, {1, 0, 1e200, 1e-200, 1e154, 1e-154, 1.79e308, 2.3e-308, 1e-310});
  iterated_spectral_norms<float>(report);
  iterated_spectral_norms<double>(report);
  iterations<float>(report);
  iterations<double>(report);
  spectrans::SpectralNorm large{};
  large.x.n = large.x.d = 4097;
  report.check("spectral norm, why not", 4097, spectrans::cuda::why_not(large) != nullptr ? 0 : 1, 0);

  largest_moduli<float>(report);
  largest_moduli<double>(report);
  return report.finish();
}
