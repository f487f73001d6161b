// Fourier and Hartley mixing: real transforms only, half spectra only, mirrored on store.
//
// One axis: y[k] and y[n - k] come from one bin of the half spectrum: Re X is even, Im X is odd.
//
// Two axes, real part: it sees only the even part of x, e[j, l] = (x[j, l] + x[-j, -l]) / 2, whose row transforms
// T[j, q] = conj T[-j, q]. So rows j <= n / 2 of e and bins q <= d / 2 are enough, and the columns are inverse real
// transforms (of conj T): y[p, q] = sum_j T[j, q] w_n^{jp} is real, and y[-p, -q] = y[p, q].
//
// Two axes, Hartley: with the rows' half spectra T = A + i B, and a, b the column transforms of A and B,
// F[p, q] = a + i b, y[p, q] = Re F - Im F, y[-p, -q] = Re F + Im F.
#include "instruction_set.h"
#include "tile.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Sample k of the mixed signal from the half spectrum of a tile: Re X[k], or Re X[k] - Im X[k].
template <class T, bool kHartley>
SPECTRANS_INLINE Vector<T> mixed(const RealPlan<T>& plan, const Vector<T>* tile, std::int64_t k) {
  const bool upper = 2 * k > plan.n;
  const std::int64_t bin = upper ? plan.n - k : k;
  const Vector<T> re = tile[plan.re[bin]];
  if (!kHartley || plan.im[bin] < 0) return re;
  const T sign = upper ? plan.sign[bin] : -plan.sign[bin];
  return re + tile[plan.im[bin]] * sign;
}

template <class IO, bool kHartley>
void mix_one_axis(const Signal& x, const Signal& y, double scale, const ThreadPool& pool) {
  using T = Compute<IO>;
  const RealPlan<T>& plan = real_plan<T>(x.n);
  const Groups<T> groups(x.n, x.d);
  const std::int64_t n = x.n, slots = n * groups.tiles_per_group;
  parallel(pool, groups.count * x.batch, slots * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
    auto* tile = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (slots + plan.work) * kVectorBytes));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t item = task / groups.count, group = task % groups.count;
      const std::int64_t channel = groups.first_channel(group), channels = groups.channels(group);
      gather(lines<const IO>(x, item, channel), plan, channels, tile);
      for (std::int64_t k = 0; k < groups.tiles(group); ++k) real_forward(plan, tile + k * n, tile + slots);
      scatter(lines<IO>(y, item, channel), n, channels, [&](std::int64_t k, std::int64_t j) {
        return mixed<T, kHartley>(plan, tile + k * n, j) * static_cast<T>(scale);
      });
    }
  });
}

// Two axes of one item: rows, then columns, through half spectra [rows][padded bins] of re and of im.
template <class IO, bool kHartley>
class Plane {
  using T = Compute<IO>;
  static constexpr int lanes = kLanes<T>;

 public:
  Plane(const Signal& x, const Signal& y, double scale)
      : x_(x), y_(y), n_(x.n), d_(x.d), rows_(kHartley ? n_ : n_ / 2 + 1), bins_(d_ / 2 + 1),
        pitch_(ceil_div(bins_, lanes) + 1),  // rows a power of two apart would meet in the same cache sets
        scale_(static_cast<T>(kHartley ? scale : scale / 2)), row_plan_(real_plan<T>(d_)),
        column_plan_(real_plan<T>(n_)),
        column_tiles_(max(1, min(kHartley ? kMaxTiles / 2 : kMaxTiles, kGroupBytes / (n_ * kVectorBytes)))) {}

  std::int64_t half_slots() const { return 2 * rows_ * pitch_; }
  std::int64_t row_tasks() const { return ceil_div(rows_, lanes); }
  std::int64_t column_tasks() const { return ceil_div(bins_, lanes * column_tiles_); }
  std::int64_t tile_slots() const {
    return max(d_ + row_plan_.work, column_tiles_ * n_ * (kHartley ? 2 : 1) + column_plan_.work);
  }
  std::int64_t row_bytes() const { return d_ * kVectorBytes; }
  std::int64_t column_bytes() const { return column_tiles_ * n_ * kVectorBytes; }

