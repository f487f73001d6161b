// spectrans::modes and its inverse: bins that are cut off are neither stored nor, in whole blocks, computed.
#include <algorithm>
#include <cmath>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"

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
  const Frame<T> frame(p.plan, p.layout);
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
  const Frame<T> frame(p.plan, p.layout);
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

// Bins come doubled from a line held as half as many complex values; going back, an interior bin is half of itself and
// half of its mirror image, but where only real parts are stored it is all of itself.
template <class T>
Weights<T> weights(const Modes& call) {
  const double n = static_cast<double>(call.x.n);
  const double norm = call.norm == 0 ? 1 : call.norm == 1 ? 1 / std::sqrt(n) : 1 / n;
  const bool even = call.x.n % 2 == 0;
  const double edge = !call.inverse && even ? norm / 2 : norm;
  const double interior = (call.mirrored ? 2 : 1) * (even ? norm / 2 : norm);
  const T high = static_cast<T>(edge), interior_high = static_cast<T>(interior);
  return {high, static_cast<T>(edge - high), interior_high, static_cast<T>(interior - interior_high)};
}

template <class T>
Bins<T> bins(const Modes& call) {
  Bins<T> result{lines(call.bins, sizeof(T)), reinterpret_cast<std::uintptr_t>(call.bins.data) % (2 * sizeof(T)) == 0,
                 static_cast<int>(call.bins.n), static_cast<int>(call.x.n), weights<T>(call)};
  const auto even = [&](std::int64_t stride) { result.together = result.together && stride % 2 == 0; };
  even(call.bins.n_stride);
  even(call.bins.d_stride);
  for (int axis = 0; axis < call.bins.axes; ++axis) even(call.bins.stride[axis]);
  return result;
}

constexpr std::int64_t kMaxBlocksAlongY = 65535;

template <class S>
void run(const Modes& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const bool even = call.x.n % 2 == 0;
  const Plan transform = plan(1, even ? call.x.n / 2 : call.x.n, kLast<T>, sizeof(T) == 4 ? 16 : 8);
  const Work work{call.x.d, 1, sizeof(S), sizeof(T), call.x.d_stride == 1 || call.x.n_stride != 1};
  const Geometry chosen = geometry(transform, work, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  const int columns = chosen.layout.columns;
  const ModesParameters<S> parameters{transform,     chosen.layout, lines(call.x, sizeof(S)),
                                      bins<T>(call), call.x.batch,  static_cast<int>(call.x.d)};
  const dim3 blocks(static_cast<unsigned>((call.x.d + columns - 1) / columns),
                    static_cast<unsigned>(std::min(call.x.batch, kMaxBlocksAlongY)));
  const auto kernel =
      call.inverse ? (even ? &inverse_even<S> : &inverse_odd<S>) : (even ? &forward_even<S> : &forward_odd<S>);
  launch(kernel, {blocks, chosen.threads(), chosen.shared_bytes}, stream.stream, parameters);
}

// Values of one column that fit the shared memory of every GPU.
constexpr std::int64_t kMaxColumnBytes = 64 * 1024;

}  // namespace

const char* why_not(const Modes& call) {
  const std::int64_t n = call.x.n, row = n % 2 == 0 ? n / 2 : n, value = call.element == Element::float64 ? 16 : 8;
  if (std::max(call.x.axes, call.bins.axes) > kMaxLineAxes) return "the batch has too many axes";
  if (!has_plan(1, row)) return "a length has a prime factor beyond 7, or is too long";
  if (row * value > kMaxColumnBytes) return "the sequence does not fit into a block's shared memory";
  return nullptr;
}

void modes(const Modes& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { run<S>(call, stream); });
}

}  // namespace spectrans::cuda
