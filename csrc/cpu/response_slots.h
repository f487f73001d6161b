// Responses in the slots of a transform: as products take them, and their gradients on the way back. One instance
// serves signals of every element type, filters and gradients.
#pragma once

#include "ahead.h"

namespace spectrans {
namespace {

// Where a bin of the half spectrum is: in row `row` of a response, and in slots that hold re + i sign im, im < 0 for a
// real bin. Where its complex conjugate is in the half spectrum too, in row `mirror`, the two share the slots, and
// (H[row] + conj H[mirror]) / 2 is what acts; so it is for a real bin, its own mirror image. Others have none: -1.
template <class T>
struct Bin {
  std::int64_t row, mirror, re, im;
  T sign;
};

// Divides by a length: a product with a rounded 1 / n would bias every bin, one with an exact 1 / n is several times as
// fast.
template <class T>
class Divisor {
 public:
  explicit Divisor(std::int64_t n) : n_(static_cast<T>(n)), inverse_(1 / n_), exact_((n & (n - 1)) == 0) {}

  // weight, a power of two or minus one, times value / n
  SPECTRANS_INLINE Vector<T> divide(Vector<T> value, T weight) const {
    return exact_ ? value * (weight * inverse_) : value / (n_ / weight);
  }

 private:
  T n_, inverse_;
  bool exact_;
};

// Of groups whose tiles are `pitch` slots apart. Transform, for T, has: n, its length; slots, of a tile; bins, the rows
// of a response; for_each_bin(f).
template <class T, class Transform>
class ResponseSlots {
 public:
  ResponseSlots(const Filter& call, const Transform& transform, std::int64_t pitch)
      : call_(call), transform_(transform), pitch_(pitch) {}

  // The responses of the channels of a group, divided by n -> slots.
  [[gnu::noinline]] void arrange(const Group& group, Vector<T>* slots) const {
    if (call_.channel_stride == 2) {
      from_channels(group, slots);
    } else {
      from_bins(group, slots);
    }
    const ItemLanes<T> items(group);
    for (std::int64_t i = 0; items.several() && i < transform_.slots; ++i) slots[i] = items.repeat(slots[i]);
  }

  // The reverse, for the gradient, which lanes have the sums of: bins without a mirror image in the half spectrum stand
  // for that, too.
  [[gnu::noinline]] void write_gradient(const Group& group, Vector<T>* slots, T* gradient) const {
    const std::int64_t d = call_.x.d;
    const Divisor<T> n(transform_.n);
    const ItemLanes<T> items(group);
    for (std::int64_t i = 0; items.several() && i < transform_.slots; ++i) slots[i] = items.sum(slots[i]);
    transform_.for_each_bin([&](const Bin<T>& bin) {
      const T weight = bin.mirror < 0 ? 2 : 1;
      for (std::int64_t k = 0; k < group.tiles; ++k) {
        const Vector<T>* tile = slots + k * pitch_;
        const Vector<T> re = n.divide(tile[bin.re], weight);
        const Vector<T> im = bin.im >= 0 ? n.divide(tile[bin.im], weight * bin.sign) : Vector<T>{};
        store_pairs(gradient + 2 * (bin.row * d + group.channel[k]), group.lanes, re, im);
        if (bin.mirror >= 0 && bin.mirror != bin.row) {
          store_pairs(gradient + 2 * (bin.mirror * d + group.channel[k]), group.lanes, re, -im);
        }
      }
    });
  }

 private:
  // Calls f(bin, set), set(h, tile) putting the response at a bin into its slots.
  template <class F>
  void for_each_bin(const F& f) const {
    const Divisor<T> n(transform_.n);
    const T imag_sign = call_.adjoint ? T(-1) : T(1);
    transform_.for_each_bin([&](const Bin<T>& bin) {
      f(bin, [&](const Complex<Vector<T>>& h, Vector<T>* tile) {
        tile[bin.re] = n.divide(h.re, T(1));
        if (bin.im >= 0) tile[bin.im] = n.divide(h.im, imag_sign * bin.sign);
      });
    });
  }

  // [bins, channels, 2]: of a bin what is side by side, if the tiles stay near.
  void from_channels(const Group& group, Vector<T>* slots) const {
    const auto* response = static_cast<const T*>(call_.response);
    const std::int64_t together = group.tiles * pitch_ * kVectorBytes <= kAheadBytes / 2 ? group.tiles : 1;
    const std::int64_t ahead = kPrefetchRows * call_.bin_stride;
    for (std::int64_t begin = 0; begin < group.tiles; begin += together) {
      for_each_bin([&](const Bin<T>& bin, const auto& set) {
        for (std::int64_t k = begin; k < begin + together; ++k) {
          const T* at = response + 2 * group.channel[k];
          const T* row = at + bin.row * call_.bin_stride;
          fetch_pairs(row + ahead);
          Complex<Vector<T>> h = load_pairs(row, group.lanes);
          if (bin.mirror >= 0 && bin.mirror != bin.row) {
            const Complex<Vector<T>> image = load_pairs(at + bin.mirror * call_.bin_stride, group.lanes);
            h = {(h.re + image.re) / T(2), (h.im - image.im) / T(2)};
          }
          set(h, slots + k * pitch_);
        }
      });
    }
  }

  // [channels, bins, 2], of a transform with its rows in order.
  void from_bins(const Group& group, Vector<T>* slots) const {
    constexpr int lanes = kLanes<T>, pairs = lanes / 2;
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const T* at = static_cast<const T*>(call_.response) + group.channel[k] * call_.channel_stride;
      Vector<T> block[lanes];
      for_each_bin([&](const Bin<T>& bin, const auto& set) {
        if (bin.row % pairs == 0) {
          for (int c = 0; c < lanes; ++c) {
            const T* column = at + c * call_.channel_stride + 2 * bin.row;
            block[c] = c < group.lanes ? load_first(column, 2 * (transform_.bins - bin.row)) : Vector<T>{};
          }
          transpose<T>(block);
        }
        set({block[2 * (bin.row % pairs)], block[2 * (bin.row % pairs) + 1]}, slots + k * pitch_);
      });
    }
  }

  const Filter& call_;
  const Transform& transform_;
  const std::int64_t pitch_;
};

}  // namespace
}  // namespace spectrans
