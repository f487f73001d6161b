// The first bins of half spectra, and signals from them: what is cut off is neither stored nor, mostly, computed.
#include "ahead.h"
#include "decimated.h"
#include "direct.h"
#include "instruction_set.h"
#include "modes_rows.h"
#include "split.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Transform, for T, has: slots, of a tile; work, slots of scratch; slot [n] of each sample; re, im, sign [modes], as in
// RealPlan; forward<IO>(signal, pack, group, tiles, work, meanwhile), the bins of samples; and inverse<IO>(signal,
// pack, group, streaming, tiles, work), n times irfft of the bins; or, where kScales, with the norm of the call, but
// for DC.
template <class IO, class Transform>
class ModesPass {
  using T = Compute<IO>;

 public:
  ModesPass(const Modes& call, const Transform& transform, const ThreadPool& pool)
      : call_(call), pool_(pool), transform_(transform), groups_(shared_groups<IO>(call.x, pool)),
        pitch_(padded(transform.slots)), slots_(pitch_ * groups_.tiles_per_group),
        streaming_(call.inverse && can_stream<IO>(call.x)),
        weights_(call, Transform::kScales && call.inverse ? 0 : call.norm), dc_weights_(call) {}

  void run() const {
    const std::int64_t tasks = groups_.count * groups_.packs(call_.x.batch);
    parallel(pool_, tasks, slots_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t room = slots_ + transform_.work;
      auto* slots = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, room * kVectorBytes));
      for (std::int64_t task = begin; task < end; ++task) {
        const Group group = groups_[task % groups_.count];
        const Tiles<T> tiles{slots, pitch_, group.tiles};
        const std::int64_t pack = task / groups_.count;
        if (call_.inverse) {
          read_bins(pack, group, tiles);
          if constexpr (Transform::kScales) {
            for (std::int64_t t = 0; t < tiles.count; ++t) {
              Vector<T>& dc = tiles[t][transform_.re[0]];
              dc = dc_weights_(dc, false);
            }
          }
          transform_.template inverse<IO>(call_.x, pack, group, streaming_, tiles, slots + slots_);
        } else {
          with_rows_ahead<IO>(call_.x, groups_, task + 1, end, [&](const auto& ahead) {
            transform_.template forward<IO>(call_.x, pack, group, tiles, slots + slots_, ahead);
          });
          write_bins(pack, group, tiles);
        }
      }
      if (streaming_) fence_streams();
    });
  }

 private:
  // One bin of any tile: where it is, and what it is multiplied by.
  template <bool kDivides>
  struct Bin {
    std::int64_t re, im;
    T re_factor, im_factor;
    const Weights<T>& weights;

    SPECTRANS_INLINE Complex<Vector<T>> get(const Vector<T>* tile) const {
      return {weights.template divided<kDivides>(tile[re] * re_factor),
              weights.template divided<kDivides>(tile[im] * im_factor)};
    }
    SPECTRANS_INLINE void set(Vector<T>* tile, const Complex<Vector<T>>& bin) const {
      tile[re] = weights.template divided<kDivides>(bin.re * re_factor);
      tile[im] = weights.template divided<kDivides>(bin.im * im_factor);
    }
  };

  // All of them. For the imaginary part that DC and Nyquist do not have there is the slot that a tile is padded with.
  template <bool kDivides>
  struct Bins {
    const std::int32_t *re, *im;
    const T* sign;
    std::int64_t none;
    Weights<T> weights;

    SPECTRANS_INLINE Bin<kDivides> operator[](std::int64_t k) const {
      const bool interior = im[k] >= 0;
      const T factor = weights.factor(interior);
      return {re[k], interior ? im[k] : none, factor, factor * sign[k], weights};
    }
  };

  // Calls f with the bins, by value: stores could change what a reference leads to.
  template <class F>
  SPECTRANS_INLINE void with_bins(const F& f) const {
    const auto bins = [this]<bool kDivides>() {
      return Bins<kDivides>{transform_.re, transform_.im, transform_.sign, transform_.slots, weights_};
    };
    if (weights_.divides()) return f(bins.template operator()<true>());
    return f(bins.template operator()<false>());
  }

  // Whether the pairs of a tile's channels lie side by side.
  bool are_rows(const Group& group) const { return call_.bins.d_stride == 2 && group.items == 1; }

  // Calls f(pairs, lanes, bin, tile) for each bin of each tile: where the pairs of so many lanes start.
  template <class Number, class Bins, class F>
  void for_each_row(std::int64_t item, const Group& group, const Tiles<T>& tiles, const Bins& bins, const F& f) const {
    Number* first = batch_item<Number>(call_.bins, item);
    const std::int64_t count = call_.bins.n, stride = call_.bins.n_stride, ahead = kPrefetchRows * stride;
    with_lanes<T>(group, [&, own = group, tiles](auto lanes) {
      Number* row = first;
      for (std::int64_t k = 0; k < count; ++k, row += stride) {
        const auto bin = bins[k];
        for (std::int64_t t = 0; t < tiles.count; ++t) {
          Number* pairs = row + 2 * own.channel[t];
          fetch_pairs(pairs + ahead);
          f(pairs, lanes, bin, tiles[t]);
        }
      }
    });
  }

  void write_bins(std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    for (std::int64_t t = 0; t < tiles.count; ++t) tiles[t][transform_.slots] = Vector<T>{};
    with_bins([&](auto bins) {
      if (are_rows(group)) {
        for_each_row<T>(pack, group, tiles, bins,
                        [](T* pairs, int lanes, const auto& bin, const Vector<T>* tile) SPECTRANS_INLINE_LAMBDA {
                          const Complex<Vector<T>> value = bin.get(tile);
                          store_pairs(pairs, lanes, value.re, value.im);
                        });
        return;
      }
      for (std::int64_t t = 0; t < tiles.count; ++t) {
        scatter_pairs(Starts<T>(call_.bins, pack, group, t, 2), call_.bins.n_stride, call_.bins.n,
                      [bins, tile = tiles[t]](std::int64_t k) SPECTRANS_INLINE_LAMBDA { return bins[k].get(tile); });
      }
    });
  }

  void read_bins(std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    with_bins([&](auto bins) {
      if (are_rows(group)) {
        for_each_row<const T>(pack, group, tiles, bins,
                              [](const T* pairs, int lanes, const auto& bin, Vector<T>* tile)
                                  SPECTRANS_INLINE_LAMBDA { bin.set(tile, load_pairs(pairs, lanes)); });
        return;
      }
      for (std::int64_t t = 0; t < tiles.count; ++t) {
        gather_pairs(Starts<const T>(call_.bins, pack, group, t, 2), call_.bins.n_stride, call_.bins.n,
                     [bins, tile = tiles[t]](std::int64_t k, const Complex<Vector<T>>& bin)
                         SPECTRANS_INLINE_LAMBDA { bins[k].set(tile, bin); });
      }
    });
  }

  const Modes& call_;
  const ThreadPool& pool_;
  const Transform& transform_;
  const Groups<T> groups_;
  const std::int64_t pitch_, slots_;
  const bool streaming_;
  const Weights<T> weights_, dc_weights_;
};

