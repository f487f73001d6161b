// Filtering planes [n, d] by the half spectra of their columns, which stay in the columns' tiles: each row of them, of
// one bin, is transformed, multiplied and transformed back by itself. Rows are vectors of neighbouring channels
// (row_transform.h), which come out in order. The way back is one more forward transform, of real and imaginary parts
// exchanged, and so are those of the result.
#pragma once

#include "../memory/storage.h"
#include "../transform/half_rows.h"
#include "../transform/row_transform.h"
#include "plane_arrays.h"

namespace spectrans {
namespace {

template <class T>
class PlaneSpectrum {
  static constexpr int lanes = kLanes<T>;
  static constexpr std::int64_t kRows = 2;                // of a task
  static constexpr std::int64_t kNearBytes = 256 * 1024;  // of an item's tiles that the second-level cache may hold

 public:
  // Whether a row's vectors are whole blocks of those that are turned together.
  static bool suits(std::int64_t d) { return d % (lanes * lanes) == 0; }

  PlaneSpectrum(std::int64_t n, std::int64_t d)
      : d_(d), bins_(n / 2 + 1), columns_(real_plan<T>(n)), rows_(row_plan<T>(d, lanes)),
        pitch_(padded(columns_.slots)), near_(slots() * kVectorBytes <= kNearBytes) {}

  std::int64_t tiles() const { return d_ / lanes; }
  std::int64_t slots() const { return tiles() * pitch_; }
  std::int64_t row_tasks() const { return ceil_div(bins_, kRows); }
  std::int64_t row_bytes() const { return kRows * 2 * d_ * std::int64_t(sizeof(T)); }
  std::int64_t work_slots() const { return max(columns_.work, kRows * 6 * rows_.m + rows_.child->work); }

  // Columns of a group of an item, to its tiles of all. ahead(k): what is asked for beside the transform of tile k.
  template <class Ahead>
  void forward(const Storage<T>& storage, const Signal& x, std::int64_t item, const Group& group, Vector<T>* tiles,
               Vector<T>* work, const Ahead& ahead) const {
    const Tiles<T> of = some(group, tiles);
    storage.gather(x, item, group, columns_.slot, of);
    for (std::int64_t k = 0; k < group.tiles; ++k) real_forward(columns_, of[k], work, {}, ahead(k));
  }
  // n times the samples.
  void inverse(const Storage<T>& storage, const Signal& y, std::int64_t item, const Group& group, bool streaming,
               Vector<T>* tiles, Vector<T>* work) const {
    const Tiles<T> of = some(group, tiles);
    for (std::int64_t k = 0; k < group.tiles; ++k) real_inverse(columns_, of[k], work);
    storage.scatter(y, item, group, streaming, SlotRows<T>{of.data, pitch_, columns_.slot});
  }

  // Rows in the order in which a transform puts their bins, and back: vectors of a block side by side.
  void arrange(const PlaneRows<T>& from, const PlaneRows<T>& to) const {
    for_each_vector([&](std::int64_t at, std::int64_t q) SPECTRANS_INLINE_LAMBDA {
      store(to.re + at, load(from.re + q));
      store(to.im + at, load(from.im + q));
    });
  }
  void arrange_back(const PlaneRows<T>& from, const PlaneRows<T>& to) const {
    for_each_vector([&](std::int64_t at, std::int64_t q) SPECTRANS_INLINE_LAMBDA {
      store(to.re + q, load(from.re + at));
      store(to.im + q, load(from.im + at));
    });
  }

