// Filtering along both axes: two Hartley transforms, and between them the products of bins and their mirror images.
//
// With X the Hartley transform of x, but for 1 / (n d) its own inverse, and a + ib the Hermitian part of the response
// (a even, b odd), y is that of (a[k] X[k] - b[k] X[-k]) / (n d). With G likewise of the gradient, the response's is
// the even part of G[k] X[k] / (n d), and the odd part of -G[k] X[-k] / (n d). The response is divided, not the
// transforms scaled: a rounded factor would bias every value.
//
// Some items at a time: their transforms, the planes, lie in scratch memory and stay in the caches.
#include "groups.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Of the planes of the items that are done together, if these are more than the threads.
constexpr std::int64_t kPlaneBytes = std::int64_t{1} << 20;

// A row of planes and its mirror image, which may be the same one: bins (j, l) and (-j, -l). Calls single(l, mirror)
// for l of row j, mirror being the place of -l; where the rows differ vectors(l, mirror), as far as there are whole
// ones, of which mirror is where their images begin.
template <class T, class Vectors, class Single>
SPECTRANS_INLINE void for_each_pair(std::int64_t d, bool same, const Vectors& vectors, const Single& single) {
  constexpr std::int64_t lanes = kLanes<T>;
  single(0, 0);
  std::int64_t l = 1;
  if (same) {
    for (; 2 * l <= d; ++l) single(l, d - l);
    return;
  }
  for (; l + lanes <= d; l += lanes) vectors(l, d - l - lanes + 1);
  for (; l < d; ++l) single(l, d - l);
}

template <class T>
SPECTRANS_INLINE Vector<T> load_reversed(const T* from) {
  return ShufflesOf<T>::reverse(load(from));
}

template <class IO>
class PlanePass {
  using T = Compute<IO>;
  static constexpr bool kHalf = sizeof(IO) != sizeof(T);

 public:
  PlanePass(const FilterPlane& call, const ThreadPool& pool)
      : call_(call), pool_(pool), n_(call.x.n), d_(call.x.d), size_(n_ * d_), rows_(n_ / 2 + 1),
        filters_(call.response != nullptr), sums_(call.response_grad != nullptr), items_(items_at_once()) {}

