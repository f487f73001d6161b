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
#include "tile.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Sample k of the mixed signal from the half spectrum of a tile: Re X[k], or Re X[k] - Im X[k].
template <class T, bool kHartley>
class Mixed {
 public:
  explicit Mixed(const RealPlan<T>& plan) : n_(plan.n), re_(plan.re), im_(plan.im), sign_(plan.sign) {}

  SPECTRANS_INLINE Vector<T> operator()(const Vector<T>* tile, std::int64_t k) const {
    const bool upper = 2 * k > n_;
    const std::int64_t bin = upper ? n_ - k : k;
    const Vector<T> re = tile[re_[bin]];
    if (!kHartley || im_[bin] < 0) return re;
    const T sign = upper ? sign_[bin] : -sign_[bin];
    return re + tile[im_[bin]] * sign;
  }

 private:
  std::int64_t n_;
  const std::int32_t *re_, *im_;
  const T* sign_;
};

template <class IO, bool kHartley>
void mix_one_axis(const Signal& x, const Signal& y, double scale, const ThreadPool& pool) {
  using T = Compute<IO>;
  const RealPlan<T>& plan = real_plan<T>(x.n);
  const Groups<T> groups(x.n, x.d, x.batch);
  const std::int64_t pitch = padded(plan.slots), slots = pitch * groups.tiles_per_group;
  const bool streaming = can_stream<IO>(y);
  parallel(pool, groups.count * groups.packs(x.batch), slots * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
    auto* data = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (slots + plan.work) * kVectorBytes));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t pack = task / groups.count;
      const Group group = groups[task % groups.count];
      const Tiles<T> tiles{data, pitch, group.tiles};
      gather<IO>(x, pack, group, plan, tiles);
      for (std::int64_t k = 0; k < group.tiles; ++k) real_forward(plan, tiles[k], data + slots);
      scatter<IO>(y, pack, group, streaming,
                  [tiles, scale = static_cast<T>(scale), mixed = Mixed<T, kHartley>(plan)](
                      std::int64_t j, std::int64_t k) { return mixed(tiles[k], j) * scale; });
    }
    if (streaming) fence_streams();
  });
}

// Two axes of one item. Columns (the sequence, channels in lanes) go first, into blocks of rows (the hidden axis, bins
// of the sequence in lanes): what is between is one item's half spectrum. Where an item has too few channels to fill
// the lanes, a pack of items is done at once: signal s is channel s % channels of item s / channels, row r is bin r %
// bins of item r / bins.
template <class IO, bool kHartley>
class Plane {
  using T = Compute<IO>;
  using Hidden = std::conditional_t<kHartley, ComplexPlan<T>, RealPlan<T>>;
  static constexpr int lanes = kLanes<T>;

  static std::int64_t slots_of(const ComplexPlan<T>& plan) { return 2 * plan.n; }
  static std::int64_t slots_of(const RealPlan<T>& plan) { return plan.slots; }

  static const Hidden& hidden_plan(std::int64_t d) {
    if constexpr (kHartley) {
      return complex_plan<T>(d);
    } else {
      return real_plan<T>(d);
    }
  }

 public:
  Plane(const Signal& x, const Signal& y, double scale)
      : x_(x), y_(y), n_(x.n), d_(x.d), bins_(n_ / 2 + 1), channels_(kHartley ? d_ : d_ / 2 + 1),
        items_(max(1, min(x.batch, lanes / 2 / channels_ > 0 ? lanes / channels_ : 1))),
        scale_(static_cast<T>(kHartley ? scale : scale / 2)), sequence_(real_plan<T>(n_)), hidden_(hidden_plan(d_)),
        groups_(n_, max(items_ * channels_, min(lanes, d_))), tile_pitch_(padded(sequence_.slots)),
        block_slots_(padded(slots_of(hidden_))), staged_pitch_(ceil_div(d_, lanes) + 2), streaming_(can_stream<IO>(y)) {
  }

  std::int64_t packs() const { return ceil_div(x_.batch, items_); }
  std::int64_t column_tasks() const { return groups_.count; }
  std::int64_t row_tasks() const { return ceil_div(items_ * bins_, lanes); }
  std::int64_t half_slots() const { return row_tasks() * block_slots_; }
  std::int64_t task_slots() const {
    return max(tile_pitch_ * groups_.tiles_per_group + sequence_.work,
               (kHartley ? 2 : 1) * lanes * staged_pitch_ + hidden_.work);
  }
  std::int64_t column_bytes() const { return tile_pitch_ * groups_.tiles_per_group * kVectorBytes; }
  std::int64_t row_bytes() const { return block_slots_ * kVectorBytes; }

