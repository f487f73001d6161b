// Between memory and tiles: gathers groups of neighbouring tiles row by row, so that whole cache lines are used
// per visit whatever the strides, and scatters them back.
#pragma once

#include "kernels.h"
#include "scratch.h"
#include "transform.h"

namespace spectrans {
namespace {

constexpr std::int64_t kLine = 64;  // bytes of a cache line

// Whole cache lines side by side count for more than a tile in the second-level cache: tiles stay together, four lines
// of a row, as long as the third can hold them. Past the caches, half as many are written at half the rate.
constexpr std::int64_t kGroupBytes = std::int64_t{4} << 20;
constexpr int kMaxTiles = kVectorBytes == kLine ? 4 : 8;
constexpr int kFewTiles = 4;  // where there would be too few groups for threads to share
constexpr std::int64_t kPrefetchRows = 32;

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

// The first `count` values, as many as fit; the others are zero.
template <class IO>
SPECTRANS_INLINE Vector<Compute<IO>> load_first(const IO* from, std::int64_t count) {
  if (count >= kLanes<Compute<IO>>) return load(from);
  return count > 0 ? load_some(from, 1, static_cast<int>(count)) : Vector<Compute<IO>>{};
}

// Asks for a cache line that is read or written later. To the second level: requests to the first are dropped where
// many are under way; for reading: a line asked for so is written as fast, unless another thread holds it.
SPECTRANS_INLINE void fetch(const void* line) { __builtin_prefetch(line, 0, 2); }

// The same, of the (re, im) pairs of a tile.
template <class T>
SPECTRANS_INLINE void fetch_pairs(const T* pairs) {
  for (std::int64_t i = 0; i < 2 * kVectorBytes; i += kLine) fetch(pairs + i / std::int64_t(sizeof(T)));
}

// Tiles whose pieces of a row are one cache line.
template <class IO>
constexpr int kTilesOfLine = static_cast<int>(max(1, kLine / (kLanes<Compute<IO>> * std::int64_t(sizeof(IO)))));

// Elements from the start of a signal to its batch item `index`.
inline std::int64_t batch_offset(const Signal& signal, std::int64_t index) {
  std::int64_t offset = 0;
  for (int axis = signal.axes - 1; axis >= 0; --axis) {
    offset += index % signal.size[axis] * signal.stride[axis];
    index /= signal.size[axis];
  }
  return offset;
}

template <class IO>
IO* batch_item(const Signal& signal, std::int64_t index) {
  return static_cast<IO*>(signal.data) + batch_offset(signal, index);
}

// Neighbouring tiles of a signal. All tiles are full, and the last may overlap the one before it (both then compute the
// same values), unless the signal has fewer channels than a vector has lanes.
struct Group {
  std::int64_t channel[kMaxTiles];  // the first of each tile
  std::int64_t tiles;
  int lanes;  // in use by one item
  int items;  // side by side in the lanes of a tile
};

// Sums over a part of the batch are cut into pieces of this many items, so that float32 sums stay accurate.
constexpr std::int64_t kItemsPerSum = 16;
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

  // bytes_kept: of a group; room: for those of a block
  Blocks(std::int64_t groups_, std::int64_t parts_, std::int64_t bytes_kept, int threads,
         std::int64_t room = kNearBytes)
      : groups(groups_), parts(parts_),
        size(max(1, min(room / bytes_kept, groups * parts / (kTasksPerThread * threads)))) {
    size = ceil_div(groups, ceil_div(groups, min(size, groups)));
  }
  std::int64_t count() const { return ceil_div(groups, size) * parts; }
  Block operator[](std::int64_t task) const {
    const std::int64_t first = task / parts * size;
    return {first, min(size, groups - first), task % parts};
  }
};

// Where the lines of one item start, and the steps between samples and between channels.
template <class IO>
struct Lines {
  IO* data;
  std::int64_t n_stride, d_stride;
};

template <class IO>
Lines<IO> lines(const Signal& signal, std::int64_t item, std::int64_t channel) {
  return {batch_item<IO>(signal, item) + channel * signal.d_stride, signal.n_stride, signal.d_stride};
}

// Tiles of one group, `pitch` vectors apart.
template <class T>
struct Tiles {
  Vector<T>* data;
  std::int64_t pitch, count;

