// The kernels over columns of long lines, and how lines are split.
#include "long.h"

namespace spectrans::cuda {

namespace {

// Two neighbouring columns of a line; the second is missing from the last pair of an odd number.
template <class S>
struct ColumnPair {
  S* line;
  std::int64_t stride, apart;    // from one value to the next, and from its real to its imaginary part
  bool together, alone, active;  // an inactive pair is read as zeros and not written

  template <int R, class T>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = {T(0), T(0)}; });
    if (!active) return;
    const S* const at = line + first * stride;
    const std::int64_t next = step * stride;
    if (together) {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const Pair<S> both = cuda::load(reinterpret_cast<const Pair<S>*>(at + i * next));
        v[i] = {widen(both.re), widen(both.im)};
      });
      return;
    }
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i].re = widen(cuda::load(at + i * next)); });
    if (alone) return;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i].im = widen(cuda::load(at + apart + i * next)); });
  }

  template <int R, class T>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (!active) return;
    S* const at = line + first * stride;
    const std::int64_t next = step * stride;
    if (together) {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        cuda::store(reinterpret_cast<Pair<S>*>(at + i * next), Pair<S>{narrow<S>(v[i].re), narrow<S>(v[i].im)});
      });
      return;
    }
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { cuda::store(at + i * next, narrow<S>(v[i].re)); });
    if (alone) return;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { cuda::store(at + apart + i * next, narrow<S>(v[i].im)); });
  }
};

// Samples of signals in memory.
template <class S>
struct SignalColumns {
  using T = typename Arithmetic<S>::type;
  ColumnParameters<T> of;
  Lines lines;

  SPECTRANS_DEVICE ColumnPair<S> samples(const Columns<T>& columns, std::int64_t item) const {
    const std::int64_t channel = of.slab.first_channel + columns.channel;
    S* const line = static_cast<S*>(lines.data) + offset(lines, of.slab.first_item + item, channel);
    const bool together = lines.together && of.rows.h2 % 2 == 0;
    return {line + columns.p2() * lines.n_stride,
            of.rows.h2 * lines.n_stride,
            lines.n_stride,
            together,
            columns.alone(),
            columns.active};
  }
};

template <class S>
__global__ void __launch_bounds__(kColumnThreads<typename Arithmetic<S>::type>, 1)
    columns_forward(const SignalColumns<S> p) {
  const Columns<typename Arithmetic<S>::type> columns(p.of);
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    forward(columns, item, p.samples(columns, item));
  }
}

