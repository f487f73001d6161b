// Fourier and Hartley mixing: real transforms only, half spectra only, mirrored on store.
//
// One axis: y[k] and y[n - k] come from one bin of the half spectrum: Re X is even, Im X is odd.
//
// Two axes, real part: it sees only the even part of x, e[j, l] = (x[j, l] + x[-j, -l]) / 2, whose transforms along the
// sequence have E[p, -l] = conj E[p, l]. So channels l <= d / 2 of e and bins p <= n / 2 are enough, and what is left
// to do along the hidden axis is an inverse real transform of conj E: y[p, q] = sum_l E[p, l] w_d^{lq} is real, and
// y[-p, -q] = y[p, q].
//
// Two axes, Hartley: the half spectra along the sequence, complex transforms F of them along the hidden axis, and
// y[p, q] = Re F - Im F, y[-p, -q] = Re F + Im F.
#include "instruction_set.h"
#include "memory/storage.h"
#include "mixing/bins_in_lanes.h"
#include "mixing/channels_in_lanes.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// The mixed signal from the half spectra of tiles: sample j is scale Re X[j], or scale (Re X[j] - Im X[j]).
template <class T, bool kHartley>
class Mixed {
 public:
  Mixed(const RealPlan<T>& plan, const Tiles<T>& tiles, T scale)
      : n_(plan.n), re_(plan.re), im_(plan.im), sign_(plan.sign), tiles_(tiles), scale_(scale) {}

  // Sample j, of tile k.
  SPECTRANS_INLINE auto operator()(std::int64_t j) const {
    const bool upper = 2 * j > n_;
    const std::int64_t bin = upper ? n_ - j : j;
    const Vector<T>* re = tiles_.data + re_[bin];
    if constexpr (kHartley) {
      const Vector<T>* im = im_[bin] < 0 ? nullptr : tiles_.data + im_[bin];
      const T sign = upper ? sign_[bin] : -sign_[bin];
      return [re, im, sign, pitch = tiles_.pitch, scale = scale_](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
        return (im == nullptr ? re[k * pitch] : re[k * pitch] + im[k * pitch] * sign) * scale;
      };
    } else {
      return [re, pitch = tiles_.pitch, scale = scale_](std::int64_t k)
                 SPECTRANS_INLINE_LAMBDA { return re[k * pitch] * scale; };
    }
  }

 private:
  std::int64_t n_;
  const std::int32_t *re_, *im_;
  const T* sign_;
  Tiles<T> tiles_;
  T scale_;
};

// Transforms of a few values, by their definition: one axis of vectors.
template <class T, bool kHartley>
class Few {
 public:
  static constexpr std::int64_t kMost = kLanes<T>;

  explicit Few(std::int64_t d) : d_(d) {
    for (std::int64_t l = 0; l < d; ++l) {
      const trig::Point w = trig::unit_root(l, d);
      cos_[l] = static_cast<T>(w.cos);
      sin_[l] = static_cast<T>(w.sin);
    }
  }

  // Re sum_l z[l] w_d^{lq}, or Re - Im
  SPECTRANS_INLINE Vector<T> operator()(const Complex<Vector<T>>* z, std::int64_t q) const {
    Vector<T> sum = kHartley ? z[0].re - z[0].im : z[0].re;
    for (std::int64_t l = 1, turn = q; l < d_; ++l, turn += turn + q < d_ ? q : q - d_) {
      const T c = cos_[turn], s = sin_[turn];
      sum = kHartley ? sum + z[l].re * (c + s) + z[l].im * (s - c) : sum + z[l].re * c + z[l].im * s;
    }
    return sum;
  }

 private:
  std::int64_t d_;
  T cos_[kMost], sin_[kMost];
};

// Few channels, over the sequence or over both axes.
template <class IO, bool kHartley>
void mix_lines(const Signal& x, const Signal& y, bool both, double scale, const Storage<Compute<IO>>& storage,
               const ThreadPool& pool) {
  using T = Compute<IO>;
  const SplitLines<T> split(x.n, x.d, x.batch);
  const Few<T, kHartley> hidden(both ? x.d : 1);
  parallel(pool, split.packs(), split.tile_slots() * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
    const auto space = split.workspace();
    for (std::int64_t pack = begin; pack < end; ++pack) {
      storage.gather_parts(split, x, pack, space.tile);
      split.forward(pack, space, space.spectra);
      split.for_each_item(pack, space, [&](std::int64_t item, T* spectra) {
        const Lines<IO> to = lines<IO>(y, item, 0);
        for (std::int64_t k = 0; k < y.n; k += kLanes<T>) {
          Complex<Vector<T>> z[kLanes<T>];
          for (std::int64_t c = 0; c < y.d; ++c) {
            z[c] = Spectrum<T>(spectra + c * split.spectrum_size(), y.n).at(k);
          }
          for (std::int64_t c = 0; c < y.d; ++c) {
            const Vector<T> mixed = both ? hidden(z, c) : hidden(z + c, 0);
            store_first(to.data + k * to.n_stride + c * to.d_stride, to.n_stride, y.n - k,
                        mixed * static_cast<T>(scale));
          }
        }
      });
    }
  });
}

