// spectrans::mixing: lines of one axis are read and written once; over two axes half a spectrum, in L2, lies between.
//
// With X the transform over both axes, X[-m, -k] = conj X[m, k]: columns k <= d / 2 are enough, and each of their bins
// makes y[m, k] and y[-m, -k].
//
// Re X sees only e[j, l] = (x[j, l] + x[-j, -l]) / 2. So rows j <= n / 2 of e are transformed to E[j, k], of which
// columns are Hermitian in j: their transforms are real, y[., k] itself, and two go through one complex transform as
// its real and imaginary parts. Re X - Im X needs all rows of x, and complex transforms along the columns.
#include <algorithm>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"
#include "long.h"
#include "plane.h"

namespace spectrans::cuda {
namespace {

constexpr std::int64_t kMaxChannels = 1 << 30;

// What a bin is written as: y = Re - Im or Re at the bin itself, Re + Im or Re at its mirror image.
template <class T>
struct Part {
  bool hartley;
  T scale;

  SPECTRANS_DEVICE T own(Complex<T> bin) const { return (hartley ? bin.re - bin.im : bin.re) * scale; }
  SPECTRANS_DEVICE T mirrored(Complex<T> bin) const { return (hartley ? bin.re + bin.im : bin.re) * scale; }
};

// ---- one axis -------------------------------------------------------------------------------------------------------

template <class S>
struct LineParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines x, y;  // the axis is called n here
  Part<T> part;
  Divider by_row;
  std::int64_t batch;
  int n, channels;
};

// One line of the result.
template <class S>
struct MixedLine {
  using T = typename Arithmetic<S>::type;
  S* line;
  std::int64_t stride;
  int n;
  const Part<T>& part;

  // bin k <= n / 2
  SPECTRANS_DEVICE void store(int k, Complex<T> bin) const {
    cuda::store(line + k * stride, narrow<S>(part.own(bin)));
    if (k > 0 && 2 * k < n) cuda::store(line + (n - k) * stride, narrow<S>(part.mirrored(bin)));
  }
};

// Where neighbouring threads have neighbouring lines they write bins as they come; where they have neighbouring samples
// of a line, bins go back to shared memory, to be written in their order.
template <class S, bool kEven>
__global__ void __launch_bounds__(kPlaneThreads<typename Arithmetic<S>::type>,
                                  kPlaneBlocks<typename Arithmetic<S>::type>) mix_lines(const LineParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T, kEven ? Lengths::line : Lengths::odd_line> frame(p.plan, p.layout);
  prepare(frame);
  const int first = blockIdx.x * p.layout.columns, channel = first + frame.column, row = p.plan.row;
  const bool direct = p.layout.columns_first, active = channel < p.channels;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.batch; item += gridDim.y) {
    S* const y = static_cast<S*>(p.y.data) + offset(p.y, item, first);
    const MixedLine<S> line{y + frame.column * p.y.d_stride, p.y.n_stride, p.n, p.part};
    if constexpr (kEven) {
      forward(frame, tile, EvenOddSamples<S>(p.x, item, channel, p.channels));
      middle_pairs<kLastOfPlane<T>, true, false>(
          frame, tile, [&](const BlockPair& pair, int k, Complex<T> at, Complex<T> mirrored) SPECTRANS_INLINE_LAMBDA {
            if (!direct) {
              if (k == 0) at.im = mirrored.re;  // bins 0 and row are real
              tile.store(frame.bin_address(k), at);
              if (k > 0) tile.store(frame.bin_address(row - k), mirrored);
            } else if (active) {
              line.store(k, at);
              if (!pair.repeats(k)) line.store(row - k, mirrored);
            }
          });
    } else {
      forward(frame, tile, RealSamples<S>(p.x, item, channel, p.channels));
      if (direct) {
        middle<kLastOfPlane<T>, true, false>(frame, tile, [&](int, int k, Complex<T> value) SPECTRANS_INLINE_LAMBDA {
          if (active && 2 * k < row) line.store(k, value);
        });
      } else {
        last_stage<kLastOfPlane<T>>(frame, tile);
      }
    }
    __syncthreads();
    if (direct) continue;
    const auto value = [&](int column, int m) SPECTRANS_INLINE_LAMBDA {
      const bool mirrored = 2 * m > p.n;
      const int k = mirrored ? p.n - m : m;
      Complex<T> bin = frame.tile_of(column).load(frame.bin_address(kEven && k == row ? 0 : k));
      if (kEven && k == 0) bin.im = T(0);
      if (kEven && k == row) bin = {bin.im, T(0)};
      return narrow<S>(mirrored ? p.part.mirrored(bin) : p.part.own(bin));
    };
    const int left = p.channels - first, columns = left < p.layout.columns ? left : p.layout.columns;
    for (int i = threadIdx.x; i < columns * row; i += p.layout.columns * p.layout.workers) {
      const int column = quotient(i, p.by_row), rest = i - column * row;
      S* const line = y + column * p.y.d_stride;
      if constexpr (kEven) {
        const Pair<S> both = {value(column, 2 * rest), value(column, 2 * rest + 1)};
        S* const at = line + 2 * rest * p.y.n_stride;
        if (p.y.together) {
          store(reinterpret_cast<Pair<S>*>(at), both);
        } else {
          store(at, both.re);
          store(at + p.y.n_stride, both.im);
        }
      } else {
        store(line + rest * p.y.n_stride, value(column, rest));
      }
    }
    __syncthreads();
  }
}

