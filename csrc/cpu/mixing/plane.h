// Mixing along both axes of an item: real transforms of its columns (along the sequence, channels in lanes) leave its
// half spectrum in their tiles; from there transforms of its rows (along the hidden axis) give the mixed signal: with
// bins in lanes (bins_in_lanes.h), or channels (channels_in_lanes.h).
#pragma once

#include "../memory/ahead.h"
#include "../memory/tile.h"

namespace spectrans {
namespace {

// Rows between one that is read and one that is asked for.
constexpr std::int64_t kFoldAhead = 2;
// Rows between one that is written and one that is asked for, so that it is there when its turn comes.
constexpr std::int64_t kRowsAhead = 4;

// Columns, whatever is done with them, and rows, whatever they come from. Where an item has too few channels to fill
// the lanes, a pack of items is done at once: signal s is channel s % channels of item s / channels.
template <class IO, bool kHartley>
class Plane {
 public:
  std::int64_t packs() const { return ceil_div(x_.batch, items_); }
  // A tile of columns each. All tiles of a pack are kept: `slots` vectors.
  std::int64_t tiles() const { return ceil_div(width_, lanes); }
  std::int64_t slots() const { return tiles() * pitch_; }
  std::int64_t tile_bytes() const { return pitch_ * kVectorBytes; }

  // Tiles begin .. end of a pack. Rows of x are read one after the other, for all of them at once.
  void columns(std::int64_t pack, std::int64_t begin, std::int64_t end, Vector<Compute<IO>>* tiles,
               Vector<Compute<IO>>* work) const {
    if (items_ == 1 && x_.d_stride == 1 && width_ >= lanes) {
      fold_rows(batch_item<const IO>(x_, pack), begin, end, tiles);
    } else {
      for (std::int64_t k = begin; k < end; ++k) fold_lanes(pack, k, tiles + k * pitch_);
    }
    for (std::int64_t k = begin; k < end; ++k) real_forward(sequence_, tiles + k * pitch_, work);
  }
  void fence() const {
    if (streaming_) fence_streams();
  }

 protected:
  using T = Compute<IO>;
  static constexpr int lanes = kLanes<T>;

  // What the other half of an even signal's spectrum repeats is left out.
  static std::int64_t channels_of(const Signal& x) { return kHartley ? x.d : x.d / 2 + 1; }

  Plane(const Signal& x, const Signal& y, double scale, std::int64_t items, std::int64_t width)
      : x_(x), y_(y), n_(x.n), d_(x.d), bins_(n_ / 2 + 1), channels_(channels_of(x)), items_(items), width_(width),
        scale_(static_cast<T>(kHartley ? scale : scale / 2)), sequence_(real_plan<T>(n_)),
        pitch_(padded(sequence_.slots)), staged_pitch_((ceil_div(d_, lanes) + 2) * lanes),
        streaming_(can_stream<IO>(y)), asks_(asks_beside(slots() * kVectorBytes)) {}

  // The first signal of a tile. All tiles are full if they can be: the last may overlap the one before.
  std::int64_t first_of(std::int64_t tile) const { return max(0, min(tile * lanes, width_ - lanes)); }

  // Rows of an item that are asked for, or of none (-1), from row j on.
  Ahead rows_ahead(std::int64_t item, std::int64_t j) const {
    return rows_from<IO>(x_, asks_ && item >= 0, item, j, 0);
  }

  // y[p, q] = direct[q] and y[-p, -q] = mirrored[q], of an item; mirrored has room for one more. Rows are written
  // whole, whatever the order in which their values came.
  void put_rows(IO* item, std::int64_t p, const T* direct, T* mirrored) const {
    const std::int64_t stride = y_.n_stride, ahead = kRowsAhead * stride;
    put_row(item + p * stride, ahead, [direct](std::int64_t q) SPECTRANS_INLINE_LAMBDA { return load(direct + q); });
    if (p == 0 || 2 * p == n_) return;
    mirrored[d_] = mirrored[0];
    IO* row = item + (n_ - p) * stride;
    if (d_ >= lanes) {
      put_row(row, -ahead, [last = mirrored + d_ - lanes + 1](std::int64_t q) SPECTRANS_INLINE_LAMBDA {
        return ShufflesOf<T>::reverse(load(last - q));
      });
    } else {
      put_row(row, -ahead, [mirrored, d = d_](std::int64_t) SPECTRANS_INLINE_LAMBDA {
        T some[lanes];
        for (std::int64_t i = 0; i < lanes; ++i) some[i] = mirrored[max(0, d - i)];
        return load(some);
      });
    }
  }

  const Signal &x_, &y_;
  const std::int64_t n_, d_, bins_, channels_, items_, width_;
  const T scale_;
  const RealPlan<T>& sequence_;
  const std::int64_t pitch_, staged_pitch_;
  const bool streaming_;
  const bool asks_;  // for rows to come

