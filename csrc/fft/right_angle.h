// Plans of linear convolutions without padding: transforms of n samples, weighted so that what wraps round turns
// by a right angle.
//
// With w_j = exp(i pi j / 2N) and N >= n, the cyclic convolution of w h with w x is w_t (lin[t] + i lin[t + N]): real
// signals keep the two halves of their linear convolution apart (Crandall and Fagin 1994). So its real part is the
// linear convolution cut to n samples, from complex transforms of length N, not 2 N; and a tap at a negative lag -l is
// the tap -i h at N - l. In the first stage, of radix r with N = r m, the weights join the twiddles:
//
//     X[q + r k] = sum_j w_N^{j (q - 1/4)} (sum_t w_r^{-t / 4} x[j + m t] w_r^{qt}) w_m^{jk},    w_N = exp(-2 pi i / N)
#pragma once

#include <cstdint>

#include "plan.h"

namespace spectrans {

template <class T>
struct RightAnglePlan {
  std::int64_t length;          // N
  std::int64_t radix, m;        // of the first stage
  const T* twiddles;            // [m][radix][re, im]  exp(-2 pi i j (q - 1/4) / N)
  const ComplexPlan<T>* child;  // of length m, one for each q
};

// For signals of n >= 1 samples, at the cheapest length N >= n; kept as plans are.
template <class T>
[[nodiscard]] SPECTRANS_API const RightAnglePlan<T>& right_angle_plan(std::int64_t n);

// The length of that plan.
[[nodiscard]] SPECTRANS_API std::int64_t right_angle_length(std::int64_t n);

}  // namespace spectrans
