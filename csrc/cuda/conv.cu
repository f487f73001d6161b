// spectrans::conv: gates, weighted transform, product with the kernel's spectrum, transform back, gates, in one kernel.
//
// A first kernel leaves the spectra of the convolution kernel in scratch, in the order in which the main one reads
// them. A forward call is one pass over the batch:
//
//     y = post (k * v + skip v),   v = pre u        (adjoint: the correlation with k in place of k *)
//
// and a backward call two, with p = post grad: the same with grad in place of post gives grad_post, and the adjoint of
// p times pre and times u gives grad_u and grad_pre. Between its two transforms the first pass leaves V, the second
// adds conj(V) P to the running sum of a chunk of the batch; further kernels add up the chunks and make lags of the
// sum.
#include <algorithm>

#include "conv.h"
#include "geometry.h"
#include "kernels.h"
#include "lines.h"
#include "right_angle.h"

namespace spectrans::cuda {
namespace {

// The longest signals whose transform is done in one block's shared memory.
constexpr std::int64_t longest(Element element) { return element == Element::float64 ? 8192 : 16384; }

template <class T>
constexpr int kLast = sizeof(T) == 4 ? 8 : 4;  // V, the sum and the kernel's spectrum come to the last stage
template <class T>
constexpr int kStage = sizeof(T) == 4 ? 16 : 8;

// ---- spectra --------------------------------------------------------------------------------------------------------

// Spectra of all channels in scratch, in the order in which the blocks of the main kernel come by: those of as many
// channels as a block has columns are together, slot by slot where neighbouring threads have neighbouring channels.
template <class T>
struct Spectra {
  Pair<T>* data;
  std::int64_t size;  // of the spectra of all channels; more of them may follow
  int row, columns;
  int step, column_step;  // from one slot to the next, and from one channel
};

// The spectrum of one channel; beyond the last one, zeros that nobody writes. Values are moved R at a time, row / R
// slots apart.
template <class T>
struct Spectrum {
  const Spectra<T>& all;
  Pair<T>* data;
  bool active;

  SPECTRANS_DEVICE Spectrum(const Spectra<T>& all_, std::int64_t of, std::int64_t channel, bool active_)
      : all(all_), active(active_) {
    const std::int64_t column = channel & (all.columns - 1);
    data = all.data + of * all.size + (channel - column) * all.row + column * all.column_step;
  }
  SPECTRANS_DEVICE Pair<T>* at(int slot) const { return data + slot * all.step; }

  template <int R>
  SPECTRANS_DEVICE void load(int slot, Complex<T>* v) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      Pair<T> value{T(0), T(0)};
      if (active) value = cuda::load(at(slot + i * (all.row / R)));
      v[i] = {value.re, value.im};
    });
  }
  template <int R>
  SPECTRANS_DEVICE void store(int slot, const Complex<T>* v) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      if (active) cuda::store(at(slot + i * (all.row / R)), {v[i].re, v[i].im});
    });
  }
};

// What a thread keeps of its bins from one transform to the next: in shared memory where there is room, else in
// scratch.
template <class T>
struct Kept {
  bool here;
  Shared<Pair<T>> values;
  Spectrum<T> scratch;

  SPECTRANS_DEVICE Kept(const Frame<T>& frame, bool here_, int which, const Spectrum<T>& scratch_)
      : here(here_), values(shared<Pair<T>>(frame.layout.kept)), scratch(scratch_) {
    values.base += which * frame.layout.columns * scratch.all.row + frame.column * scratch.all.column_step;
  }

  template <int R>
  SPECTRANS_DEVICE void load(int slot, Complex<T>* v) const {
    if (!here) return scratch.template load<R>(slot, v);
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Pair<T> value = values.load((slot + i * (scratch.all.row / R)) * scratch.all.step);
      v[i] = {value.re, value.im};
    });
  }
  template <int R>
  SPECTRANS_DEVICE void store(int slot, const Complex<T>* v) const {
    if (!here) return scratch.template store<R>(slot, v);
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      values.store((slot + i * (scratch.all.row / R)) * scratch.all.step, {v[i].re, v[i].im});
    });
  }
};

