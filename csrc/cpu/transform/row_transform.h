// Running row plans: complex transforms along contiguous rows (fft/row.h).
//
// Transforms of many rows side by side, one a lane, need two transposes, there and back. Here blocks of L x L values
// are turned once, in registers, and bins come out in order.
#pragma once

#include "../../fft/row.h"
#include "transform.h"

namespace spectrans {
namespace {

// The vector whose first lane is this one of those at `from`.
template <class T>
SPECTRANS_INLINE Vector<T>& vector_at(Vector<T>* from, std::int64_t lane) {
  return *reinterpret_cast<Vector<T>*>(reinterpret_cast<T*>(from) + lane);
}
template <class T>
SPECTRANS_INLINE const Vector<T>& vector_at(const Vector<T>* from, std::int64_t lane) {
  return *reinterpret_cast<const Vector<T>*>(reinterpret_cast<const T*>(from) + lane);
}

// The first bin of a block, of the child plan.
template <class T>
SPECTRANS_INLINE std::int64_t row_block(const RowPlan<T>& plan, std::int64_t block) {
  return max(0, min(block * kLanes<T>, plan.m - kLanes<T>));
}

// Bins of one row whose vectors have gone through the child plan: put<e>(q, z), lanes q, q + 1, ... of z, eth of what
// a block leaves, for put = put_block(block). Lanes beyond the row, or beyond what one call is about, hold something
// else: what a later call puts there counts.
template <class T, class PutBlock>
SPECTRANS_INLINE void row_bins(const RowPlan<T>& plan, const Vector<T>* re, const Vector<T>* im,
                               const PutBlock& put_block) {
  constexpr int lanes = kLanes<T>;
  const std::int64_t m = plan.m;
  const std::int32_t* bin = plan.bin;
  const T* w = plan.twiddles;
  for (std::int64_t block = 0; block < plan.blocks; ++block, bin += lanes, w += (lanes - 1) * 2 * lanes) {
    Vector<T> a[lanes], b[lanes];
    for (int i = 0; i < lanes; ++i) {
      a[i] = vector_at<T>(re, bin[i]);
      b[i] = vector_at<T>(im, bin[i]);
    }
    transpose<T>(a);
    transpose<T>(b);
    Complex<Vector<T>> v[lanes];
    v[0] = {a[0], b[0]};
    unroll<1, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const T* of_lane = w + (i - 1) * 2 * lanes;
      v[i] = times(Complex<Vector<T>>{a[i], b[i]}, once(load(of_lane)), once(load(of_lane + lanes)));
    });
    Dft<lanes, -1, T, Vector<T>>::run(v);
    const std::int64_t first = row_block(plan, block);
    const auto put = put_block(block);
    unroll<0, lanes>([&]<int e>() SPECTRANS_INLINE_LAMBDA { put.template operator()<e>(first + m * e, v[e]); });
  }
}

}  // namespace
}  // namespace spectrans
