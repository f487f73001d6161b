// The largest singular value of a matrix A by Golub-Kahan-Lanczos bidiagonalisation, in the form of Lanczos' iteration
// on A^H A: w = A^H (A v) takes one read of A, a few rows at a time. Where A has few columns for its many rows, and a
// few steps were not enough, A^H A is calculated, and takes its place.
//
// Steps may round to single precision; what is returned comes from a last product in double: theta = |A v|^2 <= sigma^2
// for a unit vector v, and some eigenvalue of A^H A lies within its residual |A^H A v - theta v|. If that does not
// prove the accuracy asked for, the iteration goes on in double, if need be until the bidiagonalisation is complete,
// which is exact. (The residual over the distance to the next eigenvalue is smaller, but no bound: a value that Lanczos
// has not told from the largest yet would be overlooked.)
#pragma once

#include "normal_matrix.h"
#include "tridiagonal.h"

namespace spectrans {
namespace {

// Of vectors like those of `dot`.
inline void add_multiple(double factor, const double* x, double* to, std::int64_t padded) {
  for (std::int64_t i = 0; i < padded; i += kLanes<double>) store(to + i, load(to + i) + factor * load(x + i));
}

// w = A^H (A v) for real rows of `length` elements, `kRight` right-hand sides at once: a complex row (re, im), ...
// meets (re, -im), ... and (im, re), ..., which gives the real and the imaginary part of its product.
template <class IO, class T, int kRight>
struct NormalProduct {
  static constexpr int parts = kStep<IO> / kLanes<T>;  // vectors a load
  // Rows: sums enough to hide the latency of an addition, and a block that leaves the first cache room for the next.
  static constexpr int together = parts * kRight == 1 ? 4 : 8 / (parts * kRight);

  struct Loaded {
    Vector<T> part[parts];
  };
  static SPECTRANS_INLINE Loaded widen_to(Vector<Compute<IO>> value) {
    if constexpr (parts == 1) {
      return {{value}};
    } else {
      return bit_cast<Loaded>(widened<IO>(value));
    }
  }
  static SPECTRANS_INLINE Loaded load_row(const IO* from) {
    if constexpr (parts == 1) {
      return {{load(from)}};
    } else {
      return bit_cast<Loaded>(load_wide(from));
    }
  }

  // Rows begin .. end of A: to[q] += their part of w, of right-hand side q; products[row kRight + q], where not null,
  // is A v. Returns |A v|^2, in double only. v[q], to[q] are `padded` apart. A and A^H are multiplied by first and
  // second.
  static double rows(const IO* a, std::int64_t row_stride, std::int64_t length, std::int64_t padded, std::int64_t begin,
                     std::int64_t end, T first, T second, const T* v, T* to, double* products) {
    constexpr int lanes = kLanes<T>;
    const std::int64_t whole = length / kStep<IO> * kStep<IO>;
    const int rest = static_cast<int>(length - whole);
    const std::int64_t ahead = together * row_stride;
    double squares = 0;
    for (std::int64_t row = begin; row < end; row += together) {
      const int there = static_cast<int>(min(together, end - row));
      const IO* at[together];
      for (int r = 0; r < together; ++r) at[r] = a + (row + (r < there ? r : 0)) * row_stride;
      Vector<T> sum[together][kRight][parts] = {};
      const auto multiply = [&]<int r>(const Loaded& x, std::int64_t j) SPECTRANS_INLINE_LAMBDA {
        unroll<0, kRight * parts>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
          constexpr int q = i / parts, p = i % parts;
          sum[r][q][p] += x.part[p] * load(v + q * padded + j + p * lanes);
        });
      };
      for (std::int64_t j = 0; j < whole; j += kStep<IO>) {
        unroll<0, together>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          if constexpr (r % 2 == 0) prefetch_beyond(at[r] + j, ahead * std::int64_t(sizeof(IO)));
          multiply.template operator()<r>(load_row(at[r] + j), j);
        });
      }
      Loaded tail[together];
      if (rest > 0) {
        unroll<0, together>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          tail[r] = widen_to(load_some(at[r] + whole, 1, rest));
          multiply.template operator()<r>(tail[r], whole);
        });
      }
      T s[kRight][together];
      unroll<0, kRight>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
        Vector<T> all[together];
        unroll<0, together>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          all[r] = sum[r][q][0];
          unroll<1, parts>([&]<int p>() SPECTRANS_INLINE_LAMBDA { all[r] += sum[r][q][p]; });
        });
        horizontal_sums<T, together>(all, s[q]);
        for (int r = 0; r < together; ++r) s[q][r] = r < there ? first * s[q][r] : 0;
      });
      if (products != nullptr) {
        for (int r = 0; r < there; ++r) {
          for (int q = 0; q < kRight; ++q) products[(row + r) * kRight + q] = s[q][r];
        }
      }
      if constexpr (std::is_same_v<T, double>) {
        for (int q = 0; q < kRight; ++q) {
          for (int r = 0; r < together; ++r) squares += square(s[q][r]);
        }
      }
      for (int q = 0; q < kRight; ++q) {
        for (int r = 0; r < together; ++r) s[q][r] *= second;
      }
      const auto add = [&](const Loaded* x, std::int64_t j) SPECTRANS_INLINE_LAMBDA {
        unroll<0, kRight * parts>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
          constexpr int q = i / parts, p = i % parts;
          T* w = to + q * padded + j + p * lanes;
          Vector<T> value = load(w);
          unroll<0, together>([&]<int r>() SPECTRANS_INLINE_LAMBDA { value += x[r].part[p] * s[q][r]; });
          store(w, value);
        });
      };
      for (std::int64_t j = 0; j < whole; j += kStep<IO>) {
        Loaded x[together];
        unroll<0, together>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          if constexpr (r % 2 == 1) prefetch_beyond(at[r] + j, ahead * std::int64_t(sizeof(IO)));
          x[r] = load_row(at[r] + j);
        });
        add(x, j);
      }
      if (rest > 0) add(tail, whole);
    }
    return squares;
  }
};