// Few channels: parts of each line in the lanes.
template <class IO>
class SplitModesPass {
  using T = Compute<IO>;

 public:
  SplitModesPass(const Modes& call, const ThreadPool& pool)
      : call_(call), pool_(pool), split_(call.x.n, call.x.d, call.x.batch, call.inverse), weights_(call) {}

  static bool suits(const Modes& call) { return SplitLines<T>::suits(call.x.n, call.x.d, call.x.batch, call.inverse); }

  void run() const {
    parallel(pool_, split_.packs(), split_.tile_slots() * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const auto space = split_.workspace();
      for (std::int64_t pack = begin; pack < end; ++pack) {
        if (!call_.inverse) split_.template forward<IO>(call_.x, pack, space);
        split_.for_each_line(pack, space, [&](std::int64_t item, std::int64_t channel, const Spectrum<T>& line) {
          if (call_.inverse) read_bins(item, channel, line);
          weigh(line);
          if (!call_.inverse) write_bins(item, channel, line);
        });
        if (call_.inverse) split_.template inverse<IO>(call_.x, pack, space);
      }
    });
  }

 private:
  void weigh(const Spectrum<T>& line) const {
    const std::int64_t n = call_.x.n;
    const T dc = weights_(line.re[0], false), nyquist = weights_(line.re[n / 2], false);
    for (std::int64_t k = 0; k < call_.bins.n; k += kLanes<T>) {
      store(line.re + k, weights_(load(line.re + k), true));
      store(line.im + k, weights_(load(line.im + k), true));
    }
    line.re[0] = dc;
    if (n % 2 == 0) line.re[n / 2] = nyquist;
  }

  void write_bins(std::int64_t item, std::int64_t channel, const Spectrum<T>& line) const {
    const Lines<T> to = lines<T>(call_.bins, item, channel);
    for (std::int64_t k = 0; k < call_.bins.n; k += kLanes<T>) {
      const int count = static_cast<int>(min(kLanes<T>, call_.bins.n - k));
      store_complex_line(to.data + k * to.n_stride, to.n_stride, count, load(line.re + k), load(line.im + k));
    }
  }

  // And zero beyond them.
  void read_bins(std::int64_t item, std::int64_t channel, const Spectrum<T>& line) const {
    const Lines<const T> from = lines<const T>(call_.bins, item, channel);
    for (std::int64_t k = 0; k <= call_.x.n / 2; k += kLanes<T>) {
      const int count = static_cast<int>(max(0, min(kLanes<T>, call_.bins.n - k)));
      const Complex<Vector<T>> z = load_complex_line(from.data + k * from.n_stride, from.n_stride, count);
      store(line.re + k, z.re);
      store(line.im + k, z.im);
    }
  }

  const Modes& call_;
  const ThreadPool& pool_;
  const SplitLines<T> split_;
  const Weights<T> weights_;
};

