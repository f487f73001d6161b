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
  static constexpr std::int64_t kBlock = lanes * lanes;   // values that are turned together
  static constexpr std::int64_t kRows = 2;                // of a task
  static constexpr std::int64_t kNearBytes = 256 * 1024;  // of an item's tiles that the second-level cache may hold

 public:
  // Whether rows have whole vectors, and at least half of those that are turned together.
  static bool suits(std::int64_t d) { return d % lanes == 0 && d >= lanes * lanes / 2; }

  PlaneSpectrum(std::int64_t n, std::int64_t d)
      : d_(d), bins_(n / 2 + 1), columns_(real_plan<T>(n)), rows_(row_plan<T>(d, lanes)),
        pitch_(padded(columns_.slots)), near_(slots() * kVectorBytes <= kNearBytes) {}

  std::int64_t tiles() const { return d_ / lanes; }
  std::int64_t slots() const { return tiles() * pitch_; }
  std::int64_t row_tasks() const { return ceil_div(bins_, kRows); }
  std::int64_t row_bytes() const { return kRows * 2 * d_ * std::int64_t(sizeof(T)); }
  std::int64_t width() const { return rows_.blocks * kBlock; }  // of an arranged row
  std::int64_t work_slots() const {
    return max(columns_.work, kRows * (4 * rows_.m + 2 * width() / lanes) + 2 * line_slots() + rows_.child->work);
  }

  // In what there is to work in.
  PlaneRows<T> row_in_order(Vector<T>* work) const {
    PlaneRows<T> row;
    row.re = reinterpret_cast<T*>(work);
    row.im = row.re + line_slots() * lanes;
    return row;
  }

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

  // Rows as a transform leaves their bins, block by block of vectors, and back: blocks may have bins in common.
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
    if (rows_.m % lanes == 0) {
      rows<kFilter, kGradient, true>(task, tiles, with, response, sums, item, space);
    } else {
      rows<kFilter, kGradient, false>(task, tiles, with, response, sums, item, space);
    }
  }

 private:
  // kWhole: rows are whole blocks, and what comes out of these are the vectors of a row. Else it is put in order first.
  template <bool kFilter, bool kGradient, bool kWhole>
  void rows(std::int64_t task, Vector<T>* tiles, const Vector<T>* with, const PlaneRows<T>& response,
            const PlaneSums<T>& sums, std::int64_t item, Vector<T>* space) const {
    const std::int64_t apart = rows_.m / lanes, m = rows_.m, first = task * kRows, count = min(kRows, bins_ - first);
    Vector<T>*re = space, *im = re + kRows * m, *back_re = im + kRows * m, *back_im = back_re + kRows * m;
    T* const with_re = reinterpret_cast<T*>(back_im + kRows * m);
    T* const with_im = with_re + kRows * width();
    Vector<T>* const line_re = reinterpret_cast<Vector<T>*>(with_im + kRows * width());
    Vector<T>* const line_im = line_re + line_slots();
    Vector<T>* const work = line_im + line_slots();
    T *const to_re = reinterpret_cast<T*>(line_re), *const to_im = reinterpret_cast<T*>(line_im);
    if constexpr (kGradient) {
      transform(with, first, count, re, im, work);
      for (std::int64_t t = 0; t < count; ++t) {
        row_bins(rows_, re + t * m, im + t * m, [&](std::int64_t block) {
          const std::int64_t at = t * width() + block * kBlock;
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
        const std::int64_t at = block * kBlock;
        return [at, h_re = h.re, h_im = h.im, sum_re = sum.re, sum_im = sum.im, x_re = with_re + t * width(),
                x_im = with_im + t * width(), own_re = back_re + t * m, own_im = back_im + t * m, to_re, to_im,
                sample = rows_.sample + block, apart]<int e>(std::int64_t q, const Complex<Vector<T>>& z)
                   SPECTRANS_INLINE_LAMBDA {
                     constexpr int i = e * lanes;
                     if constexpr (i * sizeof(T) % kLine == 0) {
                       const std::int64_t next = at + i + kBlock;
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
                       if constexpr (kWhole) {
                         const std::int64_t to = sample[e * apart];
                         vector_at<T>(own_re, to) = product.im;
                         vector_at<T>(own_im, to) = product.re;
                       } else {
                         store(to_re + q, product.im);
                         store(to_im + q, product.re);
                       }
                     }
                   };
      });
      for (std::int64_t a = 0; kFilter && !kWhole && a < m; ++a) {
        vector_at<T>(back_re + t * m, rows_.sample[a]) = line_re[a];
        vector_at<T>(back_im + t * m, rows_.sample[a]) = line_im[a];
      }
    }
    if constexpr (kFilter) {
      complex_forward(*rows_.child, 0, back_re, back_im, count, work);
      for (std::int64_t t = 0; t < count; ++t) {
        const HalfRow<T, Vector<T>> row(columns_, tiles, pitch_, bin(first + t));
        row_bins(rows_, back_re + t * m, back_im + t * m, [row, apart, to_re, to_im](std::int64_t block) {
          return [row, apart, to_re, to_im, block]<int e>(std::int64_t q, const Complex<Vector<T>>& z)
                     SPECTRANS_INLINE_LAMBDA {
                       if constexpr (kWhole) {
                         row.put(block + e * apart, z.im, z.re);
                       } else {
                         store(to_re + q, z.im);
                         store(to_im + q, z.re);
                       }
                     };
        });
        for (std::int64_t a = 0; !kWhole && a < m; ++a) row.put(a, line_re[a], line_im[a]);
      }
    }
  }

  Tiles<T> some(const Group& group, Vector<T>* tiles) const {
    return {tiles + group.channel[0] / lanes * pitch_, pitch_, group.tiles};
  }

  // Of a row in order, and what its last vector may have beyond that.
  std::int64_t line_slots() const { return rows_.m + 1; }

  // Calls f(at, q): the vector from value q of a row on, in order, is at `at` as it is arranged. What is beyond the
  // row, or a later vector's, counts for nothing.
  template <class F>
  void for_each_vector(const F& f) const {
    for (std::int64_t block = 0; block < rows_.blocks; ++block) {
      const std::int64_t first = row_block(rows_, block);
      for (int e = 0; e < lanes; ++e) f(block * kBlock + e * lanes, first + e * rows_.m);
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
