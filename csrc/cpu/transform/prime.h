// Transforms of prime lengths without a butterfly, on tiles: by Rader's algorithm or by definition.
#pragma once

#include "direct_sums.h"
#include "transform.h"

namespace spectrans {
namespace {

// ---- Rader: Hartley transform of prime length -----------------------------------------------------------

// Multiplies the spectrum of a tile by one that is the same in every lane, and adds the same to every sample.
template <class T>
struct TimesTable {
  const Vector<T>* tile;
  const T* table;  // slot order
  Vector<T> add;
  Vector<T>* sum;  // of all samples, before

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>* im, std::int64_t k, Vector<T>& a,
                            Vector<T>& b) const {
    const T *wr = table + (re - tile), *wi = table + (im - tile);
    const Complex<Vector<T>> z = times(Complex<Vector<T>>{a, b}, wr[k], wi[k]);
    a = z.re;
    b = z.im;
  }
  SPECTRANS_INLINE void real_bin(const Vector<T>* at, Vector<T>& a) const {
    const bool first = at == tile;
    if (first) *sum = a;
    a = a * table[at - tile];
    if (first) a = a + add;
  }
};

// y[k] = sum_j x[j stride] cas(2 pi j k / p), y [p], both apart from work [slots of the convolution].
template <class T>
void prime_hartley(const PrimePlan<T>& plan, const Vector<T>* x, std::int64_t stride, Vector<T>* y, Vector<T>* work) {
  const std::int64_t count = plan.p - 1, m = plan.convolution->n;
  const std::int32_t* slot = plan.convolution->slot;
  const Vector<T> first = x[0];
  Vector<T> sum;
  for (std::int64_t q = 0; q < count; ++q) work[slot[q]] = x[plan.gather[q] * stride];
  for (std::int64_t q = count; q < m; ++q) work[slot[q]] = Vector<T>{};
  real_convolve(*plan.convolution, work, static_cast<Vector<T>*>(nullptr),
                TimesTable<T>{work, plan.response, first, &sum});
  y[0] = first + sum;
  for (std::int64_t q = 0; q < count; ++q) y[plan.scatter[q]] = work[slot[q]];
}

// The same in double.
template <class T>
void prime_hartley_wide(const PrimePlan<double>& plan, const Vector<T>* x, std::int64_t stride, Vector<T>* y,
                        Vector<T>* work) {
  auto* wide = reinterpret_cast<Vector<double>*>(work);
  for (int part = 0; part < kParts<T>; ++part) {
    for (std::int64_t t = 0; t < plan.p; ++t) wide[t] = widen_part<T>(x[t * stride], part);
    prime_hartley<double>(plan, wide, 1, wide + plan.p, wide + 2 * plan.p);
    for (std::int64_t t = 0; t < plan.p; ++t) narrow_part<T>(wide[plan.p + t], part, y[t]);
  }
}

template <class T, class Stage>
void stage_hartley(const Stage& stage, const Vector<T>* x, std::int64_t stride, Vector<T>* y, Vector<T>* work) {
  if (stage.prime != nullptr) return prime_hartley<T>(*stage.prime, x, stride, y, work);
  prime_hartley_wide<T>(*stage.wide, x, stride, y, work);
}

// z times entry i of a twiddle table (Sign < 0) or its conjugate; without a table there is nothing to do.
template <int Sign, class T>
SPECTRANS_INLINE Complex<Vector<T>> twiddled(Complex<Vector<T>> z, const T* twiddles, std::int64_t i) {
  if (twiddles == nullptr) return z;
  const T re = twiddles[2 * i], im = twiddles[2 * i + 1];
  return Sign < 0 ? times(z, re, im) : times_conj(z, re, im);
}

// ---- prime lengths without a butterfly -------------------------------------------------------------------------

// Real transform of prime length: x[t stride] -> bins[2 q] + i bins[2 q + 1], q = 0 .. p / 2. Stage: real or complex.
template <class T, class Stage>
void prime_forward(const Stage& stage, const Vector<T>* x, std::int64_t stride, Vector<T>* bins, Vector<T>* work) {
  const std::int64_t p = stage.radix, pairs = p / 2;
  if (stage.direct == nullptr) {
    Vector<T>* y = work;
    stage_hartley<T>(stage, x, stride, y, work + p);
    bins[0] = y[0];
    for (std::int64_t q = 1; q <= pairs; ++q) {
      const Vector<T> a = once(y[q]), b = once(y[p - q]);
      bins[2 * q] = (a + b) * T(0.5);
      bins[2 * q + 1] = (b - a) * T(0.5);
    }
    return;
  }
  for (std::int64_t q = 1; q <= pairs; ++q) {
    const Vector<T> a = once(x[q * stride]), b = once(x[(p - q) * stride]);
    work[q - 1] = a + b;
    work[pairs + q - 1] = b - a;
  }
  for_each_row<1>(stage.direct->forward, pairs + 1, pairs, 1, {work, 1, 0}, {work + pairs, 1, 0},
                  [=, first = x[0]](std::int64_t q, std::int64_t, const Vector<T>& c, const Vector<T>& s)
                      SPECTRANS_INLINE_LAMBDA {
                        bins[2 * q] = first + c;
                        bins[2 * q + 1] = s;
                      });
}

// And back, p times the inverse.
template <class T, class Stage>
void prime_inverse(const Stage& stage, const Vector<T>* bins, Vector<T>* x, std::int64_t stride, Vector<T>* work) {
  const std::int64_t p = stage.radix, pairs = p / 2;
  if (stage.direct == nullptr) {
    Vector<T>*h = work, *y = work + p;
    h[0] = bins[0];
    for (std::int64_t q = 1; q <= pairs; ++q) {
      const Vector<T> a = once(bins[2 * q]), b = once(bins[2 * q + 1]);
      h[q] = a - b;
      h[p - q] = a + b;
    }
    stage_hartley<T>(stage, h, 1, y, work + 2 * p);
    for (std::int64_t t = 0; t < p; ++t) x[t * stride] = y[t];
    return;
  }
  for_each_row<1>(stage.direct->inverse, pairs + 1, pairs, 1, {bins + 2, 2, 0}, {bins + 3, 2, 0},
                  [=](std::int64_t t, std::int64_t, const Vector<T>& c, const Vector<T>& s) SPECTRANS_INLINE_LAMBDA {
                    const Vector<T> even = bins[0] + c;
                    x[t * stride] = even - s;
                    if (t > 0) x[(p - t) * stride] = even + s;
                  });
}

// The butterfly of a real stage over column j: x[j + m t] <-> low and pairs.
template <class T>
void real_prime_forward(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  const std::int64_t m = stage.m, p = stage.radix;
  for (std::int64_t j = 0; j < m; ++j) {
    Vector<T>* bins = work;
    prime_forward<T>(stage, tile + j, m, bins, work + p + 1);
    tile[j] = bins[0];
    for (std::int64_t q = 1; q <= stage.pairs; ++q) {
      const Complex<Vector<T>> bin{bins[2 * q], bins[2 * q + 1]};
      const Complex<Vector<T>> z = twiddled<-1, T>(bin, stage.twiddles, stage.pairs * j + q - 1);
      tile[q * m + j] = z.re;
      tile[(stage.pairs + q) * m + j] = z.im;
    }
  }
}

template <class T>
void real_prime_inverse(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  const std::int64_t m = stage.m, p = stage.radix;
  for (std::int64_t j = 0; j < m; ++j) {
    Vector<T>* bins = work;
    bins[0] = tile[j];
    for (std::int64_t q = 1; q <= stage.pairs; ++q) {
      const Complex<Vector<T>> bin{tile[q * m + j], tile[(stage.pairs + q) * m + j]};
      const Complex<Vector<T>> z = twiddled<1, T>(bin, stage.twiddles, stage.pairs * j + q - 1);
      bins[2 * q] = z.re;
      bins[2 * q + 1] = z.im;
    }
    prime_inverse<T>(stage, bins, tile + j, m, work + p + 1);
  }
}

// exp(Sign 2 pi i / p) transforms of re + i im over stride m: two real transforms, joined.
template <int Sign, class T>
void complex_prime(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, Vector<T>* work) {
  const std::int64_t p = stage.radix, m = stage.m;
  Vector<T>*f = work, *g = work + p + 1, *rest = work + 2 * (p + 1);
  prime_forward<T>(stage, re, m, f, rest);
  prime_forward<T>(stage, im, m, g, rest);
  re[0] = f[0];
  im[0] = g[0];
  for (std::int64_t q = 1; q <= p / 2; ++q) {
    const std::int64_t up = Sign < 0 ? q : p - q, down = p - up;
    re[up * m] = f[2 * q] - g[2 * q + 1];
    im[up * m] = f[2 * q + 1] + g[2 * q];
    re[down * m] = f[2 * q] + g[2 * q + 1];
    im[down * m] = g[2 * q] - f[2 * q + 1];
  }
}

}  // namespace
}  // namespace spectrans
