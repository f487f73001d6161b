// spectrans::filter and spectrans::filter2d: x is read once, y written once, the spectrum never leaves the block.
#include <algorithm>

#include "filter.h"
#include "geometry.h"
#include "lines.h"
#include "long.h"

namespace spectrans::cuda {
namespace {

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

constexpr int kLast = 4;  // two blocks of the last stage are in registers at once

// Threads of a block, and a bound on them that leaves a compiler the registers it needs: in float 80 for the even
// lines, so that three blocks of 256 threads fit into a multiprocessor, and 128 for the others.
template <class T>
constexpr int kThreads = sizeof(T) == 4 ? 384 : 256;
template <class T>
constexpr int kBound = sizeof(T) == 4 ? kMaxThreads : 256;
template <class S>
using ArithmeticOf = typename Arithmetic<S>::type;

// Lines of even length.
template <class S>
__global__ void __launch_bounds__(kThreads<ArithmeticOf<S>>, sizeof(ArithmeticOf<S>) == 4 ? 2 : 1)
    filter_even(const FilterParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::grid> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, EvenOddSamples<S>(p.x, item, channel, p.d));
    middle_pairs<kLast, true, true>(
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
__global__ void __launch_bounds__(kBound<ArithmeticOf<S>>, 1) filter_odd(const FilterParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::grid_of_odd_rows> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    forward(frame, tile, RealSamples<S>(p.x, item, channel, p.d));
    middle<kLast, true, true>(frame, tile, [&](int row, int k, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      value = p.response.filtered(value, row, k, read);
    });
    inverse(frame, tile, RealSamples<S>(p.y, item, channel, p.d));
  }
}

// ---- the response's gradient ----------------------------------------------------------------------------------------
//
// c / n conj(X) G per bin, c = 1 in the columns 0 and width / 2 of the half spectrum, else 2.

template <class S>
struct BackwardParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines read[2];  // the gradient, x
  Lines y;
  Response<T> response;
  Sums<T> sums;
  std::int64_t batch, chunk;
  int d;
  bool filters;  // or the response's gradient alone
};

// The two signals are read by the same code, one after the other: compiling it for each of them would take long, and
// they wait for each other anyway.
template <class S>
__global__ void __launch_bounds__(kBound<ArithmeticOf<S>>, 1) backward_even(const BackwardParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::grid> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> of_grad = frame.tile(0), of_x = frame.tile(1);
  for (std::int64_t chunk = blockIdx.y; chunk * p.chunk < p.batch; chunk += gridDim.y) {
    const std::int64_t begin = chunk * p.chunk, end = begin + p.chunk < p.batch ? begin + p.chunk : p.batch;
    for (std::int64_t item = begin; item < end; ++item) {
      for (int of = 0; of < 2; ++of) {
        forward(frame, frame.tile(of), EvenOddSamples<S>(p.read[of], item, channel, p.d));
      }
      middle_pairs<kLastOfTwo<T>, true>(frame, of_grad, of_x,
                                        [&](const BlockPair& pair, int k, Complex<T>& g, Complex<T>& mirrored_g,
                                            const Complex<T>& x, const Complex<T>& mirrored_x) SPECTRANS_INLINE_LAMBDA {
                                          const int mirrored_k = p.plan.row - k;
                                          if (channel < p.d) {
                                            p.sums.add(p.sums.at(chunk, pair.row, k, channel), x, g, item == begin);
                                            if (!pair.repeats(k)) {
                                              p.sums.add(p.sums.at(chunk, pair.mirrored_row, mirrored_k, channel),
                                                         mirrored_x, mirrored_g, item == begin);
                                            }
                                          }
                                          if (p.filters) {
                                            const Complex<T> h = p.response(pair.row, k, read),
                                                             m = p.response(pair.mirrored_row, mirrored_k, read);
                                            g = times(g, h.re, h.im);
                                            mirrored_g = times(mirrored_g, m.re, m.im);
                                          }
                                        });
      if (p.filters) {
        inverse(frame, of_grad, EvenOddSamples<S>(p.y, item, channel, p.d));
      } else {
        __syncthreads();
      }
    }
  }
}

template <class S>
__global__ void __launch_bounds__(kBound<ArithmeticOf<S>>, 1) backward_odd(const BackwardParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, Lengths::grid_of_odd_rows> frame(p.plan, p.layout);
  prepare(frame);
  const int channel = blockIdx.x * p.layout.columns + frame.column, read = channel < p.d ? channel : 0;
  const Tile<T> of_grad = frame.tile(0), of_x = frame.tile(1);
  for (std::int64_t chunk = blockIdx.y; chunk * p.chunk < p.batch; chunk += gridDim.y) {
    const std::int64_t begin = chunk * p.chunk, end = begin + p.chunk < p.batch ? begin + p.chunk : p.batch;
    for (std::int64_t item = begin; item < end; ++item) {
      for (int of = 0; of < 2; ++of) {
        forward(frame, frame.tile(of), RealSamples<S>(p.read[of], item, channel, p.d));
      }
      middle<kLastOfTwo<T>, true>(frame, of_grad, of_x,
                                  [&](int row, int k, Complex<T>& g, const Complex<T>& x) SPECTRANS_INLINE_LAMBDA {
                                    if (2 * k < p.plan.row && channel < p.d) {
                                      p.sums.add(p.sums.at(chunk, row, k, channel), x, g, item == begin);
                                    }
                                    if (p.filters) g = p.response.filtered(g, row, k, read);
                                  });
      if (p.filters) {
        inverse(frame, of_grad, RealSamples<S>(p.y, item, channel, p.d));
      } else {
        __syncthreads();
      }
    }
  }
}

template <class T>
struct SumParameters {
  Sums<T> sums;
  Pair<T>* result;  // [rows, width / 2 + 1, d]
  std::int64_t chunks;
  int width;
  T scale;
};

// Bin (row, k) of a column that holds bins and their mirror images is the conjugate of (-row, k): one of the two was
// summed.
template <class T>
__global__ void __launch_bounds__(kSumThreads) add_chunks(const SumParameters<T> p) {
  const Sums<T>& sums = p.sums;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x; i < sums.bins();
       i += std::int64_t{gridDim.x} * kSumThreads) {
    const std::int64_t bin = i / sums.d;
    const int channel = static_cast<int>(i - bin * sums.d), row = static_cast<int>(bin / sums.half);
    const int k = static_cast<int>(bin - std::int64_t{row} * sums.half), mirrored_row = row == 0 ? 0 : sums.rows - row;
    const bool both = k == 0 || 2 * k == p.width;
    const bool conjugate = both && (k == 0 ? mirrored_row < row : mirrored_row > row);
    Complex<T> sum = {T(0), T(0)};
    for (std::int64_t chunk = 0; chunk < p.chunks; ++chunk) {
      const Pair<T> part = load(sums.at(chunk, conjugate ? mirrored_row : row, k, channel));
      sum = {sum.re + part.re, sum.im + part.im};
    }
    const T scale = both ? p.scale : 2 * p.scale;
    const T im = both && row == mirrored_row ? T(0) : conjugate ? -sum.im : sum.im;
    store(p.result + i, Pair<T>{sum.re * scale, im * scale});
  }
}

