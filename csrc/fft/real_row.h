// Real transforms of rows whose samples lie side by side, in vectors of neighbouring samples.
#pragma once

#include "plan.h"

namespace spectrans {

// With n = m L for vectors of L lanes, lane b of vector a is sample L a + b, and with Y_b the transform of lane b
//
//     X[c + m e] = sum_b w_L^{be} w_n^{bc} Y_b[c],    Y_b[c] = sum_a w_m^{ac} x[L a + b],    w_n = exp(-2 pi i / n).
//
// As x is real, c <= m / 2 does: e < L / 2 gives bins, and the other e conjugates of the bins n - (c + m e). Each bin
// comes once, but for those of c = 0, and of c = m / 2: of these e < L / 2 are all there are.
//
// The bins c < m / 2 of all lanes are turned in blocks of L: L / 2 neighbours each of two units. Where a row has an odd
// number of these, two rows are done together. The last unit of a row may overlap the one before it.
template <class T>
struct RealRowPlan {
  std::int64_t n, m;
  const RealPlan<T>* part;    // of length m
  std::int64_t rows;          // that are done together: 1 or 2
  std::int64_t blocks;        // of these rows
  const std::int32_t* row;    // [blocks][2] that a unit is of
  const std::int32_t* first;  // [blocks][2] c of its first lane
  // [blocks][L] Where bin c of each lane is in the tile of its row, as in RealPlan; but what has no imaginary part has
  // slot part->slots for it.
  const std::int32_t *re, *im;
  const T* sign;       // [blocks][L]
  const T *cos, *sin;  // [blocks][b][L]  w_n^{bc} of each lane
  const T* last;       // [b][re, im][e]  w_L^{be} w_n^{b m / 2}, e < L / 2
  const T* last_back;  // [re, im][e][b]  twice its transpose: each bin stands for its conjugate, too
};

// Whether there is such a plan: every row has whole units, and parts have stages, of no prime beyond the largest
// butterfly.
[[nodiscard]] SPECTRANS_API bool has_real_rows(std::int64_t n, std::int64_t lanes);

// The plan; kept as plans are. T: float, double.
template <class T>
[[nodiscard]] SPECTRANS_API const RealRowPlan<T>& real_row_plan(std::int64_t n, std::int64_t lanes);

}  // namespace spectrans
