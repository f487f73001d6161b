// Complex transforms of one row, in vectors of neighbouring samples.
#pragma once

#include "plan.h"

namespace spectrans {

// With n = m L for vectors of L lanes, lane b of vector a is sample L a + b, and
//
//     X[c + m e] = sum_b w_L^{be} w_n^{bc} sum_a w_m^{ac} x[L a + b],    c < m, e < L, w_n = exp(-2 pi i / n):
//
// the inner sums are a transform of m whole vectors.
template <class T>
struct RowPlan {
  std::int64_t n, m;
  std::int64_t pitch;           // of the twiddles: at least L
  const ComplexPlan<T>* child;  // of length m
  const T *cos, *sin;           // [L][pitch]  w_n^{bc}, of lane b and bin c of the child
  const std::int32_t* bin;      // [pitch]  slot of each bin of the child; any beyond them
};

// The plan for rows of n values, a multiple of `lanes`; made once, as plans are. T: float, double.
template <class T>
[[nodiscard]] SPECTRANS_API const RowPlan<T>& row_plan(std::int64_t n, std::int64_t lanes);

}  // namespace spectrans
