// The kernels over columns of long lines, and how lines are split.
#include "long.h"

namespace spectrans::cuda {

template <class S>
struct ColumnParameters {
  using T = typename Arithmetic<S>::type;
  Plan plan;
  Layout layout;
  Lines lines;
  Rows<T> rows;
  Slab slab;
  int channels_log2;  // of the channels in a block; the others of its columns are pairs of columns of the line
  int tiles_of_channels;
  int steps;  // where the table begins, in bytes
};

namespace {

// Two neighbouring columns of a line; the second is missing from the last pair of an odd number.
template <class S>
struct ColumnPair {
  EvenOddSamples<S> both;
  bool alone;

  template <int R, class T>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    if (alone) {
      RealSamples<S>(both).template load<R>(v, first, step);
    } else {
      both.template load<R>(v, first, step);
    }
  }

  template <int R, class T>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (alone) {
      RealSamples<S>(both).template store<R>(v, first, step);
    } else {
      both.template store<R>(v, first, step);
    }
  }
};

// Of rows that are blocks apart, up to h1 / 2.
SPECTRANS_INLINE int steps_of(const Plan& plan) { return (plan.last + 1) / 2; }

// What a thread knows of a block's columns.
template <class S>
struct Columns {
  using T = typename Arithmetic<S>::type;
  const ColumnParameters<S>& p;
  const Frame<T> frame;
  int channel, pair;  // channel of the slab
  bool active;        // otherwise both are 0

  // Prepares the block.
  SPECTRANS_DEVICE explicit Columns(const ColumnParameters<S>& p_) : p(p_), frame(p_.plan, p_.layout) {
    channel = channel_of(frame.column);
    pair = pair_of(frame.column);
    active = channel < p.slab.channels && 2 * pair < p.rows.h2;
    if (!active) channel = pair = 0;
    const Shared<Pair<T>> table = shared<Pair<T>>(p.steps);
    const int columns = p.layout.columns;
    for (int i = threadIdx.x; i < 2 * steps_of(p.plan) * columns; i += columns * p.layout.workers) {
      const int step = i / (2 * columns), p2 = 2 * pair_of(i & (columns - 1)) + (i / columns & 1);
      const Complex<T> w = p2 < p.rows.h2 ? unit_root<T>(p2 * step, p.plan.last * p.rows.h2) : Complex<T>{T(0), T(0)};
      table.store(i, {w.re, w.im});
    }
    prepare(frame);
  }

  [[nodiscard]] SPECTRANS_DEVICE int channel_of(int column) const {
    const int tile = blockIdx.x % p.tiles_of_channels;
    return (tile << p.channels_log2) + (column & ((1 << p.channels_log2) - 1));
  }
  [[nodiscard]] SPECTRANS_DEVICE int pair_of(int column) const {
    const int tile = blockIdx.x / p.tiles_of_channels;
    return tile * (p.layout.columns >> p.channels_log2) + (column >> p.channels_log2);
  }
  [[nodiscard]] SPECTRANS_DEVICE bool alone() const { return 2 * pair + 1 == p.rows.h2; }

  [[nodiscard]] SPECTRANS_DEVICE ColumnPair<S> samples(std::int64_t item) const {
    EvenOddSamples<S> both(p.lines, p.slab.first_item + item, p.slab.first_channel + channel,
                           p.slab.first_channel + (active ? p.slab.channels : 0));
    both.line += 2 * pair * both.apart;
    both.stride = p.rows.h2 * both.apart;
    both.together = both.together && p.rows.h2 % 2 == 0;
    return {both, alone()};
  }

  // exp(-2 pi i p2 (bin + i blocks) / n) = exp(-2 pi i p2 bin / n) exp(-2 pi i p2 i / (last h2)), p2 = 2 pair + second
  [[nodiscard]] SPECTRANS_DEVICE Complex<T> turn(int second, int bin) const {
    return unit_root<T>((2 * pair + second) * bin, p.rows.n);
  }
  [[nodiscard]] SPECTRANS_DEVICE Complex<T> step(int second, int i) const {
    const Pair<T> w = shared<Pair<T>>(p.steps).load((2 * i + second) * p.layout.columns + frame.column);
    return {w.re, w.im};
  }

