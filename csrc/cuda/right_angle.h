// The weights of linear convolutions without padding (fft/right_angle.h), on the way into and out of a transform.
#pragma once

#include "transform.h"

namespace spectrans::cuda {

// The tables of a block whose lines are weighted; once, before everything else. Ends with a barrier.
template <class T>
SPECTRANS_DEVICE void prepare_weighted(const Frame<T>& frame) {
  const Plan& plan = frame.plan;
  fill_twiddles(frame);
  const Shared<Pair<T>> table = shared<Pair<T>>(frame.layout.weights);
  const int threads = frame.layout.columns * frame.layout.workers;
  for (int j = threadIdx.x; j < plan.first; j += threads) {
    const Complex<T> w = unit_root<T>(j, 4 * plan.row);
    table.store(j, {w.re, -w.im});
  }
  __syncthreads();
}

// Calls f.template operator()<i>(w_j) for the R samples j = first + i N / R of a butterfly of the first stage, with
// w_j = exp(i pi j / 2N) = w_first exp(2 pi i i / 4R).
template <int R, class T, class F>
SPECTRANS_DEVICE void with_weights(const Frame<T>& frame, int first, const F& f) {
  const Pair<T> at = shared<Pair<T>>(frame.layout.weights).load(first);
  unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    constexpr T c = trig::kCos<T, i, 4 * R>, s = trig::kSin<T, i, 4 * R>;
    Complex<T> w = {at.re, at.im};
    if constexpr (i > 0) w = times(w, c, s);
    f.template operator()<i>(w);
  });
}

}  // namespace spectrans::cuda
