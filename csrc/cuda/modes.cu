// spectrans::modes and its inverse: bins that are cut off are neither stored nor, in whole blocks, computed.
#include <algorithm>
#include <cmath>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"
#include "long.h"

namespace spectrans::cuda {
namespace {

// w_k as the sum of two numbers: 1 / n, rounded once, would bias every bin.
template <class T>
struct Weights {
  T edge, edge_low, interior, interior_low;  // edge: DC and Nyquist

  SPECTRANS_DEVICE T operator()(T value, bool interior_bin) const {
    const T high = interior_bin ? interior : edge, low = interior_bin ? interior_low : edge_low;
    return fused(value, low, value * high);
  }
};

// The first `count` bins of every channel of every item.
template <class T>
struct Bins {
  Lines lines;    // strides in real numbers
  bool together;  // every pair can be moved as one
  int count, n;   // of real samples
  Weights<T> weights;

  SPECTRANS_DEVICE T* line(std::int64_t item, int channel) const {
    return static_cast<T*>(lines.data) + offset(lines, item, channel);
  }

  [[nodiscard]] SPECTRANS_DEVICE bool interior(int k) const { return k != 0 && 2 * k != n; }

  SPECTRANS_DEVICE Complex<T> read(const T* line, int k) const {
    if (k >= count) return {T(0), T(0)};
    const T* const at = line + k * lines.n_stride;
    if (!interior(k)) return {weights(load(at), false), T(0)};
    Pair<T> bin;
    if (together) {
      bin = load(reinterpret_cast<const Pair<T>*>(at));
    } else {
      bin = {load(at), load(at + 1)};
    }
    return {weights(bin.re, true), weights(bin.im, true)};
  }

  SPECTRANS_DEVICE void write(T* line, int k, Complex<T> value) const {
    if (k >= count) return;
    T* const at = line + k * lines.n_stride;
    const bool inside = interior(k);
    const Pair<T> bin = {weights(value.re, inside), inside ? weights(value.im, true) : T(0)};
    if (together) {
      store(reinterpret_cast<Pair<T>*>(at), bin);
    } else {
      store(at, bin.re);
      store(at + 1, bin.im);
    }
  }
};

template <class S>
struct ModesParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines x;
  Bins<T> bins;
  std::int64_t batch;
  int d;
};

template <class T>
constexpr int kLast = sizeof(T) == 4 ? 8 : 4;

template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) forward_even(const ModesParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, EvenOddSamples<S>(p.x, item, channel, p.d));
    T* const line = p.bins.line(item, channel);
    middle_pairs<kLast<T>, true, false>(
        frame, tile,
        [&](const BlockPair& pair, int k, Complex<T>& at, Complex<T>& mirrored) SPECTRANS_INLINE_LAMBDA {
          if (channel >= p.d) return;
          p.bins.write(line, k, at);
          if (!pair.repeats(k)) p.bins.write(line, p.plan.row - k, mirrored);
        },
        p.bins.count);
    __syncthreads();
  }
}

template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) forward_odd(const ModesParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::odd_line> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, RealSamples<S>(p.x, item, channel, p.d));
    T* const line = p.bins.line(item, channel);
    middle<kLast<T>, true, false>(
        frame, tile,
        [&](int, int k, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
          if (channel < p.d) p.bins.write(line, k, value);
        },
        p.bins.count);
    __syncthreads();
  }
}

template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) inverse_even(const ModesParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    const T* const line = p.bins.line(item, read);
    middle_pairs<kLast<T>, false, true>(
        frame, tile,
        [&](const BlockPair&, int k, Complex<T>& at, Complex<T>& mirrored) SPECTRANS_INLINE_LAMBDA {
          at = p.bins.read(line, k);
          mirrored = p.bins.read(line, p.plan.row - k);
        },
        p.bins.count);
    inverse(frame, tile, EvenOddSamples<S>(p.x, item, channel, p.d));
    __syncthreads();
  }
}

// Only real parts are stored, so that the bins' mirror images are not needed.
template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) inverse_odd(const ModesParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::odd_line> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    const T* const line = p.bins.line(item, read);
    middle<kLast<T>, false, true>(
        frame, tile, [&](int, int k, Complex<T>& value) SPECTRANS_INLINE_LAMBDA { value = p.bins.read(line, k); },
        p.bins.count);
    inverse(frame, tile, RealSamples<S>(p.x, item, channel, p.d));
    __syncthreads();
  }
}

// ---- long lines -----------------------------------------------------------------------------------------------------

template <class T>
struct ModesRows {
  RowsParameters<T> of;
  Bins<T> bins;
};

