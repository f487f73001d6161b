// Filters over lines that one block cannot hold: columns and rows as in long.h, the response acting on each row where
// it is in shared memory.
#include "filter.h"
#include "long.h"

namespace spectrans::cuda {
namespace {

// ---- over rows ------------------------------------------------------------------------------------------------------

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

template <class S>
void run_forward(const Filter& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> lines(call.x, 1, stream);
  lines.each_slab([&](const Slab& slab) {
    lines.forward(call.x, slab);
    launch(&filter_rows<T>, lines.grid_of_rows(slab), stream.stream,
           FilterRows<T>{lines.rows(slab), response_of<T>(call, 1, true)});
    lines.inverse(call.y, slab);
  });
}

template <class S>
void run_backward(const Filter& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> lines(call.x, 2, stream);
  const Summation<T> summation(call, 1, stream);
  lines.each_slab([&](const Slab& slab) {
    lines.forward(call.x, slab, 0);
    lines.forward(call.with, slab, 1);
    launch(&backward_rows<T>, lines.grid_of_rows(slab), stream.stream,
           BackwardRows<T>{lines.rows(slab, 0), lines.rows(slab, 1), response_of<T>(call, 1, true), summation.sums,
                           summation.chunk, call.y.data != nullptr});
    if (call.y.data != nullptr) lines.inverse(call.y, slab, 0);
  });
  summation.finish(call, T(0.25), stream);
}

}  // namespace

void long_filter(const Filter& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) {
    if (call.response_grad == nullptr) return run_forward<S>(call, stream);
    run_backward<S>(call, stream);
  });
}

}  // namespace spectrans::cuda