  // f(k1, repeats, at, mirrored, even_turn, odd_turn) for the bins k1 <= h1 / 2 and h1 - k1 of a pair of blocks, and
  // what they are to be turned by in either column. A bin that repeats comes up elsewhere too.
  template <int R, class F>
  SPECTRANS_DEVICE void each_row(const BlockPair& blocks, PairValues<R, T>& values, const F& f) const {
    const int count = p.plan.blocks, bin = blocks.bin, mirrored_bin = count - bin;
    const bool own = blocks.base == blocks.mirrored_base;
    const Complex<T> even = turn(0, bin), odd = turn(1, bin);
    const Complex<T> mirrored_even = turn(0, mirrored_bin), mirrored_odd = turn(1, mirrored_bin);
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      constexpr bool below = 2 * i < R;
      constexpr int by = below ? i : R - 1 - i;
      const int k1 = (below ? bin : mirrored_bin) + by * count;
      const Complex<T> even_step = step(0, by), odd_step = step(1, by);
      const Complex<T> even_turn =
          times(even_step, (below ? even : mirrored_even).re, (below ? even : mirrored_even).im);
      const Complex<T> odd_turn = times(odd_step, (below ? odd : mirrored_odd).re, (below ? odd : mirrored_odd).im);
      Complex<T>&v = values.v[i], &u = values.u[R - 1 - i];
      f(k1, own && !below && 2 * k1 != p.rows.h1, below ? v : u, below ? u : v, even_turn, odd_turn);
    });
  }
};

// Samples to rows.
template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) columns_forward(const ColumnParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Columns<S> columns(p);
  const Tile<T> tile = columns.frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.slab.items; item += gridDim.y) {
    forward(columns.frame, tile, columns.samples(item));
    Pair<T>* const line = p.rows.line(item, columns.channel);
    const int p2 = 2 * columns.pair;
    with_last_radix<kLastOfLong<T>>(p.plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
      for (int t = columns.frame.worker; t < block_pairs(p.plan); t += p.layout.workers) {
        const BlockPair blocks = block_pair(columns.frame, t);
        PairValues<R, T> values;
        values.read(tile, blocks);
        columns.each_row(blocks, values,
                         [&](int k1, bool repeats, const Complex<T>& at, const Complex<T>& mirrored,
                             const Complex<T>& even_turn, const Complex<T>& odd_turn) SPECTRANS_INLINE_LAMBDA {
                           if (!columns.active || repeats) return;
                           const Complex<T> conjugate = {mirrored.re, -mirrored.im};
                           const Complex<T> even = times(at + conjugate, even_turn.re, even_turn.im);
                           store(line + p.rows.place(k1, p2), Pair<T>{even.re, even.im});
                           if (columns.alone()) return;
                           const Complex<T> odd = times(rotate<-1>(at - conjugate), odd_turn.re, odd_turn.im);
                           store(line + p.rows.place(k1, p2 + 1), Pair<T>{odd.re, odd.im});
                         });
      }
    });
    __syncthreads();
  }
}

// Rows to samples.
template <class S>
__global__ void __launch_bounds__(kMaxThreads, 1) columns_inverse(const ColumnParameters<S> p) {
  using T = typename Arithmetic<S>::type;
  const Columns<S> columns(p);
  const Tile<T> tile = columns.frame.tile();
  for (std::int64_t item = blockIdx.y; item < p.slab.items; item += gridDim.y) {
    const Pair<T>* const line = p.rows.line(item, columns.channel);
    const int p2 = 2 * columns.pair;
    with_last_radix<kLastOfLong<T>>(p.plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
      for (int t = columns.frame.worker; t < block_pairs(p.plan); t += p.layout.workers) {
        const BlockPair blocks = block_pair(columns.frame, t);
        PairValues<R, T> values;
        columns.each_row(
            blocks, values,
            [&](int k1, bool, Complex<T>& at, Complex<T>& mirrored, const Complex<T>& even_turn,
                const Complex<T>& odd_turn) SPECTRANS_INLINE_LAMBDA {
              const Pair<T> first = load(line + p.rows.place(k1, p2));
              const Pair<T> second = columns.alone() ? Pair<T>{T(0), T(0)} : load(line + p.rows.place(k1, p2 + 1));
              const Complex<T> even = times_conj(Complex<T>{first.re, first.im}, even_turn.re, even_turn.im);
              const Complex<T> odd = times_conj(Complex<T>{second.re, second.im}, odd_turn.re, odd_turn.im);
              at = even + rotate<1>(odd);
              mirrored = {even.re + odd.im, odd.re - even.im};
            });
        values.write(tile, blocks);
      }
    });
    inverse(columns.frame, tile, columns.samples(item));
    __syncthreads();
  }
}

