// Truncated spectra of rows as they lie in memory (memory/real_rows.h): where channels come first, or there is one.
#pragma once

#include "../memory/storage.h"
#include "weights.h"

namespace spectrans {
namespace {

template <class T>
class RowModesPass {
  using Unit = typename RealRows<T>::Unit;
  static constexpr int lanes = kLanes<T>, unit = RealRows<T>::kUnit;

 public:
  RowModesPass(const Modes& call, const Storage<T>& storage, bool large, bool streaming, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), rows_(call.x.n), lines_(call.x.batch * call.x.d), weights_(call),
        weighs_(weights_.factor(true) != 1 || weights_.factor(false) != 1 || weights_.divides()),
        asks_(large && call.x.n * std::int64_t(sizeof(T)) <= kAheadBytes / 4), streaming_(streaming) {}

  // Forward, of some bins, lanes that are lines compute less (as measured).
  static bool suits(const Modes& call, bool streaming) {
    const std::int64_t lines = call.x.batch * call.x.d;
    return call.x.n_stride == 1 && call.bins.n_stride == 2 && RealRows<T>::suits(call.x.n, lines, streaming) &&
           (call.inverse || is_whole(call) || RealRows<T>::are_few(lines));
  }

  void run() const {
    const std::int64_t rows = rows_.rows();
    parallel(pool_, ceil_div(lines_, rows), rows * rows_.n() * sizeof(T), [&](std::int64_t begin, std::int64_t end) {
      auto* tiles = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, rows_.slots() * kVectorBytes));
      for (std::int64_t task = begin; task < end; ++task) {
        Rows of[2];
        for (std::int64_t i = 0; i < 2; ++i) {  // of one that is left over, both are that
          const std::int64_t line = min(task * rows + i, lines_ - 1);
          of[i] = {static_cast<char*>(call_.x.data) + offset(call_.x, line) * storage_.size,
                   static_cast<T*>(call_.bins.data) + offset(call_.bins, line), tiles + i % rows * rows_.pitch()};
        }
        if (is_whole(call_)) {
          call_.inverse ? inverse<true>(of) : forward<true>(of);
        } else {
          call_.inverse ? inverse<false>(of) : forward<false>(of);
        }
      }
      if (streaming_) fence_streams();
    });
  }

 private:
  struct Rows {
    void* x;
    T* bins;
    Vector<T>* tile;
  };

  static bool is_whole(const Modes& call) { return call.bins.n == call.x.n / 2 + 1; }

  static std::int64_t offset(const Signal& signal, std::int64_t line) {
    return batch_offset(signal, line / signal.d) + line % signal.d * signal.d_stride;
  }

  template <bool kWhole>
  void forward(const Rows* of) const {
    for (std::int64_t i = 0; i < rows_.rows(); ++i) {
      storage_.forward_row(rows_, of[i].x, asks_, of[i].bins, of[i].tile);
    }
    for (std::int64_t block = 0; block < rows_.blocks(); ++block) {
      Complex<Vector<T>> v[lanes];
      rows_.join(of[0].tile, block, v);
      if (weighs_) weigh(block, v);
      const Unit units[2] = {rows_.unit(block, 0), rows_.unit(block, 1)};
      unroll<0, lanes>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
        constexpr bool kBackwards = e >= unit;
        Vector<T> pairs[2];
        zip_units<kBackwards, T>(kBackwards ? Complex<Vector<T>>{v[e].re, -v[e].im} : v[e], pairs);
        for (int half = 0; half < 2; ++half) {
          put<kWhole>(of[units[half].row].bins, units[half].bin(e), pairs[half]);
        }
      });
    }
    for (std::int64_t i = 0; i < rows_.rows(); ++i) {
      T* bins = of[i].bins;
      T last[lanes];
      store(last, weights_(rows_.last_bins(of[i].tile), true));
      for (std::int64_t e = 0; e < unit && rows_.last_bin(e) < call_.bins.n; ++e) {
        bins[2 * rows_.last_bin(e)] = last[e];
        bins[2 * rows_.last_bin(e) + 1] = last[unit + e];
      }
      bins[1] = 0;
      if (kWhole) bins[rows_.n() + 1] = 0;
    }
  }

  template <bool kWhole>
  void inverse(const Rows* of) const {
    for (std::int64_t block = 0; block < rows_.blocks(); ++block) {
      Complex<Vector<T>> v[lanes];
      const Unit units[2] = {rows_.unit(block, 0), rows_.unit(block, 1)};
      unroll<0, lanes>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
        constexpr bool kBackwards = e >= unit;
        Vector<T> pairs[2];
        for (int half = 0; half < 2; ++half) {
          pairs[half] = get<kWhole>(of[units[half].row].bins, units[half].bin(e));
        }
        v[e] = unzip_units<kBackwards, T>(pairs);
        if (kBackwards) v[e].im = -v[e].im;
      });
      weigh(block, v);
      rows_.spread(v, block, of[0].tile);
    }
    for (std::int64_t i = 0; i < rows_.rows(); ++i) {
      const T* bins = of[i].bins;
      T last[lanes] = {};
      for (std::int64_t e = 0; e < unit && rows_.last_bin(e) < call_.bins.n; ++e) {
        last[e] = weights_(bins[2 * rows_.last_bin(e)], true);
        last[unit + e] = weights_(bins[2 * rows_.last_bin(e) + 1], true);
      }
      rows_.set_last_bins(last, of[i].tile);
      storage_.inverse_row(rows_, of[i].tile, of[i].x, streaming_, asks_, bins + 2 * call_.bins.n);
    }
  }

  // DC and Nyquist, in vectors 0 and `unit`, have a weight of their own, and no imaginary part.
  SPECTRANS_INLINE void weigh(std::int64_t block, Complex<Vector<T>>* v) const {
    const auto real = rows_.real_lanes(block) != 0;
    const Vector<T> interior = Vector<T>{} + weights_.factor(true);
    const Vector<T> own = real ? Vector<T>{} + weights_.factor(false) : interior;
    unroll<0, lanes>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
      constexpr bool kSomeReal = e % unit == 0;
      v[e].re = v[e].re * (kSomeReal ? own : interior);
      v[e].im = v[e].im * interior;
      if (kSomeReal) v[e].im = real ? Vector<T>{} : v[e].im;
    });
    for (int e = 0; weights_.divides() && e < lanes; ++e) {
      v[e] = {weights_.template divided<true>(v[e].re), weights_.template divided<true>(v[e].im)};
    }
  }

  // Pairs of a unit, from bin k on, of which there are (kWhole) all or some.
  template <bool kWhole>
  SPECTRANS_INLINE void put(T* bins, std::int64_t k, Vector<T> pairs) const {
    const std::int64_t count = kWhole ? unit : min(unit, call_.bins.n - k);
    if (count == unit) return store(bins + 2 * k, pairs);
    if (count > 0) store_some(bins + 2 * k, 1, static_cast<int>(2 * count), pairs);
  }
  template <bool kWhole>
  SPECTRANS_INLINE Vector<T> get(const T* bins, std::int64_t k) const {
    const std::int64_t count = kWhole ? unit : min(unit, call_.bins.n - k);
    if (count == unit) return once(load(bins + 2 * k));
    return count > 0 ? load_some(bins + 2 * k, 1, static_cast<int>(2 * count)) : Vector<T>{};
  }

  const Modes& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const RealRows<T> rows_;
  const std::int64_t lines_;
  const Weights<T> weights_;
  const bool weighs_;  // whether any is not 1
  const bool asks_, streaming_;
};

}  // namespace
}  // namespace spectrans