  void run() const {
    const std::int64_t half = rows_ * d_, planes = items_ * size_;
    const std::int64_t taken =
        (filters_ ? 2 : 0) * half + (sums_ ? 6 : 0) * half + (sums_ ? 2 : 1) * planes + (kHalf ? planes : 0);
    Space<T> space(static_cast<T*>(scratch(ScratchRoom::caller, taken * sizeof(T))));
    const Pairs response = filters_ ? Pairs{space.take(half), space.take(half)} : Pairs{};
    const Pairs piece = sums_ ? Pairs{space.take(half), space.take(half)} : Pairs{};
    const Pairs sum = sums_ ? Pairs{space.take(half), space.take(half)} : Pairs{};
    const Pairs lost = sums_ ? Pairs{space.take(half), space.take(half)} : Pairs{};
    T* const bins = space.take(planes);
    T* const with = sums_ ? space.take(planes) : nullptr;
    T* const staged = kHalf ? space.take(planes) : nullptr;
    if (filters_) fold_response(response);
    for (std::int64_t item = 0; item < call_.x.batch; item += items_) {
      const std::int64_t count = min(items_, call_.x.batch - item);
      transform(some(call_.x, item, count), bins, staged);
      if (sums_) transform(some(call_.with, item, count), with, staged);
      for_each_row(count * size_, [&](std::int64_t j) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (sums_) add(bins + i * size_, with + i * size_, j, item + i, piece, sum, lost);
          if (filters_) multiply(bins + i * size_, j, response);
        }
      });
      if (filters_) invert(bins, some(call_.y, item, count), staged);
    }
    if (sums_) for_each_row(size_, [&](std::int64_t j) { write_gradient(j, piece, sum, lost); });
  }

 private:
  // Even and odd parts: rows 0 .. n / 2 of a plane, the others are their mirror images.
  struct Pairs {
    T *even, *odd;
  };

  // A signal of several batch axes that cannot be walked as one is done item by item. Where an axis is short, mixing
  // has several items side by side, and their bits depend on how many: not to be a matter of threads.
  std::int64_t items_at_once() const {
    if (max(max(call_.x.axes, filters_ ? call_.y.axes : 0), sums_ ? call_.with.axes : 0) > 1) return 1;
    const std::int64_t threads = min(n_, d_) < 2 * kLanes<T> ? 1 : pool_.threads;
    const std::int64_t fitting = kPlaneBytes / (size_ * std::int64_t(sizeof(T)));
    return min(call_.x.batch, max(threads, fitting / threads * threads));
  }

  template <class Body>
  void for_each_row(std::int64_t values, const Body& body) const {
    parallel(pool_, rows_, values * std::int64_t(sizeof(T)) / rows_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) body(j);
    });
  }

  std::int64_t mirrored(std::int64_t j) const { return j == 0 ? 0 : n_ - j; }
  static std::int64_t mirrored_in(std::int64_t l, std::int64_t d) { return l == 0 ? 0 : d - l; }

  // Items of a signal as one.
  static Signal some(const Signal& signal, std::int64_t first, std::int64_t count) {
    Signal result = signal;
    result.data = batch_item<IO>(signal, first);
    result.batch = count;
    result.axes = count > 1 ? 1 : 0;
    if (count > 1) result.size[0] = count;
    return result;
  }
  Signal planes(T* data, std::int64_t count) const {
    Signal result{};
    result.data = data;
    result.n = n_;
    result.d = d_;
    result.n_stride = d_;
    result.d_stride = 1;
    result.batch = count;
    result.axes = count > 1 ? 1 : 0;
    result.size[0] = count;
    result.stride[0] = size_;
    return result;
  }

  void hartley(const Signal& from, const Signal& to) const {
    const Element element = sizeof(T) == sizeof(double) ? Element::float64 : Element::float32;
    SPECTRANS_ISA::mixing({element, from, to, true, true, true, 1.0}, pool_);
  }
  void transform(const Signal& x, T* bins, [[maybe_unused]] T* staged) const {
    if constexpr (kHalf) {
      copy(x, [&](const IO* row, std::int64_t at, std::int64_t l, int count) SPECTRANS_INLINE_LAMBDA {
        const Vector<T> value = load_some(row + l * x.d_stride, x.d_stride, count);
        count == kLanes<T> ? store(staged + at + l, value) : store_some(staged + at + l, 1, count, value);
      });
      hartley(planes(staged, x.batch), planes(bins, x.batch));
    } else {
      hartley(x, planes(bins, x.batch));
    }
  }
  void invert(T* bins, const Signal& y, [[maybe_unused]] T* staged) const {
    if constexpr (kHalf) {
      hartley(planes(bins, y.batch), planes(staged, y.batch));
      copy(y, [&](IO* row, std::int64_t at, std::int64_t l, int count) SPECTRANS_INLINE_LAMBDA {
        store_some(row + l * y.d_stride, y.d_stride, count, load_some(staged + at + l, 1, count));
      });
    } else {
      hartley(planes(bins, y.batch), y);
    }
  }
  // Calls piece(row, at, l, count) for channels l .. l + count of every row, which begins at `at` in planes.
  template <class Piece>
  void copy(const Signal& signal, const Piece& piece) const {
    parallel(pool_, signal.batch * n_, d_ * std::int64_t(sizeof(T)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        IO* const data = batch_item<IO>(signal, row / n_) + row % n_ * signal.n_stride;
        for (std::int64_t l = 0; l < d_; l += kLanes<T>) {
          piece(data, row * d_, l, static_cast<int>(min(kLanes<T>, d_ - l)));
        }
      }
    });
  }

  void fold_response(const Pairs& to) const {
    const auto* h = static_cast<const T*>(call_.response);
    const T both = T(2) * static_cast<T>(size_), both_or_minus = call_.adjoint ? -both : both;
    for_each_row(size_, [&](std::int64_t j) {
      const T *row = h + 2 * j * d_, *mirror = h + 2 * mirrored(j) * d_;
      T *even = to.even + j * d_, *odd = to.odd + j * d_;
      for (std::int64_t l = 0; l < d_; ++l) {
        const std::int64_t other = mirrored_in(l, d_);
        even[l] = (row[2 * l] + mirror[2 * other]) / both;
        odd[l] = (row[2 * l + 1] - mirror[2 * other + 1]) / both_or_minus;
      }
    });
  }

  // Rows j and -j of a plane, in place.
  void multiply(T* plane, std::int64_t j, const Pairs& response) const {
    T *row = plane + j * d_, *mirror = plane + mirrored(j) * d_;
    const T *even = response.even + j * d_, *odd = response.odd + j * d_;
    for_each_pair<T>(
        d_, row == mirror,
        [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
          const Vector<T> a = load(even + l), b = load(odd + l);
          const Vector<T> x = load(row + l), m = load_reversed(mirror + other);
          store(row + l, a * x - b * m);
          store(mirror + other, ShufflesOf<T>::reverse(a * m + b * x));
        },
        [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
          const T a = even[l], b = odd[l], x = row[l], m = mirror[other];
          mirror[other] = a * m + b * x;
          row[l] = a * x - b * m;  // of its own mirror image the same: there b is 0
        });
  }

  // What row j and its mirror image in one item give to the sums: of a few items first, of all then, with what rounding
  // took of those.
  void add(const T* grad, const T* x, std::int64_t j, std::int64_t item, const Pairs& piece, const Pairs& sum,
           const Pairs& lost) const {
    const std::int64_t at = j * d_, mirror = mirrored(j) * d_;
    const Pairs to{piece.even + at, piece.odd + at};
    if (item % kItemsPerSum == 0) {
      const auto flush = [&](T* from, T* all, T* rest) SPECTRANS_INLINE_LAMBDA {
        for (std::int64_t l = 0; l < d_; ++l) {
          if (item == 0) {
            all[l] = rest[l] = T(0);
          } else {
            const T term = from[l] - rest[l], before = all[l];
            all[l] = before + term;
            rest[l] = (all[l] - before) - term;
          }
          from[l] = T(0);
        }
      };
      flush(to.even, sum.even + at, lost.even + at);
      flush(to.odd, sum.odd + at, lost.odd + at);
    }
    const T *g = grad + at, *g_mirror = grad + mirror, *v = x + at, *v_mirror = x + mirror;
    const auto single = [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
      to.even[l] += g[l] * v[l] + g_mirror[other] * v_mirror[other];
      to.odd[l] += g_mirror[other] * v[l] - g[l] * v_mirror[other];
    };
    if (at == mirror) {
      for (std::int64_t l = 0; l < d_; ++l) single(l, mirrored_in(l, d_));
      return;
    }
    for_each_pair<T>(
        d_, false,
        [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
          const Vector<T> a = load(g + l), b = load_reversed(g_mirror + other);
          const Vector<T> c = load(v + l), e = load_reversed(v_mirror + other);
          store(to.even + l, load(to.even + l) + (a * c + b * e));
          store(to.odd + l, load(to.odd + l) + (b * c - a * e));
        },
        single);
  }

  void write_gradient(std::int64_t j, const Pairs& piece, const Pairs& sum, const Pairs& lost) const {
    auto* const to = static_cast<T*>(call_.response_grad);
    T *row = to + 2 * j * d_, *mirror = to + 2 * mirrored(j) * d_;
    const T both = T(2) * static_cast<T>(size_);
    for (std::int64_t l = 0; l < d_; ++l) {
      const std::int64_t at = j * d_ + l, other = mirrored_in(l, d_);
      const T even = (sum.even[at] + (piece.even[at] - lost.even[at])) / both;
      const T odd = (sum.odd[at] + (piece.odd[at] - lost.odd[at])) / both;
      mirror[2 * other] = even;
      mirror[2 * other + 1] = -odd;
      row[2 * l] = even;
      row[2 * l + 1] = odd;
    }
  }

  const FilterPlane& call_;
  const ThreadPool& pool_;
  const std::int64_t n_, d_, size_, rows_;
  const bool filters_, sums_;
  const std::int64_t items_;  // done together
};

}  // namespace

void filter_plane(const FilterPlane& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) { PlanePass<IO>(call, pool).run(); });
}

}  // namespace spectrans::SPECTRANS_ISA