constexpr std::int64_t kMaxLength = 1 << 20, kMaxScratch = 64 << 20;
constexpr std::int64_t kManyBlocks = 2048;  // more share their tables among several items
constexpr int kSectorBytes = 32;

int log2_of(int power) {
  int log2 = 0;
  while (1 << log2 < power) ++log2;
  return log2;
}

// Blocks x, and as many y as it takes to keep every multiprocessor busy.
dim3 blocks(std::int64_t x, std::int64_t items) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(std::clamp(kManyBlocks / x, std::int64_t{1},
                                                                         std::min(items, std::int64_t{65535}))));
}

// tiles: whose values are in registers at once in the last stage
template <class S>
Plan plan_of(int length, int tiles) {
  using T = typename Arithmetic<S>::type;
  return plan(1, length, kLastOfLong<T> / tiles, sizeof(T) == 4 ? 16 : 8);
}

template <class S>
Work work_of_columns(const Signal& signal, int h2) {
  using T = typename Arithmetic<S>::type;
  const std::int64_t pairs = (h2 + 1) / 2;
  const bool first = channels_first(signal);
  return {.channels = first ? pairs : signal.d * pairs,
          .tiles = 1,
          .storage_size = static_cast<int>(first ? 2 * sizeof(S) : sizeof(S)),
          .size = sizeof(T),
          .columns_first = true};
}

template <class S>
Work work_of_rows(const Signal& signal, int h1, int tiles) {
  using T = typename Arithmetic<S>::type;
  return {.channels = channels_first(signal) ? h1 / 2 + 1 : signal.d,
          .tiles = tiles,
          .storage_size = 2 * sizeof(T),
          .size = sizeof(T),
          .columns_first = true,
          .max_threads = kRowThreads<T>};
}

}  // namespace

bool has_split(std::int64_t n) {
  if (n > kMaxLength) return false;
  for (std::int64_t h1 = 2; h1 * h1 <= n; ++h1) {
    if (n % h1 == 0 && has_plan(1, h1) && has_plan(1, n / h1)) return true;
  }
  return false;
}

bool too_long(const Geometry& block, const Work& work) {
  if (block.shared_bytes == 0) return true;
  const int columns = block.layout.columns;
  return work.columns_first && columns < work.channels && 2 * columns * work.storage_size < kSectorBytes;
}

// Tiles of columns and of rows, in whole sectors, are to be about as large as each other.
template <class S>
LongLines<S>::LongLines(const Signal& signal, int sets, const Stream& stream)
    : signal_(signal), stream_(stream), limit_(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)),
      lanes_are_rows_(channels_first(signal)) {
  const std::int64_t n = signal.n;
  const std::int64_t columns = kSectorBytes / (lanes_are_rows_ ? 2 * sizeof(S) : sizeof(S));
  const std::int64_t lanes = sets * kSectorBytes / (2 * sizeof(T));
  std::int64_t least = 0;
  const auto consider = [&](std::int64_t h1, std::int64_t h2) {
    // Where rows begin in the middle of a sector, neighbouring columns of one channel take one more.
    const bool straddles = lanes_are_rows_ && h2 * sizeof(S) % kSectorBytes != 0;
    const std::int64_t size = std::max(h1 * columns, h2 * lanes) * (straddles ? 3 : 2);
    if (!has_plan(1, h1) || !has_plan(1, h2) || (least != 0 && size > least)) return;
    least = size;
    h1_ = static_cast<int>(h1);
    h2_ = static_cast<int>(h2);
  };
  for (std::int64_t h1 = 2; h1 * h1 <= n; ++h1) {
    if (n % h1 != 0) continue;
    consider(h1, n / h1);
    consider(n / h1, h1);
  }
  column_plan_ = plan_of<S>(h1_, 1);
  row_plan_ = plan_of<S>(h2_, sets);
  row_geometry_ = geometry(row_plan_, work_of_rows<S>(signal, h1_, sets), limit_);
  const bool fits = row_geometry_.shared_bytes > 0 && geometry_of_columns(signal).shared_bytes > 0;
  if (!fits)
    throw std::runtime_error("CUDA: this device has too little shared memory for lines of " + std::to_string(n) +
                             " samples");
  lanes_log2_ = log2_of(row_geometry_.layout.columns);
  const int width = 1 << lanes_log2_, rows = h1_ / 2 + 1;
  tiles_ = lanes_are_rows_ ? (rows + width - 1) / width : rows;

  const std::int64_t group = std::int64_t{tiles_} * h2_ * width;  // values
  const std::int64_t channels_of_group = lanes_are_rows_ ? 1 : width;
  const std::int64_t groups = (signal.d + channels_of_group - 1) / channels_of_group;
  const std::int64_t room = std::min<std::int64_t>(kMaxScratch, device_attribute(cudaDevAttrL2CacheSize) / 2);
  const std::int64_t most =
      std::max<std::int64_t>(1, room / (sets * group * static_cast<std::int64_t>(sizeof(Pair<T>))));
  // Whole items; or a part of one, whose channels begin where sectors do.
  items_ = std::clamp(most / groups, std::int64_t{1}, signal.batch);
  const std::int64_t of_sector = lanes_are_rows_ ? 1 : std::max<std::int64_t>(1, columns / channels_of_group);
  const std::int64_t groups_of_slab = most >= groups ? groups : std::max(of_sector, most / of_sector * of_sector);
  channels_ = std::min(groups_of_slab * channels_of_group, signal.d);
  set_size_ = items_ * std::min(groups_of_slab, groups) * group;
  memory_ = static_cast<Pair<T>*>(stream.allocate(sets * set_size_ * sizeof(Pair<T>), stream.context));
}

