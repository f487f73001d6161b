// Running plans of real rows (fft/real_row.h): samples that lie side by side are the lanes of a vector, so that a row
// is read and written as it lies in memory, and a tile, which is one row, stays in the nearest cache. Bins come in
// order.
#pragma once

#include "../../fft/real_row.h"
#include "../transform/transform.h"
#include "lines.h"

namespace spectrans {
namespace {

// The tiles of rows that are done together are pitch() vectors apart.
template <class T>
class RealRows {
  static constexpr int lanes = kLanes<T>;

 public:
  static constexpr int kUnit = lanes / 2;

  explicit RealRows(std::int64_t n) : plan_(real_row_plan<T>(n, lanes)), part_(*plan_.part) {}

  // Whether so many rows are faster this way than each in a lane, as measured: where most lanes would be empty, or
  // (vectors of 16 floats) a tile of full ones would not stay in the nearest cache; half of that does where rows are
  // written past the caches.
  static bool suits(std::int64_t n, std::int64_t rows, bool streaming) {
    const std::int64_t large = streaming ? 32 * 1024 : 64 * 1024;
    return (are_few(rows) || (kVectorBytes == kLine && n * kVectorBytes >= large)) && has_real_rows(n, lanes);
  }
  static bool are_few(std::int64_t rows) { return 2 * rows <= lanes; }

  std::int64_t n() const { return plan_.n; }
  std::int64_t rows() const { return plan_.rows; }  // that are done together: 1 or 2
  std::int64_t blocks() const { return plan_.blocks; }
  std::int64_t pitch() const { return padded(part_.slots + 1); }
  std::int64_t slots() const { return rows() * pitch(); }

  // Samples -> the transforms of the lanes. Meanwhile ask(at) of the vector at each sample `at`.
  template <class IO, class Ask>
  void forward(const IO* row, Vector<T>* tile, const Ask& ask) const {
    const RealStage<T>& first = part_.stage[0];
    with_real_radix(first, [&]<int R, bool kTwiddled>() {
      const RealStage<T> stage = first;
      const std::int32_t* sample = part_.sample;
      const T* w = stage.twiddles;
      for (std::int64_t j = 0; j < stage.m; ++j, w += kTwiddled ? 2 * kRealPairs<R> : 0) {
        Vector<T> x[R];
        unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
          const std::int64_t at = lanes * sample[j + stage.m * t];
          ask(at);
          x[t] = once(load(row + at));
        });
        real_forward_butterfly<R, kTwiddled>(stage, x, w, tile + j);
      }
    });
    real_forward(part_, tile, static_cast<Vector<T>*>(nullptr), Outer{.forward = true});
    tile[part_.slots] = Vector<T>{};
  }

  // And back, m times. streaming: past the caches.
  template <class IO, class Ask>
  void inverse(Vector<T>* tile, IO* row, bool streaming, const Ask& ask) const {
    real_inverse(part_, tile, static_cast<Vector<T>*>(nullptr));
    const std::int32_t* slot = part_.slot;
    for (std::int64_t at = 0; at < plan_.n; at += lanes, ++slot) {
      ask(at);
      if (streaming) {
        stream(row + at, tile[*slot]);
      } else {
        store(row + at, tile[*slot]);
      }
    }
  }

  // Half a block: its lanes are neighbouring bins.
  struct Unit {
    std::int64_t row, first, m;

    // The first bin of vector e, in order; of e >= kUnit, whose lanes are conjugates of bins, the last comes first.
    SPECTRANS_INLINE std::int64_t bin(int e) const {
      return e < kUnit ? first + m * e : m * (lanes - e) - first - (kUnit - 1);
    }
  };
  SPECTRANS_INLINE Unit unit(std::int64_t block, int half) const {
    return {plan_.row[2 * block + half], plan_.first[2 * block + half], plan_.m};
  }

  // 1 in the lanes of a block that are DC in vector 0 and Nyquist in vector kUnit, else 0.
  SPECTRANS_INLINE Vector<T> real_lanes(std::int64_t block) const {
    Vector<T> result{};
    result[0] = unit(block, 0).first == 0 ? 1 : 0;
    result[kUnit] = unit(block, 1).first == 0 ? 1 : 0;
    return result;
  }

