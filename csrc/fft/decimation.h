// The first bins of a real transform from shorter ones, so that the others are not computed.
#pragma once

#include "plan.h"

namespace spectrans {

// Decimation in time: with L = n / r and part t the samples x[t], x[t + r], x[t + 2 r], ...
//
//     X[k] = sum_t w_n^{tk} Y_t[k],    Y_t[k] = sum_j x[t + r j] w_L^{jk},    w_n = exp(-2 pi i / n),
//
// holds for every k; for k < L / 2 it needs nothing but the half spectra of the parts. r = 1 is the whole transform.
template <class T>
struct Decimation {
  std::int64_t n, r;
  std::int64_t pitch;  // slots from part t to part t + 1: one more than it has, for a power of two would meet in the
                       // same cache sets
  const RealPlan<T>* part;   // of length L
  const std::int32_t* slot;  // [n] of each sample: t pitch + the part's own
  const T* twiddles;         // [(L + 1) / 2][r - 1][re, im]  w_n^{tk}, t = 1 .. r - 1
};

// The decimation that suits the first `modes` bins, 1 <= modes <= n / 2 + 1; kept as plans are. T: float, double;
// wide: as of real_plan.
template <class T>
[[nodiscard]] SPECTRANS_API const Decimation<T>& decimation(std::int64_t n, std::int64_t modes, bool wide = false);

}  // namespace spectrans
