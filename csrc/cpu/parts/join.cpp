// Joining the transforms of the parts of a line: blocks of as many bins as there are lanes are turned in registers, so
// that a vector holds neighbouring bins of one part, and one butterfly joins the parts of as many bins.
#include "join.h"

#include "../memory/spectrum.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

template <int R, class T>
void join_parts(const SplitPlan<T>& plan, const Vector<T>* tile, std::int64_t items, std::int64_t channels,
                T* spectra) {
  constexpr int lanes = kLanes<T>;
  for (std::int64_t block = 0; block < plan.bins; block += lanes) {
    Vector<T> a[lanes], b[lanes];
    for (int i = 0; i < lanes; ++i) {
      const std::int64_t im = plan.im[block + i];
      a[i] = tile[plan.re[block + i]];
      b[i] = im < 0 ? Vector<T>{} : tile[im];
    }
    transpose<T>(a);
    transpose<T>(b);
    const Vector<T> sign = load(plan.sign + block);
    for (std::int64_t line = 0; line < items * channels; ++line) {
      const std::int64_t first = line / channels * R * channels + line % channels;
      const T *cos = plan.cos + block, *sin = plan.sin + block;
      Complex<Vector<T>> v[R];
      v[0] = {a[first], b[first] * sign};
      unroll<1, R>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
        const std::int64_t lane = first + l * channels;
        const Vector<T> wr = once(load(cos + l * plan.bins)), wi = once(load(sin + l * plan.bins));
        v[l] = times(Complex<Vector<T>>{a[lane], b[lane] * sign}, wr, wi);
      });
      Dft<R, -1, T, Vector<T>>::run(v);
      const Spectrum<T> to(spectra + line * Spectrum<T>::size(plan.n), plan.n);
      unroll<0, R>([&]<int e>() SPECTRANS_INLINE_LAMBDA { to.put(block + plan.m * e, v[e]); });
    }
  }
}

template <int R, class T>
void spread_parts(const SplitPlan<T>& plan, const T* spectra, std::int64_t items, std::int64_t channels,
                  Vector<T>* tile) {
  constexpr int lanes = kLanes<T>;
  const auto *re = plan.re, *im = plan.im;
  for (std::int64_t block = 0; block < plan.bins; block += lanes) {
    Vector<T> a[lanes], b[lanes];
    for (std::int64_t lane = items * channels * R; lane < lanes; ++lane) a[lane] = b[lane] = Vector<T>{};
    const Vector<T> sign = load(plan.sign + block);
    for (std::int64_t line = 0; line < items * channels; ++line) {
      const std::int64_t first = line / channels * R * channels + line % channels;
      const T *cos = plan.cos + block, *sin = plan.sin + block;
      const Spectrum<T> from(const_cast<T*>(spectra) + line * Spectrum<T>::size(plan.n), plan.n);
      Complex<Vector<T>> v[R];
      unroll<0, R>([&]<int e>() SPECTRANS_INLINE_LAMBDA { v[e] = from.at(block + plan.m * e); });
      Dft<R, 1, T, Vector<T>>::run(v);
      a[first] = v[0].re;
      b[first] = v[0].im * sign;
      unroll<1, R>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
        const std::int64_t lane = first + l * channels;
        const Vector<T> wr = once(load(cos + l * plan.bins)), wi = once(load(sin + l * plan.bins));
        const Complex<Vector<T>> z = times_conj(v[l], wr, wi);
        a[lane] = z.re;
        b[lane] = z.im * sign;
      });
    }
    transpose<T>(a);
    transpose<T>(b);
    const auto put = [=](const Vector<T>& x, const Vector<T>& y, std::int64_t k) SPECTRANS_INLINE_LAMBDA {
      tile[re[k]] = x;
      if (im[k] >= 0) tile[im[k]] = y;
    };
    if (block + lanes <= plan.m / 2 + 1) {
      unroll<0, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA { put(a[i], b[i], block + i); });
    } else {
      for (int i = 0; block + i <= plan.m / 2; ++i) put(a[i], b[i], block + i);
    }
  }
}

// Calls f with the number of parts as a compile-time constant.
template <int R, int kMost, class F>
SPECTRANS_INLINE void with_parts(std::int64_t r, const F& f) {
  if constexpr (R <= kMost) {
    if (r == R) return f.template operator()<R>();
    with_parts<R + 1, kMost>(r, f);
  }
}

template <class T>
void join_any(const SplitPlan<T>& plan, const Vector<T>* tile, std::int64_t items, std::int64_t channels, T* spectra) {
  with_parts<1, kLanes<T>>(plan.r, [&]<int R>() { join_parts<R, T>(plan, tile, items, channels, spectra); });
}

template <class T>
void spread_any(const SplitPlan<T>& plan, const T* spectra, std::int64_t items, std::int64_t channels,
                Vector<T>* tile) {
  with_parts<1, kLanes<T>>(plan.r, [&]<int R>() { spread_parts<R, T>(plan, spectra, items, channels, tile); });
}

}  // namespace

void join(const SplitPlan<float>& plan, const Vector<float>* tile, std::int64_t items, std::int64_t channels,
          float* spectra) {
  join_any(plan, tile, items, channels, spectra);
}
void join(const SplitPlan<double>& plan, const Vector<double>* tile, std::int64_t items, std::int64_t channels,
          double* spectra) {
  join_any(plan, tile, items, channels, spectra);
}
void spread(const SplitPlan<float>& plan, const float* spectra, std::int64_t items, std::int64_t channels,
            Vector<float>* tile) {
  spread_any(plan, spectra, items, channels, tile);
}
void spread(const SplitPlan<double>& plan, const double* spectra, std::int64_t items, std::int64_t channels,
            Vector<double>* tile) {
  spread_any(plan, spectra, items, channels, tile);
}

}  // namespace spectrans::SPECTRANS_ISA
