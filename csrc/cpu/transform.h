// Running plans on tiles: in-place real transforms of n vectors of lanes, one transform per lane.
//
// A tile is an array of n vectors; vector j holds sample j of kLanes signals. The stages are those of
// fft/plan.h. real_convolve does forward, pointwise product and inverse in one go: the product happens in
// registers between the last forward and the first inverse stage, so the spectrum is never stored.
#pragma once

#include "../fft/plan.h"
#include "prime.h"
#include "simd.h"

namespace spectrans {
namespace {

// What else is done with each bin of a forward transform, so that memory and arithmetic work at the same time: nothing.
// By value, as an empty one then takes no register from the other arguments.
struct Nothing {
  SPECTRANS_INLINE void ask() const {}
};

template <class T, class Meanwhile = Nothing>
void real_forward(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work, Outer outer = {},
                  Meanwhile meanwhile = {});
template <class T>
void real_inverse(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work);

// ---- complex stages: blocks of radix * m values, re and im apart -----------------------------------------

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

// Last forward stage, the product, first inverse stage: blocks of R neighbours, in registers.
template <int R, class T, class Middle>
void complex_middle_stage(Vector<T>* re, Vector<T>* im, std::int64_t blocks, const Middle& middle) {
  for (std::int64_t block = 0; block < blocks; ++block, re += R, im += R) {
    Complex<Vector<T>> v[R];
    unroll<0, R>([&]<int t>() { v[t] = {once(re[t]), once(im[t])}; });
    Dft<R, -1, T, Vector<T>>::run(v);
    unroll<0, R>([&]<int t>() { middle.bin(re, im, t, v[t].re, v[t].im); });
    Dft<R, 1, T, Vector<T>>::run(v);
    unroll<0, R>([&]<int t>() {
      re[t] = v[t].re;
      im[t] = v[t].im;
    });
  }
}

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

template <class T, class Meanwhile = Nothing>
void complex_forward_stage(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                           Vector<T>* work, Meanwhile meanwhile = {}) {
  const std::int64_t m = stage.m;
  if (stage.radix <= kLargestButterfly) {
    with_complex_radix(stage, [&]<int R, bool kTwiddled>() {
      complex_forward_stage<R, kTwiddled, T>(re, im, blocks, m, stage.twiddles, meanwhile);
    });
    return;
  }
  for (std::int64_t block = 0; block < blocks; ++block, re += stage.radix * m, im += stage.radix * m) {
    for (std::int64_t j = 0; j < m; ++j) {
      complex_prime<-1, T>(stage, re + j, im + j, work);
      for (std::int64_t q = 1; stage.twiddles != nullptr && q < stage.radix; ++q) {
        const std::int64_t at = j + m * q;
        const Complex<Vector<T>> z = twiddled<-1, T>({re[at], im[at]}, stage.twiddles, (stage.radix - 1) * j + q - 1);
        re[at] = z.re;
        im[at] = z.im;
      }
    }
  }
}

template <class T>
void complex_inverse_stage(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                           Vector<T>* work) {
  const std::int64_t m = stage.m;
  if (stage.radix <= kLargestButterfly) {
    with_complex_radix(stage, [&]<int R, bool kTwiddled>() {
      complex_inverse_stage<R, kTwiddled, T>(re, im, blocks, m, stage.twiddles);
    });
    return;
  }
  for (std::int64_t block = 0; block < blocks; ++block, re += stage.radix * m, im += stage.radix * m) {
    for (std::int64_t j = 0; j < m; ++j) {
      for (std::int64_t q = 1; stage.twiddles != nullptr && q < stage.radix; ++q) {
        const std::int64_t at = j + m * q;
        const Complex<Vector<T>> z = twiddled<1, T>({re[at], im[at]}, stage.twiddles, (stage.radix - 1) * j + q - 1);
        re[at] = z.re;
        im[at] = z.im;
      }
      complex_prime<1, T>(stage, re + j, im + j, work);
    }
  }
}

// Blocks that the first-level cache holds together are swept stage by stage. Of others each is finished before the next
// one, so that it stays there, unless that would be more calls than work.
constexpr std::int64_t kSweepBytes = 24 * 1024, kLeastBlockBytes = 2 * 1024;

SPECTRANS_INLINE bool is_one_by_one(std::int64_t blocks, std::int64_t length) {
  const std::int64_t bytes = 2 * length * kVectorBytes;
  return blocks > 1 && blocks * bytes > kSweepBytes && bytes >= kLeastBlockBytes;
}

// A complex transform, its product with the filter, and back.
template <class T, class Middle>
void complex_convolve(const ComplexPlan<T>& plan, std::int64_t s, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                      Vector<T>* work, const Middle& middle) {
  if (s == plan.stages) {  // single values: only the product is left
    for (std::int64_t i = 0; i < blocks; ++i) middle.bin(re, im, i, re[i], im[i]);
    return;
  }
  const ComplexStage<T>& stage = plan.stage[s];
  const std::int64_t length = stage.radix * stage.m;
  if (stage.m == 1 && stage.radix <= kLargestButterfly) {
    with_complex_radix(stage, [&]<int R, bool>() { complex_middle_stage<R, T>(re, im, blocks, middle); });
  } else if (is_one_by_one(blocks, length)) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      complex_convolve(plan, s, re + b * length, im + b * length, 1, work, middle);
    }
  } else {
    complex_forward_stage(stage, re, im, blocks, work);
    complex_convolve(plan, s + 1, re, im, blocks * stage.radix, work, middle);
    complex_inverse_stage(stage, re, im, blocks, work);
  }
}

