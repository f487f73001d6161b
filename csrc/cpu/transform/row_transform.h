// Running row plans: complex transforms along contiguous rows (fft/row.h).
//
// Transforms of many rows side by side, one a lane, need two transposes, there and back. Here blocks of L x L values
// are turned once, in registers, and bins come out in order.
#pragma once

#include "../../fft/row.h"
#include "transform.h"

namespace spectrans {
namespace {

// Bins of one row whose vectors have gone through the child plan: put(q, z), lanes q, q + 1, ... of z. Lanes beyond the
// row, or beyond what one call is about, hold something else: what a later call puts there counts.
template <class T, class Put>
SPECTRANS_INLINE void row_bins(const RowPlan<T>& plan, const Vector<T>* re, const Vector<T>* im, const Put& put) {
  constexpr int lanes = kLanes<T>;
  const std::int64_t m = plan.m, pitch = plan.pitch;
  for (std::int64_t block = 0; block < m; block += lanes) {
    const std::int64_t first = block + lanes <= m || m < lanes ? block : m - lanes;
    const std::int32_t* bin = plan.bin + first;
    Vector<T> a[lanes], b[lanes];
    for (int i = 0; i < lanes; ++i) {
      a[i] = re[bin[i]];
      b[i] = im[bin[i]];
    }
    transpose<T>(a);
    transpose<T>(b);
    Complex<Vector<T>> v[lanes];
    v[0] = {a[0], b[0]};
    const T *cos = plan.cos + first, *sin = plan.sin + first;
    unroll<1, lanes>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      v[i] = times(Complex<Vector<T>>{a[i], b[i]}, once(load(cos + i * pitch)), once(load(sin + i * pitch)));
    });
    Dft<lanes, -1, T, Vector<T>>::run(v);
    unroll<0, lanes>([&]<int e>() SPECTRANS_INLINE_LAMBDA { put(first + m * e, v[e]); });
  }
}

}  // namespace
}  // namespace spectrans