  void columns(std::int64_t pack, std::int64_t task, Vector<T>* half, Vector<T>* space) const {
    const Group group = groups_[task];
    const Tiles<T> tiles{space, tile_pitch_, group.tiles};
    Vector<T>* work = space + tile_pitch_ * groups_.tiles_per_group;
    if (items_ == 1 && x_.d_stride == 1 && group.lanes == lanes) {
      fold_rows(batch_item<const IO>(x_, pack), group, tiles);
    } else {
      for (std::int64_t k = 0; k < tiles.count; ++k) fold_lanes(pack, group.channel[k], group.lanes, tiles[k]);
    }
    for (std::int64_t k = 0; k < tiles.count; ++k) real_forward(sequence_, tiles[k], work);
    if (items_ > 1) {
      for (std::int64_t k = 0; k < tiles.count; ++k) scatter_bins(tiles[k], half, items_ * channels_);
      return;
    }
    for (std::int64_t p = 0; p < bins_; p += lanes) {
      for (std::int64_t k = 0; k < tiles.count; ++k) {
        const int channels = static_cast<int>(min(group.lanes, channels_ - group.channel[k]));
        turn_bins(tiles[k], p, half + p / lanes * block_slots_, group.channel[k], channels);
      }
    }
  }

  void rows(std::int64_t pack, std::int64_t task, Vector<T>* half, Vector<T>* space) const {
    constexpr int kinds = kHartley ? 2 : 1;
    Vector<T>*block = half + task * block_slots_, *work = space + kinds * lanes * staged_pitch_;
    if constexpr (kHartley) {
      complex_forward(hidden_, 0, block, block + d_, 1, work);
    } else {
      real_inverse(hidden_, block, work);
    }
    // [lanes][staged_pitch_ lanes]: y[p, q] and y[-p, -q] at q; rows are written whole, whatever their order.
    T* staged[2] = {reinterpret_cast<T*>(space), reinterpret_cast<T*>(space + (kinds - 1) * lanes * staged_pitch_)};
    const std::int64_t first = task * lanes, pitch = staged_pitch_ * lanes;
    for (std::int64_t q = 0; q < d_; q += lanes) {
      turn_rows<-1>(block, q, staged[0] + q, pitch);
      if constexpr (kHartley) turn_rows<1>(block, q, staged[1] + q, pitch);
    }
    const std::int64_t end = min(first + lanes, min(items_, x_.batch - pack * items_) * bins_);
    for (std::int64_t r = first; r < end; ++r) {
      const std::int64_t p = r % bins_;
      IO* data = batch_item<IO>(y_, pack * items_ + r / bins_);
      const T* direct = staged[0] + (r - first) * pitch;
      put_row(data + p * y_.n_stride, [direct](std::int64_t q) { return load(direct + q); });
      if (p == 0 || 2 * p == n_) continue;
      T* mirrored = staged[1] + (r - first) * pitch;
      mirrored[d_] = mirrored[0];  // y[-p, q] is staged at d - q
      put_row(data + (n_ - p) * y_.n_stride, [mirrored, d = d_](std::int64_t q) {
        if (d >= lanes) return ShufflesOf<T>::reverse(load(mirrored + d - q - lanes + 1));
        T some[lanes];
        for (std::int64_t i = 0; i < lanes; ++i) some[i] = mirrored[max(0, d - i)];
        return load(some);
      });
    }
  }

  void fence() const {
    if (streaming_) fence_streams();
  }

