// Running plans on tiles: in-place real transforms of n vectors of lanes, one transform per lane.
//
// real_convolve does forward, pointwise product and inverse in one go: the product happens in registers between the
// last forward and the first inverse stage, so the spectrum is never stored.
#pragma once

#include "stages.h"

namespace spectrans {
namespace {

// Which butterflies of the first stage are done elsewhere: on the way between memory and the tile
// (memory/outer_stage.h).
struct Outer {
  bool forward = false, inverse = false;
};

// ---- complex transforms: blocks of values, re and im apart --------------------------------------------------

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

template <class T, class Meanwhile>
void complex_forward_stage(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                           Vector<T>* work, Meanwhile meanwhile) {
  if constexpr (!std::is_same_v<Meanwhile, Nothing>) {
    if (stage.radix <= kLargestButterfly) {
      return with_complex_radix(stage, [&]<int R, bool kTwiddled>() {
        complex_forward_stage<R, kTwiddled, T>(re, im, blocks, stage.m, stage.twiddles, meanwhile);
      });
    }
  }
  Stages<T>::complex_forward(stage, re, im, blocks, work);
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
    Stages<T>::complex_forward(stage, re, im, blocks, work);
    complex_convolve(plan, s + 1, re, im, blocks * stage.radix, work, middle);
    Stages<T>::complex_inverse(stage, re, im, blocks, work);
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
    Stages<T>::complex_inverse(stage, re, im, blocks, work);
  }
}

// ---- real transforms -------------------------------------------------------------------------------------

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
template <class T, class Meanwhile = Nothing>
void real_forward(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work, Outer outer = {},
                  Meanwhile meanwhile = {}) {
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    if (s > 0 || !outer.forward) Stages<T>::real_forward(plan.stage[s], tile, work);
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
    Stages<T>::real_inverse(plan.stage[s], tile, work);
  }
}

// Samples -> n times the samples of the product; middle sees every bin once, with the slots it came from.
template <class T, class Middle>
void real_convolve(const RealPlan<T>& plan, Vector<T>* tile, Vector<T>* work, const Middle& middle, Outer outer = {}) {
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    if (s > 0 || !outer.forward) Stages<T>::real_forward(plan.stage[s], tile, work);
    for_pairs(plan.stage[s], tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
      complex_convolve(child, 0, re, im, blocks, work, middle);
    });
  }
  real_tail<T>(plan.n, tile);
  middle.real_bin(tile, tile[0]);
  if (plan.n % 2 == 0) middle.real_bin(tile + 1, tile[1]);
  real_tail<T>(plan.n, tile);
  for (std::int64_t s = plan.stages - 1; s >= 0; --s) {
    if (s > 0 || !outer.inverse) Stages<T>::real_inverse(plan.stage[s], tile, work);
  }
}

}  // namespace
}  // namespace spectrans