  // v[e] <- bins c + m e of all c of a block.
  SPECTRANS_INLINE void join(const Vector<T>* tiles, std::int64_t block, Complex<Vector<T>>* v) const {
    const std::int32_t *re = plan_.re + block * lanes, *im = plan_.im + block * lanes;
    const Vector<T>* tile[2] = {tiles + unit(block, 0).row * pitch(), tiles + unit(block, 1).row * pitch()};
    Vector<T> a[lanes], b[lanes];
    unroll<0, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      a[i] = tile[i / kUnit][re[i]];
      b[i] = tile[i / kUnit][im[i]];
    });
    transpose<T>(a);
    transpose<T>(b);
    const T *cos = plan_.cos + block * lanes * lanes, *sin = plan_.sin + block * lanes * lanes;
    const Vector<T> sign = load(plan_.sign + block * lanes);
    v[0] = {a[0], b[0] * sign};
    unroll<1, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
      v[l] = times(Complex<Vector<T>>{a[l], b[l] * sign}, once(load(cos + l * lanes)), once(load(sin + l * lanes)));
    });
    Dft<lanes, -1, T, Vector<T>>::run(v);
  }

  // And back, L times.
  SPECTRANS_INLINE void spread(Complex<Vector<T>>* v, std::int64_t block, Vector<T>* tiles) const {
    Dft<lanes, 1, T, Vector<T>>::run(v);
    const T *cos = plan_.cos + block * lanes * lanes, *sin = plan_.sin + block * lanes * lanes;
    const Vector<T> sign = load(plan_.sign + block * lanes);
    Vector<T> a[lanes], b[lanes];
    a[0] = v[0].re;
    b[0] = v[0].im * sign;
    unroll<1, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
      const Complex<Vector<T>> z = times_conj(v[l], once(load(cos + l * lanes)), once(load(sin + l * lanes)));
      a[l] = z.re;
      b[l] = z.im * sign;
    });
    transpose<T>(a);
    transpose<T>(b);
    const std::int32_t *re = plan_.re + block * lanes, *im = plan_.im + block * lanes;
    Vector<T>* tile[2] = {tiles + unit(block, 0).row * pitch(), tiles + unit(block, 1).row * pitch()};
    unroll<0, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      tile[i / kUnit][re[i]] = a[i];
      tile[i / kUnit][im[i]] = b[i];
    });
  }

  // The bins m / 2 + m e of a row, e < kUnit, by definition, as they are few: real parts, then imaginary parts.
  SPECTRANS_INLINE Vector<T> last_bins(const Vector<T>* tile) const {
    return weighted_sum(reinterpret_cast<const T*>(tile + part_.re[plan_.m / 2]), plan_.last);
  }
  SPECTRANS_INLINE void set_last_bins(const T* parts, Vector<T>* tile) const {
    tile[part_.re[plan_.m / 2]] = weighted_sum(parts, plan_.last_back);
  }
  SPECTRANS_INLINE std::int64_t last_bin(std::int64_t e) const { return plan_.m / 2 + plan_.m * e; }

 private:
  // sum_i x[i] table[i] over as many as there are lanes: sums of four, side by side.
  static SPECTRANS_INLINE Vector<T> weighted_sum(const T* x, const T* table) {
    constexpr int sums = lanes < 4 ? 1 : lanes / 4;
    Vector<T> sum[sums];
    unroll<0, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Vector<T> product = load(table + i * lanes) * x[i];
      sum[i % sums] = i < sums ? product : sum[i % sums] + product;
    });
    unroll<1, sums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[0] += sum[i]; });
    return sum[0];
  }

  const RealRowPlan<T>& plan_;
  const RealPlan<T>& part_;
};

// The pairs (re, im) of the lanes of each unit of a block, and back: units are halves of vectors, so their pairs are
// vectors. kBackwards: the last lane comes first.
template <bool kBackwards, class T>
SPECTRANS_INLINE void zip_units(const Complex<Vector<T>>& z, Vector<T>* pairs) {
  pairs[0] = ShufflesOf<T>::template zip_half<0, kBackwards>(z.re, z.im);
  pairs[1] = ShufflesOf<T>::template zip_half<1, kBackwards>(z.re, z.im);
}
template <bool kBackwards, class T>
SPECTRANS_INLINE Complex<Vector<T>> unzip_units(const Vector<T>* pairs) {
  return {ShufflesOf<T>::template even<kBackwards>(pairs[0], pairs[1]),
          ShufflesOf<T>::template odd<kBackwards>(pairs[0], pairs[1])};
}

}  // namespace
}  // namespace spectrans
