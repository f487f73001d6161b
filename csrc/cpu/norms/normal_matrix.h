// A^H A of a matrix with many more rows than columns, as a symmetric matrix of real numbers: (re, im) of a column are
// two of its rows. Products of elements are added in the type that A computes in, a few rows of A at a time; those sums
// in double.
#pragma once

#include "panels.h"

namespace spectrans {
namespace {

template <class IO>
class NormalMatrix {
  using T = Compute<IO>;
  using Panel = Panels<T>;
  static constexpr std::int64_t kMaxChunks = 8;  // of rows, with a sum each

 public:
  // Rows of n columns, contiguous, `parts` numbers each.
  NormalMatrix(std::int64_t m, std::int64_t n, std::int64_t row_stride, int parts)
      : m_(m), n_(n), row_stride_(row_stride), parts_(parts), strips_(Panel::strips(n)),
        sums_(Panel::sums(strips_, strips_)), panel_(strips_ * Panel::pitch),
        chunks_(max(1, min(kMaxChunks, m / (4 * n)))) {}

  // Of scratch.
  std::int64_t doubles() const { return chunks_ * parts_ * (sums_ + panel_) * kLanes<double>; }

  // Row i from matrix + i padded on; zeros fill it up.
  void fill(const IO* a, const ThreadPool& pool, double* space, double* matrix, std::int64_t padded) const {
    auto *sums = reinterpret_cast<Vector<double>*>(space), *panels = sums + chunks_ * parts_ * sums_;
    const std::int64_t work = ceil_div(m_, chunks_) * n_ * n_ * parts_;  // about bytes, to `parallel`
    parallel(pool, chunks_, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) {
        add(a, chunk * m_ / chunks_, (chunk + 1) * m_ / chunks_, panels + chunk * parts_ * panel_,
            sums + chunk * parts_ * sums_);
      }
    });
    for (std::int64_t i = 0; i < parts_ * n_; ++i) {
      for (std::int64_t j = parts_ * n_; j < padded; ++j) matrix[i * padded + j] = 0;
    }
    for (std::int64_t i = 0; i < n_; ++i) {
      for (std::int64_t j = i; j < n_; ++j) {
        const double re = total(sums, i, j);
        double* at = matrix + parts_ * (i * padded + j);
        double* mirror = matrix + parts_ * (j * padded + i);
        *at = *mirror = re;
        if (parts_ == 1) continue;
        // (re + i im) (x + i y), and of the conjugate
        const double im = i == j ? 0 : total(sums + sums_, i, j);
        at[padded + 1] = mirror[padded + 1] = re;
        at[padded] = mirror[1] = im;
        at[1] = mirror[padded] = -im;
      }
    }
  }

 private:
  // Rows begin .. end.
  void add(const IO* a, std::int64_t begin, std::int64_t end, void* panels, Vector<double>* sums) const {
    auto *left = static_cast<Vector<T>*>(panels), *turned = left + panel_;
    for (std::int64_t i = 0; i < parts_ * sums_; ++i) sums[i] = Vector<double>{};
    const std::int64_t rows = Panel::depth / parts_;
    for (std::int64_t row = begin; row < end; row += rows) {
      const std::int64_t count = min(rows, end - row) * parts_;
      pack(a + row * row_stride_, count / parts_, left);
      Panel::multiply(left, strips_, left, strips_, count, true, sums);
      if (parts_ == 1) continue;
      for (std::int64_t i = 0; i < panel_; ++i) turned[i] = left[i];
      Panel::turn(turned, strips_, count);
      Panel::multiply(left, strips_, turned, strips_, count, true, sums + sums_);
    }
  }

  // Columns side by side; there are none beyond the last: zeros.
  void pack(const IO* a, std::int64_t rows, Vector<T>* to) const {
    constexpr std::int64_t strip = Panel::strip;
    for (std::int64_t s = 0; s < strips_; ++s, to += Panel::pitch) {
      const std::int64_t first = s * strip, there = parts_ * max(0, min(strip, n_ - first));
      const IO* from = a + first * parts_;
      for (std::int64_t row = 0; row < rows; ++row, from += row_stride_) {
        const Vector<T> low = load_first(from, there);
        if (parts_ == 1) {
          to[row] = low;
        } else {
          const Vector<T> high = load_first(from + strip, there - strip);
          to[2 * row] = ShufflesOf<T>::even(low, high);
          to[2 * row + 1] = ShufflesOf<T>::odd(low, high);
        }
      }
    }
  }

  // Of all chunks, in order.
  double total(const Vector<double>* sums, std::int64_t i, std::int64_t j) const {
    constexpr std::int64_t strip = Panel::strip;
    const auto* at = reinterpret_cast<const double*>(sums) + (i / strip * strips_ + j / strip) * strip * strip +
                     i % strip * strip + j % strip;
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) sum += at[chunk * parts_ * sums_ * kLanes<double>];
    return sum;
  }

  std::int64_t m_, n_, row_stride_;
  int parts_;
  std::int64_t strips_, sums_, panel_, chunks_;
};

}  // namespace
}  // namespace spectrans
