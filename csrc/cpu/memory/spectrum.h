// Spectra of single lines, with their bins in order, and lines of memory in vectors of neighbouring samples.
#pragma once

#include "tile.h"

namespace spectrans {
namespace {

// The half spectrum of a real line, as real parts and imaginary parts, and beyond both ends as many bins as vectors
// reach: X[-k] = X[n - k] = conj X[k].
template <class T>
class Spectrum {
  static constexpr std::int64_t lanes = kLanes<T>;

 public:
  static std::int64_t size(std::int64_t n) { return 2 * (n / 2 + 1 + 2 * lanes); }

  T *re, *im;  // [n / 2 + 1]

  Spectrum(T* data, std::int64_t n) : re(data + lanes), im(re + size(n) / 2), n_(n) {}

  // Bins k, k + 1, ... for 0 <= k < n.
  SPECTRANS_INLINE Complex<Vector<T>> at(std::int64_t k) const {
    if (2 * k <= n_) return {load(re + k), load(im + k)};
    const std::int64_t last = n_ - k - (lanes - 1);
    return {ShufflesOf<T>::reverse(load(re + last)), -ShufflesOf<T>::reverse(load(im + last))};
  }
  // Wherever they, or their conjugates, are in the half spectrum.
  SPECTRANS_INLINE void put(std::int64_t k, const Complex<Vector<T>>& z) const {
    if (2 * k <= n_) {
      store(re + k, z.re);
      store(im + k, z.im);
    }
    const std::int64_t last = n_ - k - (lanes - 1);
    if (2 * last <= n_) {
      store(re + last, ShufflesOf<T>::reverse(z.re));
      store(im + last, -ShufflesOf<T>::reverse(z.im));
    }
  }
  // *= h, or conj(h)
  void multiply(const Spectrum& h, bool conjugate = false) const {
    const T sign = conjugate ? T(-1) : T(1);
    for (std::int64_t k = 0; k <= n_ / 2; k += lanes) {
      const Vector<T> a = once(load(re + k)), b = once(load(im + k)), hr = once(load(h.re + k));
      const Vector<T> hi = load(h.im + k) * sign;
      store(re + k, a * hr - b * hi);
      store(im + k, a * hi + b * hr);
    }
  }
  // += conj(with) x
  void add_product(const Spectrum& with, const Spectrum& x) const {
    for (std::int64_t k = 0; k <= n_ / 2; k += lanes) {
      const Vector<T> a = once(load(x.re + k)), b = once(load(x.im + k));
      const Vector<T> wr = once(load(with.re + k)), wi = once(load(with.im + k));
      store(re + k, load(re + k) + wr * a + wi * b);
      store(im + k, load(im + k) + wr * b - wi * a);
    }
  }
  // DC and Nyquist have no imaginary part; what is beyond the ends follows from the rest.
  void finish() const {
    im[0] = 0;
    if (n_ % 2 == 0) im[n_ / 2] = 0;
    if (n_ / 2 >= lanes) {
      mirror(1, -lanes);
      mirror(n_ - n_ / 2 - lanes, n_ / 2 + 1);
      return;
    }
    for (std::int64_t i = 1; i < lanes; ++i) {
      copy(n_ - i, -i);
      copy(n_ / 2 + i, n_ / 2 + i);
    }
  }

 private:
  // Bins from `from` on, backwards and conjugated, to `to`.
  void mirror(std::int64_t from, std::int64_t to) const {
    store(re + to, ShufflesOf<T>::reverse(load(re + from)));
    store(im + to, -ShufflesOf<T>::reverse(load(im + from)));
  }

  // From a bin of any number, of a line shorter than what there is room for.
  void copy(std::int64_t from, std::int64_t to) const {
    while (from < 0) from += n_;
    while (from >= n_) from -= n_;
    const bool upper = 2 * from > n_;
    re[to] = re[upper ? n_ - from : from];
    im[to] = upper ? -im[n_ - from] : im[from];
  }

  std::int64_t n_;
};

// Pairs (re, im), `stride` real numbers apart, and back; count no more than there are lanes.
template <class T>
SPECTRANS_INLINE Complex<Vector<T>> load_complex_line(const T* from, std::int64_t stride, int count) {
  if (stride == 2) return load_pairs(from, count);
  return {load_some(from, stride, count), load_some(from + 1, stride, count)};
}
template <class T>
SPECTRANS_INLINE void store_complex_line(T* to, std::int64_t stride, int count, Vector<T> re, Vector<T> im) {
  if (stride == 2) return store_pairs(to, count, re, im);
  store_some(to, stride, count, re);
  store_some(to + 1, stride, count, im);
}

}  // namespace
}  // namespace spectrans
