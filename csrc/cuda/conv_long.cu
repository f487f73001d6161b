// spectrans::conv of long lines: padded with zeros to N, so that nothing comes round, and split (long.h).
//
// The kernel's spectrum is made once for the channels of a slab, and lies in rows as theirs do. A backward call has
// rows of p = post grad and of v = pre u at a time: one kernel over them adds conj(V) P to a sum in rows and makes P
// times the conjugate of the kernel's spectrum of P's; V's go on as in a forward call.
#include "conv.h"
#include "long.h"

namespace spectrans::cuda {
namespace {

// ---- over columns ---------------------------------------------------------------------------------------------------

template <class S>
struct ConvColumns {
  using T = typename Arithmetic<S>::type;
  ColumnParameters<T> of;
  Pass pass;
  const T* skip;
  int n;
};

// A pair of columns of samples that are real, one after the other. `of` loads and stores samples first + i step.
template <class T, class Samples>
struct RealColumnPair {
  const Columns<T>& columns;
  const Samples& of;

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* z, int first, int step) const {
    const int h2 = columns.p.rows.h2, at = first * h2 + columns.p2();
    T even[R], odd[R] = {};
    of.template load<R>(even, at, step * h2);
    if (!columns.alone()) of.template load<R>(odd, at + 1, step * h2);
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { z[i] = {even[i], odd[i]}; });
  }

  // A few at a time: what their gates take is in registers, too.
  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* z, int first, int step) const {
    constexpr int kAtOnce = R > 8 ? 8 : R;
    const int h2 = columns.p.rows.h2;
    unroll<0, R / kAtOnce>([&]<int part>() SPECTRANS_INLINE_LAMBDA {
      const int at = (first + part * kAtOnce * step) * h2 + columns.p2();
      T even[kAtOnce], odd[kAtOnce];
      unroll<0, kAtOnce>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        even[i] = z[part * kAtOnce + i].re;
        odd[i] = z[part * kAtOnce + i].im;
      });
      of.template store<kAtOnce>(even, at, step * h2);
      if (!columns.alone()) of.template store<kAtOnce>(odd, at + 1, step * h2);
    });
  }
};

template <class S, bool Inverse>
__global__ void __launch_bounds__(kColumnThreads<typename Arithmetic<S>::type>, 1)
    conv_columns(const ConvColumns<S> p) {
  using T = typename Arithmetic<S>::type;
  using Samples = GatedSamples<S, 2>;
  const Columns<T> columns(p.of);
  const Slab& slab = p.of.slab;
  const int channel = slab.first_channel + columns.channel;
  const T skip = p.skip != nullptr ? load(p.skip + channel) : T(0);
  for (std::int64_t item = blockIdx.y; item < slab.items; item += gridDim.y) {
    const Samples samples(p.pass, skip, slab.first_item + item, channel, columns.active ? p.n : 0);
    if constexpr (Inverse) {
      inverse(columns, item, RealColumnPair<T, Samples>{columns, samples});
    } else {
      forward(columns, item, RealColumnPair<T, Samples>{columns, samples});
    }
  }
}

// One channel of the kernel or of its gradient: lag j in sample j, or, where it is negative, in sample j + N.
template <class T>
struct PaddedTaps {
  T* line;  // at the first acting tap
  std::int64_t stride;
  const Taps& taps;
  int length;
  bool active;

  SPECTRANS_DEVICE T* at(int j) const {
    const int ahead = j + taps.offset, behind = ahead - length;
    if (!active || (ahead >= taps.count && behind < 0)) return nullptr;
    return line + (ahead < taps.count ? ahead : behind) * stride;
  }

  template <int R>
  SPECTRANS_DEVICE void load(T* samples, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const T* const tap = at(first + i * step);
      samples[i] = tap == nullptr ? T(0) : cuda::load(tap);
    });
  }

  template <int R>
  SPECTRANS_DEVICE void store(const T* samples, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      T* const tap = at(first + i * step);
      if (tap != nullptr) cuda::store(tap, samples[i]);
    });
  }
};

template <class T>
struct TapColumns {
  ColumnParameters<T> of;
  Lines lines;
  Taps taps;
};

// Inverse: the kernel's gradient, zero at taps that do not act.
template <class T, bool Inverse>
__global__ void __launch_bounds__(kColumnThreads<T>, 1) tap_columns(const TapColumns<T> p) {
  const Columns<T> columns(p.of);
  const Taps& taps = p.taps;
  T* const line = static_cast<T*>(p.lines.data) + offset(p.lines, 0, p.of.slab.first_channel + columns.channel);
  const PaddedTaps<T> samples{line + taps.first * p.lines.n_stride, p.lines.n_stride, taps, p.of.rows.n,
                              columns.active};
  if constexpr (Inverse) {
    inverse(columns, 0, RealColumnPair<T, PaddedTaps<T>>{columns, samples});
    if (!columns.active) return;
    const std::int64_t workers = p.of.layout.workers, pairs = (p.of.rows.h2 + 1) / 2;
    for (std::int64_t tap = columns.pair * workers + columns.frame.worker; tap < taps.all - taps.count;
         tap += pairs * workers) {
      store(line + (tap < taps.first ? tap : tap + taps.count) * p.lines.n_stride, T(0));
    }
  } else {
    forward(columns, 0, RealColumnPair<T, PaddedTaps<T>>{columns, samples});
  }
}