template <class IO, bool kHartley>
void mix_one_axis(const Signal& x, const Signal& y, double scale, const Storage<Compute<IO>>& storage,
                  const ThreadPool& pool) {
  using T = Compute<IO>;
  const RealPlan<T>& plan = real_plan<T>(x.n);
  const Groups<T> groups = shared_groups(storage, x, pool);
  const std::int64_t pitch = padded(plan.slots), slots = pitch * groups.tiles_per_group;
  const bool streaming = storage.can_stream(y);
  parallel(pool, groups.count * groups.packs(x.batch), slots * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
    auto* data = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (slots + plan.work) * kVectorBytes));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t pack = task / groups.count;
      const Group group = groups[task % groups.count];
      const Tiles<T> tiles{data, pitch, group.tiles};
      storage.gather(x, pack, group, plan.slot, tiles);
      with_rows_ahead(storage, x, groups, task + 1, end, [&](const auto& ahead) {
        for (std::int64_t k = 0; k < group.tiles; ++k) real_forward(plan, tiles[k], data + slots, {}, ahead(k));
      });
      scatter<IO>(y, pack, group, streaming, Mixed<T, kHartley>(plan, tiles, static_cast<T>(scale)));
    }
    if (streaming) fence_streams();
  });
}

template <class T, class Plane>
void mix_plane(const Plane& plane, const ThreadPool& pool) {
  const std::int64_t packs = plane.packs(), tiles = plane.tiles(), slots = plane.slots(), work = plane.work_slots();
  const std::int64_t bytes = plane.row_tasks() * plane.row_bytes() + tiles * plane.tile_bytes();
  // Whole packs to each thread: no barrier between columns and rows. A few that would be left over are shared by all.
  std::int64_t whole = packs >= pool.threads ? packs : 0;
  if (bytes >= pool.threads * kWakeupBytes && 2 * (whole % pool.threads) <= pool.threads) whole -= whole % pool.threads;
  if (whole > 0) {
    parallel(pool, whole, bytes, [&](std::int64_t begin, std::int64_t end) {
      auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (slots + work) * kVectorBytes));
      for (std::int64_t pack = begin; pack < end; ++pack) {
        plane.columns(pack, 0, tiles, half, half + slots);
        const std::int64_t next = pack + 1 < end ? pack + 1 : -1;
        for (std::int64_t task = 0; task < plane.row_tasks(); ++task) plane.rows(pack, task, next, half, half + slots);
      }
      plane.fence();
    });
  }
  if (whole == packs) return;
  auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::shared, slots * kVectorBytes));
  const auto own_work = [&] { return static_cast<Vector<T>*>(scratch(ScratchRoom::worker, work * kVectorBytes)); };
  for (std::int64_t pack = whole; pack < packs; ++pack) {
    parallel(pool, tiles, plane.tile_bytes(),
             [&](std::int64_t begin, std::int64_t end) { plane.columns(pack, begin, end, half, own_work()); });
    parallel(pool, plane.row_tasks(), plane.row_bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) plane.rows(pack, task, -1, half, own_work());
      plane.fence();
    });
  }
}

// Exchanges the names of a signal's two axes.
void turn(Signal& signal) {
  const std::int64_t n = signal.n, n_stride = signal.n_stride;
  signal.n = signal.d;
  signal.n_stride = signal.d_stride;
  signal.d = n;
  signal.d_stride = n_stride;
}

template <class IO, bool kHartley>
void mix_two_axes(const Signal& x, const Signal& y, double scale, const ThreadPool& pool) {
  using T = Compute<IO>;
  if (ChannelsInLanes<IO, kHartley>::suits(x.n, x.d)) {
    mix_plane<T>(ChannelsInLanes<IO, kHartley>(x, y, scale), pool);
  } else {
    mix_plane<T>(BinsInLanes<IO, kHartley>(x, y, scale), pool);
  }
}

// Whether a signal is one of long lines, few of them to an item, along the sequence: as measured. Where the others are,
// that turns it.
template <class IO, bool kHartley>
bool is_few_lines(Signal& x, Signal& y) {
  constexpr std::int64_t lanes = kLanes<Compute<IO>>;
  const auto few = [](std::int64_t count, std::int64_t length, std::int64_t most) {
    return count <= most && length >= max(16 * count, 64);
  };
  if (few(x.d, x.n, lanes / 2)) return true;
  if (ChannelsInLanes<IO, kHartley>::suits(x.n, x.d) || !few(x.n, x.d, lanes / (kHartley ? 2 : 3))) return false;
  turn(x);
  turn(y);
  return true;
}

template <class IO, bool kHartley>
void mix(Signal& x, Signal& y, bool both, double scale, const Storage<Compute<IO>>& storage, const ThreadPool& pool) {
  using T = Compute<IO>;
  if (!both && has_lines_to_join<T>(x) && has_lines_to_join<T>(y)) join_lines(x), join_lines(y);
  if (both ? is_few_lines<IO, kHartley>(x, y) : SplitLines<T>::suits(x.n, x.d, x.batch)) {
    mix_lines<IO, kHartley>(x, y, both, scale, storage, pool);
  } else if (both) {
    mix_two_axes<IO, kHartley>(x, y, scale, pool);
  } else {
    mix_one_axis<IO, kHartley>(x, y, scale, storage, pool);
  }
}

}  // namespace

void mixing(const Mixing& call, const ThreadPool& pool) {
  // A two-axis transform does not mind which axis is which: rows are the contiguous ones.
  const bool both = call.sequence && call.hidden && call.x.n > 1 && call.x.d > 1;  // length 1: nothing to do
  const bool hidden = call.hidden && (!call.sequence || call.x.n == 1);
  Signal x = call.x, y = call.y;
  if (both ? y.d_stride != 1 && y.n_stride == 1 : hidden) turn(x), turn(y);
  with_element(call.element, [&]<class IO>(IO) {
    const auto& storage = storage_of<Compute<IO>>(call.element);
    if (call.hartley) {
      mix<IO, true>(x, y, both, call.scale, storage, pool);
    } else {
      mix<IO, false>(x, y, both, call.scale, storage, pool);
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
