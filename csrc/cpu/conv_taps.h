// The taps of a long convolution: their spectra, and back from those to their gradients. Both in double, which is more
// work, but once for many items, and adds no error of its own to that of the other transforms.
#pragma once

#include "right_angle_stage.h"

namespace spectrans {
namespace {

// Those that act, whose lag is from -(n - 1) to n - 1, of the taps of n samples: no other meets two of them.
struct ActingTaps {
  std::int64_t first, count, offset;  // offset: of lag 0, from the first

  ActingTaps(std::int64_t n, std::int64_t taps, bool causal) {
    const std::int64_t zero = causal ? 0 : (taps - 1) / 2;
    first = max(0, zero - (n - 1));
    count = min(taps, zero + n) - first;
    offset = zero - first;
  }
};

// T: of the taps. R: the radix of the outer stage. Tiles are a spectrum long; their memory holds as many vectors of
// double.
template <class T, int R>
class ConvTaps {
 public:
  // Of signals of n samples, whose plan this is.
  ConvTaps(const RightAnglePlan<T>& plan, std::int64_t n, std::int64_t taps, bool causal)
      : plan_(right_angle_plan<double>(n)), length_(plan.length), imag_(plan.length + kImagGap), taps_(taps),
        acting_(n, taps, causal) {}

  // Slots of a spectrum, and from its real to its imaginary parts.
  std::int64_t spectrum() const { return 2 * imag_; }
  std::int64_t imag() const { return imag_; }

  // The taps that act.
  std::int64_t count() const { return acting_.count; }
  template <class U>
  Lines<U> acting(Lines<U> taps) const {
    taps.data += acting_.first * taps.n_stride;
    return taps;
  }

  // The spectrum of taps, divided by N; imag_sign -1: its conjugate.
  void transform(const Lines<const T>& taps, int channels, double imag_sign, Vector<T>* spectrum,
                 Vector<T>* tile) const {
    auto *re = reinterpret_cast<Vector<double>*>(tile), *im = re + imag_;
    const Lines<const T> from = acting(taps);
    for (int part = 0; part < kParts<T>; ++part) {
      const auto rows = [&](std::int64_t first, std::int64_t count, std::int64_t end, Vector<double>* to) {
        Vector<T> some[kLanes<T>];
        read_rows(from, first, count, end, channels, some);
        for (std::int64_t i = 0; i < count; ++i) to[i] = widen_part<T>(some[i], part);
      };
      const auto load = [&](int t, std::int64_t first, std::int64_t count, Vector<double>* low, Vector<double>* high) {
        const std::int64_t tap = first + plan_.m * t + acting_.offset;
        rows(tap, count, acting_.count, low);
        if (acting_.offset == 0) return;
        rows(tap - length_, count, acting_.offset, high);
        for (std::int64_t i = 0; i < count; ++i) high[i] = -high[i];
      };
      if (acting_.offset == 0) {
        weighted_forward<R, false, kLanes<double>>(plan_, re, im, load);
      } else {
        weighted_forward<R, true, kLanes<double>>(plan_, re, im, load);
      }
      const double scale = 1.0 / static_cast<double>(length_);
      for (std::int64_t block = 0; block < length_; block += plan_.m) {
        complex_forward(*plan_.child, 0, re + block, im + block, 1, static_cast<Vector<double>*>(nullptr));
        for (std::int64_t i = block; i < block + plan_.m; ++i) {
          narrow_part<T>(re[i] * scale, part, spectrum[i]);
          narrow_part<T>(im[i] * (imag_sign * scale), part, spectrum[imag_ + i]);
        }
      }
    }
  }

  // to <- what has this spectrum, conj(W) P, at the taps that act. conj(w) IFFT of it holds the correlation at lag t in
  // the real part, minus that at t - N in the imaginary part; the lags take the place of the spectrum.
  void write_gradient(Vector<T>* spectrum, int channels, const Lines<T>& to, Vector<T>* tile) const {
    auto *re = reinterpret_cast<Vector<double>*>(tile), *im = re + imag_;
    const double scale = 1.0 / static_cast<double>(length_);
    for (int part = 0; part < kParts<T>; ++part) {
      for (std::int64_t block = 0; block < length_; block += plan_.m) {
        for (std::int64_t i = block; i < block + plan_.m; ++i) {
          re[i] = widen_part<T>(spectrum[i], part);
          im[i] = widen_part<T>(spectrum[imag_ + i], part);
        }
        complex_inverse(*plan_.child, 0, re + block, im + block, 1, static_cast<Vector<double>*>(nullptr));
      }
      const auto keep = [&](int t, std::int64_t first, std::int64_t count, Vector<double>* low, Vector<double>* high) {
        Vector<T>* lags = spectrum + first + plan_.m * t;
        for (std::int64_t i = 0; i < count; ++i) {
          narrow_part<T>(low[i] * scale, part, lags[i]);
          if (acting_.offset > 0) narrow_part<T>(high[i] * -scale, part, lags[imag_ + i]);
        }
      };
      if (acting_.offset == 0) {
        weighted_inverse<R, false, kLanes<double>>(plan_, re, im, keep);
      } else {
        weighted_inverse<R, true, kLanes<double>>(plan_, re, im, keep);
      }
    }
    for (std::int64_t first = 0; first < length_; first += kLanes<T>) {
      const std::int64_t count = min(kLanes<T>, length_ - first);
      write_rows(to, first + acting_.offset, count, acting_.count, channels, spectrum + first);
      if (acting_.offset == 0) continue;
      write_rows(to, first + acting_.offset - length_, count, acting_.offset, channels, spectrum + imag_ + first);
    }
  }

  // All taps <- the sum of `sums` gradients of those that act, [sums, count, channels], and zero for the others. A lone
  // gradient is there already.
  void finish(const T* gradients, std::int64_t sums, std::int64_t channels, const Lines<T>& to,
              const ThreadPool& pool) const {
    parallel(pool, taps_, channels * sums * sizeof(T), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t tap = begin; tap < end; ++tap) {
        const std::int64_t from = tap - acting_.first;
        const bool acts = from >= 0 && from < acting_.count;
        if (acts && sums == 1) continue;
        for (std::int64_t c = 0; c < channels; ++c) {
          T sum = 0;
          for (std::int64_t i = 0; acts && i < sums; ++i) sum += gradients[(i * acting_.count + from) * channels + c];
          to.data[tap * to.n_stride + c * to.d_stride] = sum;
        }
      }
    });
  }

 private:
  // Half a page, so that the columns of a long stage, all a multiple of a page apart, are not all in one set of the
  // first-level cache.
  static constexpr std::int64_t kImagGap = 2048 / kVectorBytes;

  const RightAnglePlan<double>& plan_;  // the same stages and slots
  const std::int64_t length_, imag_;
  const std::int64_t taps_;  // all there are
  const ActingTaps acting_;
};

}  // namespace
}  // namespace spectrans
