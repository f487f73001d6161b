// The product of a spectrum with a response, and with another spectrum for the gradient of that, as a middle of
// real_convolve.
#pragma once

#include "../memory/ahead.h"

namespace spectrans {
namespace {

// What happens to each bin between the last forward and the first inverse stage.
template <class T, bool kFilter, bool kGradient>
struct FilterProduct {
  const Vector<T>* tile;      // the slots being transformed
  const Vector<T>* response;  // [n] in the same slots, divided by n
  const Vector<T>* with;      // [n] spectrum of the other signal
  Vector<T>* sum;             // [n] += conj(with) tile
  PiecesAhead x_ahead, with_ahead;
  std::int64_t kept_ahead;  // slots from what is kept of this tile to what is kept of the next; 0: it is near

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>* im, std::int64_t k, Vector<T>& a,
                            Vector<T>& b) const {
    const std::int64_t r = (re - tile) + k, i = (im - tile) + k;
    x_ahead.ask();
    if constexpr (kGradient) with_ahead.ask();
    if (kept_ahead != 0) {
      if constexpr (kFilter) fetch_both(response + kept_ahead, r, i);
      if constexpr (kGradient) fetch_both(sum + kept_ahead, r, i);
    }
    if constexpr (kGradient) {
      const Vector<T> wr = once(with[r]), wi = once(with[i]);
      sum[r] += wr * a + wi * b;
      sum[i] += wr * b - wi * a;
    }
    if constexpr (kFilter) {
      const Vector<T> hr = once(response[r]), hi = once(response[i]), re_product = a * hr - b * hi;
      b = a * hi + b * hr;
      a = re_product;
    }
  }
  SPECTRANS_INLINE void real_bin(const Vector<T>* at, Vector<T>& a) const {
    if constexpr (kGradient) sum[at - tile] += with[at - tile] * a;
    if constexpr (kFilter) a = a * response[at - tile];
  }

 private:
  static SPECTRANS_INLINE void fetch_both(const Vector<T>* at, std::int64_t r, std::int64_t i) {
    fetch(at + r);
    fetch(at + i);
  }
};

}  // namespace
}  // namespace spectrans
