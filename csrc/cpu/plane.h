// Mixing along both axes of an item: real transforms of its columns (along the sequence, channels in lanes) leave its
// half spectrum in their tiles; from there transforms of its rows (along the hidden axis) give the mixed signal.
#pragma once

#include "ahead.h"
#include "row_transform.h"
#include "tile.h"

namespace spectrans {
namespace {

// Rows between one that is read and one that is asked for.
constexpr std::int64_t kFoldAhead = 2;
// Rows between one that is written and one that is asked for, so that it is there when its turn comes.
constexpr std::int64_t kRowsAhead = 4;
// Bins between one whose row is transformed and one that is asked for.
constexpr std::int64_t kBinsAhead = 8;

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
  // Tiles <- scale x, in slot order, or for the real part scale (x[j, l] + x[-j, -l]): two rows of one, two of the
  // other. Whole rows are read side by side, each from both ends: whatever else of them is asked for later costs as
  // much again.
  void fold_rows(const IO* data, std::int64_t begin, std::int64_t end, Vector<T>* tiles) const {
    const std::int64_t n = n_, d = d_, stride = x_.n_stride, ahead = kFoldAhead * stride, pitch = pitch_;
    const std::int32_t* slot = sequence_.slot;
    const T scale = scale_;
    const std::int64_t whole = end == this->tiles() ? end - 1 : end;
    for (std::int64_t j = 0; j < (kHartley ? n : n / 2 + 1); ++j) {
      const IO* row = data + j * stride;
      Vector<T>* at = tiles + slot[j] + begin * pitch;
      if constexpr (kHartley) {
        for (std::int64_t k = begin; k < end; ++k, at += pitch) {
          fetch(row + ahead + first_of(k));
          *at = load(row + first_of(k)) * scale;
        }
      } else {
        const std::int64_t i = j == 0 ? 0 : n - j, across = slot[i] - slot[j];
        const IO* mirror = data + i * stride;
        // Channels l, l + 1, ... of two rows, and channels -l, -l - 1, ..., which begin one beyond a vector, or with
        // channel 0.
        const auto fold = [=](Vector<T>* to, const IO* a, const IO* b, const IO* a_last, const IO* b_last,
                              const auto& backwards) SPECTRANS_INLINE_LAMBDA {
          fetch(a + ahead);
          fetch(a_last + ahead);
          fetch(b - ahead);
          fetch(b_last - ahead);
          to[0] = (load(a) + backwards(b, b_last)) * scale;
          to[across] = (load(b) + backwards(a, a_last)) * scale;
        };
        const auto first = [](const IO* start, const IO* last)
                               SPECTRANS_INLINE_LAMBDA { return ShufflesOf<T>::turned(load(start), load(last)); };
        const auto other = [](const IO*, const IO* last)
                               SPECTRANS_INLINE_LAMBDA { return ShufflesOf<T>::reverse(load(last + 1)); };
        const std::int64_t l = begin == 0 ? lanes : begin * lanes, from_end = d - lanes - l;
        const IO *a = row + l, *b = mirror + l, *a_last = row + from_end, *b_last = mirror + from_end;
        std::int64_t k = begin;
        if (k == 0) {
          fold(at, row, mirror, row + d - lanes, mirror + d - lanes, first);
          ++k, at += pitch;
        }
        for (; k < whole; ++k, at += pitch, a += lanes, b += lanes, a_last -= lanes, b_last -= lanes) {
          fold(at, a, b, a_last, b_last, other);
        }
        if (k < end) {  // may overlap the one before it
          const std::int64_t back = k * lanes - first_of(k);
          fold(at, a - back, b - back, a_last + back, b_last + back, other);
        }
      }
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
      Vector<T> value = LaneWise<IO>::load(direct, j * stride);
      if constexpr (!kHartley) value += LaneWise<IO>::load(mirrored, (j == 0 ? 0 : n_ - j) * stride);
      tile[sequence_.slot[j]] = value * scale_;
    }
  }