template <class IO>
class LargestSingularValue {
  using Out = Compute<IO>;
  // The residual that is asked for, relative to theta: sigma is then within half of it of a singular value. Of the
  // largest only where it is far below the promised 1e-6 and 1e-10: of two values whose distance, times what the start
  // has of the first one's vector for what it has of the second's, is below the residual, it shows the second. So
  // single precision is not enough, but to begin with.
  template <class T>
  static constexpr double kTolerance = std::is_same_v<T, float>     ? 5e-7
                                       : std::is_same_v<Out, float> ? 1e-10
                                                                    : 5e-12;
  static constexpr std::int64_t kFew = 24;           // steps that are always made: small matrices are done to the end
  static constexpr std::int64_t kMaxChunks = 16;     // of rows, with a sum each
  static constexpr std::int64_t kChunk = 32 * 1024;  // elements, at least
  static constexpr std::int64_t kSingleSteps = 160;  // in single precision
  // A^H A takes the place of an A with so many rows for a column, at least, and so many columns, at most, after the
  // first steps: it costs as much as a number of steps that grows with the columns, the more the nearer A is.
  static constexpr std::int64_t kRowsPerColumn = 8, kColumnsPerStep = 64;
  // (As measured on a Xeon where vectors are whole cache lines, else on a Zen 3.)
  static constexpr bool kLines = kVectorBytes == kLine, kSingle = std::is_same_v<Out, float>;
  static constexpr std::int64_t kMostColumns = kLines ? (kSingle ? 512 : 320) : (kSingle ? 160 : 384);
  static constexpr std::int64_t kMostColumnsOfFar = kLines && !kSingle ? kMostColumns : 512;
  static constexpr std::int64_t kFarBytes = 8 * 1024 * 1024;

 public:
  // About bytes, to `parallel`.
  static std::int64_t work(const SpectralNorm& call) { return 64 * call.x.n * call.x.d * (call.pairs ? 2 : 1); }

