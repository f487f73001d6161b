// The largest singular value of a matrix A with few rows, or of the transpose of one with few columns: its square is
// the largest eigenvalue of A A^H. Squared again and again, its trace kept at one, that small matrix becomes the
// projector onto the eigenvectors of its largest eigenvalue, each row of which is one; eigenvalues that differ in the
// last bit are told apart by as many squarings as a double has bits. A second read of A gives the other singular
// vector.
#pragma once

#include "few_rows.h"

namespace spectrans {
namespace {

template <class IO>
class LargestBySquaring {
  using Out = Compute<IO>;
  using Double = Vector<double>;
  static constexpr std::int64_t lanes = kLanes<double>;
  static constexpr int kSquarings = 56;

  static std::int64_t rows(const SpectralNorm& call) { return min(call.x.n, call.x.d) * (call.pairs ? 2 : 1); }

 public:
  static bool suits(const SpectralNorm& call) { return rows(call) <= SpectralNorm::kFew; }

  // About bytes, to `parallel`.
  static std::int64_t work(const SpectralNorm& call) {
    return FewRows<IO>::work(rows(call), max(call.x.n, call.x.d)) + rows(call) * 256;
  }

  LargestBySquaring(const SpectralNorm& call, const ThreadPool& pool, ScratchRoom room)
      : call_(call), rows_are_x_(call.x.n <= call.x.d), a_(call.x, call.pairs, !rows_are_x_, pool), rows_(a_.rows()),
        parts_(a_.parts()), width_(width(rows_)) {
    const std::int64_t size = rows_ * width_;
    Space<double> space(scratch(room, (a_.doubles() + 3 * size + width_) * sizeof(double)));
    product_ = space.take(size);
    power_ = space.take(size);
    square_ = space.take(size);
    for (std::int64_t i = 0; i < 3 * size; ++i) product_[i] = 0;  // also beside the matrices
    vector_ = space.take(width_);
    a_.use(space.take(a_.doubles()));
  }

  void run(std::int64_t item) {
    const auto* x = batch_item<const IO>(call_.x, item);
    exponent_ = 0;
    double trace = multiply(x);
    if (!(trace > 0x1p-400 && trace < 0x1p400)) {
      const double most = a_.largest();
      if (!(most > 0 && most <= kLargest)) return finish(item, most == 0 ? 0 : __builtin_nan(""), false);
      exponent_ = exponent_of(most);
      trace = multiply(x);
    }
    for (std::int64_t i = 0; i < rows_ * width_; ++i) product_[i] *= 1 / trace;
    find_vector();
    finish(item, __builtin_sqrt(trace * value()), true);
  }

 private:
  // Doubles from a row of the product to the next: vectors that are squared together.
  static std::int64_t width(std::int64_t rows) {
    return rows <= lanes ? lanes : rows <= 2 * lanes ? 2 * lanes : ceil_div(rows, 4 * lanes) * 4 * lanes;
  }

  // product_ = A A^H; returns its trace, as one of real numbers.
  double multiply(const IO* x) {
    a_.set(x, exponent_);
    a_.multiply(product_, width_);
    double trace = 0;
    for (std::int64_t i = 0; i < rows_; ++i) trace += product_[i * (width_ + 1)];
    return trace;
  }

  // vector_: an eigenvector of product_ of its largest eigenvalue. The squares of power_ add up to the trace of its
  // square, which is one (half of it, of complex numbers) when it has become the projector on a single vector.
  void find_vector() {
    for (std::int64_t i = 0; i < rows_ * width_; ++i) power_[i] = product_[i];
    for (int left = kSquarings; left > 0; --left) {
      const double squared = dot(power_, power_, rows_ * width_);
      if (1 - squared * static_cast<double>(parts_) < 0x1p-27) left = 1;  // of what remains, a square is nothing
      switch (width_ / lanes) {
        case 1: square_power<1>(1 / squared); break;
        case 2: square_power<2>(1 / squared); break;
        default: square_power<4>(1 / squared);
      }
    }
    std::int64_t most = 0;
    for (std::int64_t i = 0; i < rows_; i += parts_) {
      if (power_[i * width_ + i] > power_[most * width_ + most]) most = i;
    }
    const double norm = __builtin_sqrt(dot(power_ + most * width_, power_ + most * width_, width_));
    for (std::int64_t i = 0; i < width_; ++i) vector_[i] = power_[most * width_ + i] / norm;
  }