// ---- one axis, long lines -------------------------------------------------------------------------------------------

template <class S>
struct RowParameters {
  using T = typename Arithmetic<S>::type;
  RowsParameters<T> of;
  Lines y;
  Part<T> part;
};

template <class S>
__global__ void __launch_bounds__(kRowThreads<typename Arithmetic<S>::type>, 1)
    mix_long_rows(const RowParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const PartFrame<T> frame(p.of.plan, p.of.layout);
  prepare(frame);
  const RowOfThread<T> row(p.of, frame.column);
  const Slab& slab = p.of.slab;
  const Tile<T> tile = frame.tile();
  for (std::int64_t item = blockIdx.y; item < slab.items; item += gridDim.y) {
    const std::int64_t begin = offset(p.y, slab.first_item + item, slab.first_channel + row.channel);
    const MixedLine<S> line{static_cast<S*>(p.y.data) + begin, p.y.n_stride, p.of.rows.n, p.part};
    forward(frame, tile, row.samples(item));
    middle<kLastOfLong<T>, true, false>(frame, tile, [&](int, int k2, Complex<T> value) SPECTRANS_INLINE_LAMBDA {
      const HalfBin bin = row.half_bin(k2);
      if (row.active && !bin.repeats) line.store(bin.k, {value.re, bin.mirrored ? -value.im : value.im});
    });
    __syncthreads();
  }
}

// ---- two axes -------------------------------------------------------------------------------------------------------

template <class S>
struct ColumnsParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines y;
  HalfSpectrum<T> half;
  Part<T> part;
  std::int64_t first_item;
  int items, n, d;
};

// Column k of the result, and its mirror image.
template <class S>
struct MixedColumn {
  using T = typename Arithmetic<S>::type;
  S *column, *mirrored;
  std::int64_t stride;
  int n;
  bool active, once;  // once: a column that is its own mirror image
  const Part<T>& part;

  SPECTRANS_DEVICE MixedColumn(const ColumnsParameters<S>& p, S* plane, int k)
      : column(plane + k * p.y.d_stride), mirrored(plane + (p.d - k) * p.y.d_stride), stride(p.y.n_stride), n(p.n),
        active(k < p.half.bins), once(k == 0 || 2 * k == p.d), part(p.part) {}

  SPECTRANS_DEVICE void store(int m, Complex<T> bin) const {
    if (!active) return;
    cuda::store(column + m * stride, narrow<S>(part.own(bin)));
    if (!once) cuda::store(mirrored + (m == 0 ? 0 : n - m) * stride, narrow<S>(part.mirrored(bin)));
  }
};

