// The kernels over rows of planes.
#include "plane.h"

namespace spectrans::cuda {
namespace {

template <class S>
struct PlaneRows {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines of;
  HalfSpectrum<T> half;
  bool whole;  // not folded: said that way, float16 spills nothing
  Divider by_pitch;
  std::int64_t first_item;
  int items, n, d;
};

// Rows 2 q and 2 q + 1 as real and imaginary parts; those that are not there are read as zeros and not written.
template <class S>
struct RowPair {
  using T = typename Arithmetic<S>::type;
  struct Row {
    S *line, *mirrored;
    bool active;
  };
  Row re, im;
  std::int64_t stride;
  int d;
  bool folded;

  SPECTRANS_DEVICE RowPair(const PlaneRows<S>& p, S* plane, int q) : stride(p.of.d_stride), d(p.d), folded(!p.whole) {
    const auto row = [&](int j) SPECTRANS_INLINE_LAMBDA {
      const int mirrored = j == 0 ? 0 : p.n - j;
      return Row{plane + j * p.of.n_stride, plane + mirrored * p.of.n_stride, j < p.half.rows};
    };
    re = row(2 * q);
    im = row(2 * q + 1);
  }

  SPECTRANS_DEVICE T sample(const Row& row, int l) const {
    return row.active ? widen(cuda::load(row.line + l * stride)) : T(0);
  }
  SPECTRANS_DEVICE T mirrored(const Row& row, int l) const {
    return row.active ? widen(cuda::load(row.mirrored + (l == 0 ? 0 : d - l) * stride)) : T(0);
  }

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    if (folded) {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const int l = first + i * step;
        v[i] = {sample(re, l) + mirrored(re, l), sample(im, l) + mirrored(im, l)};
      });
    } else {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const int l = first + i * step;
        v[i] = {sample(re, l), sample(im, l)};
      });
    }
  }

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const std::int64_t at = (first + i * step) * stride;
      if (re.active) cuda::store(re.line + at, narrow<S>(v[i].re));
      if (im.active) cuda::store(im.line + at, narrow<S>(v[i].im));
    });
  }
};

template <class S>
__global__ void __launch_bounds__(kPlaneThreads<typename Arithmetic<S>::type>,
                                  kPlaneBlocks<typename Arithmetic<S>::type>) rows_forward(const PlaneRows<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int first = blockIdx.x * p.layout.columns, pitch = p.half.pitch;
  const Tile<T> tile = frame.tile();
  for (int item = blockIdx.y; item < p.items; item += gridDim.y) {
    S* const plane = static_cast<S*>(p.of.data) + offset(p.of, p.first_item + item, 0);
    forward(frame, tile, RowPair<S>(p, plane, first + frame.column));
    last_stage<kLastOfPlane<T>>(frame, tile);
    __syncthreads();
    for (int i = threadIdx.x; i < p.layout.columns * pitch; i += p.layout.columns * p.layout.workers) {
      const int column = quotient(i, p.by_pitch), k = i - column * pitch, j = 2 * (first + column);
      if (k >= p.half.bins) continue;
      const Tile<T> rows = frame.tile_of(column);
      const Complex<T> z = rows.load(frame.bin_address(k)), u = rows.load(frame.bin_address(k == 0 ? 0 : p.d - k));
      if (j < p.half.rows) store(p.half.row(item, j) + k, Pair<T>{z.re + u.re, z.im - u.im});
      if (j + 1 < p.half.rows) store(p.half.row(item, j + 1) + k, Pair<T>{z.im + u.im, u.re - z.re});
    }
    __syncthreads();
  }
}

