// One stage of a plan (fft/plan.h) on a tile, which is most of what a kernel is made of: compiled once for all kernels,
// in stages.cpp, from the loops here.
//
// A tile is an array of n vectors; vector j holds sample j of kLanes signals.
#pragma once

#include "../../fft/plan.h"
#include "../simd.h"

namespace spectrans {
namespace SPECTRANS_ISA {

template <class T>
struct Stages {
  // Blocks of radix * m values, re and im apart.
  static void complex_forward(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                              Vector<T>* work);
  static void complex_inverse(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                              Vector<T>* work);

  static void real_forward(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work);
  static void real_inverse(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work);
};
extern template struct Stages<float>;
extern template struct Stages<double>;

}  // namespace SPECTRANS_ISA

namespace {

using SPECTRANS_ISA::Stages;

// What else is done with each bin of a forward transform, so that memory and arithmetic work at the same time: nothing.
// By value, as an empty one then takes no register from the other arguments.
struct Nothing {
  SPECTRANS_INLINE void ask() const {}
};

// Calls f with the radix, and whether there are twiddles, as compile-time constants.
template <int R, class Stage, class F>
SPECTRANS_INLINE void with_twiddles(const Stage& stage, F&& f) {
  if (stage.twiddles != nullptr) return f.template operator()<R, true>();
  return f.template operator()<R, false>();
}

template <class Stage, class F>
SPECTRANS_INLINE void with_real_radix(const Stage& stage, F&& f) {
  switch (stage.radix) {
    case 3: return with_twiddles<3>(stage, f);
    case 4: return with_twiddles<4>(stage, f);
    case 5: return with_twiddles<5>(stage, f);
    case 7: return with_twiddles<7>(stage, f);
    case 8: return with_twiddles<8>(stage, f);
    case 9: return with_twiddles<9>(stage, f);
    case 11: return with_twiddles<11>(stage, f);
    case 13: return with_twiddles<13>(stage, f);
    default: __builtin_unreachable();
  }
}

template <class Stage, class F>
SPECTRANS_INLINE void with_complex_radix(const Stage& stage, F&& f) {
  if (stage.radix == 2) return with_twiddles<2>(stage, f);
  return with_real_radix(stage, f);
}

// ---- complex stages --------------------------------------------------------------------------------------

template <int R, bool kTwiddled, class T, class Meanwhile = Nothing>
void complex_forward_stage(Vector<T>* re, Vector<T>* im, std::int64_t blocks, std::int64_t m, const T* twiddles,
                           Meanwhile meanwhile = {}) {
  for (std::int64_t block = 0; block < blocks; ++block, re += R * m, im += R * m) {
    for (std::int64_t j = 0; j < m; ++j) {
      Complex<Vector<T>> v[R];
      unroll<0, R>([&]<int t>() { v[t] = {once(re[j + m * t]), once(im[j + m * t])}; });
      Dft<R, -1, T, Vector<T>>::run(v);
      const T* w = kTwiddled ? twiddles + 2 * (R - 1) * j : nullptr;
      re[j] = v[0].re;
      im[j] = v[0].im;
      unroll<1, R>([&]<int q>() {
        const Complex<Vector<T>> z = kTwiddled ? times(v[q], w[2 * q - 2], w[2 * q - 1]) : v[q];
        re[j + m * q] = z.re;
        im[j + m * q] = z.im;
      });
      if constexpr (!kTwiddled) unroll<0, R>([&]<int>() SPECTRANS_INLINE_LAMBDA { meanwhile.ask(); });
    }
  }
}

template <int R, bool kTwiddled, class T>
void complex_inverse_stage(Vector<T>* re, Vector<T>* im, std::int64_t blocks, std::int64_t m, const T* twiddles) {
  for (std::int64_t block = 0; block < blocks; ++block, re += R * m, im += R * m) {
    for (std::int64_t j = 0; j < m; ++j) {
      Complex<Vector<T>> v[R];
      const T* w = kTwiddled ? twiddles + 2 * (R - 1) * j : nullptr;
      v[0] = {once(re[j]), once(im[j])};
      unroll<1, R>([&]<int q>() {
        v[q] = {once(re[j + m * q]), once(im[j + m * q])};
        if constexpr (kTwiddled) v[q] = times_conj(v[q], w[2 * q - 2], w[2 * q - 1]);
      });
      Dft<R, 1, T, Vector<T>>::run(v);
      unroll<0, R>([&]<int t>() {
        re[j + m * t] = v[t].re;
        im[j + m * t] = v[t].im;
      });
    }
  }
}

// ---- real stages -----------------------------------------------------------------------------------------

// Slots from column 0 of a stage of radix R to column t.
template <int R, int t>
SPECTRANS_INLINE std::int64_t column(std::int64_t m, std::int64_t gap) {
  return t == 0 ? 0 : t * (m + gap) - (kRealLow<R> - 1) * gap;
}

// Samples j + m t -> what a stage makes of them, in slot j of each column. w: the twiddles of j.
template <int R, bool kTwiddled, class T>
SPECTRANS_INLINE void real_forward_butterfly(const RealStage<T>& stage, const Vector<T>* x, const T* w,
                                             Vector<T>* slot) {
  constexpr int pairs = kRealPairs<R>, lows = kRealLow<R>;
  const std::int64_t m = stage.m, gap = stage.gap;
  Vector<T> low[lows];
  Complex<Vector<T>> pair[pairs];
  RealDft<R, T, Vector<T>>::forward(x, low, pair);
  unroll<0, lows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { slot[column<R, i>(m, gap)] = low[i]; });
  unroll<0, pairs>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
    const Complex<Vector<T>> z = kTwiddled ? times(pair[q], w[2 * q], w[2 * q + 1]) : pair[q];
    slot[column<R, lows + q>(m, gap)] = z.re;
    slot[column<R, lows + pairs + q>(m, gap)] = z.im;
  });
}