template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) forward_rows(const ModesRows<T> p) {
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    forward(frame, tile, row.samples(item));
    T* const line = p.bins.line(p.of.slab.first_item + item, p.of.slab.first_channel + row.channel);
    middle<kLastOfLong<T>, true, false>(frame, tile, [&](int, int k2, const Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      const HalfBin bin = row.half_bin(k2);
      if (row.active && !bin.repeats) p.bins.write(line, bin.k, {value.re, bin.mirrored ? -value.im : value.im});
    });
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) inverse_rows(const ModesRows<T> p) {
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    const T* const line = p.bins.line(p.of.slab.first_item + item, p.of.slab.first_channel + row.channel);
    middle<kLastOfLong<T>, false, true>(frame, tile, [&](int, int k2, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      const HalfBin bin = row.half_bin(k2);
      value = p.bins.read(line, bin.k);
      if (bin.mirrored) value.im = -value.im;
    });
    inverse(frame, tile, row.samples(item));
    __syncthreads();
  }
}

// ---- launches -------------------------------------------------------------------------------------------------------

// What is done to bins beside their weights, forward and inverse. Doubled: forward, bins come twice as large; inverse,
// an interior bin is half of itself and half of its mirror image. Single: lines of odd length in one block; inverse,
// only their real parts are stored, so that an interior bin is all of itself.
enum class Scale { doubled, single };

template <class T>
Weights<T> weights(const Modes& call, Scale scale) {
  const double n = static_cast<double>(call.x.n);
  const double norm = call.norm == 0 ? 1 : call.norm == 1 ? 1 / std::sqrt(n) : 1 / n;
  const double halved = scale == Scale::doubled ? norm / 2 : norm;
  const double edge = call.inverse ? norm : halved, interior = (call.mirrored ? 2 : 1) * halved;
  const T high = static_cast<T>(edge), interior_high = static_cast<T>(interior);
  return {high, static_cast<T>(edge - high), interior_high, static_cast<T>(interior - interior_high)};
}

template <class T>
Bins<T> bins(const Modes& call, Scale scale) {
  Bins<T> result{lines(call.bins, sizeof(T)), reinterpret_cast<std::uintptr_t>(call.bins.data) % (2 * sizeof(T)) == 0,
                 static_cast<int>(call.bins.n), static_cast<int>(call.x.n), weights<T>(call, scale)};
  const auto even = [&](std::int64_t stride) { result.together = result.together && stride % 2 == 0; };
  even(call.bins.n_stride);
  even(call.bins.d_stride);
  for (int axis = 0; axis < call.bins.axes; ++axis) even(call.bins.stride[axis]);
  return result;
}

template <class S>
void run_long(const Modes& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> lines(call.x, 1, stream);
  lines.each_slab([&](const Slab& slab) {
    if (!call.inverse) lines.forward(call.x, slab);
    launch(call.inverse ? &inverse_rows<T> : &forward_rows<T>, lines.grid_of_rows(slab), stream.stream,
           ModesRows<T>{lines.rows(slab), bins<T>(call, Scale::doubled)});
    if (call.inverse) lines.inverse(call.x, slab);
  });
}

template <class S>
void run(const Modes& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const bool even = call.x.n % 2 == 0;
  const std::int64_t row = even ? call.x.n / 2 : call.x.n;
  if (!has_plan(1, row)) return run_long<S>(call, stream);
  const Plan transform = plan(1, row, kLast<T>, sizeof(T) == 4 ? 16 : 8);
  const Work work{call.x.d, 1, sizeof(S), sizeof(T), call.x.d_stride == 1 || call.x.n_stride != 1};
  const Geometry chosen = geometry(transform, work, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  if (too_long(chosen, work) && has_split(call.x.n)) return run_long<S>(call, stream);
  const int columns = chosen.layout.columns;
  const Bins<T> of = bins<T>(call, even ? Scale::doubled : Scale::single);
  const ModesParameters<S> parameters{transform, chosen.layout, lines(call.x, sizeof(S)),
                                      of,        call.x.batch,  static_cast<int>(call.x.d)};
  const dim3 blocks(static_cast<unsigned>((call.x.d + columns - 1) / columns),
                    static_cast<unsigned>(std::min(call.x.batch, kMaxBlocksAlongY)));
  const auto kernel =
      call.inverse ? (even ? &inverse_even<S> : &inverse_odd<S>) : (even ? &forward_even<S> : &forward_odd<S>);
  launch(kernel, {blocks, chosen.threads(), chosen.shared_bytes}, stream.stream, parameters);
}

}  // namespace

const char* why_not(const Modes& call) {
  if (std::max(call.x.axes, call.bins.axes) > kMaxLineAxes) return "the batch has too many axes";
  if (!has_split(call.x.n) && !has_plan(1, call.x.n)) return "n has a prime factor beyond 7, or is too long";
  return nullptr;
}

void modes(const Modes& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { run<S>(call, stream); });
}

}  // namespace spectrans::cuda