 private:
  // Tiles <- scale x, or for the real part scale (x[j, l] + x[-j, -l]), in slot order.
  void fold_rows(const IO* data, const Group& group, const Tiles<T>& tiles) const {
    const std::int64_t n = n_, d = d_, stride = x_.n_stride, ahead = kPrefetchRows * stride;
    const std::int32_t* slot = sequence_.slot;
    const T scale = scale_;
    for (std::int64_t j = 0; j < n; ++j) {
      const IO *row = data + j * stride, *mirror = data + (j == 0 ? 0 : n - j) * stride;
      Vector<T>* to = tiles.data + slot[j];
      if constexpr (!kHartley) __builtin_prefetch(mirror - ahead + d - group.channel[0]);
      for (std::int64_t k = 0; k < tiles.count; ++k) {
        const std::int64_t l = group.channel[k];
        __builtin_prefetch(row + ahead + l);
        Vector<T> value = load(row + l);
        if constexpr (!kHartley) {
          const IO* last = mirror + d - l - lanes;  // columns -l, -l - 1, ... of the mirror image end here
          __builtin_prefetch(last - ahead);
          value += l > 0 ? ShufflesOf<T>::reverse(load(last + 1))
                         : ShufflesOf<T>::push_front(load(mirror), ShufflesOf<T>::reverse(load(last)));
        }
        to[k * tiles.pitch] = value * scale;
      }
    }
  }

  // The same for a tile of signals from wherever they are.
  void fold_lanes(std::int64_t pack, std::int64_t first, int count, Vector<T>* tile) const {
    const std::int64_t stride = x_.n_stride, signals = min(items_, x_.batch - pack * items_) * channels_;
    Starts<const IO> direct, mirrored;
    for (int i = 0; i < lanes; ++i) {
      const std::int64_t s = min(first + min(i, count - 1), signals - 1), l = s % channels_;
      const IO* item = batch_item<const IO>(x_, pack * items_ + s / channels_);
      direct.at[i] = item + l * x_.d_stride;
      mirrored.at[i] = item + (l == 0 ? 0 : d_ - l) * x_.d_stride;
    }
    for (std::int64_t j = 0; j < n_; ++j) {
      Vector<T> value = LaneWise<IO>::load(direct, j * stride);
      if constexpr (!kHartley) value += LaneWise<IO>::load(mirrored, (j == 0 ? 0 : n_ - j) * stride);
      tile[sequence_.slot[j]] = value * scale_;
    }
  }

  // All bins of a tile of signals -> the rows of a pack.
  void scatter_bins(const Vector<T>* tile, Vector<T>* half, std::int64_t signals) const {
    for (std::int64_t p = 0; p < bins_; ++p) {
      const Vector<T> re = tile[sequence_.re[p]];
      const Vector<T> im = sequence_.im[p] < 0 ? Vector<T>{} : tile[sequence_.im[p]] * sequence_.sign[p];
      for (std::int64_t i = 0; i < signals; ++i) {
        const std::int64_t l = i % channels_, r = i / channels_ * bins_ + p;
        T* block = reinterpret_cast<T*>(half + r / lanes * block_slots_) + r % lanes;
        set_real<lanes>(block, l, re[i]);
        set_imag<lanes>(block, l, im[i]);
      }
    }
  }

  // Bins p, p + 1, ... of a tile of channels -> channels l, l + 1, ... of a block of bins.
  void turn_bins(const Vector<T>* tile, std::int64_t p, Vector<T>* block, std::int64_t l, int channels) const {
    const std::int64_t bins = bins_ - p;
    const std::int32_t *re = sequence_.re + p, *im = sequence_.im + p;
    const T* sign = sequence_.sign + p;
    Vector<T> values[lanes];
    for (int i = 0; i < lanes; ++i) values[i] = i < bins ? tile[re[i]] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_real(block, l + i, values[i]);
    for (int i = 0; i < lanes; ++i) values[i] = i < bins && im[i] >= 0 ? tile[im[i]] * sign[i] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_imag(block, l + i, values[i]);
  }