// ---- launches -------------------------------------------------------------------------------------------------------

// What every launch for a call has in common.
template <class S>
struct Shape {
  using T = typename Arithmetic<S>::type;
  std::int64_t width;
  bool even;
  Plan transform;
  Work work;
  Geometry chosen;

  Shape(const Filter& call, std::int64_t h, int tiles, int last_limit)
      : width(call.x.n / h), even(width % 2 == 0),
        transform(plan(h, even ? width / 2 : width, last_limit, sizeof(T) == 4 ? 16 : 8)),
        work{.channels = call.x.d,
             .tiles = tiles,
             .storage_size = sizeof(S),
             .size = sizeof(T),
             .columns_first = call.x.d_stride == 1 || call.x.n_stride != 1,
             .max_threads = kThreads<T>},
        chosen(geometry(transform, work, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin))) {}

  [[nodiscard]] bool too_long() const { return cuda::too_long(chosen, work); }

  [[nodiscard]] Grid grid(std::int64_t items) const {
    const std::int64_t columns = chosen.layout.columns, tiles = (work.channels + columns - 1) / columns;
    return {dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(std::min(items, kMaxBlocksAlongY))),
            chosen.threads(), chosen.shared_bytes};
  }
};

template <class S>
void run_forward(const Filter& call, std::int64_t h, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const Shape<S> shape(call, h, 1, kLast);
  const FilterParameters<S> parameters{shape.transform,
                                       shape.chosen.layout,
                                       lines(call.x, sizeof(S)),
                                       lines(call.y, sizeof(S)),
                                       response_of<T>(call, h, shape.even),
                                       call.x.batch,
                                       static_cast<int>(call.x.d)};
  launch(shape.even ? &filter_even<S> : &filter_odd<S>, shape.grid(call.x.batch), stream.stream, parameters);
}