template <class S>
__global__ void __launch_bounds__(kColumnThreads<typename Arithmetic<S>::type>, 1)
    columns_inverse(const SignalColumns<S> p) {
  const Columns<typename Arithmetic<S>::type> columns(p.of);
  for (std::int64_t item = blockIdx.y; item < p.of.slab.items; item += gridDim.y) {
    inverse(columns, item, p.samples(columns, item));
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

Work work_of_columns(const Signal& signal, int h2, int storage_size, int size) {
  const std::int64_t pairs = (h2 + 1) / 2;
  const bool first = channels_first(signal);
  return {.channels = first ? pairs : signal.d * pairs,
          .tiles = 1,
          .storage_size = first ? 2 * storage_size : storage_size,
          .size = size,
          .columns_first = true,
          .max_threads = size == 4 ? kColumnThreads<float> : kColumnThreads<double>};
}

template <class S>
Work work_of_rows(const Signal& signal, int h1, int tiles, int bin_size) {
  using T = typename Arithmetic<S>::type;
  return {.channels = channels_first(signal) ? h1 / 2 + 1 : signal.d,
          .tiles = tiles,
          .storage_size = bin_size,
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
LongLines<S>::LongLines(const Signal& signal, int sets, const Stream& stream, int sets_of_one, int bin_size)
    : signal_(signal), stream_(stream), limit_(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)),
      lanes_are_rows_(channels_first(signal)), sets_(sets) {
  const std::int64_t n = signal.n;
  const std::int64_t columns = kSectorBytes / (lanes_are_rows_ ? 2 * sizeof(S) : sizeof(S));
  const std::int64_t lanes = sets * kSectorBytes / bin_size;
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
  row_geometry_ = geometry(row_plan_, work_of_rows<S>(signal, h1_, sets, bin_size), limit_);
  const bool fits = row_geometry_.shared_bytes > 0 && geometry_of_columns(signal, sizeof(S)).shared_bytes > 0;
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
  size_of_one_ = std::min(groups_of_slab, groups) * group;
  set_size_ = items_ * size_of_one_;
  const std::int64_t values = sets * set_size_ + sets_of_one * size_of_one_;
  memory_ = static_cast<Pair<T>*>(stream.allocate(values * sizeof(Pair<T>), stream.context));
}

template <class S>
RowsParameters<typename LongLines<S>::T> LongLines<S>::rows(const Slab& slab, int set) const {
  const int groups = lanes_are_rows_ ? slab.channels : ((slab.channels - 1) >> lanes_log2_) + 1;
  const std::int64_t begin = set < sets_ ? set * set_size_ : sets_ * set_size_ + (set - sets_) * size_of_one_;
  return {row_plan_,
          row_geometry_.layout,
          {memory_ + begin, static_cast<int>(signal_.n), h1_, h2_, lanes_log2_, groups, tiles_, lanes_are_rows_},
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
Geometry LongLines<S>::geometry_of_columns(const Signal& signal, int storage_size) const {
  const Work work = work_of_columns(signal, h2_, storage_size, sizeof(T));
  const Geometry chosen = geometry(column_plan_, work, limit_);
  const int steps = chosen.layout.columns * step_bytes();
  return chosen.shared_bytes + steps <= limit_ ? chosen : geometry(column_plan_, work, limit_ - steps);
}

// Of a block with so many columns.
template <class S>
int LongLines<S>::channels_log2(const Signal& signal, const Slab& slab, int columns) const {
  return channels_first(signal) ? 0 : std::min(log2_of(columns), log2_of(slab.channels));
}

template <class S>
ColumnParameters<typename LongLines<S>::T> LongLines<S>::columns(const Signal& signal, const Slab& slab, int set,
                                                                 int storage_size) const {
  const Geometry chosen = geometry_of_columns(signal, storage_size);
  const int of_channels = channels_log2(signal, slab, chosen.layout.columns);
  return {column_plan_,         chosen.layout,
          rows(slab, set).rows, slab,
          of_channels,          ((slab.channels - 1) >> of_channels) + 1,
          chosen.shared_bytes};
}

template <class S>
Grid LongLines<S>::grid_of_columns(const Signal& signal, const Slab& slab, int storage_size) const {
  const Geometry chosen = geometry_of_columns(signal, storage_size);
  const int columns = chosen.layout.columns, of_channels = channels_log2(signal, slab, columns);
  const std::int64_t tiles_of_channels = ((slab.channels - 1) >> of_channels) + 1;
  const std::int64_t pairs = (h2_ + 1) / 2, wide = columns >> of_channels;
  return {blocks((pairs + wide - 1) / wide * tiles_of_channels, slab.items), chosen.threads(),
          chosen.shared_bytes + columns * step_bytes()};
}

template <class S>
void LongLines<S>::forward(const Signal& signal, const Slab& slab, int set) const {
  launch(&columns_forward<S>, grid_of_columns(signal, slab), stream_.stream,
         SignalColumns<S>{columns(signal, slab, set), lines(signal, sizeof(S))});
}
template <class S>
void LongLines<S>::inverse(const Signal& signal, const Slab& slab, int set) const {
  launch(&columns_inverse<S>, grid_of_columns(signal, slab), stream_.stream,
         SignalColumns<S>{columns(signal, slab, set), lines(signal, sizeof(S))});
}

template class LongLines<float>;
template class LongLines<double>;
template class LongLines<__half>;
template class LongLines<__nv_bfloat16>;

}  // namespace spectrans::cuda
