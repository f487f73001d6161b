// What a filter of both axes keeps of its response, and of the response's gradient: rows 0 .. n / 2 of a plane, of
// which the others are mirror images.
#pragma once

#include "../groups.h"

namespace spectrans {
namespace {

// Real and imaginary parts of rows, [n / 2 + 1][width] each.
template <class T>
struct PlaneRows {
  T *re = nullptr, *im = nullptr;
  std::int64_t width = 0;

  PlaneRows() = default;
  PlaneRows(Space<T>& space, std::int64_t n, std::int64_t width_)
      : re(space.take(values(n, width_) / 2)), im(space.take(values(n, width_) / 2)), width(width_) {}
  static std::int64_t values(std::int64_t n, std::int64_t width) { return 2 * (n / 2 + 1) * width; }
  PlaneRows row(std::int64_t j) const {
    PlaneRows result = *this;
    result.re += j * width;
    result.im += j * width;
    return result;
  }
};

SPECTRANS_INLINE std::int64_t mirrored_in(std::int64_t i, std::int64_t n) { return i == 0 ? 0 : n - i; }

// A row of planes and its mirror image, which may be the same one: bins (j, l) and (-j, -l). Calls single(l, mirror)
// for l of row j, mirror being the place of -l; where the rows differ vectors(l, mirror), as far as there are whole
// ones, of which mirror is where their images begin.
template <class T, class Vectors, class Single>
SPECTRANS_INLINE void for_each_pair(std::int64_t d, bool same, const Vectors& vectors, const Single& single) {
  constexpr std::int64_t lanes = kLanes<T>;
  single(0, 0);
  std::int64_t l = 1;
  if (same) {
    for (; 2 * l <= d; ++l) single(l, d - l);
    return;
  }
  for (; l + lanes <= d; l += lanes) vectors(l, d - l - lanes + 1);
  for (; l < d; ++l) single(l, d - l);
}

template <class T>
SPECTRANS_INLINE Vector<T> load_reversed(const T* from) {
  return ShufflesOf<T>::reverse(load(from));
}

// Row j of (H[k] + conj H[-k]) / (2 n d), conjugated for the adjoint: divided, for scaling by a rounded factor would
// bias every value.
template <class T>
void fold_response(const FilterPlane& call, std::int64_t j, const PlaneRows<T>& of) {
  const std::int64_t n = call.x.n, d = call.x.d;
  const auto* h = static_cast<const T*>(call.response);
  const T both = T(2) * static_cast<T>(n * d), both_or_minus = call.adjoint ? -both : both;
  const T *row = h + 2 * j * d, *mirror = h + 2 * mirrored_in(j, n) * d;
  for_each_pair<T>(
      d, false,
      [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
        const Complex<Vector<T>> value = load_pairs(row + 2 * l, kLanes<T>);
        const Complex<Vector<T>> image = load_pairs(mirror + 2 * other, kLanes<T>);
        store(of.re + l, (value.re + ShufflesOf<T>::reverse(image.re)) / both);
        store(of.im + l, (value.im - ShufflesOf<T>::reverse(image.im)) / both_or_minus);
      },
      [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
        of.re[l] = (row[2 * l] + mirror[2 * other]) / both;
        of.im[l] = (row[2 * l + 1] - mirror[2 * other + 1]) / both_or_minus;
      });
}

// Sums over the batch: of a few items first; where there are more, of all then, with what rounding took of those.
template <class T>
class PlaneSums {
 public:
  PlaneSums() = default;
  PlaneSums(Space<T>& space, const Signal& x, std::int64_t width)
      : several_(has_several(x)), piece_(space, x.n, width) {
    if (!several_) return;
    sum_ = PlaneRows<T>(space, x.n, width);
    lost_ = PlaneRows<T>(space, x.n, width);
  }
  static std::int64_t values(const Signal& x, std::int64_t width) {
    return (has_several(x) ? 3 : 1) * PlaneRows<T>::values(x.n, width);
  }

  // What row j of an item is to be added to; items come in their order.
  PlaneRows<T> row(std::int64_t j, std::int64_t item) const {
    const PlaneRows<T> piece = piece_.row(j), sum = sum_.row(j), lost = lost_.row(j);
    if (item % kItemsPerSum != 0) return piece;
    if (several_) {
      flush(piece.re, sum.re, lost.re, item == 0);
      flush(piece.im, sum.im, lost.im, item == 0);
    }
    for (std::int64_t l = 0; l < piece.width; ++l) piece.re[l] = piece.im[l] = T(0);
    return piece;
  }

  // Row j of the sums of all.
  PlaneRows<T> total(std::int64_t j) const {
    const PlaneRows<T> piece = piece_.row(j), sum = sum_.row(j), lost = lost_.row(j);
    if (!several_) return piece;
    for (std::int64_t l = 0; l < piece_.width; ++l) {
      sum.re[l] += piece.re[l] - lost.re[l];
      sum.im[l] += piece.im[l] - lost.im[l];
    }
    return sum;
  }

 private:
  static bool has_several(const Signal& x) { return x.batch > kItemsPerSum; }

  void flush(const T* piece, T* sum, T* lost, bool first) const {
    for (std::int64_t l = 0; l < piece_.width; ++l) {
      if (first) {
        sum[l] = lost[l] = T(0);
      } else {
        const T term = piece[l] - lost[l], before = sum[l];
        sum[l] = before + term;
        lost[l] = (sum[l] - before) - term;
      }
    }
  }

  bool several_ = false;
  PlaneRows<T> piece_, sum_, lost_;
};

// Row j and its mirror image of the gradient: the sums, divided. A row that is its own mirror image has been summed
// twice: half of it is taken, of which values that are their own are real.
template <class T>
void write_gradient(const FilterPlane& call, std::int64_t j, const PlaneRows<T>& sum, T divisor) {
  const std::int64_t d = call.x.d, mirrored_j = mirrored_in(j, call.x.n);
  auto* const to = static_cast<T*>(call.response_grad);
  T *row = to + 2 * j * d, *mirror = to + 2 * mirrored_j * d;
  for_each_pair<T>(
      d, row == mirror,
      [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
        const Vector<T> re = load(sum.re + l) / divisor, im = load(sum.im + l) / divisor;
        store_pairs(mirror + 2 * other, kLanes<T>, ShufflesOf<T>::reverse(re), -ShufflesOf<T>::reverse(im));
        store_pairs(row + 2 * l, kLanes<T>, re, im);
      },
      [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
        const T re = sum.re[l] / divisor, im = row == mirror && l == other ? T(0) : sum.im[l] / divisor;
        mirror[2 * other] = re;
        mirror[2 * other + 1] = -im;
        row[2 * l] = re;
        row[2 * l + 1] = im;
      });
}

}  // namespace
}  // namespace spectrans
