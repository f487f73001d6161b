// spectrans::filter_plane: half spectra of rows, then whole columns of them there and back, then rows.
//
// With h the Hermitian part of the response, (H[m, k] + conj H[-m, -k]) / 2, the filtered bins are Hermitian as those
// of x are, and half of them are enough. Its half is made once, for all items; so is that of its gradient, of which the
// other half are mirror images.
#include "kernels.h"
#include "plane.h"
#include "sums.h"

namespace spectrans::cuda {
namespace {

template <class T>
Pair<T>* allocate(const Stream& stream, std::int64_t values) {
  return static_cast<Pair<T>*>(stream.allocate(values * sizeof(Pair<T>), stream.context));
}

// ---- the response ---------------------------------------------------------------------------------------------------

// Pairs [n, d] of the response, or of its gradient, whichever axis of a plane is called n.
template <class T>
struct WholePlane {
  Pair<T>* data;
  std::int64_t n_stride, d_stride;
  int n, d;

  SPECTRANS_DEVICE Pair<T>* at(int m, int k) const { return data + m * n_stride + k * d_stride; }
  SPECTRANS_DEVICE int mirrored_row(int m) const { return m == 0 ? 0 : n - m; }
  SPECTRANS_DEVICE int mirrored_column(int k) const { return k == 0 ? 0 : d - k; }
};

template <class T>
struct FoldParameters {
  WholePlane<T> response;
  HalfSpectrum<T> half;
  T scale;
  bool adjoint;
};

template <class T>
__global__ void __launch_bounds__(kSumThreads) fold_response(const FoldParameters<T> p) {
  const std::int64_t count = std::int64_t{p.half.rows} * p.half.bins;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kSumThreads) {
    const int m = static_cast<int>(i / p.half.bins), k = static_cast<int>(i - std::int64_t{m} * p.half.bins);
    const Pair<T> h = load(p.response.at(m, k));
    const Pair<T> mirrored = load(p.response.at(p.response.mirrored_row(m), p.response.mirrored_column(k)));
    const T scale = p.scale * T(0.5), im = (h.im - mirrored.im) * scale;
    store(p.half.row(0, m) + k, Pair<T>{(h.re + mirrored.re) * scale, p.adjoint ? -im : im});
  }
}

// ---- forward --------------------------------------------------------------------------------------------------------

template <class T>
struct FilterColumns {
  Plan plan;
  Layout layout;
  HalfSpectrum<T> half;
  HalfSpectrum<T> response;  // of one item
  int items;
};

template <class T>
__global__ void __launch_bounds__(kPlaneThreads<T>, kPlaneBlocks<T>) filter_columns(const FilterColumns<T> p) {
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int k = blockIdx.x * p.layout.columns + frame.column;
  const Pair<T>* const response = p.response.row(0, 0) + (k < p.half.bins ? k : 0);
  const Tile<T> tile = frame.tile();
  for (int item = blockIdx.y; item < p.items; item += gridDim.y) {
    const SpectrumColumn<T> column(p.half, item, k);
    forward(frame, tile, column);
    middle<kLastOfPlane<T>, true, true>(frame, tile, [&](int, int m, Complex<T>& value) SPECTRANS_INLINE_LAMBDA {
      const Pair<T> h = load(response + std::int64_t{m} * p.response.pitch);
      value = times(value, h.re, h.im);
    });
    inverse(frame, tile, column);
  }
}

// ---- backward -------------------------------------------------------------------------------------------------------

template <class T>
constexpr int kBackwardThreads = sizeof(T) == 4 ? 384 : 256;

template <class T>
struct BackwardColumns {
  Plan plan;
  Layout layout;
  HalfSpectrum<T> grad, with;
  HalfSpectrum<T> response;
  Sums<T> sums;  // rows of d = pitch bins
  Chunk chunk;
  std::int64_t each;  // items of a sum
  bool filters;       // or the response's gradient alone
};

// What is added up may begin in one chunk of planes and end in another.
template <class T>
__global__ void __launch_bounds__(kBackwardThreads<T>, 1) backward_columns(const BackwardColumns<T> p) {
  const Frame<T> frame(p.plan, p.layout);
  prepare(frame);
  const int k = blockIdx.x * p.layout.columns + frame.column, read = k < p.grad.bins ? k : 0;
  const Tile<T> of_grad = frame.tile(0), of_x = frame.tile(1);
  const std::int64_t begin = p.chunk.first_item, end = begin + p.chunk.items;
  for (std::int64_t sum = begin / p.each + blockIdx.y; sum * p.each < end; sum += gridDim.y) {
    std::int64_t item = sum * p.each < begin ? begin : sum * p.each;
    for (; item < end && item < (sum + 1) * p.each; ++item) {
      for (int of = 0; of < 2; ++of) {
        forward(frame, frame.tile(of), SpectrumColumn<T>(of == 0 ? p.grad : p.with, static_cast<int>(item - begin), k));
      }
      middle<kLastOfTwo<T>, true>(frame, of_grad, of_x,
                                  [&](int, int m, Complex<T>& g, const Complex<T>& x) SPECTRANS_INLINE_LAMBDA {
                                    if (k < p.grad.bins) {
                                      p.sums.add(p.sums.at(sum, m, 0, k), x, g, item == sum * p.each);
                                    }
                                    if (p.filters) {
                                      const Pair<T> h = load(p.response.row(0, m) + read);
                                      g = times(g, h.re, h.im);
                                    }
                                  });
      if (p.filters) {
        inverse(frame, of_grad, SpectrumColumn<T>(p.grad, static_cast<int>(item - begin), k));
      } else {
        __syncthreads();
      }
    }
  }
}

template <class T>
struct GradientParameters {
  Sums<T> sums;
  WholePlane<T> gradient;
  std::int64_t parts;
  T scale;
};

// Of two bins that are mirror images one was added up, or is taken: the one at k <= d / 2 and, where both are in one
// column, the one at m <= n / 2.
template <class T>
__global__ void __launch_bounds__(kSumThreads) write_gradient(const GradientParameters<T> p) {
  const WholePlane<T>& of = p.gradient;
  const std::int64_t count = std::int64_t{of.n} * of.d;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kSumThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kSumThreads) {
    const int m = static_cast<int>(i / of.d), k = static_cast<int>(i - std::int64_t{m} * of.d);
    const int mirrored_m = of.mirrored_row(m), mirrored_k = of.mirrored_column(k);
    const bool same_column = k == mirrored_k, conjugate = same_column ? m > mirrored_m : k > mirrored_k;
    Complex<T> sum = {T(0), T(0)};
    for (std::int64_t part = 0; part < p.parts; ++part) {
      const Pair<T> value = load(p.sums.at(part, conjugate ? mirrored_m : m, 0, conjugate ? mirrored_k : k));
      sum = {sum.re + value.re, sum.im + value.im};
    }
    const T im = same_column && m == mirrored_m ? T(0) : conjugate ? -sum.im : sum.im;
    store(of.at(m, k), Pair<T>{sum.re * p.scale, im * p.scale});
  }
}

