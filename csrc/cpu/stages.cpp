// The stages of plans, with the primes that have no butterfly.
#include "stages.h"

#include "prime.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

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

template <class T>
void Stages<T>::complex_forward(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                                Vector<T>* work) {
  const std::int64_t m = stage.m;
  if (stage.radix <= kLargestButterfly) {
    with_complex_radix(stage, [=, twiddles = stage.twiddles]<int R, bool kTwiddled>() {
      complex_forward_stage<R, kTwiddled, T>(re, im, blocks, m, twiddles);
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
void Stages<T>::complex_inverse(const ComplexStage<T>& stage, Vector<T>* re, Vector<T>* im, std::int64_t blocks,
                                Vector<T>* work) {
  const std::int64_t m = stage.m;
  if (stage.radix <= kLargestButterfly) {
    with_complex_radix(stage, [=, twiddles = stage.twiddles]<int R, bool kTwiddled>() {
      complex_inverse_stage<R, kTwiddled, T>(re, im, blocks, m, twiddles);
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

template <class T>
void Stages<T>::real_forward(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  if (stage.radix > kLargestButterfly) {
    real_prime_forward(stage, tile, work);
  } else {
    with_real_radix(stage, [&]<int R, bool kTwiddled>() { real_forward_stage<R, kTwiddled>(stage, tile); });
  }
}

template <class T>
void Stages<T>::real_inverse(const RealStage<T>& stage, Vector<T>* tile, Vector<T>* work) {
  if (stage.radix > kLargestButterfly) {
    real_prime_inverse(stage, tile, work);
  } else {
    with_real_radix(stage, [&]<int R, bool kTwiddled>() { real_inverse_stage<R, kTwiddled>(stage, tile); });
  }
}

template struct Stages<float>;
template struct Stages<double>;

}  // namespace spectrans::SPECTRANS_ISA
