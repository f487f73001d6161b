// The outer stages of a weighted transform (fft/right_angle.h), between rows, real, and spectra.
#pragma once

#include "../../fft/right_angle.h"
#include "transform.h"

namespace spectrans {
namespace {

// Samples, real or (kComplex) complex -> the spectra that the child plan goes on with. load(t, j): sample j + m t.
template <int R, bool kComplex, class T, class Load>
SPECTRANS_INLINE void weighted_forward(const RightAnglePlan<T>& plan, Vector<T>* re, Vector<T>* im, const Load& load) {
  const std::int64_t m = plan.m;
  for (std::int64_t j = 0; j < m; ++j) {
    Complex<Vector<T>> v[R];
    unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
      constexpr T cos = trig::kCos<T, t, 4 * R>, sin = trig::kSin<T, t, 4 * R>;
      if constexpr (kComplex) {
        v[t] = times(load(t, j), cos, sin);
      } else {
        const Vector<T> a = once(load(t, j));
        v[t] = {a * cos, a * sin};
      }
    });
    Dft<R, -1, T, Vector<T>>::run(v);
    const T* w = plan.twiddles + 2 * R * j;
    const std::int64_t at = plan.child->slot[j];
    unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
      const Complex<Vector<T>> z = times(v[q], w[2 * q], w[2 * q + 1]);
      re[m * q + at] = z.re;
      im[m * q + at] = z.im;
    });
  }
}

// And back: store(t, j, value) gets N times sample j + m t, of which there is the real part alone unless kComplex.
template <int R, bool kComplex, class T, class Store>
SPECTRANS_INLINE void weighted_inverse(const RightAnglePlan<T>& plan, const Vector<T>* re, const Vector<T>* im,
                                       const Store& store) {
  const std::int64_t m = plan.m;
  for (std::int64_t j = 0; j < m; ++j) {
    Complex<Vector<T>> v[R];
    const T* w = plan.twiddles + 2 * R * j;
    const std::int64_t at = plan.child->slot[j];
    unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
      const Complex<Vector<T>> z{once(re[m * q + at]), once(im[m * q + at])};
      v[q] = times_conj(z, w[2 * q], w[2 * q + 1]);
    });
    Dft<R, 1, T, Vector<T>>::run(v);
    unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
      constexpr T cos = trig::kCos<T, t, 4 * R>, sin = trig::kSin<T, t, 4 * R>;
      const Vector<T> real = v[t].re * cos + v[t].im * sin;
      if constexpr (kComplex) {
        store(t, j, Complex<Vector<T>>{real, v[t].im * cos - v[t].re * sin});
      } else {
        store(t, j, real);
      }
    });
  }
}

}  // namespace
}  // namespace spectrans