// ---- samples --------------------------------------------------------------------------------------------------------

template <class S, int Results>
struct WeightedSamples {
  using T = typename Arithmetic<S>::type;
  const Frame<T>& frame;
  GatedSamples<S, Results> of;

  SPECTRANS_DEVICE WeightedSamples(const Frame<T>& frame_, const Pass& pass, T skip, std::int64_t item,
                                   std::int64_t channel, int n)
      : frame(frame_), of(pass, skip, item, channel, n) {}

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* z, int first, int step) const {
    T samples[R];
    of.template load<R>(samples, first, step);
    with_weights<R>(frame, first, [&]<int i>(Complex<T> w) SPECTRANS_INLINE_LAMBDA {
      z[i] = {samples[i] * w.re, samples[i] * w.im};
    });
  }

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* z, int first, int step) const {
    T sums[R];
    with_weights<R>(frame, first,
                    [&]<int i>(Complex<T> w) SPECTRANS_INLINE_LAMBDA { sums[i] = z[i].re * w.re + z[i].im * w.im; });
    of.template store<R>(sums, first, step);
  }
};

// One channel of the kernel or of its gradient: lag j in the real part of sample j, lag j - N, negative, in the
// imaginary part of its conjugate.
template <class T>
struct TapSamples {
  const Frame<T>& frame;
  T* line;  // at the first acting tap
  std::int64_t stride;
  const Taps& taps;
  bool active;

  SPECTRANS_DEVICE TapSamples(const Frame<T>& frame_, const Lines& lines, const Taps& taps_, std::int64_t channel,
                              bool active_)
      : frame(frame_), line(static_cast<T*>(lines.data) + offset(lines, 0, channel) + taps_.first * lines.n_stride),
        stride(lines.n_stride), taps(taps_), active(active_) {}

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* z, int first, int step) const {
    with_weights<R>(frame, first, [&]<int i>(Complex<T> w) SPECTRANS_INLINE_LAMBDA {
      const int ahead = first + i * step + taps.offset, behind = ahead - frame.plan.row;
      const Complex<T> lags = {active && ahead < taps.count ? cuda::load(line + ahead * stride) : T(0),
                               active && behind >= 0 ? -cuda::load(line + behind * stride) : T(0)};
      z[i] = times(lags, w.re, w.im);
    });
  }

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* z, int first, int step) const {
    const T length = T(frame.plan.row);
    with_weights<R>(frame, first, [&]<int i>(Complex<T> w) SPECTRANS_INLINE_LAMBDA {
      const int ahead = first + i * step + taps.offset, behind = ahead - frame.plan.row;
      const Complex<T> lags = times_conj(z[i], w.re, w.im);
      if (active && ahead < taps.count) cuda::store(line + ahead * stride, lags.re / length);
      if (active && behind >= 0) cuda::store(line + behind * stride, -lags.im / length);
    });
  }
};

// ---- kernels --------------------------------------------------------------------------------------------------------

template <class T>
struct TapParameters {
  Plan plan;
  Layout layout;
  Lines taps;  // of the kernel, or of its gradient
  Taps range;
  std::int64_t d;
  Spectra<T> spectra;        // of the kernel; or the sums that make its gradient:
  std::int64_t sums, apart;  // so many of them, one of every `apart`
};

// The kernel's spectra, divided by N.
template <class T>
__global__ void __launch_bounds__(kMaxThreads, 1) transform_taps(const TapParameters<T> p) {
  const Frame<T> frame(p.plan, p.layout);
  prepare_weighted(frame);
  const std::int64_t channel = std::int64_t{blockIdx.x} * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  const Spectrum<T> spectrum(p.spectra, 0, channel, channel < p.d);
  const T length = T(p.plan.row);
  forward(frame, tile, TapSamples<T>(frame, p.taps, p.range, channel, channel < p.d));
  middle_slots<kLast<T>, true, false>(frame, tile, [&]<int R>(int slot, Complex<T>* v) SPECTRANS_INLINE_LAMBDA {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = {v[i].re / length, v[i].im / length}; });
    spectrum.template store<R>(slot, v);
  });
}