  Vector<T>* operator[](std::int64_t k) const { return data + k * pitch; }
};

// Calls f with the number of tiles of a group as a compile-time constant.
template <class F>
SPECTRANS_INLINE void with_count(std::int64_t count, F&& f) {
  unroll<1, kMaxTiles + 1>([&]<int kCount>() SPECTRANS_INLINE_LAMBDA {
    if (count == kCount) f.template operator()<kCount>();
  });
}

// Where each lane of a tile starts. Lanes not in use repeat the first.
template <class IO>
struct Starts {
  static constexpr int lanes = kLanes<Compute<IO>>;
  IO* at[lanes];
  int used;

  Starts() = default;
  Starts(const Signal& signal, std::int64_t pack, const Group& group, std::int64_t k) {
    const std::int64_t first = pack * group.items;
    used = static_cast<int>(min(group.items, signal.batch - first)) * group.lanes;
    for (int lane = 0; lane < lanes; ++lane) {
      const int l = lane < used ? lane : 0;
      at[lane] =
          batch_item<IO>(signal, first + l / group.lanes) + (group.channel[k] + l % group.lanes) * signal.d_stride;
    }
  }

  Starts operator+(std::int64_t elements) const {
    Starts result = *this;
    for (IO*& start : result.at) start += elements;
    return result;
  }
};

template <class IO, class Indices = std::make_integer_sequence<int, kLanes<Compute<IO>>>>
struct LaneWise;

template <class IO, int... I>
struct LaneWise<IO, std::integer_sequence<int, I...>> {
  static SPECTRANS_INLINE auto load(const Starts<const IO>& from, std::int64_t offset) {
    if constexpr (sizeof(IO) == 2) {
      return widen(Halves{from.at[I][offset].bits...}, IO{});
    } else {
      return Vector<IO>{from.at[I][offset]...};
    }
  }
};

// Neighbouring values of lines -> their vectors; lanes not in use are zero. (Lanes are compile-time constants, so that
// what they index stays in registers.)
template <class IO, class T = Compute<IO>>
SPECTRANS_INLINE void load_lines(const Starts<const IO>& from, std::int64_t at, Vector<T>* rows) {
  constexpr int lanes = kLanes<T>;
  if (from.used == lanes) {
    unroll<0, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA { rows[l] = load(from.at[l] + at); });
  } else {
    unroll<0, lanes>([&]<int l>()
                         SPECTRANS_INLINE_LAMBDA { rows[l] = l < from.used ? load(from.at[l] + at) : Vector<T>{}; });
  }
  transpose<T>(rows);
}

// And back.
template <class IO, class T = Compute<IO>>
SPECTRANS_INLINE void store_lines(const Starts<IO>& to, std::int64_t at, Vector<T>* rows) {
  transpose<T>(rows);
  unroll<0, kLanes<T>>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
    if (l < to.used) store(to.at[l] + at, rows[l]);
  });
}

// put(j, sample j of a tile); lanes not in use are zero.
template <class IO, class Put>
void gather_lanes(const Starts<const IO>& from, std::int64_t stride, std::int64_t n, const Put& put) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  std::int64_t j = 0;
  if (stride == 1) {
    for (; j + lanes <= n; j += lanes) {
      Vector<T> rows[lanes];
      load_lines<IO>(from, j, rows);
      unroll<0, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA { put(j + l, rows[l]); });
    }
  }
  Vector<T> in_use{};
  for (int l = 0; l < from.used; ++l) in_use[l] = 1;
  for (; j < n; ++j) {
    const Vector<T> value = LaneWise<IO>::load(from, j * stride);
    put(j, in_use != 0 ? value : Vector<T>{});
  }
}

