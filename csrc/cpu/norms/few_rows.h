// A A^H of a matrix A with few rows, in double, in one read of A. A complex matrix is one of real numbers, (re, im) of
// an element in two rows of it; A A^H as well, each of its elements a block ((re, -im), (im, re)).
#pragma once

#include "wide.h"

namespace spectrans {
namespace {

template <class IO>
class FewRows {
  using Double = Vector<double>;
  static constexpr std::int64_t lanes = kLanes<double>;
  static constexpr std::int64_t kPanel = 2048;  // real numbers of A that are read at a time, of a number of columns
  static constexpr std::int64_t kLeastDepth = 64;
  static constexpr std::int64_t kMaxChunks = 16;     // of columns, with a sum each
  static constexpr std::int64_t kChunk = 32 * 1024;  // real numbers, at least
  static constexpr std::int64_t kBlock = 4;          // products of two rows with two rows

 public:
  static constexpr std::int64_t kMostDepth = 256;

  // About bytes, to `parallel`: reading A twice, its products, and as much as those again.
  static std::int64_t work(std::int64_t rows, std::int64_t columns) {
    return rows * (2 * columns * std::int64_t(sizeof(IO)) + rows * columns / 8 + rows * rows);
  }

  // The transpose of a matrix has its columns for rows, and the other way round.
  FewRows(const Signal& of, bool pairs, bool transposed, const ThreadPool& pool)
      : pool_(pool), parts_(pairs ? 2 : 1), rows_(parts_ * (transposed ? of.d : of.n)),
        columns_(transposed ? of.n : of.d), row_stride_(transposed ? of.d_stride : of.n_stride),
        column_stride_(transposed ? of.n_stride : of.d_stride), even_(ceil_div(rows_, 2) * 2),
        depth_(min(kMostDepth, kPanel / even_ / kLeastDepth * kLeastDepth)), sums_(kBlock * even_ * (even_ + 2) / 8) {
    const std::int64_t chunks = max(1, min(kMaxChunks, rows_ * columns_ / kChunk));
    chunk_ = max(1, ceil_div(ceil_div(columns_, chunks), depth_)) * depth_;
    chunks_ = ceil_div(columns_, chunk_);
    of_chunk_ = even_ * depth_ + sums_ * lanes;
  }

  // Real ones.
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t parts() const { return parts_; }
  // Doubles from a row of a panel to the next.
  std::int64_t depth() const { return depth_; }

  // Of scratch.
  std::int64_t doubles() const { return chunks_ * (of_chunk_ + sums_); }
  void use(double* space) {
    panels_ = space;
    partial_ = space + chunks_ * of_chunk_;
    for (std::int64_t i = 0; i < chunks_ * of_chunk_; ++i) panels_[i] = 0;
  }

  // What is multiplied, and read, from now on: a 2^-exponent.
  void set(const IO* a, int exponent) {
    a_ = a;
    exponent_ = exponent;
  }

  // Infinite or NaN if an element is.
  double largest() const {
    return column_stride_ == parts_ ? largest_magnitude(a_, rows_ / parts_, row_stride_, columns_ * parts_)
                                    : largest_magnitude(a_, columns_, column_stride_, rows_);
  }

  // A A^H, its rows `pitch` apart.
  void multiply(double* product, std::int64_t pitch) const {
    for_each_chunk([&](std::int64_t chunk) {
      auto* sums = reinterpret_cast<Double*>(panels_ + chunk * of_chunk_ + even_ * depth_);
      for (std::int64_t i = 0; i < sums_; ++i) sums[i] = Double{};
      for_each_piece(chunk, false,
                     [&](std::int64_t, std::int64_t count, const double* panel) { add_products(panel, count, sums); });
      for (std::int64_t i = 0; i < sums_; i += kBlock) {
        horizontal_sums<double, kBlock>(sums + i, partial_ + chunk * sums_ + i);
      }
    });
    const double* from = partial_;
    for (std::int64_t i = 0; i < rows_; i += 2) {
      for (std::int64_t j = i; j < rows_; j += 2, from += kBlock) {
        double sum[kBlock] = {};  // of rows i and i + 1, with j and j + 1
        for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
          for (int q = 0; q < kBlock; ++q) sum[q] += from[chunk * sums_ + q];
        }
        if (parts_ == 2) {
          const double re = sum[0] + sum[3], im = sum[2] - sum[1];
          sum[0] = sum[3] = re;
          sum[1] = -im;
          sum[2] = im;
        }
        for (std::int64_t p = 0; p < 2 && i + p < rows_; ++p) {
          for (std::int64_t q = 0; q < 2 && j + q < rows_; ++q) {
            product[(i + p) * pitch + j + q] = product[(j + q) * pitch + i + p] = sum[2 * p + q];
          }
        }
      }
    }
  }

