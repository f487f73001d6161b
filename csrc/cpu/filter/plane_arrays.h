// What a filter of both axes keeps of its response, and of the response's gradient: rows 0 .. n / 2 of a plane, of
// which the others are mirror images.
#pragma once

#include "../groups.h"

namespace spectrans {
namespace {

// Real and imaginary parts of rows, [n / 2 + 1][d] each.
template <class T>
struct PlaneRows {
  T *re = nullptr, *im = nullptr;
  std::int64_t d = 0;

  PlaneRows() = default;
  PlaneRows(Space<T>& space, std::int64_t n, std::int64_t d_)
      : re(space.take(values(n, d_) / 2)), im(space.take(values(n, d_) / 2)), d(d_) {}
  static std::int64_t values(std::int64_t n, std::int64_t d) { return 2 * (n / 2 + 1) * d; }
  PlaneRows row(std::int64_t j) const {
    PlaneRows result = *this;
    result.re += j * d;
    result.im += j * d;
    return result;
  }
};

SPECTRANS_INLINE std::int64_t mirrored_in(std::int64_t i, std::int64_t n) { return i == 0 ? 0 : n - i; }

// Row j of (H[k] + conj H[-k]) / (2 n d), conjugated for the adjoint: divided, for scaling by a rounded factor would
// bias every value.
template <class T>
void fold_response(const FilterPlane& call, std::int64_t j, const PlaneRows<T>& of) {
  const std::int64_t n = call.x.n, d = call.x.d;
  const auto* h = static_cast<const T*>(call.response);
  const T both = T(2) * static_cast<T>(n * d), both_or_minus = call.adjoint ? -both : both;
  const T *row = h + 2 * j * d, *mirror = h + 2 * mirrored_in(j, n) * d;
  for (std::int64_t l = 0; l < d; ++l) {
    const std::int64_t other = mirrored_in(l, d);
    of.re[l] = (row[2 * l] + mirror[2 * other]) / both;
    of.im[l] = (row[2 * l + 1] - mirror[2 * other + 1]) / both_or_minus;
  }
}

// Sums over the batch: of a few items first; where there are more, of all then, with what rounding took of those.
template <class T>
class PlaneSums {
 public:
  PlaneSums() = default;
  PlaneSums(Space<T>& space, const Signal& x) : several_(has_several(x)), piece_(space, x.n, x.d) {
    if (!several_) return;
    sum_ = PlaneRows<T>(space, x.n, x.d);
    lost_ = PlaneRows<T>(space, x.n, x.d);
  }
  static std::int64_t values(const Signal& x) { return (has_several(x) ? 3 : 1) * PlaneRows<T>::values(x.n, x.d); }

  // What row j of an item is to be added to; items come in their order.
  PlaneRows<T> row(std::int64_t j, std::int64_t item) const {
    const PlaneRows<T> piece = piece_.row(j), sum = sum_.row(j), lost = lost_.row(j);
    if (item % kItemsPerSum != 0) return piece;
    if (several_) {
      flush(piece.re, sum.re, lost.re, item == 0);
      flush(piece.im, sum.im, lost.im, item == 0);
    }
    for (std::int64_t l = 0; l < piece.d; ++l) piece.re[l] = piece.im[l] = T(0);
    return piece;
  }

  // Row j of the sums of all.
  PlaneRows<T> total(std::int64_t j) const {
    const PlaneRows<T> piece = piece_.row(j), sum = sum_.row(j), lost = lost_.row(j);
    if (!several_) return piece;
    for (std::int64_t l = 0; l < piece_.d; ++l) {
      sum.re[l] += piece.re[l] - lost.re[l];
      sum.im[l] += piece.im[l] - lost.im[l];
    }
    return sum;
  }

 private:
  static bool has_several(const Signal& x) { return x.batch > kItemsPerSum; }

  void flush(const T* piece, T* sum, T* lost, bool first) const {
    for (std::int64_t l = 0; l < piece_.d; ++l) {
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
  const std::int64_t n = call.x.n, d = call.x.d, mirrored_j = mirrored_in(j, n), end = j == mirrored_j ? d / 2 + 1 : d;
  auto* const to = static_cast<T*>(call.response_grad);
  T *row = to + 2 * j * d, *mirror = to + 2 * mirrored_j * d;
  for (std::int64_t l = 0; l < end; ++l) {
    const std::int64_t other = mirrored_in(l, d);
    const T re = sum.re[l] / divisor, im = j == mirrored_j && l == other ? T(0) : sum.im[l] / divisor;
    mirror[2 * other] = re;
    mirror[2 * other + 1] = -im;
    row[2 * l] = re;
    row[2 * l + 1] = im;
  }
}

}  // namespace
}  // namespace spectrans