template <class S>
void run_backward(const Filter& call, std::int64_t h, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const Shape<S> shape(call, h, 2, kLastOfTwo<T>);
  const Summation<T> summation(call, h, stream);
  const BackwardParameters<S> parameters{shape.transform,
                                         shape.chosen.layout,
                                         {lines(call.x, sizeof(S)), lines(call.with, sizeof(S))},
                                         lines(call.y, sizeof(S)),
                                         response_of<T>(call, h, shape.even),
                                         summation.sums,
                                         call.x.batch,
                                         summation.chunk,
                                         static_cast<int>(call.x.d),
                                         call.y.data != nullptr};
  launch(shape.even ? &backward_even<S> : &backward_odd<S>, shape.grid(summation.chunks), stream.stream, parameters);
  summation.finish(call, shape.even ? T(0.25) : T(1), stream);
}

// Whether a sequence is better split than held in one block.
template <class S>
bool is_long(const Filter& call) {
  const std::int64_t n = call.x.n;
  if (!has_plan(1, n % 2 == 0 ? n / 2 : n)) return true;
  const bool backward = call.response_grad != nullptr;
  using T = typename Arithmetic<S>::type;
  return has_split(n) && Shape<S>(call, 1, backward ? 2 : 1, backward ? kLastOfTwo<T> : kLast).too_long();
}

void run(const Filter& call, std::int64_t h, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) {
    if (h == 1 && is_long<S>(call)) return long_filter(call, stream);
    if (call.response_grad == nullptr) {
      run_forward<S>(call, h, stream);
    } else {
      run_backward<S>(call, h, stream);
    }
  });
}

// Whether a block of every GPU has room for one column of the grid, or for its two tiles in the backward pass.
template <class S>
bool fits(const Filter2d& call, std::int64_t row) {
  using T = ArithmeticOf<S>;
  const bool backward = call.response_grad != nullptr;
  const Plan transform = plan(call.h, row, backward ? kLastOfTwo<T> : kLast, sizeof(T) == 4 ? 16 : 8);
  return geometry(transform, {1, backward ? 2 : 1, sizeof(S), sizeof(T), false}, kLeastSharedLimit).shared_bytes > 0;
}

bool has_too_many_axes(const Filter& call) {
  return std::max({call.x.axes, call.y.axes, call.with.axes}) > kMaxLineAxes;
}

}  // namespace

template <class T>
Summation<T>::Summation(const Filter& call, std::int64_t h, const Stream& stream)
    : chunk(items_of_sum(call.x.batch, call.x.d)), chunks(ceil_div(call.x.batch, chunk)),
      width(static_cast<int>(call.x.n / h)),
      sums{nullptr, static_cast<int>(h), width / 2 + 1, static_cast<int>(call.x.d)} {
  sums.data = static_cast<Pair<T>*>(stream.allocate(chunks * sums.bins() * sizeof(Pair<T>), stream.context));
}

template <class T>
void Summation<T>::finish(const Filter& call, T scale, const Stream& stream) const {
  launch(&add_chunks<T>, grid_of_sums(sums.bins()), stream.stream,
         SumParameters<T>{sums, static_cast<Pair<T>*>(call.response_grad), chunks, width, scale / T(call.x.n)});
}

template struct Summation<float>;
template struct Summation<double>;

const char* why_not(const Filter& call) {
  if (has_too_many_axes(call)) return "the batch has too many axes";
  if (!has_split(call.x.n) && !has_plan(1, call.x.n)) return "n has a prime factor beyond 7, or is too long";
  return nullptr;
}

const char* why_not(const Filter2d& call) {
  const std::int64_t width = call.x.n / call.h, row = width % 2 == 0 ? width / 2 : width;
  if (has_too_many_axes(call)) return "the batch has too many axes";
  if (!has_plan(call.h, row)) return "a side of the grid has a prime factor beyond 7, or is too long";
  bool fitting = false;
  with_storage(call.element, [&]<class S>(S) { fitting = fits<S>(call, row); });
  return fitting ? nullptr : "the grid does not fit into a block's shared memory";
}

void filter(const Filter& call, const Stream& stream) { run(call, 1, stream); }
void filter2d(const Filter2d& call, const Stream& stream) { run(call, call.h, stream); }

}  // namespace spectrans::cuda