// row(j), sample j of a tile -> memory.
template <class IO, class Row>
void scatter_lanes(const Starts<IO>& to, std::int64_t stride, std::int64_t n, const Row& row) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  std::int64_t j = 0;
  if (stride == 1) {
    for (; j + lanes <= n; j += lanes) {
      Vector<T> rows[lanes];
      unroll<0, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA { rows[l] = row(j + l); });
      store_lines<IO>(to, j, rows);
    }
  }
  for (; j < n; ++j) {
    IO some[lanes];
    store(some, row(j));
    for (int l = 0; l < to.used; ++l) to.at[l][j * stride] = some[l];
  }
}

// put(k, pair k of a tile), the pairs of a line `stride` real numbers apart.
template <class T, class Put>
void gather_pairs(const Starts<const T>& from, std::int64_t stride, std::int64_t count, const Put& put) {
  constexpr int lanes = kLanes<T>, at_once = lanes / 2;
  std::int64_t k = 0;
  if (stride == 2) {
    for (; k + at_once <= count; k += at_once) {
      Vector<T> rows[lanes];
      load_lines<T>(from, 2 * k, rows);
      unroll<0, at_once>([&]<int i>()
                             SPECTRANS_INLINE_LAMBDA { put(k + i, Complex<Vector<T>>{rows[2 * i], rows[2 * i + 1]}); });
    }
  }
  Vector<T> in_use{};
  for (int l = 0; l < from.used; ++l) in_use[l] = 1;
  for (; k < count; ++k) {
    const Vector<T> re = LaneWise<T>::load(from, k * stride), im = LaneWise<T>::load(from, k * stride + 1);
    put(k, Complex<Vector<T>>{in_use != 0 ? re : Vector<T>{}, in_use != 0 ? im : Vector<T>{}});
  }
}

// pair(k) -> memory.
template <class T, class Pair>
void scatter_pairs(const Starts<T>& to, std::int64_t stride, std::int64_t count, const Pair& pair) {
  constexpr int lanes = kLanes<T>, at_once = lanes / 2;
  std::int64_t k = 0;
  if (stride == 2) {
    for (; k + at_once <= count; k += at_once) {
      Vector<T> rows[lanes];
      unroll<0, at_once>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const Complex<Vector<T>> z = pair(k + i);
        rows[2 * i] = z.re;
        rows[2 * i + 1] = z.im;
      });
      store_lines<T>(to, 2 * k, rows);
    }
  }
  for (; k < count; ++k) {
    const Complex<Vector<T>> z = pair(k);
    for (int l = 0; l < to.used; ++l) {
      to.at[l][k * stride] = z.re[l];
      to.at[l][k * stride + 1] = z.im[l];
    }
  }
}

// Whether tiles of a group take whole vectors from the rows of a signal.
template <class T>
SPECTRANS_INLINE bool whole_vectors(const Signal& signal, const Group& group) {
  return signal.d_stride == 1 && group.lanes == kLanes<T>;
}

template <class IO>
std::int64_t size_in_bytes(const Signal& signal) {
  return signal.batch * signal.n * signal.d * std::int64_t(sizeof(IO));
}

// More than the nearer caches keep of a signal.
constexpr std::int64_t kLargeBytes = std::int64_t{2} << 20;

// Whether the channels of each item leave lanes empty that those of other items could have: where channels come first,
// they are lines at equal distances, as if all were of one item.
template <class T>
bool has_lines_to_join(const Signal& signal) {
  return signal.axes == 1 && signal.stride[0] == signal.d * signal.d_stride && 2 * signal.d > kLanes<T> &&
         signal.d % kLanes<T> != 0;
}

inline void join_lines(Signal& signal) {
  signal.d *= signal.batch;
  signal.batch = 1;
  signal.axes = 0;
}