  // Channel l of a block as the hidden transform wants it: vectors, or (kStep = lanes) one lane of each.
  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_real(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * hidden_.slot[l]] = value;
    } else {
      block[kStep * hidden_.re[l]] = value;
    }
  }

  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_imag(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * (d_ + hidden_.slot[l])] = value;
    } else if (hidden_.im[l] >= 0) {
      block[kStep * hidden_.im[l]] = value * -hidden_.sign[l];
    }
  }

  // Columns q, q + 1, ... of a block of rows -> rows, `pitch` apart. Hartley: Re F + kSign Im F.
  template <int kSign>
  void turn_rows(const Vector<T>* block, std::int64_t q, T* to, std::int64_t pitch) const {
    const std::int64_t count = d_ - q, im = d_;
    Vector<T> values[lanes];
    if constexpr (kHartley) {
      const std::int32_t* bin = hidden_.bin + q;
      for (int i = 0; i < lanes; ++i) {
        values[i] = i < count ? block[bin[i]] + T(kSign) * block[im + bin[i]] : Vector<T>{};
      }
    } else {
      const std::int32_t* slot = hidden_.slot + q;
      for (int i = 0; i < lanes; ++i) values[i] = i < count ? block[slot[i]] : Vector<T>{};
    }
    transpose<T>(values);
    for (int i = 0; i < lanes; ++i) store(to + i * pitch, values[i]);
  }

  // values(q): lanes q, q + 1, ... of the row
  template <class Values>
  SPECTRANS_INLINE void put_row(IO* row, const Values& values) const {
    const std::int64_t d = d_, stride = y_.d_stride;
    if (streaming_) {
      for (std::int64_t q = 0; q < d; q += lanes) stream(row + q, values(q));
      return;
    }
    const int count = static_cast<int>(min(lanes, d));
    for (std::int64_t at = 0; at < d; at += lanes) {
      const std::int64_t q = max(0, min(at, d - lanes));
      if (stride == 1 && count == lanes) {
        store(row + q, values(q));
      } else {
        store_some(row + q * stride, stride, count, values(q));
      }
    }
  }

  const Signal &x_, &y_;
  const std::int64_t n_, d_, bins_, channels_, items_;
  const T scale_;
  const RealPlan<T>& sequence_;
  const Hidden& hidden_;
  const Groups<T> groups_;
  const std::int64_t tile_pitch_, block_slots_, staged_pitch_;
  const bool streaming_;
};

template <class IO, bool kHartley>
void mix_two_axes(const Signal& x, const Signal& y, double scale, const ThreadPool& pool) {
  using T = Compute<IO>;
  const Plane<IO, kHartley> plane(x, y, scale);
  const std::int64_t half_slots = plane.half_slots(), task_slots = plane.task_slots();
  if (plane.packs() >= pool.threads) {  // whole packs to each thread: no barrier between columns and rows
    const std::int64_t bytes = plane.row_tasks() * plane.row_bytes() + plane.column_tasks() * plane.column_bytes();
    parallel(pool, plane.packs(), bytes, [&](std::int64_t begin, std::int64_t end) {
      auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (half_slots + task_slots) * kVectorBytes));
      Vector<T>* space = half + half_slots;
      for (std::int64_t pack = begin; pack < end; ++pack) {
        for (std::int64_t task = 0; task < plane.column_tasks(); ++task) plane.columns(pack, task, half, space);
        for (std::int64_t task = 0; task < plane.row_tasks(); ++task) plane.rows(pack, task, half, space);
      }
      plane.fence();
    });
    return;
  }
  auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::shared, half_slots * kVectorBytes));
  const auto own_space = [&] {
    return static_cast<Vector<T>*>(scratch(ScratchRoom::worker, task_slots * kVectorBytes));
  };
  for (std::int64_t pack = 0; pack < plane.packs(); ++pack) {
    parallel(pool, plane.column_tasks(), plane.column_bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) plane.columns(pack, task, half, own_space());
    });
    parallel(pool, plane.row_tasks(), plane.row_bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) plane.rows(pack, task, half, own_space());
      plane.fence();
    });
  }
}

// The same signal with the names of its two axes exchanged.
Signal transposed(Signal signal) {
  const Signal other = signal;
  signal.n = other.d;
  signal.d = other.n;
  signal.n_stride = other.d_stride;
  signal.d_stride = other.n_stride;
  return signal;
}

}  // namespace

void mixing(const Mixing& call, const ThreadPool& pool) {
  // A two-axis transform does not mind which axis is which: rows are the contiguous ones.
  const bool both = call.sequence && call.hidden && call.x.n > 1 && call.x.d > 1;  // length 1: nothing to do
  const bool hidden = call.hidden && (!call.sequence || call.x.n == 1);
  const bool swap = both ? call.y.d_stride != 1 && call.y.n_stride == 1 : hidden;
  const Signal x = swap ? transposed(call.x) : call.x, y = swap ? transposed(call.y) : call.y;
  with_element(call.element, [&]<class IO>(IO) {
    if (both && call.hartley) {
      mix_two_axes<IO, true>(x, y, call.scale, pool);
    } else if (both) {
      mix_two_axes<IO, false>(x, y, call.scale, pool);
    } else if (call.hartley) {
      mix_one_axis<IO, true>(x, y, call.scale, pool);
    } else {
      mix_one_axis<IO, false>(x, y, call.scale, pool);
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
