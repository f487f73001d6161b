// The stages of plans, with the primes that have no butterfly.
#include "stages.h"

#include "prime.h"

namespace spectrans::SPECTRANS_ISA {

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
