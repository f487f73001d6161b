// Signals of few channels: parts of each line lie side by side in the lanes of a tile (fft/split.h), whose transforms
// are joined to spectra of whole lines, with their bins in order.
#pragma once

#include "../memory/tile.h"
#include "rader_lines.h"

namespace spectrans {
namespace {

// Lines of a signal of few channels, in parts. Shorter signals are padded with zeros.
template <class T>
class SplitLines {
  static constexpr std::int64_t lanes = kLanes<T>;

 public:
  struct Workspace {
    Vector<T>*tile, *work, *tiles;
    T *spectra, *more;
  };

  // Of n samples. wide: as of real_plan.
  SplitLines(std::int64_t n, std::int64_t d, std::int64_t batch, bool wide = false)
      : n_(n), r_(parts(n, d, batch)), d_(d), batch_(batch), items_(min(batch, lanes / (r_ * d))),
        plan_(split_plan<T>(n, r_, lanes, wide)), rader_(has_rader_lines(*plan_.part, r_ * items_ * d_)) {}

  // The number of parts that leaves the fewest slots to work on, and the fewest items side by side.
  static std::int64_t parts(std::int64_t n, std::int64_t d, std::int64_t batch) {
    constexpr std::int64_t kShort = 256;  // there a call is something else
    std::int64_t best = 1;
    for (std::int64_t r = 2; n >= kShort && r * d <= lanes; ++r) {
      if (n % r == 0 && slots(n, r, d, batch) <= slots(n, best, d, batch)) best = r;
    }
    return best;
  }

  // Whether that makes good for joining them: as measured, where it leaves at most five slots of seven. Where there are
  // no parts of the lines, there may be of Rader's convolutions.
  static bool suits(std::int64_t n, std::int64_t d, std::int64_t batch, bool wide = false) {
    if (d > lanes) return false;
    const std::int64_t r = parts(n, d, batch);
    return 7 * slots(n, r, d, batch) <= 5 * slots(n, 1, d, batch) ||
           (r == 1 && has_rader_lines(real_plan<T>(n, wide), d * min(batch, lanes / d)));
  }

  // Of all items; d no more than there are lanes.
  static std::int64_t slots(std::int64_t n, std::int64_t r, std::int64_t d, std::int64_t batch) {
    return ceil_div(batch, lanes / (r * d)) * (n / r);
  }

  std::int64_t packs() const { return ceil_div(batch_, items_); }
  std::int64_t lines() const { return items_ * d_; }  // of a pack
  std::int64_t items(std::int64_t pack) const { return min(items_, batch_ - pack * items_); }
  std::int64_t used_lanes(std::int64_t pack) const { return items(pack) * r_ * d_; }
  std::int64_t tile_slots() const { return plan_.part->slots; }
  std::int64_t spectrum_size() const { return Spectrum<T>::size(n_); }
  std::int64_t pack_size() const { return lines() * spectrum_size(); }  // of the spectra of one

  // Scratch of one thread, with so many more tiles, and as many more spectra of a pack.
  Workspace workspace(std::int64_t tiles = 0, std::int64_t more = 0) const {
    const std::int64_t slots = (1 + tiles) * tile_slots() + work_slots(), spectra = pack_size();
    Workspace space{};
    space.tile = static_cast<Vector<T>*>(
        scratch(ScratchRoom::worker, slots * kVectorBytes + (1 + more) * spectra * std::int64_t(sizeof(T))));
    space.tiles = space.tile + tile_slots();
    space.work = space.tiles + tiles * tile_slots();
    space.spectra = reinterpret_cast<T*>(space.tile + slots);
    space.more = space.spectra + spectra;
    return space;
  }

  // space.tile -> the spectra of the lines of a pack of items.
  void forward(std::int64_t pack, const Workspace& space, T* spectra) const {
    forward_parts(space.tile, space.work);
    SPECTRANS_ISA::join(plan_, space.tile, items(pack), d_, spectra);
    finish(pack, spectra);
  }

  // And back, n times.
  void inverse(std::int64_t pack, const Workspace& space, T* spectra) const {
    finish(pack, spectra);
    SPECTRANS_ISA::spread(plan_, spectra, items(pack), d_, space.tile);
    inverse_parts(space.tile, space.work);
  }

  // Samples of a pack <-> a tile.
  template <class IO>
  void gather(const Signal& signal, std::int64_t pack, Vector<T>* tile) const {
    const Starts<const IO> from = starts<const IO>(signal, pack);
    const std::int64_t whole = whole_vectors(signal), full = signal.n / r_, step = r_ * signal.n_stride;
    const std::int32_t* slot = plan_.part->slot;
    for (std::int64_t j = 0; j < whole; ++j) tile[slot[j]] = load(from.at[0] + j * step);
    gather_lanes<IO>(from + whole * step, step, full - whole,
                     [=](std::int64_t j, const Vector<T>& value) { tile[slot[whole + j]] = value; });
    for (std::int64_t j = full; j < plan_.m; ++j) tile[slot[j]] = Vector<T>{};
    for_each_lane_left(signal, from, [=](std::int64_t lane, const IO* at) {
      IO some[kLanes<T>] = {};
      some[0] = *at;
      tile[slot[full]][lane] = load(some)[0];
    });
  }
  template <class IO>
  void scatter(const Signal& signal, std::int64_t pack, const Vector<T>* tile) const {
    const Starts<IO> to = starts<IO>(signal, pack);
    const std::int64_t whole = whole_vectors(signal), full = signal.n / r_, step = r_ * signal.n_stride;
    const std::int32_t* slot = plan_.part->slot;
    for (std::int64_t j = 0; j < whole; ++j) store(to.at[0] + j * step, tile[slot[j]]);
    scatter_lanes<IO>(to + whole * step, step, full - whole, [=](std::int64_t j) { return tile[slot[whole + j]]; });
    for_each_lane_left(signal, to, [=](std::int64_t lane, IO* at) {
      IO some[kLanes<T>];
      store(some, tile[slot[full]]);
      *at = some[lane];
    });
  }

