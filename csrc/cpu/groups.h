// How the channels and items of a signal are divided: into tiles, groups of neighbouring tiles, and tasks for threads.
#pragma once

#include "kernels.h"
#include "scratch.h"
#include "simd.h"

namespace spectrans {
namespace {

constexpr std::int64_t kLine = 64;  // bytes of a cache line

// Whole cache lines side by side count for more than a tile in the second-level cache: tiles stay together, four lines
// of a row, as long as the third can hold them. Past the caches, half as many are written at half the rate.
constexpr std::int64_t kGroupBytes = std::int64_t{4} << 20;
constexpr int kMaxTiles = kVectorBytes == kLine ? 4 : 8;
constexpr int kFewTiles = 4;  // where there would be too few groups for threads to share

SPECTRANS_INLINE constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
SPECTRANS_INLINE constexpr std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
SPECTRANS_INLINE constexpr std::int64_t max(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

// Slots from one tile to the next: tiles a power of two apart would meet in the same cache sets.
SPECTRANS_INLINE std::int64_t padded(std::int64_t slots) { return slots + 1; }

// Memory, handed out piece by piece.
template <class E>
class Space {
 public:
  explicit Space(void* start) : at_(static_cast<E*>(start)) {}
  E* take(std::int64_t count) {
    at_ += count;
    return at_ - count;
  }

 private:
  E* at_;
};

// Tiles whose pieces of a row are one cache line.
template <class IO>
constexpr int kTilesOfLine = static_cast<int>(max(1, kLine / (kLanes<Compute<IO>> * std::int64_t(sizeof(IO)))));

// Elements from a tile's first in a row to the last of those that fill a cache line. That is what is asked for: of rows
// that begin within a line it is in the next one, and the first belongs to the tiles, or the row, before as well.
template <class IO>
constexpr std::int64_t kLineEnd = kTilesOfLine<IO> * kLanes<Compute<IO>> - 1;

// Elements from the start of a signal to its batch item `index`.
inline std::int64_t batch_offset(const Signal& signal, std::int64_t index) {
  std::int64_t offset = 0;
  for (int axis = signal.axes - 1; axis > 0; --axis) {
    offset += index % signal.size[axis] * signal.stride[axis];
    index /= signal.size[axis];
  }
  return signal.axes == 0 ? 0 : offset + index * signal.stride[0];  // no division, which a short line would wait for
}

template <class IO>
IO* batch_item(const Signal& signal, std::int64_t index) {
  return static_cast<IO*>(signal.data) + batch_offset(signal, index);
}

// Rows first .. first + count of a signal.
inline Signal some_rows(Signal signal, std::int64_t first, std::int64_t count, std::int64_t of_element) {
  signal.data = static_cast<char*>(signal.data) + first * signal.n_stride * of_element;
  signal.n = count;
  return signal;
}

inline std::int64_t size_in_bytes(const Signal& signal, std::int64_t of_element) {
  return signal.batch * signal.n * signal.d * of_element;
}

// More than the nearer caches keep of a signal.
constexpr std::int64_t kLargeBytes = std::int64_t{2} << 20;

// Neighbouring tiles of a signal. All tiles are full, and the last may overlap the one before it (both then compute the
// same values), unless the signal has fewer channels than a vector has lanes.
struct Group {
  std::int64_t channel[kMaxTiles];  // the first of each tile
  std::int64_t tiles;
  int lanes;  // in use by one item
  int items;  // side by side in the lanes of a tile
};

// Tiles first .. first + count of a group, as far as there are any.
inline Group some_tiles(Group group, std::int64_t first, std::int64_t count) {
  group.tiles = max(0, min(count, group.tiles - first));
  for (std::int64_t k = 0; k < group.tiles; ++k) group.channel[k] = group.channel[first + k];
  return group;
}

// Calls f with the lanes of a group that one item uses: where it uses all, as a compile-time constant.
template <class T, class F>
SPECTRANS_INLINE void with_lanes(const Group& group, F&& f) {
  if (group.lanes == kLanes<T>) return f(std::integral_constant<int, kLanes<T>>{});
  f(group.lanes);
}

// The lanes of a tile as those of items side by side.
template <class T>
class ItemLanes {
  static constexpr int lanes = kLanes<T>;

 public:
  explicit ItemLanes(const Group& group) : each_(group.lanes), items_(group.items) {
    for (int l = 0; l < lanes; ++l) {
      lane_[l] = l;
      first_[l] = l % each_;
    }
  }
  bool several() const { return items_ > 1; }

  // What the first item has, for all.
  SPECTRANS_INLINE Vector<T> repeat(Vector<T> value) const { return permute(value, first_); }

  // The sum over the items, in the lanes of the first. Lanes not in use are zero.
  SPECTRANS_INLINE Vector<T> sum(Vector<T> value) const {
    if (lanes % each_ == 0) {  // half of them are halfway round from the others
      for (int step = lanes / 2; step >= each_; step /= 2) value += turned(value, step);
      return value;
    }
    Vector<T> result = value;
    for (int item = 1; item < items_; ++item) result += turned(value, item * each_);
    return result;
  }

 private:
  using Index = typename VectorOf<std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>, lanes>::type;

  SPECTRANS_INLINE Vector<T> turned(Vector<T> value, int step) const {
    return permute(value, (lane_ + step) & (lanes - 1));
  }

  int each_, items_;
  Index lane_{}, first_{};
};

// Sums over a part of the batch are cut into pieces of at least this many items, so that float32 sums stay accurate.
constexpr std::int64_t kItemsPerSum = 16;
// Of so many items: no piece has many more items than there are pieces.
inline std::int64_t items_per_sum(std::int64_t items) {
  std::int64_t piece = kItemsPerSum;
  while (piece * piece < items) piece *= 2;
  return piece;
}
// The batch is split until there are this many tasks. The split depends on shapes alone: so do the bits of the sum.
constexpr std::int64_t kTasks = 16;

// Work that is worth waking a thread for: a few microseconds of it.
constexpr std::int64_t kWakeupBytes = 64 * 1024;

// The channels of a signal in groups of up to kMaxTiles tiles. Where an item has few channels, several items are done
// at once, side by side: the batch then counts packs of items.
template <class T>
struct Groups {
  std::int64_t n, d, items, tiles_per_group, count;

  Groups(std::int64_t n_, std::int64_t d_, std::int64_t batch = 1, std::int64_t most = kMaxTiles) : n(n_), d(d_) {
    items = max(1, min(kLanes<T> / d, batch));
    const std::int64_t tiles = ceil_div(d, kLanes<T>);
    if (packs(batch) * ceil_div(tiles, most) < kTasks) most = min(most, kFewTiles);
    tiles_per_group = max(1, min(min(most, tiles), kGroupBytes / (n * kVectorBytes)));
    count = ceil_div(tiles, tiles_per_group);
  }
  std::int64_t packs(std::int64_t batch) const { return ceil_div(batch, items); }

  // The same in smaller groups, of `least` tiles or more, where threads would else wait for each other: where there are
  // so many tasks to a group. Together, tiles spare about a third of one. No tile depends on the others of its group.
  Groups shared(std::int64_t tasks, int threads, std::int64_t least) const {
    const std::int64_t tiles = ceil_div(d, kLanes<T>);
    const std::int64_t busy = min(threads, tasks * tiles * n * kVectorBytes / kWakeupBytes);
    const auto time = [&](std::int64_t each) { return ceil_div(tasks * ceil_div(tiles, each), busy) * (3 * each + 1); };
    Groups result = *this;
    if (busy <= 1) return result;
    for (std::int64_t each = ceil_div(tiles_per_group, 2);; each = ceil_div(each, 2)) {
      if (each >= least && time(each) < time(result.tiles_per_group)) result.tiles_per_group = each;
      if (each <= least) break;
    }
    result.count = ceil_div(tiles, result.tiles_per_group);
    return result;
  }
  std::int64_t first_channel(std::int64_t group) const { return group * tiles_per_group * kLanes<T>; }
  std::int64_t channels(std::int64_t group) const { return min(d - first_channel(group), tiles_per_group * kLanes<T>); }
  std::int64_t tiles(std::int64_t group) const { return ceil_div(channels(group), kLanes<T>); }
  Group operator[](std::int64_t group) const {
    Group result{{}, tiles(group), static_cast<int>(min(d, kLanes<T>)), static_cast<int>(items)};
    for (std::int64_t k = 0; k < result.tiles; ++k) {
      result.channel[k] = max(0, min(first_channel(group) + k * kLanes<T>, d - kLanes<T>));
    }
    return result;
  }
};

// Tasks of a block of groups and a part of the batch. Of an item, the groups of a block are done one after the other,
// side by side in its rows, so that each page of them is met once a block.
struct Blocks {
  // What is kept of the groups of a block, where it is to stay in the second-level cache.
  static constexpr std::int64_t kNearBytes = 640 * 1024;
  // For threads to share, where there are so many groups.
  static constexpr std::int64_t kTasksPerThread = 4;

  std::int64_t groups, parts, size;

  struct Block {
    std::int64_t first, groups, part;
  };

  // bytes_kept: of a group; room: for those of a block; apart: no block is of two threads, where there are groups
  // enough
  Blocks(std::int64_t groups_, std::int64_t parts_, std::int64_t bytes_kept, int threads,
         std::int64_t room = kNearBytes, bool apart = false)
      : groups(groups_), parts(parts_),
        size(max(1, min(room / bytes_kept, groups * parts / (kTasksPerThread * threads)))) {
    size = ceil_div(groups, ceil_div(groups, min(size, groups)));
    if (!apart || groups < threads) return;
    size = min(size, groups / threads);
    while (groups % size != 0) --size;  // tasks of one length
  }
  std::int64_t count() const { return ceil_div(groups, size) * parts; }
  Block operator[](std::int64_t task) const {
    const std::int64_t first = task / parts * size;
    return {first, min(size, groups - first), task % parts};
  }
};

// Runs body(begin, end) over 0 .. count on the pool, in pieces of at least about `bytes` worth of work.
template <class Body>
void parallel(const ThreadPool& pool, std::int64_t count, std::int64_t bytes_each, const Body& body) {
  const std::int64_t grain = max(1, kWakeupBytes / max(1, bytes_each));
  if (pool.threads == 1 || count <= grain) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
  pool.run(
      count, grain,
      [](std::int64_t begin, std::int64_t end, void* context) { (*static_cast<const Body*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// The sum of what parts of the batch have at the same place, `step` apart: in their order.
template <class V>
SPECTRANS_INLINE V sum_of_parts(const V* at, std::int64_t parts, std::int64_t step) {
  V sum = *at;
  for (std::int64_t part = 1; part < parts; ++part) sum += at[part * step];
  return sum;
}

// to[i] += from[i] + from[step + i] + ...: as many terms as there are parts, in their order.
template <class T>
void add_parts(const ThreadPool& pool, std::int64_t size, std::int64_t parts, const T* from, std::int64_t step, T* to) {
  constexpr std::int64_t lanes = kLanes<T>;
  if (parts == 0) return;
  parallel(pool, size, (1 + parts) * std::int64_t(sizeof(T)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = 0; part < parts; ++part) {
      const T* term = from + part * step;
      std::int64_t i = begin;
      for (; i + lanes <= end; i += lanes) store(to + i, load(to + i) + load(term + i));
      for (; i < end; ++i) to[i] += term[i];
    }
  });
}

// Whether channels come first: the samples of one lie side by side, and those of several do not.
SPECTRANS_INLINE bool channels_first(const Signal& signal) { return signal.n_stride == 1 && signal.d_stride != 1; }

template <class F>
void with_element(Element element, F&& f) {
  switch (element) {
    case Element::float32: return f(float{});
    case Element::float64: return f(double{});
    case Element::bfloat16: return f(BFloat16{});
    case Element::float16: return f(Float16{});
  }
}

}  // namespace
}  // namespace spectrans
