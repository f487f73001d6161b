// Signals of few channels: parts of each line lie side by side in the lanes of a tile (fft/split.h), whose transforms
// are joined to spectra of whole lines, with their bins in order.
#pragma once

#include "../fft/split.h"
#include "tile.h"

namespace spectrans {

namespace SPECTRANS_ISA {

// Transforms of the parts, in the slots of their plan -> the spectra of lines, one after the other (Spectrum). Part l
// of channel c of item i is in lane (i r + l) channels + c.
void join(const SplitPlan<float>& plan, const Vector<float>* tile, std::int64_t items, std::int64_t channels,
          float* spectra);
void join(const SplitPlan<double>& plan, const Vector<double>* tile, std::int64_t items, std::int64_t channels,
          double* spectra);

// And back, r times.
void spread(const SplitPlan<float>& plan, const float* spectra, std::int64_t items, std::int64_t channels,
            Vector<float>* tile);
void spread(const SplitPlan<double>& plan, const double* spectra, std::int64_t items, std::int64_t channels,
            Vector<double>* tile);

}  // namespace SPECTRANS_ISA

namespace {

// The half spectrum of a real line, as real parts and imaginary parts, and beyond both ends as many bins as vectors
// reach: X[-k] = X[n - k] = conj X[k].
template <class T>
class Spectrum {
  static constexpr std::int64_t lanes = kLanes<T>;

 public:
  static std::int64_t size(std::int64_t n) { return 2 * (n / 2 + 1 + 2 * lanes); }

  T *re, *im;  // [n / 2 + 1]

  Spectrum(T* data, std::int64_t n) : re(data + lanes), im(re + size(n) / 2), n_(n) {}

  // Bins k, k + 1, ... for 0 <= k < n.
  SPECTRANS_INLINE Complex<Vector<T>> at(std::int64_t k) const {
    if (2 * k <= n_) return {load(re + k), load(im + k)};
    const std::int64_t last = n_ - k - (lanes - 1);
    return {ShufflesOf<T>::reverse(load(re + last)), -ShufflesOf<T>::reverse(load(im + last))};
  }
  // Wherever they, or their conjugates, are in the half spectrum.
  SPECTRANS_INLINE void put(std::int64_t k, const Complex<Vector<T>>& z) const {
    if (2 * k <= n_) {
      store(re + k, z.re);
      store(im + k, z.im);
    }
    const std::int64_t last = n_ - k - (lanes - 1);
    if (2 * last <= n_) {
      store(re + last, ShufflesOf<T>::reverse(z.re));
      store(im + last, -ShufflesOf<T>::reverse(z.im));
    }
  }
  // DC and Nyquist have no imaginary part; what is beyond the ends follows from the rest.
  void finish() const {
    im[0] = 0;
    if (n_ % 2 == 0) im[n_ / 2] = 0;
    for (std::int64_t i = 1; i < lanes; ++i) {
      copy((n_ - i % n_) % n_, -i);
      copy((n_ / 2 + i) % n_, n_ / 2 + i);
    }
  }

 private:
  void copy(std::int64_t from, std::int64_t to) const {
    const bool upper = 2 * from > n_;
    re[to] = re[upper ? n_ - from : from];
    im[to] = upper ? -im[n_ - from] : im[from];
  }

  std::int64_t n_;
};

// Samples that follow one another, as far as a vector reaches, and back.
template <class IO>
SPECTRANS_INLINE void store_line(IO* to, std::int64_t stride, std::int64_t count, Vector<Compute<IO>> value) {
  if (stride == 1 && count >= kLanes<Compute<IO>>) return store(to, value);
  store_some(to, stride, static_cast<int>(min(count, kLanes<Compute<IO>>)), value);
}

// Lines of a signal, in parts.
template <class T>
class SplitLines {
  static constexpr std::int64_t lanes = kLanes<T>;

 public:
  struct Workspace {
    Vector<T>*tile, *work;
    T *spectra, *extra;
  };

  // wide: as of real_plan.
  SplitLines(std::int64_t n, std::int64_t d, std::int64_t batch, bool wide = false)
      : n_(n), d_(d), batch_(batch), r_(parts(n, d, batch)), items_(min(batch, lanes / (r_ * d))),
        plan_(split_plan<T>(n, r_, lanes, wide)) {}

  // Whether that is worth while: fewer slots are worked on, than with one line a lane.
  static bool suits(std::int64_t n, std::int64_t d, std::int64_t batch) { return parts(n, d, batch) > 1; }

  std::int64_t packs() const { return ceil_div(batch_, items_); }
  std::int64_t lines() const { return items_ * d_; }  // of a pack
  std::int64_t pack_bytes() const { return plan_.part->slots * kVectorBytes; }
  std::int64_t spectrum_size() const { return Spectrum<T>::size(n_); }

  // Scratch, of one thread; extra: numbers more.
  Workspace workspace(std::int64_t extra = 0) const {
    const std::int64_t slots = plan_.part->slots + plan_.part->work;
    const std::int64_t numbers = lines() * spectrum_size() + extra;
    auto* tile = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, slots * kVectorBytes + numbers * sizeof(T)));
    T* spectra = reinterpret_cast<T*>(tile + slots);
    return {tile, tile + plan_.part->slots, spectra, spectra + lines() * spectrum_size()};
  }

