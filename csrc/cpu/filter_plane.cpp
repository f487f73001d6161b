// Filtering along both axes.
//
// By half spectra (filter/plane_spectrum.h), where rows are whole vectors, and enough of them. Elsewhere by two Hartley
// transforms, those of mixing, and between them the products of bins and their mirror images: with X the Hartley
// transform of x, but for 1 / (n d) its own inverse, and a + ib the Hermitian part of the response (a even, b odd), y
// is that of (a[k] X[k] - b[k] X[-k]) / (n d). With G likewise of the gradient, the response's is the even part of
// (G[k] X[k]) / (n d), and the odd part of -(G[k] X[-k]) / (n d).
//
// Some items at a time: their spectra lie in scratch memory and stay in the caches.
#include "filter/plane_spectrum.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Of the planes of the items that are done together, if these are more than one, or than the threads.
constexpr std::int64_t kPlaneBytes = std::int64_t{1} << 20;

// ---- half spectra ---------------------------------------------------------------------------------------------------

template <class T>
class SpectrumPass {
 public:
  SpectrumPass(const FilterPlane& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), n_(call.x.n), d_(call.x.d), spectrum_(n_, d_),
        filters_(call.response != nullptr), sums_(call.response_grad != nullptr),
        whole_(sums_ ? 0 : call.x.batch - call.x.batch % pool.threads), together_(items_together()),
        groups_(groups_of_items()), streaming_(filters_ && storage.can_stream(call.y)) {}

  void run() const {
    if (!sums_) {
      run<true, false>();
    } else if (!filters_) {
      run<false, true>();
    } else {
      run<true, true>();
    }
  }

 private:
  template <bool kFilter, bool kGradient>
  void run() const {
    const std::int64_t batch = call_.x.batch, slots = spectrum_.slots(), width = spectrum_.width();
    const std::int64_t of_tiles = whole_ == batch ? 0 : (kGradient ? 2 : 1) * together_ * slots * kLanes<T>;
    const std::int64_t of_rows =
        (kFilter ? PlaneRows<T>::values(n_, width) : 0) + (kGradient ? PlaneSums<T>::values(call_.x, width) : 0);
    Space<T> space(scratch(ScratchRoom::shared, (of_tiles + of_rows) * sizeof(T)));
    auto* const tiles = reinterpret_cast<Vector<T>*>(space.take(of_tiles));  // first: they are aligned
    Vector<T>* const with = tiles + together_ * slots;
    const PlaneRows<T> response = kFilter ? PlaneRows<T>(space, n_, width) : PlaneRows<T>();
    const PlaneSums<T> sums = kGradient ? PlaneSums<T>(space, call_.x, width) : PlaneSums<T>();
    if constexpr (kFilter) {
      for_each(n_ / 2 + 1, spectrum_.row_bytes(), [&](std::int64_t j, Vector<T>* work) {
        const PlaneRows<T> row = spectrum_.row_in_order(work);
        fold_response(call_, j, row);
        spectrum_.arrange(row, response.row(j));
      });
    }
    if constexpr (!kGradient) filter_whole(response);
    for (std::int64_t first = whole_; first < batch; first += together_) {
      const std::int64_t count = min(together_, batch - first);
      for_each_group(count, [&](std::int64_t i, std::int64_t g, Vector<T>* work) {
        forward(call_.x, first + i, g, tiles + i * slots, work);
        if constexpr (kGradient) forward(call_.with, first + i, g, with + i * slots, work);
      });
      for_each(spectrum_.row_tasks(), count * spectrum_.row_bytes(), [&](std::int64_t task, Vector<T>* work) {
        for (std::int64_t i = 0; i < count; ++i) {
          spectrum_.template rows<kFilter, kGradient>(task, tiles + i * slots, with + i * slots, response, sums,
                                                      first + i, work);
        }
      });
      if constexpr (!kFilter) continue;
      for_each_group(count, [&](std::int64_t i, std::int64_t g, Vector<T>* work) {
        inverse(first + i, g, tiles + i * slots, work);
        if (streaming_) fence_streams();
      });
    }
    if constexpr (kGradient) {
      for_each(n_ / 2 + 1, spectrum_.row_bytes(), [&](std::int64_t j, Vector<T>* work) {
        const PlaneRows<T> row = spectrum_.row_in_order(work);
        spectrum_.arrange_back(sums.total(j), row);
        write_gradient(call_, j, row, static_cast<T>(n_ * d_));
      });
    }
  }