// ---- calls ----------------------------------------------------------------------------------------------------------

// With rows along memory.
FilterPlane by_rows(const FilterPlane& call) {
  FilterPlane result = call;
  if (!rows_are_apart(call.x)) return result;
  for (Signal* signal : {&result.x, &result.y, &result.with}) exchange_axes(*signal);
  return result;
}

// Tiles of columns that a block has, and the largest radix of their last stage.
int tiles(const FilterPlane& call) { return call.response_grad != nullptr ? 2 : 1; }
template <class S>
int last_limit(const FilterPlane& call) {
  using T = typename Arithmetic<S>::type;
  return call.response_grad != nullptr ? kLastOfTwo<T> : kLastOfPlane<T>;
}

template <class S>
class PlaneFilter {
 public:
  using T = typename Arithmetic<S>::type;

  PlaneFilter(const FilterPlane& call, const Stream& stream)
      : call_(call), of_(by_rows(call)), stream_(stream), sums_(call.response_grad != nullptr),
        planes_(of_.x, tiles(call), false, stream), transform_(plane_plan<T>(of_.x.n, last_limit<S>(call))),
        chosen_(geometry(transform_, work(), planes_.shared_limit())) {}

  void run() const {
    const HalfSpectrum<T> response = call_.response != nullptr ? folded_response() : HalfSpectrum<T>{};
    if (!sums_) {
      planes_.each_chunk([&](const Chunk& chunk) {
        planes_.forward(of_.x, chunk);
        launch(&filter_columns<T>, grid(chunk.items), stream_.stream,
               FilterColumns<T>{transform_, chosen_.layout, planes_.half(), response, static_cast<int>(chunk.items)});
        planes_.inverse(of_.y, chunk);
      });
      return;
    }
    const HalfSpectrum<T> half = planes_.half();
    const std::int64_t items = items_of_sum(of_.x.batch, half.bins), parts = ceil_div(of_.x.batch, items);
    const Sums<T> sums{allocate<T>(stream_, parts * half.values()), half.rows, 1, half.pitch};
    planes_.each_chunk([&](const Chunk& chunk) {
      planes_.forward(of_.x, chunk, 0);
      planes_.forward(of_.with, chunk, 1);
      launch(&backward_columns<T>, grid(ceil_div(chunk.items, items) + 1), stream_.stream,
             BackwardColumns<T>{transform_, chosen_.layout, planes_.half(0), planes_.half(1), response, sums, chunk,
                                items, call_.y.data != nullptr});
      if (call_.y.data != nullptr) planes_.inverse(of_.y, chunk, 0);
    });
    // Bins of both come doubled.
    launch(&write_gradient<T>, grid_of_sums(call_.x.n * call_.x.d), stream_.stream,
           GradientParameters<T>{sums, whole(call_.response_grad), parts, T(0.25) / size()});
  }