// The gradient's lags: the sum of the sums' spectra, transformed back; zero where no lag meets two samples.
template <class T>
__global__ void __launch_bounds__(kMaxThreads, 1) transform_back(const TapParameters<T> p) {
  const Frame<T> frame(p.plan, p.layout);
  prepare_weighted(frame);
  const std::int64_t channel = std::int64_t{blockIdx.x} * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  middle_slots<kLast<T>, false, true>(frame, tile, [&]<int R>(int slot, Complex<T>* v) SPECTRANS_INLINE_LAMBDA {
    for (std::int64_t sum = 0; sum < p.sums; ++sum) {
      Complex<T> part[R];
      Spectrum<T>(p.spectra, sum * p.apart, channel, channel < p.d).template load<R>(slot, part);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = v[i] + part[i]; });
    }
  });
  inverse(frame, tile, TapSamples<T>(frame, p.taps, p.range, channel, channel < p.d));
  if (channel >= p.d) return;
  T* const line = static_cast<T*>(p.taps.data) + offset(p.taps, 0, channel);
  for (std::int64_t tap = frame.worker; tap < p.range.all - p.range.count; tap += p.layout.workers) {
    store(line + (tap < p.range.first ? tap : tap + p.range.count) * p.taps.n_stride, T(0));
  }
}

constexpr int kSumsAtOnce = 16;  // added one after the other: long chains would lose accuracy, and take time

template <class T>
struct SumParameters {
  Spectra<T> spectra;
  std::int64_t sums, apart;  // so many, one of every `apart`
};

// Sums of kSumsAtOnce spectra each, in the place of the first of them.
template <class T>
__global__ void __launch_bounds__(kMaxThreads, 1) add_sums(const SumParameters<T> p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= p.spectra.size) return;
  for (std::int64_t first = std::int64_t{blockIdx.y} * kSumsAtOnce; first < p.sums;
       first += std::int64_t{gridDim.y} * kSumsAtOnce) {
    Pair<T>* const at = p.spectra.data + first * p.apart * p.spectra.size + i;
    Pair<T> total = load(at);
    for (int next = 1; next < kSumsAtOnce && first + next < p.sums; ++next) {
      const Pair<T> value = load(at + next * p.apart * p.spectra.size);
      total = {total.re + value.re, total.im + value.im};
    }
    store(at, total);
  }
}

template <class S>
struct ConvParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Pass pass[2];
  const T* skip;
  Spectra<T> kernel, v, sums;  // the latter two of every chunk of a backward call
  bool keeps;                  // V and the running sum in shared memory
  std::int64_t batch, chunks, d;
  int items, n;  // items of a chunk
};

template <class S, bool Backward>
__global__ void __launch_bounds__(kMaxThreads, 1) convolve(const ConvParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare_weighted(frame);
  const std::int64_t channel = std::int64_t{blockIdx.x} * p.layout.columns + frame.column;
  const bool active = channel < p.d;
  const T skip = active && p.skip != nullptr ? load(p.skip + channel) : T(0);
  const Tile<T> tile = frame.tile();
  const Spectrum<T> kernel(p.kernel, 0, channel, active);
  for (std::int64_t chunk = blockIdx.y; chunk < p.chunks; chunk += gridDim.y) {
    const Kept<T> spectrum(frame, p.keeps, 0, {p.v, chunk, channel, active}),
        sum(frame, p.keeps, 1, {p.sums, chunk, channel, active});
    const std::int64_t left = p.batch - chunk * p.items;
    const int items = left < p.items ? static_cast<int>(left) : p.items;
    for (int i = 0; i < (Backward ? 2 * items : items); ++i) {
      const bool second = Backward && i % 2 == 1;
      const Pass& pass = p.pass[second ? 1 : 0];
      const WeightedSamples<S, Backward ? 2 : 1> samples(frame, pass, skip, chunk * p.items + (Backward ? i / 2 : i),
                                                         channel, active ? p.n : 0);
      forward(frame, tile, samples);
      middle_slots<kLast<T>, true, true>(frame, tile, [&]<int R>(int slot, Complex<T>* v) SPECTRANS_INLINE_LAMBDA {
        if constexpr (Backward) {
          if (second) {
            Complex<T> product[R];
            spectrum.template load<R>(slot, product);
            unroll<0, R>([&]<int q>()
                             SPECTRANS_INLINE_LAMBDA { product[q] = times_conj(v[q], product[q].re, product[q].im); });
            if (i > 1) {
              Complex<T> before[R];
              sum.template load<R>(slot, before);
              unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA { product[q] = before[q] + product[q]; });
            }
            if (i + 1 < 2 * items) {
              sum.template store<R>(slot, product);
            } else {
              sum.scratch.template store<R>(slot, product);
            }
          } else {
            spectrum.template store<R>(slot, v);
          }
        }
        Complex<T> k[R];
        kernel.template load<R>(slot, k);
        unroll<0, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
          v[q] = pass.correlation ? times_conj(v[q], k[q].re, k[q].im) : times(v[q], k[q].re, k[q].im);
        });
      });
      if (pass.y[0].data != nullptr) {
        inverse(frame, tile, samples);
      } else {
        __syncthreads();
      }
    }
  }
}