  // Rows first .. first + lanes of the half spectra.
  void rows(std::int64_t item, std::int64_t task, Vector<T>* half, Vector<T>* tile) const {
    const std::int64_t first = task * lanes;
    const int count = static_cast<int>(min(lanes, rows_ - first));
    const IO* data = batch_item<const IO>(x_, item);
    for (std::int64_t l = 0; l < d_; l += lanes) {
      Vector<T> block[lanes];
      for (int i = 0; i < lanes; ++i) block[i] = i < count ? samples(data, first + i, l) * scale_ : Vector<T>{};
      transpose<T>(block);
      for (std::int64_t i = 0; i < min(lanes, d_ - l); ++i) tile[row_plan_.slot[l + i]] = block[i];
    }
    real_forward(row_plan_, tile, tile + d_);
    for (std::int64_t q = 0; q < bins_; q += lanes) {
      Vector<T> re[lanes], im[lanes];
      for (int i = 0; i < lanes; ++i) {
        const std::int64_t bin = q + i;
        const bool real = bin >= bins_ || row_plan_.im[bin] < 0;
        re[i] = bin < bins_ ? tile[row_plan_.re[bin]] : Vector<T>{};
        im[i] = real ? Vector<T>{} : tile[row_plan_.im[bin]] * row_plan_.sign[bin];
      }
      transpose<T>(re);
      transpose<T>(im);
      for (int i = 0; i < count; ++i) {
        Vector<T>* row = half + 2 * (first + i) * pitch_ + q / lanes;
        row[0] = re[i];
        row[pitch_] = im[i];
      }
    }
  }

  void columns(std::int64_t item, std::int64_t task, const Vector<T>* half, Vector<T>* tile) const {
    const std::int64_t first = task * column_tiles_ * lanes, count = min(column_tiles_ * lanes, bins_ - first);
    const std::int64_t tiles = ceil_div(count, lanes);
    const Vector<T>* from = half + first / lanes;
    Vector<T>* work = tile + column_tiles_ * n_ * (kHartley ? 2 : 1);
    IO* data = batch_item<IO>(y_, item);
    if constexpr (kHartley) {
      Vector<T>* other = tile + column_tiles_ * n_;
      for (std::int64_t j = 0; j < n_; ++j) {
        const Vector<T>* row = from + 2 * j * pitch_;
        for (std::int64_t k = 0; k < tiles; ++k) {
          tile[k * n_ + column_plan_.slot[j]] = row[k];
          other[k * n_ + column_plan_.slot[j]] = row[pitch_ + k];
        }
      }
      for (std::int64_t k = 0; k < tiles; ++k) {
        real_forward(column_plan_, tile + k * n_, work);
        real_forward(column_plan_, other + k * n_, work);
      }
      for (std::int64_t p = 0; p < n_; ++p) {
        const bool upper = 2 * p > n_;
        const std::int64_t bin = upper ? n_ - p : p, re = column_plan_.re[bin], im = column_plan_.im[bin];
        const T sign = upper ? -column_plan_.sign[bin] : column_plan_.sign[bin];
        for (std::int64_t k = 0; k < tiles; ++k) {
          const Vector<T>*a = tile + k * n_, *b = other + k * n_;
          const Vector<T> a_im = im < 0 ? Vector<T>{} : a[im] * sign, b_im = im < 0 ? Vector<T>{} : b[im] * sign;
          const Vector<T> f_re = a[re] - b_im, f_im = a_im + b[re];
          store_mirrored(data, p, first + k * lanes, f_re - f_im, f_re + f_im);
        }
      }
    } else {
      for (std::int64_t j = 0; j <= n_ / 2; ++j) {
        const Vector<T>* row = from + 2 * j * pitch_;
        const std::int64_t re = column_plan_.re[j], im = column_plan_.im[j];
        for (std::int64_t k = 0; k < tiles; ++k) {
          tile[k * n_ + re] = row[k];
          if (im >= 0) tile[k * n_ + im] = row[pitch_ + k] * -column_plan_.sign[j];
        }
      }
      for (std::int64_t k = 0; k < tiles; ++k) real_inverse(column_plan_, tile + k * n_, work);
      for (std::int64_t p = 0; p < n_; ++p) {
        for (std::int64_t k = 0; k < tiles; ++k) {
          const Vector<T> value = tile[k * n_ + column_plan_.slot[p]];
          store_mirrored(data, p, first + k * lanes, value, value);
        }
      }
    }
  }

 private:
  // x[j, l ..], and for the real part x[j, l ..] + x[-j, -l ..], for as many lanes as the row has left.
  SPECTRANS_INLINE Vector<T> samples(const IO* data, std::int64_t j, std::int64_t l) const {
    const IO* row = data + j * x_.n_stride;
    if (x_.d_stride != 1 || l + lanes > d_) return few_samples(data, j, l);
    const Vector<T> direct = load(row + l);
    if constexpr (kHartley) return direct;
    const IO* mirror = data + (j == 0 ? 0 : n_ - j) * x_.n_stride;
    if (l == 0) {  // columns 0, d - 1, d - 2, ...
      const Vector<T> last = ShufflesOf<T>::reverse(load(mirror + d_ - lanes));
      return direct + ShufflesOf<T>::push_front(load(mirror), last);
    }
    return direct + ShufflesOf<T>::reverse(load(mirror + d_ - l - lanes + 1));
  }