template <class IO>
void run(const Modes& call, const ThreadPool& pool) {
  using T = Compute<IO>;
  const std::int64_t n = call.x.n, count = call.bins.n;
  const bool streaming = call.inverse && can_stream_rows<IO>(call.x);
  if (RowModesPass<T>::suits(call, streaming)) {
    static constexpr RowStorage<T> storage = RowStorage<T>::template of<IO>();
    const bool large = size_in_bytes<IO>(call.x) > kLargeBytes / 2;
    return RowModesPass<T>(call, storage, large, streaming, pool).run();
  }
  if (SplitModesPass<IO>::suits(call)) return SplitModesPass<IO>(call, pool).run();
  if (is_direct_faster<T>(n, count, call.inverse)) {
    const DirectPlan<T>& plan = direct_plan<T>(n, count, call.inverse ? call.norm : 0);
    ModesPass<IO, DirectModes<T>>(call, DirectModes<T>{plan}, pool).run();
  } else {
    // At primes torch.fft is more accurate on the way back than on the way there.
    ModesPass<IO, DecimatedModes<T>>(call, DecimatedModes<T>{decimation<T>(n, count, call.inverse), count}, pool).run();
  }
}

}  // namespace

void modes(const Modes& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    using T = Compute<IO>;
    if (!has_lines_to_join<T>(call.x) || !has_lines_to_join<T>(call.bins)) return run<IO>(call, pool);
    Modes joined = call;
    join_lines(joined.x);
    join_lines(joined.bins);
    run<IO>(joined, pool);
  });
}

}  // namespace spectrans::SPECTRANS_ISA
