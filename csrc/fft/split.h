// Real transforms of one line in vectors whose lanes are parts of it.
#pragma once

#include "plan.h"

namespace spectrans {

// Decimation in time: with m = n / r and part l the samples x[l], x[l + r], x[l + 2 r], ...
//
//     X[c + m e] = sum_l w_r^{le} w_n^{lc} Y_l[c],    Y_l[c] = sum_j x[l + r j] w_m^{jc},    w_n = exp(-2 pi i / n),
//
// for e < r; with c <= m / 2 these are all bins, or their conjugates. The tables go on beyond m / 2, to whole vectors.
template <class T>
struct SplitPlan {
  std::int64_t n, r, m;
  const RealPlan<T>* part;      // of length m
  std::int64_t bins;            // of the tables: m / 2 + 1, rounded up to a multiple of the lanes
  const std::int32_t *re, *im;  // [bins] where bin c of a part is, as in RealPlan
  const T* sign;                // [bins]
  const T *cos, *sin;           // [r][bins]  w_n^{lc}
};

// The plan for lines of n values in r parts, r a divisor of n; kept as plans are. T: float, double;
// wide: as of real_plan.
template <class T>
[[nodiscard]] SPECTRANS_API const SplitPlan<T>& split_plan(std::int64_t n, std::int64_t r, std::int64_t lanes,
                                                           bool wide = false);

}  // namespace spectrans