  LargestSingularValue(const SpectralNorm& call, const ThreadPool& pool, ScratchRoom room)
      : call_(call), pool_(pool), right_(call.pairs ? 2 : 1), rows_are_beside_(call.x.d_stride == right_),
        m_(rows_are_beside_ ? call.x.n : call.x.d), n_(rows_are_beside_ ? call.x.d : call.x.n),
        row_stride_(rows_are_beside_ ? call.x.n_stride : call.x.d_stride), length_(n_ * right_),
        normal_(m_, n_, row_stride_, static_cast<int>(right_)) {
    padded_ = ceil_div(length_, 16) * 16;
    chunks_ = max(1, min(kMaxChunks, m_ * length_ / kChunk));
    chunk_ = ceil_div(ceil_div(m_, chunks_), 8) * 8;
    chunks_ = ceil_div(m_, chunk_);
    // Steps after which nothing is left. What a wide matrix maps to zero is one eigenvalue more, which rounding can
    // bring back.
    full_ = min(m_ * right_ + 8, length_);
    const bool far = m_ * length_ * std::int64_t(sizeof(IO)) > kFarBytes;
    const bool tall = m_ >= kRowsPerColumn * n_ && length_ <= (far ? kMostColumnsOfFar : kMostColumns);
    from_step_ = tall ? length_ / kColumnsPerStep : full_;
    const std::int64_t doubles = (full_ + 1) * padded_ + 3 * padded_ + (right_ + chunks_ * right_) * padded_ + chunks_ +
                                 m_ * right_ + 5 * (full_ + 1) + (tall ? length_ * padded_ + normal_.doubles() : 0);
    Space<double> space(scratch(room, doubles * sizeof(double)));
    if (tall) {  // first, for its alignment
      normal_space_ = space.take(normal_.doubles());
      normal_matrix_ = space.take(length_ * padded_);
    }
    basis_ = space.take((full_ + 1) * padded_);
    v_ = space.take(padded_);
    w_ = space.take(padded_);
    start_ = space.take(padded_);
    turned_ = space.take(right_ * padded_);
    partial_ = space.take(chunks_ * right_ * padded_);
    squares_ = space.take(chunks_);
    products_ = space.take(m_ * right_);
    alpha_ = space.take(full_ + 1);
    beta_ = space.take(full_ + 1);
    y_ = space.take(full_ + 1);
    room_ = space.take(2 * (full_ + 1));
  }

  void run(std::int64_t item) {
    a_ = batch_item<const IO>(call_.x, item);
    first_ = second_ = shrink_ = 1;
    exponent_ = 0;
    normal_is_there_ = false;
    pseudo_random(start_);
    double squared = product<double>(start_, false);
    if (!(squared > 0x1p-400 && squared < 0x1p400)) {
      const double most = largest_magnitude(a_, m_, row_stride_, length_);
      if (!(most > 0 && most <= kLargest)) return finish(item, most == 0 ? 0 : __builtin_nan(""), false);
      rescale(most);
      squared = product<double>(start_, false);
    }
    bool near = false;
    if constexpr (std::is_same_v<Out, float>) {
      if (exponent_ == 0 && squared > 0x1p-80 && squared < 0x1p80 && m_ * length_ >= kChunk) {
        near = iterate<float>();
        if (near && normal_is_there_) return finish(item, __builtin_sqrt(theta_), true);
        copy(v_, start_);  // on from where it got to: its product is there
        if (!near) {       // and a little of everything
          pseudo_random(w_);
          for (std::int64_t i = 0; i < padded_; ++i) start_[i] = v_[i] + 0x1p-7 * w_[i];
          normalise(start_);
          product<double>(start_, false);
        }
      }
    }
    iterate<double>(near);  // to the end, if need be
    finish(item, __builtin_sqrt(theta_), true);
  }

 private:
  // Uniform in (-1, 1), the same every time; any fixed vector of structure would be orthogonal to somebody's.
  void pseudo_random(double* to, std::uint64_t seed = 0) const {
    std::uint64_t state = seed << 32;
    for (std::int64_t i = 0; i < padded_; ++i) {
      state += 0x9e3779b97f4a7c15u;
      std::uint64_t z = state;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      z ^= z >> 31;
      to[i] = i < length_ ? (static_cast<double>(z >> 11) + 0.5) * 0x1p-52 - 1 : 0;
    }
    normalise(to);
  }

  void normalise(double* v) const {
    const double norm = __builtin_sqrt(dot(v, v, padded_));
    for (std::int64_t i = 0; i < padded_; ++i) v[i] /= norm;
  }