  // Rows of a task of an item's tiles: d times those filtered by the response. sums: conj(with) tiles is added to its
  // rows of that item. Both are arranged.
  template <bool kFilter, bool kGradient>
  void rows(std::int64_t task, Vector<T>* tiles, const Vector<T>* with, const PlaneRows<T>& response,
            const PlaneSums<T>& sums, std::int64_t item, Vector<T>* space) const {
    constexpr std::int64_t of_block = lanes * lanes;
    const std::int64_t m = rows_.m, first = task * kRows, count = min(kRows, bins_ - first), apart = m / lanes;
    Vector<T>*re = space, *im = re + kRows * m, *back_re = im + kRows * m, *back_im = back_re + kRows * m;
    T* const with_re = reinterpret_cast<T*>(back_im + kRows * m);
    T* const with_im = with_re + kRows * d_;
    Vector<T>* const work = back_im + 3 * kRows * m;
    if constexpr (kGradient) {
      transform(with, first, count, re, im, work);
      for (std::int64_t t = 0; t < count; ++t) {
        row_bins(rows_, re + t * m, im + t * m, [&](std::int64_t block) {
          const std::int64_t at = t * d_ + block * of_block;
          return [r = with_re + at, i = with_im + at]<int e>(std::int64_t, const Complex<Vector<T>>& z)
                     SPECTRANS_INLINE_LAMBDA {
                       store(r + e * lanes, z.re);
                       store(i + e * lanes, z.im);
                     };
        });
      }
    }
    transform(tiles, first, count, re, im, work);
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t j = bin(first + t);
      const PlaneRows<T> h = kFilter ? response.row(j) : PlaneRows<T>();
      const PlaneRows<T> sum = kGradient ? sums.row(j, item) : PlaneRows<T>();
      row_bins(rows_, re + t * m, im + t * m, [&](std::int64_t block) {
        const std::int64_t at = block * of_block;
        return [at, h_re = h.re, h_im = h.im, sum_re = sum.re, sum_im = sum.im, x_re = with_re + t * d_,
                x_im = with_im + t * d_, to_re = back_re + t * m, to_im = back_im + t * m,
                sample = rows_.sample + block, apart]<int e>(std::int64_t, const Complex<Vector<T>>& z)
                   SPECTRANS_INLINE_LAMBDA {
                     constexpr int i = e * lanes;
                     if constexpr (i * sizeof(T) % kLine == 0) {
                       const std::int64_t next = at + i + lanes * lanes;
                       if constexpr (kGradient) fetch(sum_re + next), fetch(sum_im + next);
                       if constexpr (kFilter) fetch(h_re + next), fetch(h_im + next);
                     }
                     if constexpr (kGradient) {
                       const Vector<T> a = load(x_re + at + i), b = load(x_im + at + i);
                       store(sum_re + at + i, load(sum_re + at + i) + (a * z.re + b * z.im));
                       store(sum_im + at + i, load(sum_im + at + i) + (a * z.im - b * z.re));
                     }
                     if constexpr (kFilter) {
                       const Complex<Vector<T>> product = times(z, load(h_re + at + i), load(h_im + at + i));
                       const std::int64_t to = sample[e * apart];
                       vector_at<T>(to_re, to) = product.im;
                       vector_at<T>(to_im, to) = product.re;
                     }
                   };
      });
    }
    if constexpr (kFilter) {
      complex_forward(*rows_.child, 0, back_re, back_im, count, work);
      for (std::int64_t t = 0; t < count; ++t) {
        const HalfRow<T, Vector<T>> row(columns_, tiles, pitch_, bin(first + t));
        row_bins(rows_, back_re + t * m, back_im + t * m, [row, apart](std::int64_t block) {
          return [row, apart, block]<int e>(std::int64_t, const Complex<Vector<T>>& z)
                     SPECTRANS_INLINE_LAMBDA { row.put(block + e * apart, z.im, z.re); };
        });
      }
    }
  }

 private:
  Tiles<T> some(const Group& group, Vector<T>* tiles) const {
    return {tiles + group.channel[0] / lanes * pitch_, pitch_, group.tiles};
  }

  // Calls f(at, q): vector q of a row in order, `at` as it is arranged, in values.
  template <class F>
  void for_each_vector(const F& f) const {
    for (int e = 0; e < lanes; ++e) {
      for (std::int64_t q = 0; q < rows_.m; q += lanes) f((q + e) * lanes, e * rows_.m + q);
    }
  }

  std::int64_t bin(std::int64_t r) const { return bin_in_order(columns_, r, near_); }

  // Rows first .. first + count, up to the last stage of their transforms.
  void transform(const Vector<T>* tiles, std::int64_t first, std::int64_t count, Vector<T>* re, Vector<T>* im,
                 Vector<T>* work) const {
    const std::int32_t* sample = rows_.sample;
    for (std::int64_t t = 0; t < count; ++t) {
      const HalfRow<T, const Vector<T>> row(columns_, tiles, pitch_, bin(first + t));
      const HalfRow<T, const Vector<T>> later(columns_, tiles, pitch_, bin(min(first + t + kBinsAhead, bins_ - 1)));
      for (std::int64_t a = 0; a < rows_.m; ++a) {
        later.fetch(a);
        const Complex<Vector<T>> value = row(a);
        vector_at<T>(re + t * rows_.m, sample[a]) = value.re;
        vector_at<T>(im + t * rows_.m, sample[a]) = value.im;
      }
    }
    complex_forward(*rows_.child, 0, re, im, count, work);
  }

  const std::int64_t d_, bins_;
  const RealPlan<T>& columns_;
  const RowPlan<T>& rows_;
  const std::int64_t pitch_;
  const bool near_;
};

}  // namespace
}  // namespace spectrans