  // Of a line in space.spectra, its spectrum in space.more.
  Spectrum<T> other(const Workspace& space, const Spectrum<T>& line) const {
    return Spectrum<T>(space.more + (line.re - Spectrum<T>(space.spectra, n_).re), n_);
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
  // Whether a plan is Rader's algorithm, and for so many lines leaves lanes for parts of its convolutions: as measured.
  static bool has_rader_lines(const RealPlan<T>& part, std::int64_t lines) {
    const RealStage<T>* stage = rader_stage(part);
    if (stage == nullptr) return false;
    if (stage->prime != nullptr) return part.n >= 256 && most_parts<T>(stage->prime->convolution->n, lines) > 2;
    return part.n >= 1024 && lines <= kLanes<double> && most_parts<double>(stage->wide->convolution->n, lines) > 1;
  }

  // Calls f with the transform of as many lines as a pack has parts.
  template <class F>
  SPECTRANS_INLINE void with_rader(const F& f) const {
    const RealStage<T>& stage = plan_.part->stage[0];
    const std::int64_t lines = r_ * items_ * d_;
    if (stage.prime != nullptr) return f(RaderLines<T>(*stage.prime, lines));
    if constexpr (!std::is_same_v<T, double>) f(RaderLines<double>(*stage.wide, lines));
  }

  std::int64_t work_slots() const {
    std::int64_t slots = plan_.part->work;
    if (rader_) {
      with_rader([&](const auto& rader) { slots = tile_slots() + ceil_div(rader.work_bytes(), kVectorBytes); });
    }
    return slots;
  }

  // Samples in the slots of the parts' plan -> bins in theirs.
  void forward_parts(Vector<T>* tile, Vector<T>* work) const {
    const RealPlan<T>& plan = *plan_.part;
    if (!rader_) return real_forward(plan, tile, work);
    with_rader([&](const auto& rader) { rader.template transform<T>(tile, plan.slot, work + tile_slots()); });
    work[plan.re[0]] = tile[plan.slot[0]];
    for (std::int64_t k = 1; k <= plan.n / 2; ++k) {
      const Vector<T> a = tile[plan.slot[k]], b = tile[plan.slot[plan.n - k]];
      work[plan.re[k]] = (a + b) * T(0.5);
      work[plan.im[k]] = (b - a) * (plan.sign[k] / 2);
    }
    for (std::int64_t i = 0; i < tile_slots(); ++i) tile[i] = work[i];
  }

  void inverse_parts(Vector<T>* tile, Vector<T>* work) const {
    const RealPlan<T>& plan = *plan_.part;
    if (!rader_) return real_inverse(plan, tile, work);
    work[plan.slot[0]] = tile[plan.re[0]];
    for (std::int64_t k = 1; k <= plan.n / 2; ++k) {
      const Vector<T> a = tile[plan.re[k]], b = tile[plan.im[k]] * plan.sign[k];
      work[plan.slot[k]] = a - b;
      work[plan.slot[plan.n - k]] = a + b;
    }
    for (std::int64_t i = 0; i < tile_slots(); ++i) tile[i] = work[i];
    with_rader([&](const auto& rader) { rader.template transform<T>(tile, plan.slot, work + tile_slots()); });
  }

  void finish(std::int64_t pack, T* spectra) const {
    for (std::int64_t i = 0; i < items(pack) * d_; ++i) Spectrum<T>(spectra + i * spectrum_size(), n_).finish();
  }

  template <class IO>
  Starts<IO> starts(const Signal& signal, std::int64_t pack) const {
    Starts<IO> result;
    result.used = static_cast<int>(used_lanes(pack));
    if (signal.d_stride == 1 || d_ == 1) result.together = static_cast<int>(signal.n_stride == d_ ? r_ * d_ : d_);
    for (std::int64_t lane = 0; lane < Starts<IO>::lanes; ++lane) {
      const std::int64_t l = lane < result.used ? lane : 0, line = l % (r_ * d_);
      result.at[lane] = batch_item<IO>(signal, pack * items_ + l / (r_ * d_)) + line / d_ * signal.n_stride +
                        line % d_ * signal.d_stride;
    }
    return result;
  }

  // Samples of each part that whole vectors take or give: those of one item without gaps between its values. What more
  // these hold is of no consequence: the lanes are not used, or written again.
  std::int64_t whole_vectors(const Signal& signal) const {
    const bool dense = items_ == 1 && signal.n_stride == d_ && (d_ == 1 || signal.d_stride == 1);
    const std::int64_t values = signal.n * d_;
    return dense && values >= lanes ? (values - lanes) / (r_ * d_) + 1 : 0;
  }

  // Where a signal does not have a sample for every part: calls f(lane, where its last is).
  template <class IO, class F>
  void for_each_lane_left(const Signal& signal, const Starts<IO>& starts, const F& f) const {
    const std::int64_t left = signal.n % r_, at = signal.n / r_ * r_ * signal.n_stride;
    for (std::int64_t lane = 0; left > 0 && lane < starts.used; ++lane) {
      if (lane % (r_ * d_) / d_ < left) f(lane, starts.at[lane] + at);
    }
  }

  const std::int64_t n_, r_, d_, batch_;
  const std::int64_t items_;  // of a pack
  const SplitPlan<T>& plan_;
  const bool rader_;  // whether the parts are of prime length, and transformed as lines themselves
};

}  // namespace
}  // namespace spectrans
