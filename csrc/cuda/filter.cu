// spectrans::filter and spectrans::filter2d: x is read once, y written once, the spectrum never leaves the block.
#include <algorithm>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"
#include "long.h"
#include "sums.h"

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

  // A value of the whole spectrum, k < width, times what acts there.
  SPECTRANS_DEVICE Complex<T> filtered(Complex<T> value, int row, int k, int channel) const {
    if (2 * k <= width) {
      const Complex<T> h = (*this)(row, k, channel);
      return times(value, h.re, h.im);
    }
    const Complex<T> h = (*this)(row == 0 ? 0 : rows - row, width - k, channel);
    return times_conj(value, h.re, h.im);
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

// ---- long lines -----------------------------------------------------------------------------------------------------

template <class T>
struct FilterRows {
  RowsParameters<T> of;
  Response<T> response;
};

template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) filter_rows(const FilterRows<T> p) {
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const int channel = p.of.slab.first_channel + row.channel;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    forward(frame, tile, row.samples(item));
    middle<kLastOfLong<T>, true, true>(frame, tile, [&](int, int k, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      value = p.response.filtered(value, 0, row.bin(k), channel);
    });
    inverse(frame, tile, row.samples(item));
  }
}

template <class T>
struct BackwardRows {
  RowsParameters<T> grad, x;
  Response<T> response;
  Sums<T> sums;
  std::int64_t chunk;
  bool filters;
};

// A chunk may begin in one slab and end in another.
template <class T>
__global__ void __launch_bounds__(kRowThreads<T>, 1) backward_rows(const BackwardRows<T> p) {
  const PartFrame<T> frame(p.grad.plan, p.grad.layout);
  prepare(frame);
  const RowOfThread<T> of_grad(p.grad, frame.column), of_x(p.x, frame.column);
  const Slab& slab = p.grad.slab;
  const int channel = slab.first_channel + of_grad.channel;
  const Tile<T> grad = frame.tile(0), x = frame.tile(1);
  const std::int64_t end = slab.first_item + slab.items;
  for (std::int64_t chunk = slab.first_item / p.chunk + blockIdx.y; chunk * p.chunk < end; chunk += gridDim.y) {
    std::int64_t item = chunk * p.chunk < slab.first_item ? slab.first_item : chunk * p.chunk;
    for (; item < end && item < (chunk + 1) * p.chunk; ++item) {
      const std::int64_t in_slab = item - slab.first_item;
      for (int of = 0; of < 2; ++of) {
        forward(frame, frame.tile(of), of == 0 ? of_grad.samples(in_slab) : of_x.samples(in_slab));
      }
      middle<kLastOfTwo<T>, true>(frame, grad, x,
                                  [&](int, int k2, Complex<T>& g, const Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
                                    const HalfBin bin = of_grad.half_bin(k2);
                                    if (of_grad.active && !bin.repeats) {
                                      Pair<T>* const at = p.sums.at(chunk, 0, bin.k, channel);
                                      const bool first = item == chunk * p.chunk;
                                      if (bin.mirrored) {  // conj(conj(x) g) = conj(g) x
                                        p.sums.add(at, g, value, first);
                                      } else {
                                        p.sums.add(at, value, g, first);
                                      }
                                    }
                                    if (p.filters) g = p.response.filtered(g, 0, of_grad.bin(k2), channel);
                                  });
      if (p.filters) {
        inverse(frame, grad, of_grad.samples(in_slab));
      } else {
        __syncthreads();
      }
    }
  }
}

// ---- launches -------------------------------------------------------------------------------------------------------

// What every launch for a call has in common.
template <class S>
struct Shape {
  using T = typename Arithmetic<S>::type;
  std::int64_t h, width;
  bool even;
  Plan transform;
  Work work;
  Geometry chosen;

  Shape(const Filter& call, std::int64_t h_, int tiles, int last_limit)
      : h(h_), width(call.x.n / h_), even(width % 2 == 0),
        transform(plan(h_, even ? width / 2 : width, last_limit, sizeof(T) == 4 ? 16 : 8)),
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