  // values(q): lanes q, q + 1, ... of the row; ahead: from it to one that is written later
  template <class Values>
  SPECTRANS_INLINE void put_row(IO* row, std::int64_t ahead, const Values& values) const {
    const std::int64_t d = d_, stride = y_.d_stride;
    if (streaming_) {
      for (std::int64_t q = 0; q < d; q += lanes) stream(row + q, values(q));
      return;
    }
    if (stride == 1 && d >= lanes) {
      constexpr std::int64_t vectors = kTilesOfLine<IO>, line = vectors * lanes;
      std::int64_t at = 0;
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

// Rows side by side: a vector holds a channel of lanes bins, so that any number of channels will do. Row r is bin r %
// bins of item r / bins of a pack.
template <class IO, bool kHartley>
class BinsInLanes : public Plane<IO, kHartley> {
  using Base = Plane<IO, kHartley>;
  using Base::lanes, Base::x_, Base::n_, Base::d_, Base::bins_, Base::channels_, Base::items_, Base::width_;
  using Base::sequence_, Base::pitch_, Base::staged_pitch_;
  using typename Base::T;
  using Hidden = std::conditional_t<kHartley, ComplexPlan<T>, RealPlan<T>>;

  static std::int64_t slots_of(const ComplexPlan<T>& plan) { return 2 * plan.n; }
  static std::int64_t slots_of(const RealPlan<T>& plan) { return plan.slots; }

  static const Hidden& hidden_plan(std::int64_t d) {
    if constexpr (kHartley) {
      return complex_plan<T>(d);
    } else {
      return real_plan<T>(d);
    }
  }

  static std::int64_t items_of(const Signal& x) {
    const std::int64_t channels = Base::channels_of(x);
    return channels <= lanes / 2 ? max(1, min(x.batch, lanes / channels)) : 1;
  }

 public:
  BinsInLanes(const Signal& x, const Signal& y, double scale)
      : Base(x, y, scale, items_of(x), max(items_of(x) * Base::channels_of(x), min(lanes, x.d))),
        hidden_(hidden_plan(x.d)), block_slots_(padded(slots_of(hidden_))) {}

  std::int64_t row_tasks() const { return ceil_div(items_ * bins_, lanes); }
  std::int64_t row_bytes() const { return block_slots_ * kVectorBytes; }
  std::int64_t work_slots() const {
    return max(sequence_.work, block_slots_ + (kHartley ? 2 : 1) * staged_pitch_ + hidden_.work);
  }

  void rows(std::int64_t pack, std::int64_t task, std::int64_t, const Vector<T>* tiles, Vector<T>* space) const {
    constexpr int kinds = kHartley ? 2 : 1;
    Vector<T>*block = space + kinds * staged_pitch_, *work = block + block_slots_;
    if (items_ > 1) {
      for (int i = 0; i < lanes; ++i) take_row(tiles, min(task * lanes + i, items_ * bins_ - 1), block, i);
    } else {
      for (std::int64_t l = 0; l < channels_; l += lanes) turn_bins(tiles, task * lanes, l / lanes, block);
    }
    if constexpr (kHartley) {
      complex_forward(hidden_, 0, block, block + d_, 1, work);
    } else {
      real_inverse(hidden_, block, work);
    }
    // [lanes][staged_pitch_]: y[p, q] and y[-p, -q] at q
    T* staged[2] = {reinterpret_cast<T*>(space), reinterpret_cast<T*>(space + (kinds - 1) * staged_pitch_)};
    for (std::int64_t q = 0; q < d_; q += lanes) {
      turn_rows<-1>(block, q, staged[0] + q);
      if constexpr (kHartley) turn_rows<1>(block, q, staged[1] + q);
    }
    const std::int64_t first = task * lanes;
    const std::int64_t end = min(first + lanes, min(items_, x_.batch - pack * items_) * bins_);
    for (std::int64_t r = first; r < end; ++r) {
      const std::int64_t at = (r - first) * staged_pitch_;
      Base::put_rows(batch_item<IO>(Base::y_, pack * items_ + r / bins_), r % bins_, staged[0] + at, staged[1] + at);
    }
  }

 private:
  // Row r of a pack in one tile -> lane `to` of a block.
  void take_row(const Vector<T>* tile, std::int64_t r, Vector<T>* block, int to) const {
    const std::int64_t p = r % bins_, first = r / bins_ * channels_;
    T* lane = reinterpret_cast<T*>(block) + to;
    for (std::int64_t l = 0; l < channels_; ++l) {
      const T im = sequence_.im[p] < 0 ? T(0) : tile[sequence_.im[p]][first + l] * sequence_.sign[p];
      set_real<lanes>(lane, l, tile[sequence_.re[p]][first + l]);
      set_imag<lanes>(lane, l, im);
    }
  }

  // Bins p, p + 1, ... of a tile of channels -> the channels of a block of bins.
  void turn_bins(const Vector<T>* tiles, std::int64_t p, std::int64_t k, Vector<T>* block) const {
    const std::int64_t bins = bins_ - p, l = Base::first_of(k), channels = min(lanes, channels_ - l);
    const std::int32_t *re = sequence_.re + p, *im = sequence_.im + p;
    const T* sign = sequence_.sign + p;
    const Vector<T>* tile = tiles + k * pitch_;
    Vector<T> values[lanes];
    for (int i = 0; i < lanes; ++i) values[i] = i < bins ? tile[re[i]] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_real(block, l + i, values[i]);
    for (int i = 0; i < lanes; ++i) values[i] = i < bins && im[i] >= 0 ? tile[im[i]] * sign[i] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_imag(block, l + i, values[i]);
  }

  // Channel l of a block as the hidden transform wants it: vectors, or (kStep = lanes) one lane of each.
  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_real(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * hidden_.slot[l]] = value;
    } else {
      block[kStep * hidden_.re[l]] = value;
    }
  }

  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_imag(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * (d_ + hidden_.slot[l])] = value;
    } else if (hidden_.im[l] >= 0) {
      block[kStep * hidden_.im[l]] = value * -hidden_.sign[l];
    }
  }