// ---- over rows ------------------------------------------------------------------------------------------------------

// A row of the spectrum of one item alone.
template <class T>
struct SpectrumRow {
  Pair<T>* row;
  int lanes_log2;

  SPECTRANS_DEVICE SpectrumRow(const Rows<T>& rows, const RowOfThread<T>& of)
      : row(rows.line(0, of.channel) + rows.place(of.k1, 0)), lanes_log2(rows.lanes_log2) {}
  SPECTRANS_DEVICE Complex<T> load(int k2) const {
    const Pair<T> bin = cuda::load(row + (k2 << lanes_log2));
    return {bin.re, bin.im};
  }
  SPECTRANS_DEVICE void store(int k2, Complex<T> bin) const {
    cuda::store(row + (k2 << lanes_log2), Pair<T>{bin.re, bin.im});
  }
};

// The kernel's spectrum, in place of its rows.
template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) tap_rows(const RowsParameters<T> p) {
  const PartFrame<T> frame(p.plan, p.layout);
  prepare(frame);
  const RowOfThread<T> row(p, frame.column);
  const SpectrumRow<T> spectrum(p.rows, row);
  const Tile<T> tile = frame.tile();
  forward(frame, tile, row.samples(0));
  middle<kLastOfLong<T>, true, false>(frame, tile, [&](int, int k2, const Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
    if (row.active) spectrum.store(k2, value);
  });
}

template <class T>
struct ConvRows {
  RowsParameters<T> of;
  Rows<T> kernel;
  bool correlation;
  T scale;

  SPECTRANS_DEVICE Complex<T> product(Complex<T> value, Complex<T> k) const {
    return correlation ? times_conj(value, k.re * scale, k.im * scale) : times(value, k.re * scale, k.im * scale);
  }
};

template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) conv_rows(const ConvRows<T> p) {
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const SpectrumRow<T> kernel(p.kernel, row);
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    forward(frame, tile, row.samples(item));
    middle<kLastOfLong<T>, true, true>(frame, tile, [&](int, int k2, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      value = p.product(value, kernel.load(k2));
    });
    inverse(frame, tile, row.samples(item));
  }
}

template <class T>
struct BackwardRows {
  ConvRows<T> p;
  Rows<T> v, sum;
};

// All items of a slab in one block, one after the other: sums need no more memory than one item.
template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) backward_rows(const BackwardRows<T> b) {
  const RowsParameters<T>& of_p = b.p.of;
  const PartFrame<T> frame(of_p.plan, of_p.layout);
  prepare(frame);
  const RowOfThread<T> row(of_p, frame.column);
  const SpectrumRow<T> kernel(b.p.kernel, row), sum(b.sum, row);
  const Tile<T> of_grad = frame.tile(0), of_v = frame.tile(1);
  for (std::int64_t item = 0; item < of_p.slab.items; ++item) {
    const RowSamples<T> v{b.v.line(item, row.channel) + b.v.place(row.k1, 0), b.v.lanes_log2, row.active};
    for (int of = 0; of < 2; ++of) forward(frame, frame.tile(of), of == 0 ? row.samples(item) : v);
    middle<kLastOfLong<T> / 2, true>(
        frame, of_grad, of_v, [&](int, int k2, Complex<T>& grad, const Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
          Complex<T> total = times_conj(grad, value.re, value.im);
          if (of_p.slab.first_item + item > 0) total = total + sum.load(k2);
          if (row.active) sum.store(k2, total);
          grad = b.p.product(grad, kernel.load(k2));
        });
    inverse(frame, of_grad, row.samples(item));
  }
}

template <class T>
struct SumRows {
  RowsParameters<T> of;
  T scale;
};

// The sum's rows, in place of its spectrum.
template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) sum_rows(const SumRows<T> p) {
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const SpectrumRow<T> sum(p.of.rows, row);
  const Tile<T> tile = frame.tile();
  middle<kLastOfLong<T> / 2, false, true>(frame, tile, [&](int, int k2, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
    const Complex<T> total = sum.load(k2);
    value = {total.re * p.scale, total.im * p.scale};
  });
  inverse(frame, tile, row.samples(0));
}

// ---- launches -------------------------------------------------------------------------------------------------------

// The shortest length of a few near each other that no sum comes round in.
std::int64_t padded_length(const Conv& call) {
  const Taps taps = acting_taps(call.u.n, call.k.n, call.causal);
  const std::int64_t least = call.u.n + std::max(taps.offset, taps.count - 1 - taps.offset);
  std::int64_t best = 0;
  for (const std::int64_t odd : {1, 3, 5, 7, 9, 15}) {
    std::int64_t length = odd;
    while (length < least) length *= 2;
    if (best == 0 || length < best) best = length;
  }
  return best;
}