// Two real columns as the real and imaginary parts of one that is complex.
//
// Columns k of a block's threads are neighbours, and so are the others, behind them. Where few are, and in their mirror
// image, which begins and ends within sectors, storing first the ones and then the others would touch most sectors
// twice. So threads of rows m and m + 1 exchange halves: one has column k of both then, the other one the other, and
// together they store whole rows.
template <class S>
struct ColumnPair {
  using T = typename Arithmetic<S>::type;
  const ColumnsParameters<S>& p;
  S* plane;
  int worker, k, other;

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    const int columns = p.layout.columns, lanes = 2 * columns, butterflies = p.plan.row / R;
    const bool odd = worker % 2 == 1;
    const bool exchanges = lanes <= kWarp && (odd || (worker + 1 < p.layout.workers && first + 1 < butterflies));
    T re[R], im[R];
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      re[i] = v[i].re;
      im[i] = v[i].im;
    });
    if (exchanges) {
      const unsigned both = (~0u >> (kWarp - lanes)) << (threadIdx.x % kWarp & ~(lanes - 1));
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const T taken = __shfl_xor_sync(both, odd ? re[i] : im[i], columns);
        re[i] = odd ? taken : re[i];
        im[i] = odd ? im[i] : taken;
      });
    }
    const bool upper = exchanges && odd, lower = exchanges && !odd;
    const MixedColumn<S> of_re(p, plane, upper ? other : k);
    const int row = upper ? first - 1 : first;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { of_re.store(row + i * step, {re[i], T(0)}); });
    const MixedColumn<S> of_im(p, plane, lower ? k : other);
    const int next = lower ? first + 1 : first;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { of_im.store(next + i * step, {im[i], T(0)}); });
  }
};

// Re X: columns of E to columns of y.
template <class S>
__global__ void __launch_bounds__(kPlaneThreads<typename Arithmetic<S>::type>,
                                  kPlaneBlocks<typename Arithmetic<S>::type>)
    mix_columns(const ColumnsParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int columns = p.layout.columns, k = blockIdx.x * 2 * columns + frame.column, other = k + columns;
  const Tile<T> tile = frame.tile();
  for (int item = blockIdx.y; item < p.items; item += gridDim.y) {
    first_inverse_stage<kLastOfPlane<T>>(
        frame, tile, [&](int j, Complex<T>& at, Complex<T>& mirrored) SPECTRANS_INLINE_LAMBDA {
          const bool upper = 2 * j > p.n;
          const Pair<T>* const row = p.half.row(item, upper ? p.n - j : j);
          const Pair<T> a = k < p.half.bins ? load(row + k) : Pair<T>{},
                        b = other < p.half.bins ? load(row + other) : Pair<T>{};
          // conj a + i conj b, as this inverse has the other sign in its exponent; and a + i b
          const Complex<T> low = {a.re + b.im, b.re - a.im}, high = {a.re - b.im, a.im + b.re};
          at = upper ? high : low;
          mirrored = upper ? low : high;
        });
    S* const y = static_cast<S*>(p.y.data) + offset(p.y, p.first_item + item, 0);
    inverse(frame, tile, ColumnPair<S>{p, y, frame.worker, k, other});
    __syncthreads();
  }
}

// Re X - Im X: columns of the rows' half spectra to columns of y.
template <class S>
__global__ void __launch_bounds__(kPlaneThreads<typename Arithmetic<S>::type>,
                                  kPlaneBlocks<typename Arithmetic<S>::type>)
    mix_complex_columns(const ColumnsParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int k = blockIdx.x * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  for (int item = blockIdx.y; item < p.items; item += gridDim.y) {
    S* const y = static_cast<S*>(p.y.data) + offset(p.y, p.first_item + item, 0);
    const MixedColumn<S> column(p, y, k);
    forward(frame, tile, SpectrumColumn<T>(p.half, item, k));
    middle<kLastOfPlane<T>, true, false>(
        frame, tile, [&](int, int m, Complex<T> bin) SPECTRANS_INLINE_LAMBDA { column.store(m, bin); });
    __syncthreads();
  }
}

// ---- calls ----------------------------------------------------------------------------------------------------------

struct Axes {
  Signal x, y;
  bool both;
};

// One axis: it is called n. Two: neighbours along d are neighbours in y, where there is such an axis.
Axes axes(const Mixing& call) {
  Axes result{call.x, call.y, call.sequence && call.hidden && call.x.n > 1 && call.x.d > 1};
  const bool hidden = call.hidden && (!call.sequence || call.x.n == 1);
  if (result.both ? rows_are_apart(call.y) : hidden) {
    exchange_axes(result.x);
    exchange_axes(result.y);
  }
  if (result.both || result.x.d > 1) return result;
  // A single line of each item: items are as good as channels.
  Signal &x = result.x, &y = result.y;
  if (x.axes == 0 || y.axes == 0 || x.size[x.axes - 1] != y.size[y.axes - 1]) return result;
  if (x.size[x.axes - 1] > kMaxChannels) return result;
  for (Signal* signal : {&x, &y}) {
    const int axis = --signal->axes;
    signal->d = signal->size[axis];
    signal->d_stride = signal->stride[axis];
    signal->batch /= signal->d;
  }
  return result;
}

