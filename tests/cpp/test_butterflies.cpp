// Every butterfly against the definition of the transform, in double.
#include <limits>

#include "oracle.h"

namespace {

using oracle::Complex;
using oracle::Wide;

constexpr double kTolerance = 8 * std::numeric_limits<double>::epsilon();

template <int R, int Sign>
void complex_radix(oracle::Report& report) {
  const std::vector<double> x = oracle::noise(2 * R, R);
  std::vector<Complex<Wide>> wide(R);
  Complex<double> v[R];
  for (int j = 0; j < R; ++j) {
    v[j] = {x[2 * j], x[2 * j + 1]};
    wide[j] = {x[2 * j], x[2 * j + 1]};
  }
  spectrans::Dft<R, Sign, double, double>::run(v);
  std::vector<double> actual;
  std::vector<Wide> expected;
  for (int k = 0; const Complex<Wide>& bin : oracle::dft(wide, Sign)) {
    actual.insert(actual.end(), {v[k].re, v[k].im});
    expected.insert(expected.end(), {bin.re, bin.im});
    ++k;
  }
  report.check(Sign < 0 ? "complex forward" : "complex inverse", R, oracle::relative_error(actual, expected),
               kTolerance);
}

template <int R>
void real_radix(oracle::Report& report) {
  constexpr int lows = spectrans::kRealLow<R>, pairs = spectrans::kRealPairs<R>;
  const std::vector<double> x = oracle::noise(R, 100 + R);
  std::vector<Complex<Wide>> wide(R);
  for (int j = 0; j < R; ++j) wide[j] = {x[j], 0};
  const std::vector<Complex<Wide>> bins = oracle::dft(wide, -1);
  double low[lows];
  Complex<double> pair[pairs];
  spectrans::RealDft<R, double, double>::forward(x.data(), low, pair);
  std::vector<double> actual{lows == 2 ? low[0] + low[lows - 1] : low[0]};
  std::vector<Wide> expected{bins[0].re};
  if (lows == 2) {
    actual.push_back(low[0] - low[lows - 1]);
    expected.push_back(bins[R / 2].re);
  }
  for (int q = 1; q <= pairs; ++q) {
    actual.insert(actual.end(), {pair[q - 1].re, pair[q - 1].im});
    expected.insert(expected.end(), {bins[q].re, bins[q].im});
  }
  report.check("real forward", R, oracle::relative_error(actual, expected), kTolerance);

  // The next stage turns the two lows into their sum and difference, and back: twice them.
  if (lows == 2) {
    low[0] *= 2;
    low[lows - 1] *= 2;
  }
  std::vector<double> back(R);
  std::vector<Wide> scaled;
  for (const double value : x) scaled.push_back(Wide(R) * value);
  spectrans::RealDft<R, double, double>::template inverse<false>(low, pair, back.data());
  report.check("real inverse", R, oracle::relative_error(back, scaled), kTolerance);
  for (Complex<double>& bin : pair) bin = bin + bin;
  spectrans::RealDft<R, double, double>::template inverse<true>(low, pair, back.data());
  report.check("real inverse of doubled pairs", R, oracle::relative_error(back, scaled), kTolerance);
}

void unit_roots(oracle::Report& report) {
  for (const std::int64_t n : {1, 2, 3, 8, 12, 1000, 4099}) {
    double worst = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const spectrans::trig::Point w = spectrans::trig::unit_root(k, n);
      const Wide angle = 2 * spectrans::trig::kPi * Wide(k) / Wide(n);
      worst = std::fmax(worst,
                        static_cast<double>(std::fabs(w.cos - std::cos(angle)) + std::fabs(w.sin - std::sin(angle))));
    }
    report.check("unit root", n, worst, 16 * static_cast<double>(std::numeric_limits<Wide>::epsilon()));
  }
}

}  // namespace

int main() {
  oracle::Report report;
  spectrans::unroll<1, 17>([&]<int R>() {
    if constexpr (R > 1) {
      complex_radix<R, -1>(report);
      complex_radix<R, 1>(report);
    }
    if constexpr (R == 3 || R == 4 || R == 5 || R == 7 || R == 8 || R == 9 || R == 11 || R == 13) real_radix<R>(report);
  });
  unit_roots(report);
  return report.finish();
}
