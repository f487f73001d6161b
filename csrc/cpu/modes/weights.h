// What truncated spectra are multiplied by.
#pragma once

#include "../../calls.h"
#include "../../fft/butterflies.h"

namespace spectrans {
namespace {

// What bins are multiplied by: w_k of the call, with its norm or another, for an inverse that counts the bins between
// DC and Nyquist twice already.
template <class T>
class Weights {
 public:
  explicit Weights(const Modes& call) : Weights(call, call.norm) {}
  Weights(const Modes& call, int norm) {
    // Powers of two aside, 1 / n is not a number: divide.
    const std::int64_t n = call.x.n;
    const T length = static_cast<T>(n), interior = call.mirrored ? 2 : 1;
    const bool exact = (n & (n - 1)) == 0;
    const T scale = norm == 1            ? static_cast<T>(1 / __builtin_sqrt(static_cast<double>(n)))
                    : norm == 2 && exact ? 1 / length
                                         : 1;
    scale_ = scale;
    interior_ = call.inverse ? interior / 2 * scale : interior * scale;
    divides_ = norm == 2 && !exact;
    divisor_ = length;
  }

  bool divides() const { return divides_; }

  // interior: between DC and Nyquist
  SPECTRANS_INLINE T factor(bool interior) const { return interior ? interior_ : scale_; }
  template <bool kDivides, class V>
  SPECTRANS_INLINE V divided(V value) const {
    if constexpr (kDivides) return value / divisor_;
    return value;
  }
  template <class V>
  SPECTRANS_INLINE V operator()(V value, bool interior) const {
    value = value * factor(interior);
    return divides_ ? divided<true>(value) : value;
  }

 private:
  T scale_, interior_, divisor_;
  bool divides_;
};

}  // namespace
}  // namespace spectrans