  // power_ = factor power_ power_, `across` vectors of a row at a time.
  template <int across>
  void square_power(double factor) {
    for (std::int64_t i = 0; i < rows_; i += parts_) {
      double* to = square_ + i * width_;
      for (std::int64_t c = 0; c < width_; c += across * lanes) {
        Double sum[across] = {};
        for (std::int64_t k = 0; k < rows_; ++k) {
          unroll<0, across>([&]<int v>() SPECTRANS_INLINE_LAMBDA {
            sum[v] += power_[i * width_ + k] * load(power_ + k * width_ + c + v * lanes);
          });
        }
        unroll<0, across>([&]<int v>() SPECTRANS_INLINE_LAMBDA { store(to + c + v * lanes, factor * sum[v]); });
      }
      if (parts_ == 1) continue;
      for (std::int64_t c = 0; c < width_; c += 2) {  // (re, -im) -> (im, re)
        to[width_ + c] = -to[c + 1];
        to[width_ + c + 1] = to[c];
      }
    }
    double* const power = power_;
    power_ = square_;
    square_ = power;
  }

  // Of the product whose trace is one: that of a unit vector, as exact as the matrix.
  double value() const {
    double sum = 0;
    for (std::int64_t i = 0; i < rows_; ++i) sum += dot(product_ + i * width_, vector_, width_) * vector_[i];
    return sum;
  }

  // u and v: vector_ and A^H vector_ / value, or of the transpose, exchanged and conjugated.
  void finish(std::int64_t item, double value, bool vectors) {
    auto *values = static_cast<Out*>(call_.value) + item, *u = static_cast<Out*>(call_.u) + item * call_.x.n * parts_,
         *v = static_cast<Out*>(call_.v) + item * call_.x.d * parts_;
    *values = static_cast<Out>(exponent_ == 0 ? value : __builtin_ldexp(value, exponent_));
    Out *of_rows = rows_are_x_ ? u : v, *of_columns = rows_are_x_ ? v : u;
    if (!vectors) {
      for (std::int64_t i = 0; i < rows_; ++i) of_rows[i] = 0;
      for (std::int64_t i = 0; i < a_.columns() * parts_; ++i) of_columns[i] = 0;
      return;
    }
    const double sign = rows_are_x_ ? 1 : -1;
    for (std::int64_t i = 0; i < rows_; ++i) {
      of_rows[i] = static_cast<Out>(parts_ == 2 && i % 2 == 1 ? sign * vector_[i] : vector_[i]);
    }
    a_.for_each_column([&](std::int64_t first, std::int64_t count, const double* panel) {
      Out* to = of_columns + first * parts_;
      alignas(kVectorBytes) double each[2 * FewRows<IO>::kMostDepth];
      for (std::int64_t k = 0; k < count; k += lanes) {
        Double re{}, im{};
        for (std::int64_t r = 0; r < rows_; r += parts_) {
          const Double x = load(panel + r * a_.depth() + k);
          re += x * vector_[r];
          if (parts_ == 1) continue;
          const Double y = load(panel + (r + 1) * a_.depth() + k);
          re += y * vector_[r + 1];
          im += x * vector_[r + 1] - y * vector_[r];
        }
        re /= value;
        im *= sign / value;
        if (parts_ == 1) {
          store(each + k, re);
        } else {
          store(each + 2 * k, ShufflesOf<double>::template zip_half<0>(re, im));
          store(each + 2 * k + lanes, ShufflesOf<double>::template zip_half<1>(re, im));
        }
      }
      for (std::int64_t i = 0; i < count * parts_; ++i) to[i] = static_cast<Out>(each[i]);
    });
  }

  const SpectralNorm& call_;
  const bool rows_are_x_;  // or A is the transpose of x
  FewRows<IO> a_;
  const std::int64_t rows_, parts_, width_;
  double *product_, *power_, *square_, *vector_;
  int exponent_ = 0;
};

}  // namespace
}  // namespace spectrans