  // Powers of two that bring squares into range, and products before those.
  void rescale(double most) {
    exponent_ = exponent_of(most);
    shrink_ = exponent_ > 500 ? 0x1p-40 : exponent_ < -500 ? 0x1p400 : 1;
    second_ = __builtin_ldexp(1, -exponent_);
    first_ = second_ / shrink_;
  }

  // w = A^H (A v), scaled; returns |A v|^2. With `keep`, products_ is A v.
  template <class T>
  double product(const double* v, bool keep) {
    return call_.pairs ? product<T, 2>(v, keep) : product<T, 1>(v, keep);
  }

  template <class T, int kRight>
  double product(const double* v, bool keep) {
    T *turned = reinterpret_cast<T*>(turned_), *partial = reinterpret_cast<T*>(partial_);
    for (std::int64_t i = 0; i < padded_; ++i) {
      turned[i] = static_cast<T>(kRight == 2 && i % 2 == 1 ? -shrink_ * v[i] : shrink_ * v[i]);
      if constexpr (kRight == 2) turned[padded_ + i] = static_cast<T>(shrink_ * v[i ^ 1]);
    }
    parallel(pool_, chunks_, chunk_ * length_ * std::int64_t(sizeof(IO)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) {
        T* to = partial + chunk * kRight * padded_;
        for (std::int64_t i = 0; i < kRight * padded_; ++i) to[i] = 0;
        squares_[chunk] = NormalProduct<IO, T, kRight>::rows(
            a_, row_stride_, length_, padded_, chunk * chunk_, min(m_, (chunk + 1) * chunk_), static_cast<T>(first_),
            static_cast<T>(second_), turned, to, keep ? products_ : nullptr);
      }
    });
    double squared = 0;
    for (std::int64_t i = 0; i < padded_; ++i) w_[i] = 0;
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      squared += squares_[chunk];
      const T* p = partial + chunk * kRight * padded_;
      for (std::int64_t i = 0; i < padded_; ++i) {
        if constexpr (kRight == 1) {
          w_[i] += p[i];
        } else {  // (p_re + q_im, q_re - p_im)
          const T* q = p + padded_;
          w_[i] += i % 2 == 0 ? p[i] + q[i + 1] : q[i - 1] - p[i];
        }
      }
    }
    return squared;
  }

  // The product with vector k of the basis.
  template <class T>
  void step(std::int64_t k) {
    const double* v = basis_ + k * padded_;
    if (!std::is_same_v<T, Out> || k < from_step_ || exponent_ != 0) {
      product<T>(v, false);
      return;
    }
    if (!normal_is_there_) normal_.fill(a_, pool_, normal_space_, normal_matrix_, padded_);
    normal_is_there_ = true;
    for (std::int64_t i = 0; i < length_; ++i) w_[i] = dot(normal_matrix_ + i * padded_, v, padded_);
  }

  // Lanczos from start_, whose product is w_. Leaves theta_ and the unit vector v_; whether they are proved accurate,
  // or the bidiagonalisation is complete.
  template <class T>
  bool iterate(bool near = std::is_same_v<T, float>) {
    constexpr bool single = std::is_same_v<T, float>;
    // Of an estimate: what single products round comes on top of it. Steps of A^H A are in double, and go on until two
    // values are told apart; it is near enough to A's for that.
    constexpr double asked = single ? 0.9 * kTolerance<T> : kTolerance<T>;
    constexpr double nothing = single ? 1e-7 : 1e-14;  // of what is left after a step, relative
    const std::int64_t most = single ? min(full_, kSingleSteps) : full_;
    double enough = asked, low = 0, widest = 0;  // low, widest: bounds of the largest eigenvalue
    bool again = false;
    copy(start_, basis_);
    for (std::int64_t k = 0;;) {
      if (k > 0) step<T>(k);
      alpha_[k] = dot(basis_ + k * padded_, w_, padded_);
      orthogonalise(k + 1);
      beta_[k] = __builtin_sqrt(dot(w_, w_, padded_));
      widest = larger(widest, alpha_[k] + beta_[k] + (k > 0 ? beta_[k - 1] : 0));
      ++k;
      const bool complete = beta_[k - 1] <= nothing * widest, last = k == most || (complete && again);
      if (complete && !last) {  // all that the start has a part of: on with another, which may have a part of more
        again = true;
        pseudo_random(w_, 1);
        orthogonalise(k);
        normalise(w_);
        copy(w_, basis_ + k * padded_);
        beta_[k - 1] = 0;
        continue;
      }
      if (last || (k % 2 == 0 && (k >= kFew || (near && k > 3)))) {
        low = eigenvalue(alpha_, beta_, k, low * (1 - 1e-12), 2 * widest);
        eigenvector(alpha_, beta_, k, low, y_, room_);
        if (last || beta_[k - 1] * __builtin_fabs(y_[k - 1]) <=
                        (single && normal_is_there_ ? kTolerance<double> : enough) * low) {
          if (proved(k, kTolerance<T>)) return true;
          if (last || single) return last && !single;
          enough /= 8;
          step<T>(k - 1);  // its w, which the proof has overwritten
          orthogonalise(k);
        }
      }
      for (std::int64_t i = 0; i < padded_; ++i) basis_[k * padded_ + i] = w_[i] / beta_[k - 1];
    }
  }

  static double larger(double a, double b) { return a > b ? a : b; }
  void copy(const double* from, double* to) const {
    for (std::int64_t i = 0; i < padded_; ++i) to[i] = from[i];
  }

  // w_ against the first k vectors of the basis, twice, which is enough.
  void orthogonalise(std::int64_t k) {
    for (int sweep = 0; sweep < 2; ++sweep) {
      for (std::int64_t i = 0; i < k; ++i) y_[i] = dot(basis_ + i * padded_, w_, padded_);
      for (std::int64_t i = 0; i < k; ++i) add_multiple(-y_[i], basis_ + i * padded_, w_, padded_);
    }
  }

  void ritz_vector(std::int64_t k) {
    for (std::int64_t i = 0; i < padded_; ++i) v_[i] = 0;
    for (std::int64_t i = 0; i < k; ++i) add_multiple(y_[i], basis_ + i * padded_, v_, padded_);
    normalise(v_);
  }

  // theta_ of the Ritz vector and, from its residual, whether it is accurate.
  bool proved(std::int64_t k, double tolerance) {
    ritz_vector(k);
    theta_ = product<double>(v_, true);
    double squared = 0;
    for (std::int64_t i = 0; i < padded_; ++i) squared += square(w_[i] - theta_ * v_[i]);
    return __builtin_sqrt(squared) <= tolerance * theta_;
  }

  void finish(std::int64_t item, double value, bool vectors) {
    auto *values = static_cast<Out*>(call_.value) + item, *u = static_cast<Out*>(call_.u) + item * call_.x.n * right_,
         *v = static_cast<Out*>(call_.v) + item * call_.x.d * right_;
    *values = static_cast<Out>(exponent_ == 0 ? value : __builtin_ldexp(value, exponent_));
    // Of the transpose, left and right are exchanged, and conjugated.
    Out *left = rows_are_beside_ ? u : v, *right = rows_are_beside_ ? v : u;
    const auto sign = [&](std::int64_t i) { return right_ == 2 && !rows_are_beside_ && i % 2 == 1 ? -1.0 : 1.0; };
    for (std::int64_t i = 0; i < m_ * right_; ++i) left[i] = vectors ? Out(sign(i) * products_[i] / value) : Out(0);
    for (std::int64_t i = 0; i < length_; ++i) right[i] = vectors ? Out(sign(i) * v_[i]) : Out(0);
  }

  const SpectralNorm& call_;
  const ThreadPool& pool_;
  const std::int64_t right_;
  const bool rows_are_beside_;
  const std::int64_t m_, n_, row_stride_, length_;
  const NormalMatrix<IO> normal_;
  std::int64_t padded_, chunks_, chunk_, full_;
  std::int64_t from_step_;  // on which A^H A is multiplied
  bool normal_is_there_ = false;
  double *normal_space_ = nullptr, *normal_matrix_ = nullptr;
  double *basis_, *v_, *w_, *start_, *turned_, *partial_, *squares_, *products_, *alpha_, *beta_, *y_, *room_;
  const IO* a_ = nullptr;
  double theta_ = 0, first_ = 1, second_ = 1, shrink_ = 1;
  int exponent_ = 0;
};

}  // namespace
}  // namespace spectrans