template <class S>
__global__ void __launch_bounds__(kPlaneThreads<typename Arithmetic<S>::type>,
                                  kPlaneBlocks<typename Arithmetic<S>::type>) rows_inverse(const PlaneRows<S> p) {
  using T = typename Arithmetic<S>::type;
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int q = blockIdx.x * p.layout.columns + frame.column;
  const Tile<T> tile = frame.tile();
  for (int item = blockIdx.y; item < p.items; item += gridDim.y) {
    const bool has_re = 2 * q < p.half.rows, has_im = 2 * q + 1 < p.half.rows;
    const Pair<T>* const row = p.half.row(item, 2 * q);
    first_inverse_stage<kLastOfPlane<T>>(
        frame, tile, [&](int l, Complex<T>& at, Complex<T>& mirrored) SPECTRANS_INLINE_LAMBDA {
          const bool upper = 2 * l > p.d;
          const int k = upper ? p.d - l : l;
          const Pair<T> a = has_re ? load(row + k) : Pair<T>{}, b = has_im ? load(row + p.half.pitch + k) : Pair<T>{};
          // a + i b and conj a + i conj b
          const Complex<T> low = {a.re - b.im, a.im + b.re}, high = {a.re + b.im, b.re - a.im};
          at = upper ? high : low;
          mirrored = upper ? low : high;
        });
    S* const plane = static_cast<S*>(p.of.data) + offset(p.of, p.first_item + item, 0);
    inverse(frame, tile, RowPair<S>(p, plane, q));
    __syncthreads();
  }
}

template <class S>
void run_rows(void (*kernel)(PlaneRows<S>), const Signal& signal, const Chunk& chunk,
              const HalfSpectrum<typename Arithmetic<S>::type>& half, bool folded, int shared_limit,
              const Stream& stream) {
  using T = typename Arithmetic<S>::type;
  const std::int64_t row_pairs = (half.rows + 1) / 2;
  const Plan transform = plane_plan<T>(signal.d);
  const Geometry chosen = geometry(transform,
                                   {.channels = row_pairs,
                                    .tiles = 1,
                                    .storage_size = sizeof(S),
                                    .size = sizeof(T),
                                    .columns_first = false,
                                    .max_threads = kPlaneThreads<T>},
                                   shared_limit);
  const dim3 blocks = blocks_of(row_pairs, chosen.layout.columns, chunk.items);
  launch(kernel, {blocks, chosen.threads(), chosen.shared_bytes}, stream.stream,
         PlaneRows<S>{transform, chosen.layout, lines(signal, sizeof(S)), half, !folded, divider(half.pitch),
                      chunk.first_item, static_cast<int>(chunk.items), static_cast<int>(signal.n),
                      static_cast<int>(signal.d)});
}

}  // namespace

// What lies between the kernels takes half of L2 at most, the rest is for what passes through; an item at least.
template <class S>
Planes<S>::Planes(const Signal& signal, int sets, bool folded, const Stream& stream)
    : stream_(stream), folded_(folded), shared_limit_(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)),
      batch_(signal.batch) {
  const int n = static_cast<int>(signal.n), bins = static_cast<int>(signal.d) / 2 + 1;
  half_ = {nullptr, folded ? n / 2 + 1 : n, bins, (bins + 3) / 4 * 4};  // rows begin with a sector
  const std::int64_t item_bytes = sets * half_.values() * static_cast<std::int64_t>(sizeof(Pair<T>));
  const std::int64_t room = std::max<std::int64_t>(1, device_attribute(cudaDevAttrL2CacheSize) / 2 / item_bytes);
  chunk_ = ceil_div(batch_, ceil_div(batch_, room));
  half_.data = static_cast<Pair<T>*>(stream.allocate(chunk_ * item_bytes, stream.context));
}

template <class S>
HalfSpectrum<typename Planes<S>::T> Planes<S>::half(int set) const {
  HalfSpectrum<T> result = half_;
  result.data += set * chunk_ * half_.values();
  return result;
}

template <class S>
void Planes<S>::forward(const Signal& signal, const Chunk& chunk, int set) const {
  run_rows(&rows_forward<S>, signal, chunk, half(set), folded_, shared_limit_, stream_);
}
template <class S>
void Planes<S>::inverse(const Signal& signal, const Chunk& chunk, int set) const {
  run_rows(&rows_inverse<S>, signal, chunk, half(set), folded_, shared_limit_, stream_);
}

template class Planes<float>;
template class Planes<double>;
template class Planes<__half>;
template class Planes<__nv_bfloat16>;

}  // namespace spectrans::cuda
