// The first bins of half spectra, and signals from them: what is cut off is neither stored nor, mostly, computed.
#include "instruction_set.h"
#include "memory/storage.h"
#include "modes/decimated.h"
#include "modes/direct.h"
#include "modes/rows.h"
#include "modes/slots.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Transform, for T, has: slots, of a tile; work, slots of scratch; slot [n] of each sample; re, im, sign [modes], as in
// RealPlan; forward(storage, signal, pack, group, tiles, work, meanwhile), the bins of samples; and
// inverse(storage, signal, pack, group, streaming, tiles, work), n times irfft of the bins; or, where kScales, with the
// norm of the call, but for DC.
template <class T, class Transform>
class ModesPass {
 public:
  ModesPass(const Modes& call, const Transform& transform, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), transform_(transform),
        groups_(shared_groups(storage, call.x, pool)), pitch_(padded(transform.slots)),
        slots_(pitch_ * groups_.tiles_per_group), streaming_(call.inverse && storage.can_stream(call.x)),
        bins_(call.bins, transform.re, transform.im, transform.sign, transform.slots,
              Weights<T>(call, Transform::kScales && call.inverse ? 0 : call.norm)),
        dc_weights_(call) {}

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
          bins_.read(pack, group, tiles);
          if constexpr (Transform::kScales) {
            for (std::int64_t t = 0; t < tiles.count; ++t) {
              Vector<T>& dc = tiles[t][transform_.re[0]];
              dc = dc_weights_(dc, false);
            }
          }
          transform_.inverse(storage_, call_.x, pack, group, streaming_, tiles, slots + slots_);
        } else {
          with_rows_ahead(storage_, call_.x, groups_, task + 1, end, [&](const auto& ahead) {
            transform_.forward(storage_, call_.x, pack, group, tiles, slots + slots_, ahead);
          });
          bins_.write(pack, group, tiles);
        }
      }
      if (streaming_) fence_streams();
    });
  }

 private:
  const Modes& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const Transform& transform_;
  const Groups<T> groups_;
  const std::int64_t pitch_, slots_;
  const bool streaming_;
  const ModesSlots<T> bins_;
  const Weights<T> dc_weights_;
};

// Few channels: parts of each line in the lanes.
template <class T>
class SplitModesPass {
 public:
  SplitModesPass(const Modes& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), split_(call.x.n, call.x.d, call.x.batch, call.inverse),
        weights_(call) {}

  static bool suits(const Modes& call) { return SplitLines<T>::suits(call.x.n, call.x.d, call.x.batch, call.inverse); }

  void run() const {
    parallel(pool_, split_.packs(), split_.tile_slots() * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const auto space = split_.workspace();
      for (std::int64_t pack = begin; pack < end; ++pack) {
        if (!call_.inverse) {
          storage_.gather_parts(split_, call_.x, pack, space.tile);
          split_.forward(pack, space, space.spectra);
        }
        split_.for_each_line(pack, space, [&](std::int64_t item, std::int64_t channel, const Spectrum<T>& line) {
          if (call_.inverse) read_bins(item, channel, line);
          weigh(line);
          if (!call_.inverse) write_bins(item, channel, line);
        });
        if (call_.inverse) {
          split_.inverse(pack, space, space.spectra);
          storage_.scatter_parts(split_, call_.x, pack, space.tile);
        }
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
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const SplitLines<T> split_;
  const Weights<T> weights_;
};

template <class T>
void run(const Modes& call, const Storage<T>& storage, const ThreadPool& pool) {
  const std::int64_t n = call.x.n, count = call.bins.n;
  const bool streaming = call.inverse && storage.can_stream_rows(call.x);
  if (RowModesPass<T>::suits(call, streaming)) {
    const bool large = storage.size_in_bytes(call.x) > kLargeBytes / 2;
    return RowModesPass<T>(call, storage, large, streaming, pool).run();
  }
  if (SplitModesPass<T>::suits(call)) return SplitModesPass<T>(call, storage, pool).run();
  if (!is_direct_faster<T>(n, count, call.inverse)) {
    // At primes torch.fft is more accurate on the way back than on the way there.
    const DecimatedModes<T> transform{decimation<T>(n, count, call.inverse), count};
    return ModesPass<T, DecimatedModes<T>>(call, transform, storage, pool).run();
  }
  const DirectPlan<T>& plan = direct_modes_plan<T>(n, count, call.inverse, call.inverse ? call.norm : 0);
  with_element(call.element, [&]<class IO>(IO) {
    if constexpr (std::is_same_v<Compute<IO>, T>) {
      ModesPass<T, DirectModes<IO>>(call, DirectModes<IO>{plan}, storage, pool).run();
    }
  });
}

}  // namespace

void modes(const Modes& call, const ThreadPool& pool) {
  with_storage(call.element, [&]<class T>(const Storage<T>& storage) {
    if (!has_lines_to_join<T>(call.x) || !has_lines_to_join<T>(call.bins)) return run(call, storage, pool);
    Modes joined = call;
    join_lines(joined.x);
    join_lines(joined.bins);
    run(joined, storage, pool);
  });
}

}  // namespace spectrans::SPECTRANS_ISA