Signal padded(const Conv& call) {
  Signal result = call.u;
  result.n = padded_length(call);
  return result;
}

template <class S>
class LongConv {
  using T = typename Arithmetic<S>::type;

 public:
  LongConv(const Conv& call, const Stream& stream)
      : call_(call), stream_(stream), backward_(call.grad.data != nullptr), length_(padded(call)),
        lines_(length_, backward_ ? 2 : 1, stream, backward_ ? 2 : 1) {}

  void operator()() const {
    lines_.each_slab([&](const Slab& slab) {
      const Slab one{0, 1, slab.first_channel, slab.channels};
      if (slab.first_item == 0) {
        taps(&tap_columns<T, false>, call_.k, one, kernel());
        launch(&tap_rows<T>, lines_.grid_of_rows(one), stream_.stream, lines_.rows(one, kernel()));
      }
      if (!backward_) {
        convolve(pass(call_.u, call_.pre, call_.y, call_.post), slab, 0, call_.adjoint);
        return;
      }
      backward(slab);
      if (slab.first_item + slab.items < call_.u.batch) return;
      launch(&sum_rows<T>, lines_.grid_of_rows(one), stream_.stream, SumRows<T>{lines_.rows(one, sum()), scale()});
      taps(&tap_columns<T, true>, call_.grad_k, one, sum());
    });
  }

 private:
  [[nodiscard]] int kernel() const { return backward_ ? 2 : 1; }
  [[nodiscard]] int sum() const { return 3; }
  // Bins come doubled, the kernel's and the signals'.
  [[nodiscard]] T scale() const { return T(1) / (T(length_.n) * 4); }

  static Lines of(const Signal& signal) { return lines(signal, sizeof(S)); }
  static Pass pass(const Signal& x, const Signal& gate, const Signal& y, const Signal& by) {
    return {of(x), of(gate), {of(y), {}}, {of(by), {}}, false};
  }

  void taps(void (*kernel)(TapColumns<T>), const Signal& taps, const Slab& one, int set) const {
    launch(kernel, lines_.grid_of_columns(taps, one, sizeof(T)), stream_.stream,
           TapColumns<T>{lines_.columns(taps, one, set, sizeof(T)), lines(taps, sizeof(T)),
                         acting_taps(call_.u.n, taps.n, call_.causal)});
  }

  void columns(void (*kernel)(ConvColumns<S>), const Pass& pass, const Slab& slab, int set) const {
    launch(kernel, lines_.grid_of_columns(length_, slab), stream_.stream,
           ConvColumns<S>{lines_.columns(length_, slab, set), pass, static_cast<const T*>(call_.skip),
                          static_cast<int>(call_.u.n)});
  }

  [[nodiscard]] ConvRows<T> rows(const Slab& slab, int set, bool correlation) const {
    const Slab one{0, 1, slab.first_channel, slab.channels};
    return {lines_.rows(slab, set), lines_.rows(one, kernel()).rows, correlation, scale()};
  }

  void convolve(const Pass& pass, const Slab& slab, int set, bool correlation) const {
    columns(&conv_columns<S, false>, pass, slab, set);
    finish(pass, slab, set, correlation);
  }
  void finish(const Pass& pass, const Slab& slab, int set, bool correlation) const {
    launch(&conv_rows<T>, lines_.grid_of_rows(slab), stream_.stream, rows(slab, set, correlation));
    columns(&conv_columns<S, true>, pass, slab, set);
  }

  void backward(const Slab& slab) const {
    Pass of_grad = pass(call_.grad, call_.post, call_.grad_u, call_.pre);
    of_grad.y[1] = of(call_.grad_pre);
    of_grad.by[1] = of(call_.u);
    const Pass of_v = pass(call_.u, call_.pre, call_.grad_post, call_.grad);
    columns(&conv_columns<S, false>, of_grad, slab, 0);
    columns(&conv_columns<S, false>, of_v, slab, 1);
    const Slab one{0, 1, slab.first_channel, slab.channels};
    Grid grid = lines_.grid_of_rows(slab);
    grid.blocks.y = 1;
    launch(&backward_rows<T>, grid, stream_.stream,
           BackwardRows<T>{rows(slab, 0, true), lines_.rows(slab, 1).rows, lines_.rows(one, sum()).rows});
    columns(&conv_columns<S, true>, of_grad, slab, 0);
    if (call_.grad_post.data != nullptr) finish(of_v, slab, 1, false);
  }

  const Conv& call_;
  const Stream& stream_;
  const bool backward_;
  const Signal length_;
  const LongLines<S> lines_;
};

}  // namespace

bool has_long_conv(const Conv& call) { return has_split(padded_length(call)); }

void long_conv(const Conv& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { LongConv<S>(call, stream)(); });
}

}  // namespace spectrans::cuda