template <class S>
RowsParameters<typename LongLines<S>::T> LongLines<S>::rows(const Slab& slab, int set) const {
  const int groups = lanes_are_rows_ ? slab.channels : ((slab.channels - 1) >> lanes_log2_) + 1;
  return {
      row_plan_,
      row_geometry_.layout,
      {memory_ + set * set_size_, static_cast<int>(signal_.n), h1_, h2_, lanes_log2_, groups, tiles_, lanes_are_rows_},
      slab};
}

template <class S>
Grid LongLines<S>::grid_of_rows(const Slab& slab) const {
  const Rows<T> of = rows(slab).rows;
  return {blocks(std::int64_t{of.groups} * of.tiles, slab.items), row_geometry_.threads(), row_geometry_.shared_bytes};
}

// Of the table of steps, for one column.
template <class S>
int LongLines<S>::step_bytes() const {
  return 2 * steps_of(column_plan_) * static_cast<int>(sizeof(Pair<T>));
}

template <class S>
Geometry LongLines<S>::geometry_of_columns(const Signal& signal) const {
  const Work work = work_of_columns<S>(signal, h2_);
  const Geometry chosen = geometry(column_plan_, work, limit_);
  const int steps = chosen.layout.columns * step_bytes();
  return chosen.shared_bytes + steps <= limit_ ? chosen : geometry(column_plan_, work, limit_ - steps);
}

template <class S>
void LongLines<S>::launch_columns(void (*kernel)(ColumnParameters<S>), const Signal& signal, const Slab& slab,
                                  int set) const {
  const Geometry chosen = geometry_of_columns(signal);
  const int columns = chosen.layout.columns;
  const int of_channels = channels_first(signal) ? 0 : std::min(log2_of(columns), log2_of(slab.channels));
  const std::int64_t tiles_of_channels = ((slab.channels - 1) >> of_channels) + 1;
  const std::int64_t pairs = (h2_ + 1) / 2, wide = columns >> of_channels;
  launch(kernel,
         {blocks((pairs + wide - 1) / wide * tiles_of_channels, slab.items), chosen.threads(),
          chosen.shared_bytes + columns * step_bytes()},
         stream_.stream,
         ColumnParameters<S>{column_plan_, chosen.layout, lines(signal, sizeof(S)), rows(slab, set).rows, slab,
                             of_channels, static_cast<int>(tiles_of_channels), chosen.shared_bytes});
}

template <class S>
void LongLines<S>::forward(const Signal& signal, const Slab& slab, int set) const {
  launch_columns(&columns_forward<S>, signal, slab, set);
}
template <class S>
void LongLines<S>::inverse(const Signal& signal, const Slab& slab, int set) const {
  launch_columns(&columns_inverse<S>, signal, slab, set);
}

template class LongLines<float>;
template class LongLines<double>;
template class LongLines<__half>;
template class LongLines<__nv_bfloat16>;

}  // namespace spectrans::cuda