 private:
  [[nodiscard]] Work work() const {
    Work result = columns_of_planes<T>(planes_.half().bins, sizeof(Pair<T>));
    result.tiles = tiles(call_);
    if (sums_) result.max_threads = kBackwardThreads<T>;
    return result;
  }

  // The response, or its gradient, by the axes that planes have here.
  [[nodiscard]] WholePlane<T> whole(const void* pairs) const {
    const bool exchanged = rows_are_apart(call_.x);
    return {static_cast<Pair<T>*>(const_cast<void*>(pairs)), exchanged ? 1 : call_.x.d, exchanged ? call_.x.d : 1,
            static_cast<int>(of_.x.n), static_cast<int>(of_.x.d)};
  }

  // Scaled, for bins that come doubled.
  [[nodiscard]] HalfSpectrum<T> folded_response() const {
    HalfSpectrum<T> half = planes_.half();
    half.data = allocate<T>(stream_, half.values());
    launch(&fold_response<T>, grid_of_sums(std::int64_t{half.rows} * half.bins), stream_.stream,
           FoldParameters<T>{whole(call_.response), half, T(0.5) / size(), call_.adjoint});
    return half;
  }

  [[nodiscard]] Grid grid(std::int64_t items) const {
    return {blocks_of(planes_.half().bins, chosen_.layout.columns, items), chosen_.threads(), chosen_.shared_bytes};
  }

  [[nodiscard]] T size() const { return T(call_.x.n) * T(call_.x.d); }

  const FilterPlane& call_;
  const FilterPlane of_;  // its axes exchanged, where rows are apart
  const Stream& stream_;
  bool sums_;
  Planes<S> planes_;
  Plan transform_;
  Geometry chosen_;
};

}  // namespace

const char* why_not(const FilterPlane& call) {
  const FilterPlane of = by_rows(call);
  if (std::max({of.x.axes, of.y.axes, of.with.axes}) > kMaxLineAxes) return "the batch has too many axes";
  const char* reason = nullptr;
  with_storage(call.element, [&]<class S>(S) {
    reason = why_not_transform<S>(of.x.d);
    if (reason == nullptr) reason = why_not_transform<S>(of.x.n, tiles(call), last_limit<S>(call));
  });
  return reason;
}

void filter_plane(const FilterPlane& call, const Stream& stream) {
  with_storage(call.element, [&]<class S>(S) { PlaneFilter<S>(call, stream).run(); });
}

}  // namespace spectrans::cuda