  Vector<T> few_samples(const IO* data, std::int64_t j, std::int64_t l) const {
    const int count = static_cast<int>(min(lanes, d_ - l));
    const Vector<T> direct = load_some(data + j * x_.n_stride + l * x_.d_stride, x_.d_stride, count);
    if constexpr (kHartley) return direct;
    const IO* mirror = data + (j == 0 ? 0 : n_ - j) * x_.n_stride;
    IO some[lanes] = {};
    for (int i = 0; i < count; ++i) some[i] = mirror[(l + i == 0 ? 0 : d_ - l - i) * x_.d_stride];
    return direct + load(some);
  }

  // y[p, q ..] and y[-p, -q ..]; the mirror image of a column that is its own (0, d / 2) is already there.
  SPECTRANS_INLINE void store_mirrored(IO* data, std::int64_t p, std::int64_t q, Vector<T> direct,
                                       Vector<T> mirrored) const {
    IO* row = data + p * y_.n_stride;
    IO* mirror = data + (p == 0 ? 0 : n_ - p) * y_.n_stride;
    if (y_.d_stride == 1 && q > 0 && 2 * (q + lanes) <= d_) {
      store(row + q, direct);
      store(mirror + d_ - q - lanes + 1, ShufflesOf<T>::reverse(mirrored));
      return;
    }
    if (y_.d_stride == 1 && q == 0 && 2 * lanes <= d_) {
      store(row, direct);
      IO some[lanes];
      store(some, ShufflesOf<T>::reverse(mirrored));
      std::memcpy(mirror + d_ - lanes + 1, some, (lanes - 1) * sizeof(IO));
      return;
    }
    const int count = static_cast<int>(min(lanes, bins_ - q));
    store_some(row + q * y_.d_stride, y_.d_stride, count, direct);
    IO some[lanes];
    store(some, mirrored);
    for (int i = 0; i < count; ++i) {
      const std::int64_t column = q + i;
      if (column > 0 && 2 * column < d_) mirror[(d_ - column) * y_.d_stride] = some[i];
    }
  }

  const Signal &x_, &y_;
  const std::int64_t n_, d_, rows_, bins_, pitch_;
  const T scale_;
  const RealPlan<T>&row_plan_, &column_plan_;
  const std::int64_t column_tiles_;
};

template <class IO, bool kHartley>
void mix_two_axes(const Signal& x, const Signal& y, double scale, const ThreadPool& pool) {
  using T = Compute<IO>;
  const Plane<IO, kHartley> plane(x, y, scale);
  const std::int64_t half_slots = plane.half_slots(), tile_slots = plane.tile_slots();
  if (x.batch >= pool.threads) {  // whole items to each thread: no barrier between rows and columns
    const std::int64_t bytes = plane.row_tasks() * plane.row_bytes() + plane.column_tasks() * plane.column_bytes();
    parallel(pool, x.batch, bytes, [&](std::int64_t begin, std::int64_t end) {
      auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (half_slots + tile_slots) * kVectorBytes));
      Vector<T>* tile = half + half_slots;
      for (std::int64_t item = begin; item < end; ++item) {
        for (std::int64_t task = 0; task < plane.row_tasks(); ++task) plane.rows(item, task, half, tile);
        for (std::int64_t task = 0; task < plane.column_tasks(); ++task) plane.columns(item, task, half, tile);
      }
    });
    return;
  }
  auto* half = static_cast<Vector<T>*>(scratch(ScratchRoom::shared, half_slots * kVectorBytes));
  const auto own_tile = [&] {
    return static_cast<Vector<T>*>(scratch(ScratchRoom::worker, tile_slots * kVectorBytes));
  };
  for (std::int64_t item = 0; item < x.batch; ++item) {
    parallel(pool, plane.row_tasks(), plane.row_bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) plane.rows(item, task, half, own_tile());
    });
    parallel(pool, plane.column_tasks(), plane.column_bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) plane.columns(item, task, half, own_tile());
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
  const bool both = call.sequence && call.hidden;
  const bool swap = both ? call.y.d_stride != 1 && call.y.n_stride == 1 : call.hidden;
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