// Lines of even length are held as half as many complex values.
std::int64_t line_row(std::int64_t n) { return n % 2 == 0 ? n / 2 : n; }

template <class S>
void run_long_lines(const Axes& axes, const Mixing& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const LongLines<S> of(axes.x, 1, stream, 0, sizeof(S));
  of.each_slab([&](const Slab& slab) {
    of.forward(axes.x, slab);
    launch(
        &mix_long_rows<S>, of.grid_of_rows(slab), stream.stream,
        RowParameters<S>{of.rows(slab), lines(axes.y, sizeof(S)), {call.hartley, static_cast<T>(call.scale) / T(2)}});
  });
}

template <class S>
void run_lines(const Axes& axes, const Mixing& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const Signal& x = axes.x;
  const bool even = x.n % 2 == 0;
  if (!has_plan(1, line_row(x.n))) return run_long_lines<S>(axes, call, stream);
  const Plan transform = plane_plan<T>(line_row(x.n));
  const Work work{.channels = x.d,
                  .tiles = 1,
                  .storage_size = sizeof(S),
                  .size = sizeof(T),
                  .columns_first = axes.y.n_stride != 1 || x.n == 1,
                  .max_threads = kPlaneThreads<T>};
  const Geometry chosen = geometry(transform, work, device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  if (too_long(chosen, work) && has_split(x.n)) return run_long_lines<S>(axes, call, stream);
  const T scale = static_cast<T>(call.scale) / T(even ? 2 : 1);  // bins come doubled
  const LineParameters<S> parameters{transform,
                                     chosen.layout,
                                     lines(x, sizeof(S)),
                                     lines(axes.y, sizeof(S)),
                                     {call.hartley, scale},
                                     divider(transform.row),
                                     x.batch,
                                     static_cast<int>(x.n),
                                     static_cast<int>(x.d)};
  const Grid grid{blocks_of(x.d, chosen.layout.columns, x.batch), chosen.threads(), chosen.shared_bytes};
  launch(even ? &mix_lines<S, true> : &mix_lines<S, false>, grid, stream.stream, parameters);
}

template <class S>
void run_planes(const Axes& axes, const Mixing& call, const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const Signal& x = axes.x;
  const Planes<S> planes(x, 1, !call.hartley, stream);
  const HalfSpectrum<T> half = planes.half();
  const std::int64_t columns = call.hartley ? half.bins : (half.bins + 1) / 2;
  const Plan transform = plane_plan<T>(x.n);
  const Geometry chosen = geometry(transform, columns_of_planes<T>(columns, sizeof(S)), planes.shared_limit());
  const T scale = static_cast<T>(call.scale) / T(call.hartley ? 2 : 4);
  planes.each_chunk([&](const Chunk& chunk) {
    planes.forward(x, chunk);
    const dim3 blocks = blocks_of(columns, chosen.layout.columns, chunk.items);
    launch(call.hartley ? &mix_complex_columns<S> : &mix_columns<S>, {blocks, chosen.threads(), chosen.shared_bytes},
           stream.stream,
           ColumnsParameters<S>{transform,
                                chosen.layout,
                                lines(axes.y, sizeof(S)),
                                half,
                                {call.hartley, scale},
                                chunk.first_item,
                                static_cast<int>(chunk.items),
                                static_cast<int>(x.n),
                                static_cast<int>(x.d)});
  });
}

}  // namespace

const char* why_not(const Mixing& call) {
  const Axes of = axes(call);
  if (std::max(of.x.axes, of.y.axes) > kMaxLineAxes) return "the batch has too many axes";
  if (of.x.d > kMaxChannels) return "an axis is longer than 2^30";
  const char* reason = nullptr;
  with_storage(call.element, [&]<class S>(S) {
    if (!of.both && has_split(of.x.n)) return;
    reason = why_not_transform<S>(of.both ? of.x.n : line_row(of.x.n));
    if (of.both && reason == nullptr) reason = why_not_transform<S>(of.x.d);
  });
  return reason;
}

void mixing(const Mixing& call, const Stream& stream) {
  const Axes of = axes(call);
  with_storage(call.element, [&]<class S>(S) {
    if (of.both) {
      run_planes<S>(of, call, stream);
    } else {
      run_lines<S>(of, call, stream);
    }
  });
}

}  // namespace spectrans::cuda
