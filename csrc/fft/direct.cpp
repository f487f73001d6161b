// Makes and keeps direct plans.
#include "direct.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "butterflies.h"
#include "decimation.h"
#include "plan.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{4} << 20;  // of a table
// Entries of the table, a sample, that take as long as a transform: as measured, between AVX2 and AVX-512.
struct Cost {
  double fixed, per_operation;  // of small radices: mostly memory
  double per_operation_large;   // of others
};
constexpr Cost kForward{7, 0.3, 0.8}, kInverse{10, 0.6, 0.85};
constexpr double kWide = 2;  // Rader's algorithm in double, for float: so many times as much

template <class T>
bool takes_less(std::int64_t n, std::int64_t modes, bool inverse) {
  const std::int64_t entries = 2 * modes * ((n - 1) / 2);
  if (entries * static_cast<std::int64_t>(sizeof(T)) > kMostBytes) return false;
  const Decimation<T>& transform = decimation<T>(n, modes, inverse);  // as modes.cpp has it
  const RealPlan<T>& part = *transform.part;
  const Cost& cost = inverse ? kInverse : kForward;
  const double samples = static_cast<double>(n);
  const double operations = static_cast<double>(transform.r) * plan_flops(part.n) / samples;
  double most = cost.fixed + cost.per_operation * operations;
  if (part.stages > 0) {
    const RealStage<T>& stage = part.stage[0];  // of the largest radix
    const bool wide = stage.wide != nullptr;
    const bool large = wide || stage.prime != nullptr || stage.direct != nullptr;
    if (large) most = cost.per_operation_large * operations * (wide ? kWide : 1);
  }
  return static_cast<double>(entries) < most * samples;
}

template <class T>
struct Owner {
  Table<T> forward, inverse, sign;
  Table<std::int32_t> slot, re, im;
  DirectPlan<T> plan;

  explicit Owner(std::int64_t n) : Owner(n, n / 2 + 1, true, true, 0) {}
  Owner(std::int64_t n, std::int64_t modes, bool inverse, int norm) : Owner(n, modes, !inverse, inverse, norm) {}

 private:
  Owner(std::int64_t n, std::int64_t modes, bool there, bool back, int norm)
      : sign(modes, T(1)), slot(n), re(modes), im(modes) {
    const double length = static_cast<double>(n);
    std::vector<T> cos(n), sin(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const trig::Point w = trig::unit_root(i, n);
      const auto scaled = [&](double value) {
        return static_cast<T>(norm == 0 ? value : norm == 1 ? value / std::sqrt(length) : value / length);
      };
      cos[i] = scaled(w.cos);
      sin[i] = scaled(w.sin);
    }
    const auto table = [&](std::int64_t rows, std::int64_t columns, bool twice) {
      Table<T> result;
      result.reserve(2 * rows * columns);
      for (std::int64_t first = 0; first < rows; first += kDirectRows) {
        for (std::int64_t column = 1; column <= columns; ++column) {
          for (std::int64_t row = first; row < std::min(first + kDirectRows, rows); ++row) {
            const T times = twice && 2 * column < n ? 2 : 1;
            result.push_back(times * cos[row * column % n]);
            result.push_back(times * sin[row * column % n]);
          }
        }
      }
      return result;
    };
    if (there) forward = table(modes, (n - 1) / 2, false);
    if (back) inverse = table(n / 2 + 1, modes - 1, true);
    std::iota(slot.begin(), slot.end(), 0);
    for (std::int64_t k = 0; k < modes; ++k) {
      re[k] = static_cast<std::int32_t>(n + 2 * k);
      im[k] = 2 * k % n == 0 ? -1 : re[k] + 1;
    }
    plan = {n,
            modes,
            n + 2 * modes,
            there ? forward.data() : nullptr,
            back ? inverse.data() : nullptr,
            slot.data(),
            re.data(),
            im.data(),
            sign.data()};
  }
};

template <class T>
struct Verdict {
  bool faster;
  Verdict(std::int64_t n, std::int64_t modes, bool inverse) : faster(takes_less<T>(n, modes, inverse)) {}
};

}  // namespace

template <class T>
const DirectPlan<T>& direct_plan(std::int64_t n) {
  return planned<Owner<T>>(n).plan;
}

template <class T>
const DirectPlan<T>& direct_modes_plan(std::int64_t n, std::int64_t modes, bool inverse, int norm) {
  return planned<Owner<T>>(n, modes, inverse, norm).plan;
}

template <class T>
bool is_direct_faster(std::int64_t n, std::int64_t modes, bool inverse) {
  return planned<Verdict<T>>(n, modes, inverse).faster;
}

template SPECTRANS_API const DirectPlan<float>& direct_plan<float>(std::int64_t);
template SPECTRANS_API const DirectPlan<double>& direct_plan<double>(std::int64_t);
template SPECTRANS_API const DirectPlan<float>& direct_modes_plan<float>(std::int64_t, std::int64_t, bool, int);
template SPECTRANS_API const DirectPlan<double>& direct_modes_plan<double>(std::int64_t, std::int64_t, bool, int);
template SPECTRANS_API bool is_direct_faster<float>(std::int64_t, std::int64_t, bool);
template SPECTRANS_API bool is_direct_faster<double>(std::int64_t, std::int64_t, bool);

}  // namespace spectrans