 private:
  // Tiles <- scale x, in slot order, or for the real part scale x[j, l] + scale x[-j, -l], which fused products round
  // less than the sum's product: two rows of one, two of the other. Whole rows are read side by side, each from both
  // ends: whatever else of them is asked for later costs as much again.
  void fold_rows(const IO* data, std::int64_t begin, std::int64_t end, Vector<T>* tiles) const {
    const std::int64_t n = n_, stride = x_.n_stride, ahead = kFoldAhead * stride, pitch = pitch_;
    const std::int64_t last = first_of(end - 1);
    const std::int32_t* slot = sequence_.slot;
    const T scale = scale_;
    for (std::int64_t j = 0; j < (kHartley ? n : n / 2 + 1); ++j) {
      const IO* row = data + j * stride;
      Vector<T>* at = tiles + slot[j] + begin * pitch;
      if constexpr (kHartley) {
        fold_tiles(
            begin, end, last, at, pitch, [=](std::int64_t l) SPECTRANS_INLINE_LAMBDA { fetch(row + ahead + l); },
            [=](Vector<T>* to, std::int64_t l) SPECTRANS_INLINE_LAMBDA { *to = load(row + l) * scale; });
      } else {
        // Channels l, l + 1, ... of two rows, and channels -l, -l - 1, ...: channel 0 and the last ones, or those that
        // begin one beyond a vector.
        const std::int64_t i = j == 0 ? 0 : n - j, across = slot[i] - slot[j];
        const IO *mirror = data + i * stride, *row_end = row + d_ - lanes, *mirror_end = mirror + d_ - lanes;
        const auto ask = [=](std::int64_t l) SPECTRANS_INLINE_LAMBDA {
          fetch(row + ahead + l);
          fetch(row_end + ahead - l);
          fetch(mirror - ahead + l);
          fetch(mirror_end - ahead - l);
        };
        std::int64_t k = begin;
        if (k == 0) {
          ask(0);
          const Vector<T> a = load(row), b = load(mirror);
          at[0] = a * scale + ShufflesOf<T>::turned(b, load(mirror_end)) * scale;
          at[across] = b * scale + ShufflesOf<T>::turned(a, load(row_end)) * scale;
          ++k, at += pitch;
        }
        fold_tiles(k, end, last, at, pitch, ask, [=](Vector<T>* to, std::int64_t l) SPECTRANS_INLINE_LAMBDA {
          to[0] = load(row + l) * scale + ShufflesOf<T>::reverse(load(mirror_end - l + 1)) * scale;
          to[across] = load(mirror + l) * scale + ShufflesOf<T>::reverse(load(row_end - l + 1)) * scale;
        });
      }
    }
  }

  // Calls fold(to, l) for the slot and the first channel of tiles k .. end, `last` being that of the last, and before
  // those of a cache line, ask(l).
  template <class Ask, class Fold>
  static SPECTRANS_INLINE void fold_tiles(std::int64_t k, std::int64_t end, std::int64_t last, Vector<T>* to,
                                          std::int64_t pitch, const Ask& ask, const Fold& fold) {
    constexpr int vectors = kTilesOfLine<IO>;
    std::int64_t l = k * lanes;
    for (; k + vectors <= end; k += vectors, l += vectors * lanes, to += vectors * pitch) {
      ask(l);
      unroll<0, vectors>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        fold(to + i * pitch, i + 1 < vectors ? l + i * lanes : min(l + i * lanes, last));
      });
    }
    for (; k < end; ++k, l += lanes, to += pitch) {
      ask(min(l, last));
      fold(to, min(l, last));
    }
  }

  // The same for a tile of signals from wherever they are. A lone item fills its last tile with channels beyond those
  // that are needed, as whole rows do.
  void fold_lanes(std::int64_t pack, std::int64_t k, Vector<T>* tile) const {
    const std::int64_t stride = x_.n_stride, of_item = items_ == 1 ? d_ : channels_;
    const std::int64_t signals = min(items_, x_.batch - pack * items_) * of_item;
    Starts<const IO> direct, mirrored;
    for (int i = 0; i < lanes; ++i) {
      const std::int64_t s = min(first_of(k) + min(i, width_ - 1), signals - 1), l = s % of_item;
      const IO* item = batch_item<const IO>(x_, pack * items_ + s / of_item);
      direct.at[i] = item + l * x_.d_stride;
      mirrored.at[i] = item + (l == 0 ? 0 : d_ - l) * x_.d_stride;
    }
    for (std::int64_t j = 0; j < n_; ++j) {
      Vector<T> value = LaneWise<IO>::load(direct, j * stride) * scale_;
      if constexpr (!kHartley) value += LaneWise<IO>::load(mirrored, (j == 0 ? 0 : n_ - j) * stride) * scale_;
      tile[sequence_.slot[j]] = value;
    }
  }

  // values(q): lanes q, q + 1, ... of the row; ahead: from it to one that is written later
  template <class Values>
  SPECTRANS_INLINE void put_row(IO* row, std::int64_t ahead, const Values& values) const {
    const std::int64_t d = d_, stride = y_.d_stride;
    if (stride == 1 && d >= lanes) {
      constexpr std::int64_t vectors = kTilesOfLine<IO>, line = vectors * lanes;
      std::int64_t at = 0;
      if (streaming_) {
        for (; at + line <= d; at += line) {
          unroll<0, vectors>([&]<int i>()
                                 SPECTRANS_INLINE_LAMBDA { stream(row + at + i * lanes, values(at + i * lanes)); });
        }
        for (; at < d; at += lanes) stream(row + at, values(at));
        return;
      }
      for (; at + line <= d; at += line) {
        fetch(row + at + ahead);
        unroll<0, vectors>([&]<int i>()
                               SPECTRANS_INLINE_LAMBDA { store(row + at + i * lanes, values(at + i * lanes)); });
      }
      for (; at < d; at += lanes) {
        const std::int64_t q = min(at, d - lanes);
        fetch(row + q + ahead);
        store(row + q, values(q));
      }
      return;
    }
    const int count = static_cast<int>(min(lanes, d));
    for (std::int64_t at = 0; at < d; at += lanes) {
      const std::int64_t q = max(0, min(at, d - lanes));
      store_some(row + q * stride, stride, count, values(q));
    }
  }
};

}  // namespace
}  // namespace spectrans