  // Columns q, q + 1, ... of a block of rows -> staged rows. Hartley: Re F + kSign Im F.
  template <int kSign>
  void turn_rows(const Vector<T>* block, std::int64_t q, T* to) const {
    const std::int64_t count = d_ - q, im = d_;
    Vector<T> values[lanes];
    if constexpr (kHartley) {
      const std::int32_t* bin = hidden_.bin + q;
      for (int i = 0; i < lanes; ++i) {
        values[i] = i < count ? block[bin[i]] + T(kSign) * block[im + bin[i]] : Vector<T>{};
      }
    } else {
      const std::int32_t* slot = hidden_.slot + q;
      for (int i = 0; i < lanes; ++i) values[i] = i < count ? block[slot[i]] : Vector<T>{};
    }
    transpose<T>(values);
    for (int i = 0; i < lanes; ++i) store(to + i * staged_pitch_, values[i]);
  }

  const Hidden& hidden_;
  const std::int64_t block_slots_;
};

// Rows one after the other: a vector holds neighbouring channels of one bin, as the columns leave them, so that values
// are turned once, on their way out (row_transform.h). The mixed rows of two bins, both real, are the real and the
// imaginary part of one complex transform.
template <class IO, bool kHartley>
class ChannelsInLanes : public Plane<IO, kHartley> {
  using Base = Plane<IO, kHartley>;
  using Base::lanes, Base::d_, Base::bins_, Base::sequence_, Base::pitch_, Base::staged_pitch_;
  using typename Base::T;

  static constexpr std::int64_t kTransforms = 2;  // of a task
  static constexpr int kBins = kHartley ? 1 : 2;  // of a transform

 public:
  // Whether rows have whole vectors, and at least half of those that are turned together.
  static bool suits(std::int64_t d) { return d % lanes == 0 && d >= lanes * lanes / 2; }

  ChannelsInLanes(const Signal& x, const Signal& y, double scale)
      : Base(x, y, scale, 1, ceil_div(Base::channels_of(x), lanes) * lanes), hidden_(row_plan<T>(x.d, lanes)),
        near_(Base::slots() * kVectorBytes <= kGroupBytes) {}

  std::int64_t row_tasks() const { return ceil_div(bins_, kTransforms * kBins); }
  std::int64_t row_bytes() const { return kTransforms * kBins * d_ * sizeof(T); }
  std::int64_t work_slots() const {
    return max(sequence_.work, 2 * (staged_pitch_ / lanes + kTransforms * hidden_.m) + hidden_.child->work);
  }

  void rows(std::int64_t pack, std::int64_t task, std::int64_t next, const Vector<T>* tiles, Vector<T>* space) const {
    T* staged[2] = {reinterpret_cast<T*>(space), reinterpret_cast<T*>(space) + staged_pitch_};
    IO* item = batch_item<IO>(Base::y_, pack);
    const std::int64_t m = hidden_.m, first = task * kTransforms * kBins;
    const std::int64_t transforms = min(kTransforms, ceil_div(bins_ - first, kBins));
    Vector<T>*re = space + 2 * staged_pitch_ / lanes, *im = re + transforms * m, *work = im + transforms * m;
    for (std::int64_t t = 0; t < transforms; ++t) bring(tiles, first + t * kBins, next, re + t * m, im + t * m);
    complex_forward(*hidden_.child, 0, re, im, transforms, work);
    for (std::int64_t t = 0; t < transforms; ++t) {
      const std::int64_t r = first + t * kBins;
      const Ahead ahead = Base::rows_ahead(near_ ? next : -1, 2 * r + kBins);
      row_bins(hidden_, re + t * m, im + t * m,
               [a = staged[0], b = staged[1], next_a = ahead.at(0), next_b = ahead.at(1)](
                   std::int64_t q, const Complex<Vector<T>>& z) SPECTRANS_INLINE_LAMBDA {
                 fetch(next_a + q * sizeof(IO));
                 if constexpr (kBins == 2) fetch(next_b + q * sizeof(IO));
                 store(a + q, kHartley ? z.re - z.im : z.re);
                 store(b + q, kHartley ? z.re + z.im : z.im);
               });
      Base::put_rows(item, bin(r), staged[0], staged[kHartley ? 1 : 0]);
      if (!kHartley && r + 1 < bins_) Base::put_rows(item, bin(r + 1), staged[1], staged[1]);
    }
  }