// And back. w: the doubled twiddles of j.
template <int R, bool kTwiddled, class T>
SPECTRANS_INLINE void real_inverse_butterfly(const RealStage<T>& stage, const Vector<T>* slot, const T* w,
                                             Vector<T>* x) {
  constexpr int pairs = kRealPairs<R>, lows = kRealLow<R>;
  const std::int64_t m = stage.m, gap = stage.gap;
  Vector<T> low[lows];
  Complex<Vector<T>> pair[pairs];
  unroll<0, lows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { low[i] = once(slot[column<R, i>(m, gap)]); });
  unroll<0, pairs>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
    const Complex<Vector<T>> z{once(slot[column<R, lows + q>(m, gap)]),
                               once(slot[column<R, lows + pairs + q>(m, gap)])};
    pair[q] = kTwiddled ? times_conj(z, w[2 * q], w[2 * q + 1]) : z;
  });
  RealDft<R, T, Vector<T>>::template inverse<kTwiddled>(low, pair, x);
}

template <int R, bool kTwiddled, class T>
void real_forward_stage(const RealStage<T>& stage, Vector<T>* tile) {
  const std::int64_t m = stage.m, gap = stage.gap;
  const T* w = stage.twiddles;
  for (std::int64_t j = 0; j < m; ++j, w += kTwiddled ? 2 * kRealPairs<R> : 0) {
    Vector<T> x[R];
    unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { x[t] = once(tile[j + column<R, t>(m, gap)]); });
    real_forward_butterfly<R, kTwiddled>(stage, x, w, tile + j);
  }
}

template <int R, bool kTwiddled, class T>
void real_inverse_stage(const RealStage<T>& stage, Vector<T>* tile) {
  const std::int64_t m = stage.m, gap = stage.gap;
  const T* w = stage.doubled;
  for (std::int64_t j = 0; j < m; ++j, w += kTwiddled ? 2 * kRealPairs<R> : 0) {
    Vector<T> x[R];
    real_inverse_butterfly<R, kTwiddled>(stage, tile + j, w, x);
    unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { tile[j + column<R, t>(m, gap)] = x[t]; });
  }
}

}  // namespace
}  // namespace spectrans
