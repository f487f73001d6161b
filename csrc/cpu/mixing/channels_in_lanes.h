// Mixing over both axes (plane.h): rows one after the other, as vectors of neighbouring channels.
#pragma once

#include "../transform/half_rows.h"
#include "../transform/row_transform.h"
#include "plane.h"

namespace spectrans {
namespace {

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
  // Whether rows have whole vectors, and at least half of those that are turned together. And whether rows side by side
  // would leave the first-level cache, or lanes empty, for each that is used nearly as many as a row's last block does:
  // as measured.
  static bool suits(std::int64_t n, std::int64_t d) {
    constexpr std::int64_t near = 32 * 1024;
    const std::int64_t vectors = d / lanes, blocks = ceil_div(vectors, lanes), bins = n / 2 + 1;
    if (d % lanes != 0 || 2 * vectors < lanes) return false;
    return 2 * d * kVectorBytes >= near || 100 * blocks * bins <= 115 * ceil_div(bins, lanes) * vectors;
  }

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
      row_bins(hidden_, re + t * m, im + t * m, [&ahead, a = staged[0], b = staged[1]](std::int64_t block) {
        const Asked asked(ahead, block);
        return [asked, a, b]<int e>(std::int64_t q, const Complex<Vector<T>>& z) SPECTRANS_INLINE_LAMBDA {
          asked.template fetch<e>(q);
          store(a + q, kHartley ? z.re - z.im : z.re);
          store(b + q, kHartley ? z.re + z.im : z.im);
        };
      });
      Base::put_rows(item, bin(r), staged[0], staged[kHartley ? 1 : 0]);
      if (!kHartley && r + 1 < bins_) Base::put_rows(item, bin(r + 1), staged[1], staged[1]);
    }
  }

 private:
  // Rows that are asked for while the vectors of a block are put: where some of these share a cache line, those of one
  // row and of the next in turns.
  class Asked {
   public:
    Asked(const Ahead& rows, std::int64_t block) {
      for (int i = 0; i < kBins; ++i) row_[i] = reinterpret_cast<const IO*>(rows.at((i + block) % kBins));
    }
    template <int e>
    SPECTRANS_INLINE void fetch(std::int64_t q) const {
      if constexpr (kTilesOfLine<IO> > 1) {
        spectrans::fetch(row_[e % kBins] + q);
      } else {
        for (int i = 0; i < kBins; ++i) spectrans::fetch(row_[i] + q);
      }
    }

   private:
    const IO* row_[kBins];
  };

  std::int64_t bin(std::int64_t r) const { return bin_in_order(sequence_, r, near_); }
  // The last one stands for those that are not there.
  HalfRow<T, const Vector<T>> row(const Vector<T>* tiles, std::int64_t r) const {
    return {sequence_, tiles, pitch_, bin(min(r, bins_ - 1))};
  }

  // What a transform starts from, of rows r, .. r + kBins - 1. Meanwhile, if the next item has room beside the tiles,
  // the first of the rows are asked for that stand for as many bins; else bins to come.
  void bring(const Vector<T>* tiles, std::int64_t r, std::int64_t next, Vector<T>* re, Vector<T>* im) const {
    const auto e = row(tiles, r), f = row(tiles, r + 1);
    if (near_) {
      bring(e, f, re, im, [ahead = Base::rows_ahead(next, 2 * r)](std::int64_t a) SPECTRANS_INLINE_LAMBDA {
        for (int i = 0; i < kBins; ++i) ahead.fetch(i, a * lanes * sizeof(IO));
      });
    } else {
      const auto g = row(tiles, r + kBinsAhead), h = row(tiles, r + kBinsAhead + 1);
      bring(e, f, re, im, [&, last = Base::tiles()](std::int64_t a) SPECTRANS_INLINE_LAMBDA {
        if (a >= last) return;
        g.fetch(a);
        if (!kHartley) h.fetch(a);
      });
    }
  }

  // re + i im <- E, or E + i F, both Hermitian: E[-l] = conj E[l].
  template <class Row, class Fetch>
  void bring(const Row& e, const Row& f, Vector<T>* re, Vector<T>* im, const Fetch& fetch) const {
    const std::int32_t* sample = hidden_.sample;
    const std::int64_t m = hidden_.m, direct = Base::tiles();
    for (std::int64_t a = 0; a < direct; ++a) {
      fetch(a);
      const Complex<Vector<T>> u = e(a);
      if constexpr (kHartley) {
        vector_at<T>(re, sample[a]) = u.re;
        vector_at<T>(im, sample[a]) = u.im;
      } else {
        const Complex<Vector<T>> v = f(a);
        vector_at<T>(re, sample[a]) = u.re - v.im;
        vector_at<T>(im, sample[a]) = u.im + v.re;
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
      vector_at<T>(re, sample[a]) = ShufflesOf<T>::turned(tile.re, before.re);
      vector_at<T>(im, sample[a]) = ShufflesOf<T>::turned(tile.im, before.im);
      tile = before;
    }
  }

  const RowPlan<T>& hidden_;
  const bool near_;  // whether the caches have room for the next item beside the tiles
};

}  // namespace
}  // namespace spectrans