  // Items that do not meet in sums: whole ones to each thread, and no barrier between columns and rows.
  void filter_whole(const PlaneRows<T>& response) const {
    const std::int64_t slots = spectrum_.slots();
    parallel(pool_, whole_, slots * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      Vector<T>* const tiles = workspace();
      for (std::int64_t item = begin; item < end; ++item) {
        for (std::int64_t g = 0; g < groups_.count; ++g) forward(call_.x, item, g, tiles, tiles + slots);
        for (std::int64_t task = 0; task < spectrum_.row_tasks(); ++task) {
          spectrum_.template rows<true, false>(task, tiles, nullptr, response, {}, item, tiles + slots);
        }
        for (std::int64_t g = 0; g < groups_.count; ++g) inverse(item, g, tiles, tiles + slots);
      }
      if (streaming_) fence_streams();
    });
  }

  // Items that do, or are left over: some together, so that threads wait for each other less often.
  std::int64_t items_together() const {
    const std::int64_t fitting = kPlaneBytes / (spectrum_.slots() * kVectorBytes);
    return sums_ ? max(1, min(call_.x.batch, fitting)) : 1;
  }
  Groups<T> groups_of_items() const {
    const Groups<T> groups(n_, d_, call_.x.batch, channels_first(call_.x) ? 1 : kMaxTiles);
    return groups.shared(whole_ > 0 ? whole_ : together_, pool_.threads, storage_.tiles_of_line);
  }

  void forward(const Signal& x, std::int64_t item, std::int64_t g, Vector<T>* tiles, Vector<T>* work) const {
    const std::int64_t next = item * groups_.count + g + 1, end = (item + 1) * groups_.count;
    with_rows_ahead(storage_, x, groups_, next, end,
                    [&](const auto& ahead) { spectrum_.forward(storage_, x, item, groups_[g], tiles, work, ahead); });
  }
  void inverse(std::int64_t item, std::int64_t g, Vector<T>* tiles, Vector<T>* work) const {
    spectrum_.inverse(storage_, call_.y, item, groups_[g], streaming_, tiles, work);
  }

  // A thread's: the tiles of an item of its own, where it has such, and space to work in. Always as much: memory that
  // was given back in between would have to be faulted in again.
  Vector<T>* workspace() const {
    const std::int64_t slots = (whole_ > 0 ? spectrum_.slots() : 0) + spectrum_.work_slots();
    return static_cast<Vector<T>*>(scratch(ScratchRoom::worker, slots * kVectorBytes));
  }

  // Calls body(task, work).
  template <class Body>
  void for_each(std::int64_t tasks, std::int64_t bytes, const Body& body) const {
    parallel(pool_, tasks, bytes, [&](std::int64_t begin, std::int64_t end) {
      Vector<T>* const work = workspace() + (whole_ > 0 ? spectrum_.slots() : 0);
      for (std::int64_t task = begin; task < end; ++task) body(task, work);
    });
  }
  // Calls body(item, group, work).
  template <class Body>
  void for_each_group(std::int64_t items, const Body& body) const {
    for_each(items * groups_.count, spectrum_.slots() * kVectorBytes / groups_.count,
             [&](std::int64_t task, Vector<T>* work) { body(task / groups_.count, task % groups_.count, work); });
  }

  const FilterPlane& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const std::int64_t n_, d_;
  const PlaneSpectrum<T> spectrum_;
  const bool filters_, sums_;
  const std::int64_t whole_, together_;  // items that are done by one thread each, and others
  const Groups<T> groups_;
  const bool streaming_;
};

// ---- Hartley transforms ---------------------------------------------------------------------------------------------