 private:
  // Which bin row r is of: where tiles are far, neighbours in a cache line are done together.
  std::int64_t bin(std::int64_t r) const { return kVectorBytes < kLine && !near_ ? sequence_.bin[r] : r; }

  // The bin of row r, of the channels of each tile.
  struct Bin {
    const Vector<T>*re, *im;
    std::int64_t pitch;
    T sign;

    Bin(const ChannelsInLanes& plane, const Vector<T>* tiles, std::int64_t r) : pitch(plane.pitch_) {
      const RealPlan<T>& plan = plane.sequence_;
      const std::int64_t bin = plane.bin(min(r, plane.bins_ - 1));
      const bool real = plan.im[bin] < 0;
      re = tiles + plan.re[bin];
      im = real ? re : tiles + plan.im[bin];
      sign = real ? T(0) : plan.sign[bin];
    }

    SPECTRANS_INLINE Complex<Vector<T>> operator()(std::int64_t k) const {
      return {re[k * pitch], im[k * pitch] * sign};
    }
    SPECTRANS_INLINE void fetch(std::int64_t k) const {
      spectrans::fetch(re + k * pitch);
      spectrans::fetch(im + k * pitch);
    }
  };

  // What a transform starts from, of rows r, .. r + kBins - 1. Meanwhile, if the next item has room beside the tiles,
  // the first of the rows are asked for that stand for as many bins; else bins to come.
  void bring(const Vector<T>* tiles, std::int64_t r, std::int64_t next, Vector<T>* re, Vector<T>* im) const {
    const Bin e(*this, tiles, r), f(*this, tiles, r + 1);
    if (near_) {
      bring(e, f, re, im, [ahead = Base::rows_ahead(next, 2 * r)](std::int64_t a) SPECTRANS_INLINE_LAMBDA {
        for (int i = 0; i < kBins; ++i) ahead.fetch(i, a * lanes * sizeof(IO));
      });
    } else {
      const Bin g(*this, tiles, r + kBinsAhead), h(*this, tiles, r + kBinsAhead + 1);
      bring(e, f, re, im, [&, last = Base::tiles()](std::int64_t a) SPECTRANS_INLINE_LAMBDA {
        if (a >= last) return;
        g.fetch(a);
        if (!kHartley) h.fetch(a);
      });
    }
  }

  // re + i im <- E, or E + i F, both Hermitian: E[-l] = conj E[l].
  template <class Fetch>
  void bring(const Bin& e, const Bin& f, Vector<T>* re, Vector<T>* im, const Fetch& fetch) const {
    const std::int32_t* slot = hidden_.child->slot;
    const std::int64_t m = hidden_.m, direct = Base::tiles();
    for (std::int64_t a = 0; a < direct; ++a) {
      fetch(a);
      const Complex<Vector<T>> u = e(a);
      if constexpr (kHartley) {
        re[slot[a]] = u.re;
        im[slot[a]] = u.im;
      } else {
        const Complex<Vector<T>> v = f(a);
        re[slot[a]] = u.re - v.im;
        im[slot[a]] = u.im + v.re;
      }
    }
    // Channels lanes a, lanes a + 1, ...: the first of one tile, then the others of the tile before it, backwards.
    const auto mirrored = [&](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
      const Complex<Vector<T>> u = e(k), v = f(k);
      return Complex<Vector<T>>{u.re + v.im, v.re - u.im};
    };
    if (direct == m) return;
    Complex<Vector<T>> tile = mirrored(m - direct);
    for (std::int64_t a = direct; a < m; ++a) {
      fetch(a);
      const Complex<Vector<T>> before = mirrored(m - 1 - a);
      re[slot[a]] = ShufflesOf<T>::turned(tile.re, before.re);
      im[slot[a]] = ShufflesOf<T>::turned(tile.im, before.im);
      tile = before;
    }
  }

  const RowPlan<T>& hidden_;
  const bool near_;  // whether the caches have room for the next item beside the tiles
};

}  // namespace
}  // namespace spectrans