// ---- launches -------------------------------------------------------------------------------------------------------

constexpr std::int64_t kEnoughBlocks = 1024;  // for every multiprocessor of a large device, several times over

Geometry shape_of(const Plan& plan, const Signal& signal, int storage_size, int size, int kept) {
  const bool columns_first = signal.d_stride == 1 || signal.n_stride != 1;
  return geometry(plan, {signal.d, 1, storage_size, size, columns_first, true, kept},
                  device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

template <class S>
class Launches {
  using T = typename Arithmetic<S>::type;

 public:
  Launches(const Conv& call, const Stream& stream)
      : call_(call), stream_(stream), backward_(call.grad.data != nullptr),
        plan_(weighted_plan(call.u.n, kLast<T>, kStage<T>)), geometry_(shape(call.u, sizeof(S), 0)) {
    if (!backward_) return;
    const Geometry roomy = shape(call.u, sizeof(S), 2);
    keeps_ =
        roomy.shared_bytes > 0 && (!roomy.layout.columns_first || roomy.layout.columns >= geometry_.layout.columns);
    if (keeps_) geometry_ = roomy;
  }

  void operator()() const {
    ConvParameters<S> main{};
    main.plan = plan_;
    main.layout = geometry_.layout;
    main.skip = static_cast<const T*>(call_.skip);
    main.kernel = allocate(1);
    main.batch = call_.u.batch;
    main.d = call_.u.d;
    main.n = static_cast<int>(call_.u.n);
    transform(&transform_taps<T>, call_.k, main.kernel, 1, 1);
    if (!backward_) {
      main.pass[0] = pass(call_.u, call_.pre, call_.y, call_.post, call_.adjoint);
      share_out(main, ceil_div(call_.u.batch, ceil_div(kEnoughBlocks, tiles(geometry_))));
      launch(&convolve<S, false>, grid(geometry_, main.chunks), stream_.stream, main);
      return;
    }
    main.pass[0] = pass(call_.u, call_.pre, call_.grad_post, call_.grad, false);
    main.pass[1] = pass(call_.grad, call_.post, call_.grad_u, call_.pre, true);
    main.pass[1].y[1] = of(call_.grad_pre);
    main.pass[1].by[1] = of(call_.u);
    // From shapes alone, so that the bits of the sum are those of any device.
    share_out(main, std::clamp<std::int64_t>(call_.u.batch * call_.u.d / (4 * kEnoughBlocks), 4, kSumsAtOnce));
    main.keeps = keeps_;
    main.sums = allocate(main.chunks);
    main.v = keeps_ ? main.sums : allocate(main.chunks);  // kept, in the same order
    launch(&convolve<S, true>, grid(geometry_, main.chunks), stream_.stream, main);
    std::int64_t sums = main.chunks, apart = 1;
    for (; sums > kSumsAtOnce; sums = ceil_div(sums, kSumsAtOnce), apart *= kSumsAtOnce) {
      constexpr int threads = 256;
      const dim3 blocks(static_cast<unsigned>(ceil_div(main.sums.size, threads)),
                        static_cast<unsigned>(std::min(ceil_div(sums, kSumsAtOnce), kMaxBlocksAlongY)));
      launch(&add_sums<T>, Grid{blocks, threads, 0}, stream_.stream, SumParameters<T>{main.sums, sums, apart});
    }
    transform(&transform_back<T>, call_.grad_k, main.sums, sums, apart);
  }

 private:
  static Lines of(const Signal& signal) { return lines(signal, sizeof(S)); }

  static Pass pass(const Signal& x, const Signal& gate, const Signal& y, const Signal& by, bool correlation) {
    return {of(x), of(gate), {of(y), {}}, {of(by), {}}, correlation};
  }

  static void share_out(ConvParameters<S>& main, std::int64_t items) {
    main.items = static_cast<int>(items);
    main.chunks = ceil_div(main.batch, items);
  }

  [[nodiscard]] Geometry shape(const Signal& signal, int storage_size, int kept) const {
    return shape_of(plan_, signal, storage_size, sizeof(T), kept);
  }
  [[nodiscard]] std::int64_t tiles(const Geometry& geometry) const {
    return ceil_div(call_.u.d, geometry.layout.columns);
  }
  [[nodiscard]] Grid grid(const Geometry& geometry, std::int64_t chunks) const {
    const dim3 blocks(static_cast<unsigned>(tiles(geometry)),
                      static_cast<unsigned>(std::min(chunks, kMaxBlocksAlongY)));
    return {blocks, geometry.threads(), geometry.shared_bytes};
  }

  // The spectra of all channels, `count` times.
  [[nodiscard]] Spectra<T> allocate(std::int64_t count) const {
    const Layout& layout = geometry_.layout;
    const std::int64_t size = tiles(geometry_) * layout.columns * plan_.row;
    void* const data = stream_.allocate(count * size * sizeof(Pair<T>), stream_.context);
    const bool mixed = layout.columns_first;
    return {static_cast<Pair<T>*>(data), size, plan_.row, layout.columns, mixed ? layout.columns : 1,
            mixed ? 1 : plan_.row};
  }

  // Between taps and spectra, by blocks in the shape that suits the taps.
  void transform(void (*kernel)(TapParameters<T>), const Signal& taps, const Spectra<T>& spectra, std::int64_t sums,
                 std::int64_t apart) const {
    const Geometry chosen = shape(taps, sizeof(T), 0);
    launch(kernel, grid(chosen, 1), stream_.stream,
           TapParameters<T>{plan_, chosen.layout, lines(taps, sizeof(T)), acting_taps(call_.u.n, taps.n, call_.causal),
                            taps.d, spectra, sums, apart});
  }

  const Conv& call_;
  const Stream& stream_;
  const bool backward_;
  const Plan plan_;
  Geometry geometry_;
  bool keeps_ = false;
};

// Whether the block of one column fits into the shared memory of this device.
bool fits(const Conv& call) {
  if (call.u.n > longest(call.element)) return false;
  bool fitting = false;
  with_storage(call.element, [&]<class S>(S) {
    using T = typename Arithmetic<S>::type;
    const Plan transform = weighted_plan(call.u.n, kLast<T>, kStage<T>);
    fitting = shape_of(transform, call.u, sizeof(S), sizeof(T), 0).shared_bytes > 0;
  });
  return fitting;
}

}  // namespace

const char* why_not(const Conv& call) {
  for (const Signal* signal :
       {&call.u, &call.pre, &call.post, &call.y, &call.grad, &call.grad_u, &call.grad_pre, &call.grad_post}) {
    if (signal->axes > kMaxLineAxes) return "the batch has too many axes";
  }
  return fits(call) || has_long_conv(call) ? nullptr : "samples and lags together are more than 2^20";
}

void conv(const Conv& call, const Stream& stream) {
  if (!fits(call)) return long_conv(call, stream);
  with_storage(call.element, [&]<class S>(S) { Launches<S>(call, stream)(); });
}

}  // namespace spectrans::cuda