  // Bins come doubled from a line held as half as many complex values, and go back doubled.
  [[nodiscard]] Response<T> response(const Filter& call) const {
    const T scale = T(1) / (T(call.x.n) * (even ? 2 : 1));
    return {static_cast<const Pair<T>*>(call.response),
            call.bin_stride / 2,
            call.channel_stride / 2,
            static_cast<int>(h),
            static_cast<int>(width),
            call.adjoint,
            scale};
  }
};

template <class S>
void run_forward(const Filter& call, std::int64_t h, const Stream& stream) {
  const Shape<S> shape(call, h, 1, kLast);
  const FilterParameters<S> parameters{shape.transform,           shape.chosen.layout,  lines(call.x, sizeof(S)),
                                       lines(call.y, sizeof(S)),  shape.response(call), call.x.batch,
                                       static_cast<int>(call.x.d)};
  launch(shape.even ? &filter_even<S> : &filter_odd<S>, shape.grid(call.x.batch), stream.stream, parameters);
}

// The chunks' sums, and the gradient they make.
template <class T>
struct Summation {
  std::int64_t chunk, chunks;
  int width;
  Sums<T> sums;

  Summation(const Filter& call, std::int64_t h, const Stream& stream)
      : chunk(items_of_sum(call.x.batch, call.x.d)), chunks(ceil_div(call.x.batch, chunk)),
        width(static_cast<int>(call.x.n / h)),
        sums{nullptr, static_cast<int>(h), width / 2 + 1, static_cast<int>(call.x.d)} {
    sums.data = static_cast<Pair<T>*>(stream.allocate(chunks * sums.bins() * sizeof(Pair<T>), stream.context));
  }

  // scale: of the products that were summed
  void finish(const Filter& call, T scale, const Stream& stream) const {
    launch(&add_chunks<T>, grid_of_sums(sums.bins()), stream.stream,
           SumParameters<T>{sums, static_cast<Pair<T>*>(call.response_grad), chunks, width, scale / T(call.x.n)});
  }
};

template <class S>
void run_backward(const Filter& call, std::int64_t h, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const Shape<S> shape(call, h, 2, kLastOfTwo<T>);
  const Summation<T> summation(call, h, stream);
  const BackwardParameters<S> parameters{shape.transform,
                                         shape.chosen.layout,
                                         {lines(call.x, sizeof(S)), lines(call.with, sizeof(S))},
                                         lines(call.y, sizeof(S)),
                                         shape.response(call),
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

// Bins of long lines come doubled.
template <class T>
Response<T> response_of_long(const Filter& call) {
  return {static_cast<const Pair<T>*>(call.response),
          call.bin_stride / 2,
          call.channel_stride / 2,
          1,
          static_cast<int>(call.x.n),
          call.adjoint,
          T(1) / (T(call.x.n) * 2)};
}

template <class S>
void run_long_forward(const Filter& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> lines(call.x, 1, stream);
  lines.each_slab([&](const Slab& slab) {
    lines.forward(call.x, slab);
    launch(&filter_rows<T>, lines.grid_of_rows(slab), stream.stream,
           FilterRows<T>{lines.rows(slab), response_of_long<T>(call)});
    lines.inverse(call.y, slab);
  });
}

template <class S>
void run_long_backward(const Filter& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> lines(call.x, 2, stream);
  const Summation<T> summation(call, 1, stream);
  lines.each_slab([&](const Slab& slab) {
    lines.forward(call.x, slab, 0);
    lines.forward(call.with, slab, 1);
    launch(&backward_rows<T>, lines.grid_of_rows(slab), stream.stream,
           BackwardRows<T>{lines.rows(slab, 0), lines.rows(slab, 1), response_of_long<T>(call), summation.sums,
                           summation.chunk, call.y.data != nullptr});
    if (call.y.data != nullptr) lines.inverse(call.y, slab, 0);
  });
  summation.finish(call, T(0.25), stream);
}

void run(const Filter& call, std::int64_t h, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) {
    if (h == 1 && is_long<S>(call)) {
      if (call.response_grad == nullptr) return run_long_forward<S>(call, stream);
      return run_long_backward<S>(call, stream);
    }
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