template <class IO>
class HartleyPass {
  using T = Compute<IO>;
  static constexpr bool kHalf = sizeof(IO) != sizeof(T);

 public:
  HartleyPass(const FilterPlane& call, const ThreadPool& pool)
      : call_(call), pool_(pool), n_(call.x.n), d_(call.x.d), size_(n_ * d_), rows_(n_ / 2 + 1),
        filters_(call.response != nullptr), sums_(call.response_grad != nullptr), items_(together()) {}

  void run() const {
    const std::int64_t planes = items_ * size_;
    const std::int64_t taken = (filters_ ? PlaneRows<T>::values(n_, d_) : 0) +
                               (sums_ ? PlaneSums<T>::values(call_.x, d_) : 0) + (sums_ ? 2 : 1) * planes +
                               (kHalf ? planes : 0);
    Space<T> space(scratch(ScratchRoom::caller, taken * sizeof(T)));
    const PlaneRows<T> response = filters_ ? PlaneRows<T>(space, n_, d_) : PlaneRows<T>();
    const PlaneSums<T> sums = sums_ ? PlaneSums<T>(space, call_.x, d_) : PlaneSums<T>();
    T* const bins = space.take(planes);
    T* const with = sums_ ? space.take(planes) : nullptr;
    T* const staged = kHalf ? space.take(planes) : nullptr;
    if (filters_) for_each_row(size_, [&](std::int64_t j) { fold_response(call_, j, response.row(j)); });
    for (std::int64_t item = 0; item < call_.x.batch; item += items_) {
      const std::int64_t count = min(items_, call_.x.batch - item);
      transform(some(call_.x, item, count), bins, staged);
      if (sums_) transform(some(call_.with, item, count), with, staged);
      for_each_row(count * size_, [&](std::int64_t j) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (sums_) add(bins + i * size_, with + i * size_, j, sums.row(j, item + i));
          if (filters_) multiply(bins + i * size_, j, response.row(j));
        }
      });
      if (filters_) invert(bins, some(call_.y, item, count), staged);
    }
    const T both = T(2) * static_cast<T>(size_);
    if (sums_) for_each_row(size_, [&](std::int64_t j) { write_gradient(call_, j, sums.total(j), both); });
  }

 private:
  // A signal of several batch axes that cannot be walked as one is done item by item. Where an axis is short, mixing
  // has several items side by side, and their bits depend on how many: not to be a matter of threads.
  std::int64_t together() const {
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

  // Rows j and -j of a plane, in place.
  void multiply(T* plane, std::int64_t j, const PlaneRows<T>& response) const {
    T *row = plane + j * d_, *mirror = plane + mirrored_in(j, n_) * d_;
    const T *even = response.re, *odd = response.im;
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

  // What row j and its mirror image in one item give to the sums.
  void add(const T* grad, const T* x, std::int64_t j, const PlaneRows<T>& to) const {
    const std::int64_t at = j * d_, mirror = mirrored_in(j, n_) * d_;
    const T *g = grad + at, *g_mirror = grad + mirror, *v = x + at, *v_mirror = x + mirror;
    const auto single = [=](std::int64_t l, std::int64_t other) SPECTRANS_INLINE_LAMBDA {
      to.re[l] += g[l] * v[l] + g_mirror[other] * v_mirror[other];
      to.im[l] += g_mirror[other] * v[l] - g[l] * v_mirror[other];
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
          store(to.re + l, load(to.re + l) + (a * c + b * e));
          store(to.im + l, load(to.im + l) + (b * c - a * e));
        },
        single);
  }

  const FilterPlane& call_;
  const ThreadPool& pool_;
  const std::int64_t n_, d_, size_, rows_;
  const bool filters_, sums_;
  const std::int64_t items_;  // done together
};

}  // namespace

void filter_plane(const FilterPlane& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    if (PlaneSpectrum<Compute<IO>>::suits(call.x.d)) {
      SpectrumPass<Compute<IO>>(call, storage_of<Compute<IO>>(call.element), pool).run();
    } else {
      HartleyPass<IO>(call, pool).run();
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