  // The spectra of the lines of a pack of items.
  template <class IO>
  void forward(const Signal& signal, std::int64_t pack, const Workspace& space) const {
    gather<IO>(signal, pack, space.tile);
    real_forward(*plan_.part, space.tile, space.work);
    SPECTRANS_ISA::join(plan_, space.tile, items(pack), d_, space.spectra);
    for_each_line(pack, space, [](std::int64_t, std::int64_t, const Spectrum<T>& line) { line.finish(); });
  }

  // n times the samples of spectra, which are finished for that.
  template <class IO>
  void inverse(const Signal& signal, std::int64_t pack, const Workspace& space) const {
    for_each_line(pack, space, [](std::int64_t, std::int64_t, const Spectrum<T>& line) { line.finish(); });
    SPECTRANS_ISA::spread(plan_, space.spectra, items(pack), d_, space.tile);
    real_inverse(*plan_.part, space.tile, space.work);
    scatter<IO>(signal, pack, space.tile);
  }

  // Calls f(item, the spectrum of its first channel).
  template <class F>
  void for_each_item(std::int64_t pack, const Workspace& space, const F& f) const {
    for (std::int64_t i = 0; i < items(pack); ++i) f(pack * items_ + i, space.spectra + i * d_ * spectrum_size());
  }

  // Calls f(item, channel, spectrum).
  template <class F>
  void for_each_line(std::int64_t pack, const Workspace& space, const F& f) const {
    for_each_item(pack, space, [&](std::int64_t item, T* spectra) {
      for (std::int64_t c = 0; c < d_; ++c) f(item, c, Spectrum<T>(spectra + c * spectrum_size(), n_));
    });
  }

 private:
  // The number of parts with the fewest slots; 1 where that does not make good for joining them.
  static std::int64_t parts(std::int64_t n, std::int64_t d, std::int64_t batch) {
    constexpr double kGain = 1.4;
    constexpr std::int64_t kShort = 256;  // there a call is something else
    if (n < kShort) return 1;
    const auto slots = [=](std::int64_t r) { return ceil_div(batch, lanes / (r * d)) * (n / r); };
    std::int64_t best = 1;
    for (std::int64_t r = 2; r * d <= lanes; ++r) {
      if (n % r == 0 && slots(r) < slots(best)) best = r;
    }
    return best > 1 && kGain * static_cast<double>(slots(best)) <= static_cast<double>(slots(1)) ? best : 1;
  }

  std::int64_t items(std::int64_t pack) const { return min(items_, batch_ - pack * items_); }

  template <class IO>
  Starts<IO> starts(const Signal& signal, std::int64_t pack) const {
    Starts<IO> result;
    result.used = static_cast<int>(items(pack) * r_ * d_);
    for (std::int64_t lane = 0; lane < Starts<IO>::lanes; ++lane) {
      const std::int64_t l = lane < result.used ? lane : 0, line = l % (r_ * d_);
      result.at[lane] = batch_item<IO>(signal, pack * items_ + l / (r_ * d_)) + line / d_ * signal.n_stride +
                        line % d_ * signal.d_stride;
    }
    return result;
  }

  // Samples that whole vectors take or give: those of one item without gaps; what more they hold is of no consequence.
  std::int64_t whole_vectors(const Signal& signal) const {
    const bool dense = items_ == 1 && signal.n_stride == d_ && (d_ == 1 || signal.d_stride == 1);
    return dense ? max(0, (n_ * d_ - lanes) / (r_ * d_) + 1) : 0;
  }

  template <class IO>
  void gather(const Signal& signal, std::int64_t pack, Vector<T>* tile) const {
    const Starts<const IO> from = starts<const IO>(signal, pack);
    const std::int64_t whole = n_ * d_ < lanes ? 0 : whole_vectors(signal), step = r_ * signal.n_stride;
    const std::int32_t* slot = plan_.part->slot;
    for (std::int64_t j = 0; j < whole; ++j) tile[slot[j]] = load(from.at[0] + j * step);
    gather_lanes<IO>(from + whole * step, step, plan_.m - whole,
                     [=](std::int64_t j, const Vector<T>& value) { tile[slot[whole + j]] = value; });
  }

  template <class IO>
  void scatter(const Signal& signal, std::int64_t pack, const Vector<T>* tile) const {
    const Starts<IO> to = starts<IO>(signal, pack);
    const std::int64_t whole = n_ * d_ < lanes ? 0 : whole_vectors(signal), step = r_ * signal.n_stride;
    const std::int32_t* slot = plan_.part->slot;
    for (std::int64_t j = 0; j < whole; ++j) store(to.at[0] + j * step, tile[slot[j]]);
    scatter_lanes<IO>(to + whole * step, step, plan_.m - whole, [=](std::int64_t j) { return tile[slot[whole + j]]; });
  }

  const std::int64_t n_, d_, batch_;
  const std::int64_t r_, items_;  // of a pack
  const SplitPlan<T>& plan_;
};

}  // namespace
}  // namespace spectrans
