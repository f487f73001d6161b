// The taps of a long convolution: their spectra, and back from those to their gradients. Both in double, which is more
// work, but once for many items, and adds no error of its own to that of the other transforms.
#pragma once

#include "../memory/storage.h"
#include "../transform/right_angle_stage.h"
#include "ways.h"

namespace spectrans {
namespace {

// T: of the taps. R: the radix of the outer stage. Spectra and the tile to work in are `spectrum()` slots long; the
// memory of a tile holds as many vectors of double.
template <class T, int R>
class ConvTaps {
 public:
  // Rows of the taps of a group: lags from 0 on and, where there are any, from -N to -1.
  struct Rows {
    Vector<T>*low, *high;
  };

  // Of signals of n samples, whose plan this is.
  ConvTaps(const RightAnglePlan<T>& plan, std::int64_t n, std::int64_t taps, bool causal)
      : plan_(right_angle_plan<double>(n)), length_(plan.length), imag_(plan.length + kImagGap),
        acting_(n, taps, causal), low_(acting_.count - acting_.offset, plan.m, R),
        high_(acting_.offset, plan.m, R, length_ - acting_.offset) {}

  // Slots of a spectrum, and from its real to its imaginary parts.
  std::int64_t spectrum() const { return 2 * imag_; }
  std::int64_t imag() const { return imag_; }

  std::int64_t count() const { return acting_.count; }
  bool has_high() const { return acting_.offset > 0; }

  // Taps of a group -> rows.
  void read(const Signal& taps, const Group& group, const Rows& rows) const {
    const Signal none{}, of = acting(taps);
    own_storage<T>().read_staged(low_, own_storage<T>().rows(of, acting_.offset, acting_.count - acting_.offset), none,
                                 0, group, rows.low);
    if (has_high())
      own_storage<T>().read_staged(high_, own_storage<T>().rows(of, 0, acting_.offset), none, 0, group, rows.high);
  }

  // The spectrum of those of tile k, divided by N; imag_sign -1: its conjugate.
  void transform(const Rows& rows, std::int64_t k, double imag_sign, Vector<T>* spectrum, Vector<T>* tile) const {
    auto *re = reinterpret_cast<Vector<double>*>(tile), *im = re + imag_;
    const Vector<T>*low = low_.tile(rows.low, k), *high = has_high() ? high_.tile(rows.high, k) : nullptr;
    for (int part = 0; part < kParts<T>; ++part) {
      if (has_high()) {
        weighted_forward<R, true>(plan_, re, im, [&](int t, std::int64_t j) SPECTRANS_INLINE_LAMBDA {
          return Complex<Vector<double>>{widen_part<T>(low_.at(low, t, j), part),
                                         -widen_part<T>(high_.at(high, t, j), part)};
        });
      } else {
        weighted_forward<R, false>(plan_, re, im, [&](int t, std::int64_t j) SPECTRANS_INLINE_LAMBDA {
          return widen_part<T>(low_.at(low, t, j), part);
        });
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

  // Rows of tile k <- what has this spectrum, conj(W) P. conj(w) IFFT of it holds the correlation at lag t in the real
  // part, minus that at t - N in the imaginary part.
  void invert(const Vector<T>* spectrum, std::int64_t k, const Rows& rows, Vector<T>* tile) const {
    auto *re = reinterpret_cast<Vector<double>*>(tile), *im = re + imag_;
    Vector<T>*low = low_.tile(rows.low, k), *high = has_high() ? high_.tile(rows.high, k) : nullptr;
    const double scale = 1.0 / static_cast<double>(length_);
    for (int part = 0; part < kParts<T>; ++part) {
      for (std::int64_t block = 0; block < length_; block += plan_.m) {
        for (std::int64_t i = block; i < block + plan_.m; ++i) {
          re[i] = widen_part<T>(spectrum[i], part);
          im[i] = widen_part<T>(spectrum[imag_ + i], part);
        }
        complex_inverse(*plan_.child, 0, re + block, im + block, 1, static_cast<Vector<double>*>(nullptr));
      }
      if (has_high()) {
        weighted_inverse<R, true>(
            plan_, re, im, [&](int t, std::int64_t j, const Complex<Vector<double>>& lag) SPECTRANS_INLINE_LAMBDA {
              narrow_part<T>(lag.re * scale, part, low_.at(low, t, j));
              narrow_part<T>(lag.im * -scale, part, high_.at(high, t, j));
            });
      } else {
        weighted_inverse<R, false>(plan_, re, im,
                                   [&](int t, std::int64_t j, const Vector<double>& lag) SPECTRANS_INLINE_LAMBDA {
                                     narrow_part<T>(lag * scale, part, low_.at(low, t, j));
                                   });
      }
    }
  }

  // Rows -> the taps that act.
  void write(const Rows& rows, const Group& group, const Signal& acting, Vector<T>* work) const {
    const Signal none{};
    own_storage<T>().write_staged(low_, own_storage<T>().rows(acting, acting_.offset, acting_.count - acting_.offset),
                                  none, 0, group, false, rows.low, work);
    if (has_high())
      own_storage<T>().write_staged(high_, own_storage<T>().rows(acting, 0, acting_.offset), none, 0, group, false,
                                    rows.high, work);
  }

  const ActingTaps& that_act() const { return acting_; }
  // Those that act, of all.
  Signal acting(const Signal& taps) const { return own_storage<T>().rows(taps, acting_.first, acting_.count); }

 private:
  // Half a page, so that the columns of a long stage, all a multiple of a page apart, are not all in one set of the
  // first-level cache.
  static constexpr std::int64_t kImagGap = 2048 / kVectorBytes;

  const RightAnglePlan<double>& plan_;  // the same stages and slots
  const std::int64_t length_, imag_;
  const ActingTaps acting_;
  const StagedRows<T> low_, high_;
};

}  // namespace
}  // namespace spectrans
