// Responses in the slots of a transform: as products take them, and their gradients on the way back. One instance
// serves signals of every element type, filters and gradients.
#pragma once

#include "../memory/ahead.h"

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
    return exact_ ? divide<true>(value, weight) : divide<false>(value, weight);
  }
  template <bool kExact>
  SPECTRANS_INLINE Vector<T> divide(Vector<T> value, T weight) const {
    return kExact ? value * (weight * inverse_) : value / (n_ / weight);
  }

  // Calls f with whether it is exact, as a compile-time constant, and itself, by value.
  template <class F>
  SPECTRANS_INLINE void with_exact(F&& f) const {
    if (exact_) return f.template operator()<true>(*this);
    f.template operator()<false>(*this);
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
    const ItemLanes<T> items(group);
    for (std::int64_t i = 0; items.several() && i < transform_.slots; ++i) slots[i] = items.sum(slots[i]);
    with_lanes<T>(group, [&](auto lanes) {
      Divisor<T>(transform_.n)
          .with_exact([&, own = group, pitch = pitch_, stride = 2 * call_.x.d]<bool kExact>(const Divisor<T> n) {
            transform_.for_each_bin([&](const Bin<T>& bin) SPECTRANS_INLINE_LAMBDA {
              const T weight = bin.mirror < 0 ? 2 : 1;
              for (std::int64_t k = 0; k < own.tiles; ++k) {
                const Vector<T>* tile = slots + k * pitch;
                const Vector<T> re = n.template divide<kExact>(tile[bin.re], weight);
                const Vector<T> im =
                    bin.im >= 0 ? n.template divide<kExact>(tile[bin.im], weight * bin.sign) : Vector<T>{};
                T* row = gradient + 2 * own.channel[k];
                store_pairs(row + bin.row * stride, lanes, re, im);
                if (bin.mirror >= 0 && bin.mirror != bin.row) store_pairs(row + bin.mirror * stride, lanes, re, -im);
              }
            });
          });
    });
  }

 private:
  // Calls f(bin, set), set(h, tile) putting the response at a bin into its slots.
  template <class F>
  SPECTRANS_INLINE void for_each_bin(const F& f) const {
    const T imag_sign = call_.adjoint ? T(-1) : T(1);
    Divisor<T>(transform_.n).with_exact([&, imag_sign]<bool kExact>(const Divisor<T> n) {
      transform_.for_each_bin([&](const Bin<T>& bin) SPECTRANS_INLINE_LAMBDA {
        f(bin, [&](const Complex<Vector<T>>& h, Vector<T>* tile) SPECTRANS_INLINE_LAMBDA {
          tile[bin.re] = n.template divide<kExact>(h.re, T(1));
          if (bin.im >= 0) tile[bin.im] = n.template divide<kExact>(h.im, imag_sign * bin.sign);
        });
      });
    });
  }

  // [bins, channels, 2]: of a bin what is side by side, if the tiles stay near.
  void from_channels(const Group& group, Vector<T>* slots) const {
    const std::int64_t together = group.tiles * pitch_ * kVectorBytes <= kAheadBytes / 2 ? group.tiles : 1;
    with_lanes<T>(group, [&](auto lanes) {
      for (std::int64_t begin = 0; begin < group.tiles; begin += together) {
        from_channels(some_tiles(group, begin, together), lanes, slots + begin * pitch_);
      }
    });
  }
  template <class Lanes>
  void from_channels(const Group group, Lanes lanes, Vector<T>* slots) const {
    const auto* response = static_cast<const T*>(call_.response);
    const std::int64_t stride = call_.bin_stride, ahead = kPrefetchRows * stride, pitch = pitch_;
    for_each_bin([=](const Bin<T>& bin, const auto& set) SPECTRANS_INLINE_LAMBDA {
      const T* row = response + bin.row * stride;
      const std::int64_t across = (bin.mirror - bin.row) * stride;
      const bool mirrored = bin.mirror >= 0 && bin.mirror != bin.row;
      for (std::int64_t k = 0; k < group.tiles; ++k) {
        const T* at = row + 2 * group.channel[k];
        fetch_pairs(at + ahead);
        Complex<Vector<T>> h = load_pairs(at, lanes);
        if (mirrored) {
          const Complex<Vector<T>> image = load_pairs(at + across, lanes);
          h = {(h.re + image.re) / T(2), (h.im - image.im) / T(2)};
        }
        set(h, slots + k * pitch);
      }
    });
  }

  // [channels, bins, 2], of a transform with its rows in order.
  void from_bins(const Group& group, Vector<T>* slots) const {
    constexpr int lanes = kLanes<T>, pairs = lanes / 2;
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const T* at = static_cast<const T*>(call_.response) + group.channel[k] * call_.channel_stride;
      Vector<T> block[lanes];
      for_each_bin([&](const Bin<T>& bin, const auto& set) SPECTRANS_INLINE_LAMBDA {
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
