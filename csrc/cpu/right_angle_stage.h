// The outer stages of a weighted transform (fft/right_angle.h), between rows of memory, real, and spectra.
#pragma once

#include "../fft/right_angle.h"
#include "tile.h"

namespace spectrans {
namespace {

// ---- rows: kLanes consecutive samples of up to kLanes channels, one vector a sample ---------------------------------

// rows[i] <- sample first + i, for `count` samples; zero outside 0 .. n.
template <class IO>
SPECTRANS_INLINE void read_rows(const Lines<const IO>& from, std::int64_t first, std::int64_t count, std::int64_t n,
                                int channels, Vector<Compute<IO>>* rows) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  if (from.n_stride == 1 && from.d_stride != 1 && first >= 0 && first + lanes <= n) {
    const IO* start = from.data + first;
    for (int l = 0; l < lanes; ++l) rows[l] = l < channels ? load(start + l * from.d_stride) : Vector<T>{};
    transpose<T>(rows);
    return;
  }
  const std::int64_t begin = min(count, max(0, -first)), end = max(begin, min(count, n - first));
  for (std::int64_t i = 0; i < begin; ++i) rows[i] = Vector<T>{};
  if (from.d_stride == 1 && channels == lanes) {
    for (std::int64_t i = begin; i < end; ++i) {
      const IO* row = from.data + (first + i) * from.n_stride;
      fetch(row + kPrefetchRows * from.n_stride);
      rows[i] = load(row);
    }
  } else {
    for (std::int64_t i = begin; i < end; ++i) {
      rows[i] = load_some(from.data + (first + i) * from.n_stride, from.d_stride, channels);
    }
  }
  for (std::int64_t i = end; i < count; ++i) rows[i] = Vector<T>{};
}

// Sample first + i <- rows[i], where it is inside 0 .. n. Transposes rows in place where that helps.
template <class IO>
SPECTRANS_INLINE void write_rows(const Lines<IO>& to, std::int64_t first, std::int64_t count, std::int64_t n,
                                 int channels, Vector<Compute<IO>>* rows) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  const std::int64_t begin = min(count, max(0, -first)), end = max(begin, min(count, n - first));
  if (to.n_stride == 1 && to.d_stride != 1 && begin == 0 && end == lanes) {
    transpose<T>(rows);
    for (int l = 0; l < channels; ++l) store(to.data + first + l * to.d_stride, rows[l]);
  } else if (to.d_stride == 1 && channels == lanes) {
    for (std::int64_t i = begin; i < end; ++i) {
      IO* row = to.data + (first + i) * to.n_stride;
      fetch(row + lanes * to.n_stride);
      store(row, rows[i]);
    }
  } else {
    for (std::int64_t i = begin; i < end; ++i) {
      store_some(to.data + (first + i) * to.n_stride, to.d_stride, channels, rows[i]);
    }
  }
}

// ---- the outer stages -----------------------------------------------------------------------------------------------

// One row of each stays in registers.
template <int R, int kAtOnce, class F>
SPECTRANS_INLINE void for_each_column(const F& f) {
  if constexpr (kAtOnce == 1) {
    unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { f(t); });
  } else {
    for (int t = 0; t < R; ++t) f(t);
  }
}

// Samples of low + i high -> the spectra that the child plan goes on with. load(t, first, count, low, high) gets rows
// of column t, m samples each, up to kAtOnce at a time: as many as there are lanes, for transposes, or each when its
// butterfly comes.
template <int R, bool kComplex, int kAtOnce, class T, class Load>
SPECTRANS_INLINE void weighted_forward(const RightAnglePlan<T>& plan, Vector<T>* re, Vector<T>* im, const Load& load) {
  const std::int64_t m = plan.m;
  Vector<T> low[R * kAtOnce], high[kComplex ? R * kAtOnce : 1];
  for (std::int64_t first = 0; first < m; first += kAtOnce) {
    const std::int64_t count = min(kAtOnce, m - first);
    for_each_column<R, kAtOnce>([&](int t) SPECTRANS_INLINE_LAMBDA {
      load(t, first, count, low + t * kAtOnce, high + (kComplex ? t * kAtOnce : 0));
    });
    for (std::int64_t i = 0; i < count; ++i) {
      Complex<Vector<T>> v[R];
      unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
        constexpr T cos = trig::kCos<T, t, 4 * R>, sin = trig::kSin<T, t, 4 * R>;
        const Vector<T> a = once(low[t * kAtOnce + i]);
        if constexpr (kComplex) {
          v[t] = times(Complex<Vector<T>>{a, once(high[t * kAtOnce + i])}, cos, sin);
        } else {
          v[t] = {a * cos, a * sin};
        }
      });
      Dft<R, -1, T, Vector<T>>::run(v);
      const T* w = plan.twiddles + 2 * R * (first + i);
      const std::int64_t at = plan.child->slot[first + i];
      unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
        const Complex<Vector<T>> z = times(v[q], w[2 * q], w[2 * q + 1]);
        re[m * q + at] = z.re;
        im[m * q + at] = z.im;
      });
    }
  }
}

// The way back: store(t, first, count, low, high) gets rows of N times the samples, of their real part alone unless
// kComplex.
template <int R, bool kComplex, int kAtOnce, class T, class Store>
SPECTRANS_INLINE void weighted_inverse(const RightAnglePlan<T>& plan, const Vector<T>* re, const Vector<T>* im,
                                       const Store& store) {
  const std::int64_t m = plan.m;
  Vector<T> low[R * kAtOnce], high[kComplex ? R * kAtOnce : 1];
  for (std::int64_t first = 0; first < m; first += kAtOnce) {
    const std::int64_t count = min(kAtOnce, m - first);
    for (std::int64_t i = 0; i < count; ++i) {
      Complex<Vector<T>> v[R];
      const T* w = plan.twiddles + 2 * R * (first + i);
      const std::int64_t at = plan.child->slot[first + i];
      unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
        const Complex<Vector<T>> z{once(re[m * q + at]), once(im[m * q + at])};
        v[q] = times_conj(z, w[2 * q], w[2 * q + 1]);
      });
      Dft<R, 1, T, Vector<T>>::run(v);
      unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
        constexpr T cos = trig::kCos<T, t, 4 * R>, sin = trig::kSin<T, t, 4 * R>;
        low[t * kAtOnce + i] = v[t].re * cos + v[t].im * sin;
        if constexpr (kComplex) high[t * kAtOnce + i] = v[t].im * cos - v[t].re * sin;
      });
    }
    for_each_column<R, kAtOnce>([&](int t) SPECTRANS_INLINE_LAMBDA {
      store(t, first, count, low + t * kAtOnce, high + (kComplex ? t * kAtOnce : 0));
    });
  }
}

}  // namespace
}  // namespace spectrans
