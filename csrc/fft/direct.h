// The first bins of a real transform by its definition. That takes less than a fast transform where few bins are
// wanted, or the length has a large prime factor, or is a small prime.
//
// Samples and their mirror images come together: with e[q] = x[q] + x[n - q] and o[q] = x[n - q] - x[q],
//
//     X[k] = x[0] + (-1)^k x[n / 2] + sum_q e[q] cos(2 pi q k / n) + i sum_q o[q] sin(2 pi q k / n),   0 < q < n / 2,
//
// where x[n / 2] is there for even n only, and back, C - S and C + S are n x[j] and n x[n - j] for
//
//     C = X[0] + sum_k c_k Re X[k] cos(2 pi j k / n),   S = sum_k c_k Im X[k] sin(2 pi j k / n),   k > 0,
//
// with c = 2, for a bin and its mirror image, but 1 at n / 2.
#pragma once

#include <cstdint>

#include "export.h"

namespace spectrans {

// Rows of cosines and sines that are summed side by side, in registers.
constexpr std::int64_t kDirectRows = 4;

template <class T>
struct DirectPlan {
  std::int64_t n, modes;
  std::int64_t slots;  // of a tile: n samples as they come, then a pair (re, im) a bin
  // [rows / kDirectRows, rounded up][columns][rows of this block][cos, sin]
  const T* forward;  // modes rows, columns q = 1, 2, ...; null where it was not asked for
  const T* inverse;  // likewise; n / 2 + 1 rows j, columns k = 1, 2, ...; times c_k n^(-norm / 2), of which no bin
                     // needs rounding
  // As in RealPlan.
  const std::int32_t* slot;  // [n]
  const std::int32_t* re;    // [modes]
  const std::int32_t* im;
  const T* sign;
};

// The plan for all bins, there and back; kept as plans are. T: float, double.
template <class T>
[[nodiscard]] SPECTRANS_API const DirectPlan<T>& direct_plan(std::int64_t n);

// The same for the first `modes` bins, 1 <= modes <= n / 2 + 1, there (norm 0) or back.
template <class T>
[[nodiscard]] SPECTRANS_API const DirectPlan<T>& direct_modes_plan(std::int64_t n, std::int64_t modes, bool inverse,
                                                                   int norm);

// Whether it takes less time than decimation(n, modes), one way or the other.
template <class T>
[[nodiscard]] SPECTRANS_API bool is_direct_faster(std::int64_t n, std::int64_t modes, bool inverse);

}  // namespace spectrans