template <class T, class Meanwhile = Nothing>
void complex_forward(const ComplexPlan<T>& plan, std::int64_t s, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                     Vector<T>* work, Meanwhile meanwhile = {}) {
  if (s == plan.stages) return;
  const ComplexStage<T>& stage = plan.stage[s];
  const std::int64_t length = stage.radix * stage.m;
  if (is_one_by_one(blocks, length)) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      complex_forward(plan, s, re + b * length, im + b * length, 1, work, meanwhile);
    }
  } else {
    complex_forward_stage(stage, re, im, blocks, work, meanwhile);
    complex_forward(plan, s + 1, re, im, blocks * stage.radix, work, meanwhile);
  }
}

template <class T>
void complex_inverse(const ComplexPlan<T>& plan, std::int64_t s, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                     Vector<T>* work) {
  if (s == plan.stages) return;
  const ComplexStage<T>& stage = plan.stage[s];
  const std::int64_t length = stage.radix * stage.m;
  if (is_one_by_one(blocks, length)) {
    for (std::int64_t b = 0; b < blocks; ++b) complex_inverse(plan, s, re + b * length, im + b * length, 1, work);
  } else {
    complex_inverse(plan, s + 1, re, im, blocks * stage.radix, work);
    complex_inverse_stage(stage, re, im, blocks, work);
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

template <class T>
void real_forward_stage(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  if (stage.radix > kLargestButterfly) {
    real_prime_forward(stage, tile, work);
  } else {
    with_real_radix(stage, [&]<int R, bool kTwiddled>() { real_forward_stage<R, kTwiddled>(stage, tile); });
  }
}

template <class T>
void real_inverse_stage(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  if (stage.radix > kLargestButterfly) {
    real_prime_inverse(stage, tile, work);
  } else {
    with_real_radix(stage, [&]<int R, bool kTwiddled>() { real_inverse_stage<R, kTwiddled>(stage, tile); });
  }
}

// Calls f(child plan, re, im, blocks) for the complex transforms that a real stage leaves: for all at once, as blocks
// of one sweep, where the first-level cache holds them.
template <class T, class F>
SPECTRANS_INLINE void for_pairs(const RealStage<T>& stage, Vector<T>* tile, F&& f) {
  const std::int64_t column = stage.m + stage.gap, pairs = stage.pairs;
  Vector<T>*re = tile + stage.low + stage.gap, *im = re + pairs * column;
  if (stage.gap == 0 && 2 * pairs * column * kVectorBytes <= kSweepBytes) {
    if (pairs > 0) f(*stage.child, re, im, pairs);
    return;
  }
  for (std::int64_t q = 0; q < pairs; ++q) f(*stage.child, re + q * column, im + q * column, std::int64_t{1});
}

// The real transform of length 1 or 2 that the stages leave.
template <class T>
SPECTRANS_INLINE void real_tail(std::int64_t n, Vector<T>* tile) {
  if (n % 2 == 0) {
    const Vector<T> a = tile[0], b = tile[1];
    tile[0] = a + b;
    tile[1] = a - b;
  }
}

// Samples -> spectrum in slot order (RealPlan::re, im, sign).
template <class T, class Meanwhile>
void real_forward(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work, Outer outer, Meanwhile meanwhile) {
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    if (s > 0 || !outer.forward) real_forward_stage(plan.stage[s], tile, work);
    for_pairs(plan.stage[s], tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
      complex_forward(child, 0, re, im, blocks, work, meanwhile);
    });
  }
  real_tail<T>(plan.n, tile);
}

// Spectrum in slot order -> n times the samples.
template <class T>
void real_inverse(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work) {
  real_tail<T>(plan.n, tile);
  for (std::int64_t s = plan.stages - 1; s >= 0; --s) {
    for_pairs(plan.stage[s], tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
      complex_inverse(child, 0, re, im, blocks, work);
    });
    real_inverse_stage(plan.stage[s], tile, work);
  }
}

// Samples -> n times the samples of the product; middle sees every bin once, with the slots it came from.
template <class T, class Middle>
void real_convolve(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work, const Middle& middle, Outer outer) {
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    if (s > 0 || !outer.forward) real_forward_stage(plan.stage[s], tile, work);
    for_pairs(plan.stage[s], tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
      complex_convolve(child, 0, re, im, blocks, work, middle);
    });
  }
  real_tail<T>(plan.n, tile);
  middle.real_bin(tile, tile[0]);
  if (plan.n % 2 == 0) middle.real_bin(tile + 1, tile[1]);
  real_tail<T>(plan.n, tile);
  for (std::int64_t s = plan.stages - 1; s >= 0; --s) {
    if (s > 0 || !outer.inverse) real_inverse_stage(plan.stage[s], tile, work);
  }
}

}  // namespace
}  // namespace spectrans
