// What the kernels of conv read and write, in one block or over long lines: gated samples, and taps.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "lines.h"

namespace spectrans::cuda {

// One channel of one item, or nothing.
template <class S>
struct Line {
  S* data;
  const Lines* of;

  Line() = default;
  SPECTRANS_DEVICE Line(const Lines& lines, std::int64_t item, std::int64_t channel)
      : data(lines.data == nullptr ? nullptr : static_cast<S*>(lines.data) + offset(lines, item, channel)), of(&lines) {
  }
  SPECTRANS_DEVICE S* at(int j) const { return data + j * of->n_stride; }
};

// Samples first + i step of a line of n, times those of its gate where there is one.
template <class S>
struct Gated {
  Line<const S> x, gate;
  int n;

  template <int R, class T>
  SPECTRANS_DEVICE void load(T* samples, int first, int step) const {
    const S* const at = x.at(first);
    const std::int64_t next = step * x.of->n_stride;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      samples[i] = first + i * step < n ? widen(cuda::load(at + i * next)) : T(0);
    });
    if (gate.data != nullptr) times_samples<R>(gate, samples, first, step);
  }

  // Every address is made anew: beside the samples there are no registers to keep one and a stride in.
  template <int R, class T>
  SPECTRANS_DEVICE void times_samples(const Line<const S>& by, T* samples, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const int j = first + i * step;
      if (j < n) samples[i] *= widen(cuda::load(by.at(j)));
    });
  }
};

// One pass over the batch: y[o] = by[o] (the convolution of v + skip v), v = gate x.
struct Pass {
  Lines x, gate;
  Lines y[2], by[2];
  bool correlation;  // with the kernel
};

// Samples that go into a convolution, and what is made of those that come out of it.
template <class S, int Results>
struct GatedSamples {
  using T = typename Arithmetic<S>::type;
  Gated<S> v;
  T skip;
  Line<S> y[Results];
  Line<const S> by[Results];

  SPECTRANS_DEVICE GatedSamples(const Pass& pass, T skip_, std::int64_t item, std::int64_t channel, int n)
      : v{{pass.x, item, channel}, {pass.gate, item, channel}, n}, skip(skip_) {
    unroll<0, Results>([&]<int o>() SPECTRANS_INLINE_LAMBDA {
      y[o] = {pass.y[o], item, channel};
      by[o] = {pass.by[o], item, channel};
    });
  }

  template <int R>
  SPECTRANS_DEVICE void load(T* samples, int first, int step) const {
    v.template load<R>(samples, first, step);
  }

  template <int R>
  SPECTRANS_DEVICE void store(T* sums, int first, int step) const {
    if (skip != T(0)) {
      T samples[R];
      v.template load<R>(samples, first, step);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sums[i] += skip * samples[i]; });
    }
    unroll<0, Results>([&]<int o>() SPECTRANS_INLINE_LAMBDA {
      if (y[o].data == nullptr) return;
      T products[R];
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { products[i] = sums[i]; });
      if (by[o].data != nullptr) v.template times_samples<R>(by[o], products, first, step);
      S* const at = y[o].at(first);
      const std::int64_t next = step * y[o].of->n_stride;
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        if (first + i * step < v.n) cuda::store(at + i * next, narrow<S>(products[i]));
      });
    });
  }
};

// The taps whose lag s - offset is from -(n - 1) to n - 1: no other meets two samples.
struct Taps {
  std::int64_t all;
  std::int64_t first;
  int count, offset;  // offset: of lag 0, from `first`
};

inline Taps acting_taps(std::int64_t n, std::int64_t m, bool causal) {
  const std::int64_t zero = causal ? 0 : (m - 1) / 2, first = std::max<std::int64_t>(0, zero - (n - 1));
  return {m, first, static_cast<int>(std::min(m, zero + n) - first), static_cast<int>(zero - first)};
}

// ---- long lines -----------------------------------------------------------------------------------------------------

// Whether the padded length of a call has a split.
[[nodiscard]] bool has_long_conv(const Conv& call);

// Queues a call whose lines one block cannot hold.
void long_conv(const Conv& call, const Stream& stream);

}  // namespace spectrans::cuda
