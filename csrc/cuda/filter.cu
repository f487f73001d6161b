// spectrans::filter and spectrans::filter2d: x is read once, y written once, the spectrum never leaves the block.
#include <algorithm>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"

namespace spectrans::cuda {
namespace {

template <class T>
struct Response {
  const Pair<T>* data;
  std::int64_t bin_stride, channel_stride;  // in pairs
  int rows, width;                          // of the grid of tokens; a sequence is a grid of one row
  bool adjoint;
  T scale;

  SPECTRANS_DEVICE Complex<T> at(int row, int k, int channel) const {
    const Pair<T> h = load(data + (std::int64_t{row} * (width / 2 + 1) + k) * bin_stride + channel * channel_stride);
    return {h.re, h.im};
  }

  // What acts in (row, k), k <= width / 2: in the columns 0 and width / 2, which hold bins and their mirror images,
  // only the Hermitian part.
  SPECTRANS_DEVICE Complex<T> operator()(int row, int k, int channel) const {
    Complex<T> h = at(row, k, channel);
    if (k == 0 || 2 * k == width) {
      const Complex<T> mirrored = at(row == 0 ? 0 : rows - row, k, channel);
      h = {(h.re + mirrored.re) * T(0.5), (h.im - mirrored.im) * T(0.5)};
    }
    return {h.re * scale, (adjoint ? -h.im : h.im) * scale};
  }
};

template <class S>
struct FilterParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines x, y;
  Response<T> response;
  std::int64_t batch;
  int d;
};

// Two blocks of the last stage are in registers at once.
template <class T>
constexpr int kLast = sizeof(T) == 4 ? 8 : 4;

// Lines of even length.
template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) filter_even(const FilterParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, EvenOddSamples<S>(p.x, item, channel, p.d));
    middle_pairs<kLast<T>, true, true>(
        frame, tile, [&](const BlockPair& pair, int k, Complex<T>& at, Complex<T>& mirrored) SPECTRANS_INLINE_LAMBDA {
          const Complex<T> h = p.response(pair.row, k, read), g = p.response(pair.mirrored_row, p.plan.row - k, read);
          at = times(at, h.re, h.im);
          mirrored = times(mirrored, g.re, g.im);
        });
    inverse(frame, tile, EvenOddSamples<S>(p.y, item, channel, p.d));
  }
}

// Lines of odd length, as complex ones.
template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) filter_odd(const FilterParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, RealSamples<S>(p.x, item, channel, p.d));
    middle<kLast<T>, true>(frame, tile, [&](int row, int k, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      if (2 * k < p.plan.row) {
        const Complex<T> h = p.response(row, k, read);
        value = times(value, h.re, h.im);
      } else {
        const Complex<T> h = p.response(row == 0 ? 0 : p.plan.rows - row, p.plan.row - k, read);
        value = times_conj(value, h.re, h.im);
      }
    });
    inverse(frame, tile, RealSamples<S>(p.y, item, channel, p.d));
  }
}

constexpr std::int64_t kMaxBlocksAlongY = 65535;

template <class S>
void run(const Filter& call, std::int64_t h, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const std::int64_t width = call.x.n / h;
  const bool even = width % 2 == 0;
  const Plan transform = plan(h, even ? width / 2 : width, kLast<T>, sizeof(T) == 4 ? 16 : 8);
  const Work work{call.x.d, 1, sizeof(S), sizeof(T), call.x.d_stride == 1 || call.x.n_stride != 1};
  const Geometry chosen = geometry(transform, work, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  const int columns = chosen.layout.columns;
  // Bins come doubled from a line held as half as many complex values, and go back doubled.
  const T scale = T(1) / (T(call.x.n) * (even ? 2 : 1));
  const FilterParameters<S> parameters{
      transform,
      chosen.layout,
      lines(call.x, sizeof(S)),
      lines(call.y, sizeof(S)),
      {static_cast<const Pair<T>*>(call.response), call.bin_stride / 2, call.channel_stride / 2, static_cast<int>(h),
       static_cast<int>(width), call.adjoint, scale},
      call.x.batch,
      static_cast<int>(call.x.d)};
  const dim3 blocks(static_cast<unsigned>((call.x.d + columns - 1) / columns),
                    static_cast<unsigned>(std::min(call.x.batch, kMaxBlocksAlongY)));
  const Grid grid{blocks, chosen.threads(), chosen.shared_bytes};
  launch(even ? &filter_even<S> : &filter_odd<S>, grid, stream.stream, parameters);
}

}  // namespace

void filter(const Filter& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { run<S>(call, 1, stream); });
}

void filter2d(const Filter2d& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { run<S>(call, call.h, stream); });
}

}  // namespace spectrans::cuda
