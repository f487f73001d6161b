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
  const ComplexPlan<T>* child;  // of length m
  const std::int32_t* sample;   // [m]  L slot of each vector, in the child's block: its first lane
  // Bins of the child in blocks of L neighbours, of which the last may overlap the one before it, or repeat its last.
  std::int64_t blocks;
  const std::int32_t* bin;  // [blocks][L]  L slot of each
  const T* twiddles;        // [blocks][L - 1][2][L]  w_n^{bc} of lane b > 0 and bins c, real and imaginary parts
};

// The plan for rows of n values, a multiple of `lanes`; kept as plans are. T: float, double.
template <class T>
[[nodiscard]] SPECTRANS_API const RowPlan<T>& row_plan(std::int64_t n, std::int64_t lanes);

}  // namespace spectrans