// Samples of one item, or pack of items -> tiles; slot: of each sample.
template <class IO, class T = Compute<IO>>
void gather(const Signal& signal, std::int64_t pack, const Group& group, const std::int32_t* slot,
            const Tiles<T>& tiles) {
  if (!whole_vectors<T>(signal, group)) {
    for (std::int64_t k = 0; k < tiles.count; ++k) {
      gather_lanes<IO>(Starts<const IO>(signal, pack, group, k), signal.n_stride, signal.n,
                       [slot, tile = tiles[k]](std::int64_t j, const Vector<T>& value)
                           SPECTRANS_INLINE_LAMBDA { tile[slot[j]] = value; });
    }
    return;
  }
  const IO* data = batch_item<const IO>(signal, pack);
  with_count(tiles.count, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride, pitch = tiles.pitch;
    const IO* row[kCount];
    unroll<0, kCount>([&]<int k>() { row[k] = data + group.channel[k]; });
    for (std::int64_t j = 0; j < n; ++j) {
      Vector<T>* to = tiles.data + slot[j];
      unroll<0, kCount>([&]<int k>() {
        if constexpr (k % kTilesOfLine<IO> == 0) fetch(row[k] + ahead);
        to[k * pitch] = load(row[k]);
        row[k] += stride;
      });
    }
  });
}

// Whether writing a signal past the caches pays and is possible: it is large, and every row piece is aligned.
template <class IO>
bool can_stream(const Signal& signal) {
  constexpr std::int64_t alignment = kLanes<Compute<IO>> * sizeof(IO);
  bool aligned = reinterpret_cast<std::uintptr_t>(signal.data) % alignment == 0;
  for (int axis = 0; axis < signal.axes; ++axis) aligned &= signal.stride[axis] * sizeof(IO) % alignment == 0;
  return aligned && signal.d_stride == 1 && signal.n_stride * sizeof(IO) % alignment == 0 &&
         signal.d % kLanes<Compute<IO>> == 0 && size_in_bytes<IO>(signal) > kLargeBytes;
}

// What is in the slots of tiles, as rows.
template <class T>
struct SlotRows {
  const Vector<T>* slots;
  std::int64_t pitch;
  const std::int32_t* slot;

  SPECTRANS_INLINE Vector<T> operator()(std::int64_t j, std::int64_t k) const { return slots[k * pitch + slot[j]]; }
};

// Samples of one item, or pack of items <- row(j, k), sample j of tile k.
template <class IO, class Row>
void scatter(const Signal& signal, std::int64_t pack, const Group& group, bool streaming, const Row& row) {
  using T = Compute<IO>;
  if (!whole_vectors<T>(signal, group)) {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      scatter_lanes<IO>(Starts<IO>(signal, pack, group, k), signal.n_stride, signal.n,
                        [&](std::int64_t j) { return row(j, k); });
    }
    return;
  }
  IO* data = batch_item<IO>(signal, pack);
  with_count(group.tiles, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    const Row own = row;  // stores could change what it refers to from elsewhere
    IO* at[kCount];
    unroll<0, kCount>([&]<int k>() { at[k] = data + group.channel[k]; });
    for (std::int64_t j = 0; j < n; ++j) {
      unroll<0, kCount>([&]<int k>() {
        if (streaming) {
          stream(at[k], own(j, k));
        } else {
          if constexpr (k % kTilesOfLine<IO> == 0) fetch(at[k] + ahead);
          store(at[k], own(j, k));
        }
        at[k] += stride;
      });
    }
  });
}

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

// The groups of a signal whose items are a task each.
template <class IO>
Groups<Compute<IO>> shared_groups(const Signal& signal, const ThreadPool& pool) {
  const Groups<Compute<IO>> groups(signal.n, signal.d, signal.batch);
  return groups.shared(groups.packs(signal.batch), pool.threads, kTilesOfLine<IO>);
}

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