  // body(first, count, panel) for columns first .. first + count: panel[r depth + k] is their column k, zeros up to a
  // whole vector of them. After `multiply`.
  template <class Body>
  void for_each_column(const Body& body) const {
    for_each_chunk([&](std::int64_t chunk) { for_each_piece(chunk, true, body); });
  }

 private:
  template <class Body>
  void for_each_chunk(const Body& body) const {
    parallel(pool_, chunks_, work(rows_, chunk_), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) body(chunk);
    });
  }

  // again: where a chunk is one panel, it has been read already.
  template <class Body>
  void for_each_piece(std::int64_t chunk, bool again, const Body& body) const {
    double* panel = panels_ + chunk * of_chunk_;
    const std::int64_t end = min(columns_, (chunk + 1) * chunk_);
    for (std::int64_t first = chunk * chunk_; first < end; first += depth_) {
      const std::int64_t count = min(depth_, end - first);
      if (!again || chunk_ > depth_) read(first, count, panel);
      body(first, count, panel);
    }
  }

  // Columns first .. first + count of A, as rows of doubles; zeros up to a whole load.
  void read(std::int64_t first, std::int64_t count, double* to) const {
    const IO* at = a_ + first * column_stride_;
    if (parts_ == 1 && column_stride_ == 1) {
      for (std::int64_t r = 0; r < rows_; ++r) read_row(at + r * row_stride_, count, to + r * depth_);
    } else if (column_stride_ == 2 && (parts_ == 2 || (rows_ == 2 && row_stride_ == 1))) {
      for (std::int64_t r = 0; r < rows_; r += 2) read_rows(at + r / 2 * row_stride_, count, to + r * depth_);
    } else {
      for (std::int64_t r = 0; r < rows_; ++r) {
        const IO* from = at + r / parts_ * row_stride_ + r % parts_;
        for (std::int64_t k = 0; k < count; ++k) to[r * depth_ + k] = wide_element(from + k * column_stride_);
        fill_up(to + r * depth_, count);
      }
    }
    if (exponent_ == 0) return;
    const double scale = __builtin_ldexp(1, -exponent_);
    for (std::int64_t i = 0; i < rows_ * depth_; ++i) to[i] *= scale;
  }

  static void read_row(const IO* from, std::int64_t count, double* to) {
    std::int64_t k = 0;
    for (; k + kStep<IO> <= count; k += kStep<IO>) load_wide(from + k).store(to + k);
    if (k < count) load_wide_some(from + k, static_cast<int>(count - k)).store(to + k);
  }

  // Two rows, whose elements lie side by side.
  void read_rows(const IO* from, std::int64_t count, double* to) const {
    std::int64_t k = 0;
    for (; k + lanes <= count; k += lanes) {
      Double low, high;
      if constexpr (Wide<IO>::count == 2) {
        const Wide<IO> both = load_wide(from + 2 * k);
        low = both.part[0];
        high = both.part[1];
      } else {
        low = load(from + 2 * k);
        high = load(from + 2 * k + lanes);
      }
      store(to + k, ShufflesOf<double>::even(low, high));
      store(to + depth_ + k, ShufflesOf<double>::odd(low, high));
    }
    for (; k < count; ++k) {
      to[k] = wide_element(from + 2 * k);
      to[depth_ + k] = wide_element(from + 2 * k + 1);
    }
    fill_up(to, count);
    fill_up(to + depth_, count);
  }

  static void fill_up(double* row, std::int64_t count) {
    for (; count % lanes != 0; ++count) row[count] = 0;
  }

  void add_products(const double* panel, std::int64_t count, Double* sums) const {
    for (std::int64_t i = 0; i < even_; i += 2) {
      const double* left = panel + i * depth_;
      for (std::int64_t j = i; j < even_; j += 2, sums += kBlock) {
        const double* right = panel + j * depth_;
        Double sum[kBlock] = {sums[0], sums[1], sums[2], sums[3]};
        for (std::int64_t k = 0; k < count; k += lanes) {
          const Double a = load(left + k), b = load(left + depth_ + k);
          const Double c = load(right + k), d = load(right + depth_ + k);
          sum[0] += a * c;
          sum[1] += a * d;
          sum[2] += b * c;
          sum[3] += b * d;
        }
        unroll<0, kBlock>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sums[q] = sum[q]; });
      }
    }
  }

  const ThreadPool& pool_;
  std::int64_t parts_;  // real numbers of an element
  std::int64_t rows_, columns_, row_stride_, column_stride_;
  std::int64_t even_, depth_, sums_, chunk_, chunks_, of_chunk_;
  double *panels_ = nullptr, *partial_ = nullptr;
  const IO* a_ = nullptr;
  int exponent_ = 0;
};

}  // namespace
}  // namespace spectrans
