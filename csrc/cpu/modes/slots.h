// Truncated spectra in memory, and in the slots of tiles, with what they are multiplied by on the way. One instance
// serves signals of every element type, and every transform.
#pragma once

#include "../memory/tile.h"
#include "weights.h"

namespace spectrans {
namespace {

template <class T>
class ModesSlots {
 public:
  // re, im, sign: of each bin, as in RealPlan; none: the slot that tiles are padded with
  ModesSlots(const Signal& bins, const std::int32_t* re, const std::int32_t* im, const T* sign, std::int64_t none,
             const Weights<T>& weights)
      : bins_(bins), re_(re), im_(im), sign_(sign), none_(none), weights_(weights) {}

  // Slots -> memory.
  [[gnu::noinline]] void write(std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    for (std::int64_t t = 0; t < tiles.count; ++t) tiles[t][none_] = Vector<T>{};
    with_bins([&](auto bins) {
      if (are_rows(group)) {
        for_each_row<T>(pack, group, tiles, bins,
                        [](T* pairs, int lanes, const auto& bin, const Vector<T>* tile) SPECTRANS_INLINE_LAMBDA {
                          const Complex<Vector<T>> value = bin.get(tile);
                          store_pairs(pairs, lanes, value.re, value.im);
                        });
        return;
      }
      for (std::int64_t t = 0; t < tiles.count; ++t) {
        scatter_pairs(Starts<T>(bins_, pack, group, t, 2), bins_.n_stride, bins_.n,
                      [bins, tile = tiles[t]](std::int64_t k) SPECTRANS_INLINE_LAMBDA { return bins[k].get(tile); });
      }
    });
  }

  // And back.
  [[gnu::noinline]] void read(std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    with_bins([&](auto bins) {
      if (are_rows(group)) {
        for_each_row<const T>(pack, group, tiles, bins,
                              [](const T* pairs, int lanes, const auto& bin, Vector<T>* tile)
                                  SPECTRANS_INLINE_LAMBDA { bin.set(tile, load_pairs(pairs, lanes)); });
        return;
      }
      for (std::int64_t t = 0; t < tiles.count; ++t) {
        gather_pairs(Starts<const T>(bins_, pack, group, t, 2), bins_.n_stride, bins_.n,
                     [bins, tile = tiles[t]](std::int64_t k, const Complex<Vector<T>>& bin)
                         SPECTRANS_INLINE_LAMBDA { bins[k].set(tile, bin); });
      }
    });
  }

 private:
  // One bin of any tile: where it is, and what it is multiplied by.
  template <bool kDivides>
  struct Bin {
    std::int64_t re, im;
    T re_factor, im_factor;
    const Weights<T>& weights;

    SPECTRANS_INLINE Complex<Vector<T>> get(const Vector<T>* tile) const {
      return {weights.template divided<kDivides>(tile[re] * re_factor),
              weights.template divided<kDivides>(tile[im] * im_factor)};
    }
    SPECTRANS_INLINE void set(Vector<T>* tile, const Complex<Vector<T>>& bin) const {
      tile[re] = weights.template divided<kDivides>(bin.re * re_factor);
      tile[im] = weights.template divided<kDivides>(bin.im * im_factor);
    }
  };

  // All of them. For the imaginary part that DC and Nyquist do not have there is the slot that a tile is padded with.
  template <bool kDivides>
  struct Bins {
    const std::int32_t *re, *im;
    const T* sign;
    std::int64_t none;
    Weights<T> weights;

    SPECTRANS_INLINE Bin<kDivides> operator[](std::int64_t k) const {
      const bool interior = im[k] >= 0;
      const T factor = weights.factor(interior);
      return {re[k], interior ? im[k] : none, factor, factor * sign[k], weights};
    }
  };

  // Calls f with the bins, by value: stores could change what a reference leads to.
  template <class F>
  SPECTRANS_INLINE void with_bins(const F& f) const {
    const auto bins = [this]<bool kDivides>() { return Bins<kDivides>{re_, im_, sign_, none_, weights_}; };
    if (weights_.divides()) return f(bins.template operator()<true>());
    return f(bins.template operator()<false>());
  }

  // Whether the pairs of a tile's channels lie side by side.
  bool are_rows(const Group& group) const { return bins_.d_stride == 2 && group.items == 1; }

  // Calls f(pairs, lanes, bin, tile) for each bin of each tile: where the pairs of so many lanes start.
  template <class Number, class Bins, class F>
  void for_each_row(std::int64_t item, const Group& group, const Tiles<T>& tiles, const Bins& bins, const F& f) const {
    Number* first = batch_item<Number>(bins_, item);
    const std::int64_t count = bins_.n, stride = bins_.n_stride, ahead = kPrefetchRows * stride;
    with_lanes<T>(group, [&, own = group, tiles](auto lanes) {
      Number* row = first;
      for (std::int64_t k = 0; k < count; ++k, row += stride) {
        const auto bin = bins[k];
        for (std::int64_t t = 0; t < tiles.count; ++t) {
          Number* pairs = row + 2 * own.channel[t];
          fetch_pairs(pairs + ahead);
          f(pairs, lanes, bin, tiles[t]);
        }
      }
    });
  }

  const Signal& bins_;
  const std::int32_t *const re_, *const im_;
  const T* const sign_;
  const std::int64_t none_;
  const Weights<T> weights_;
};

}  // namespace
}  // namespace spectrans
