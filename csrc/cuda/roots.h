// exp(-2 pi i k / n) computed where it is needed: kernels have no tables that a first call would have to set up.
#pragma once

#include "device.h"

namespace spectrans::cuda {

SPECTRANS_DEVICE float fused(float a, float b, float c) { return fmaf(a, b, c); }
SPECTRANS_DEVICE double fused(double a, double b, double c) { return fma(a, b, c); }

template <class T>
inline constexpr int kRootTerms = 6;
template <>
inline constexpr int kRootTerms<double> = 10;

// sum_i coefficient[i] square^i, the Taylor series of cosine (First = 0) or of sine over its argument (First = 1)
template <int First, class T>
SPECTRANS_DEVICE T series(T square) {
  T sum = 0;
  unroll<0, kRootTerms<T>>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    constexpr int term = kRootTerms<T> - 1 - i;
    constexpr T c = static_cast<T>((First == 0 ? trig::kCosSeries : trig::kSinSeries).coefficient[term]);
    sum = fused(sum, square, c);
  });
  return sum;
}

template <class T>
inline constexpr T kTau = static_cast<T>(2 * trig::kPi);
template <class T>
inline constexpr T kTauLow = static_cast<T>(2 * trig::kPi - static_cast<long double>(kTau<T>));

// For 0 <= k < n <= 2^20. The angle is folded into one octant, in integers; what its rounding leaves out is made up for
// to first order.
template <class T>
SPECTRANS_DEVICE Complex<T> unit_root(int k, int n) {
  const bool lower = 2 * k > n;
  if (lower) k = n - k;
  const bool left = 4 * k > n;
  int num = left ? n - 2 * k : 2 * k, den = 2 * n;
  const bool steep = 8 * num > den;
  if (steep) {
    num = den - 4 * num;
    den *= 4;
  }
  const T turns = T(num) / T(den), turns_low = fused(-turns, T(den), T(num)) / T(den);
  const T angle = turns * kTau<T>;
  const T angle_low = fused(turns, kTau<T>, -angle) + fused(turns, kTauLow<T>, turns_low * kTau<T>);
  const T square = angle * angle;
  const T s0 = angle * series<1>(square), c0 = series<0>(square);
  T c = fused(-angle_low, s0, c0), s = fused(angle_low, c0, s0);
  if (steep) {
    const T other = c;
    c = s;
    s = other;
  }
  return {left ? -c : c, lower ? s : -s};
}

}  // namespace spectrans::cuda
