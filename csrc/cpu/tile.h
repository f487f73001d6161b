// Between memory and tiles: gathers groups of neighbouring tiles row by row, so that whole cache lines are used
// per visit whatever the strides, and scatters them back.
#pragma once

#include "kernels.h"
#include "scratch.h"
#include "transform.h"

namespace spectrans {
namespace {

// Whole cache lines side by side count for more than a tile in the second-level cache: four tiles stay together as
// long as the third can hold them.
constexpr std::int64_t kGroupBytes = std::int64_t{4} << 20;
constexpr int kMaxTiles = 4;
constexpr std::int64_t kPrefetchRows = 24;

SPECTRANS_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
SPECTRANS_INLINE std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
SPECTRANS_INLINE std::int64_t max(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

// Slots from one tile to the next: tiles a power of two apart would meet in the same cache sets.
SPECTRANS_INLINE std::int64_t padded(std::int64_t slots) { return slots + 1; }

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
  int lanes;  // in use
};

// The channels of a signal in groups of up to kMaxTiles tiles.
template <class T>
struct Groups {
  std::int64_t n, d, tiles_per_group, count;

  Groups(std::int64_t n_, std::int64_t d_) : n(n_), d(d_) {
    const std::int64_t tiles = ceil_div(d, kLanes<T>);
    tiles_per_group = max(1, min(min(kMaxTiles, tiles), kGroupBytes / (n * kVectorBytes)));
    count = ceil_div(tiles, tiles_per_group);
  }
  std::int64_t first_channel(std::int64_t group) const { return group * tiles_per_group * kLanes<T>; }
  std::int64_t channels(std::int64_t group) const { return min(d - first_channel(group), tiles_per_group * kLanes<T>); }
  std::int64_t tiles(std::int64_t group) const { return ceil_div(channels(group), kLanes<T>); }
  Group operator[](std::int64_t group) const {
    Group result{{}, tiles(group), static_cast<int>(min(d, kLanes<T>))};
    for (std::int64_t k = 0; k < result.tiles; ++k) {
      result.channel[k] = max(0, min(first_channel(group) + k * kLanes<T>, d - kLanes<T>));
    }
    return result;
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

// tile[k n + slot[j]] lane l <- lines sample j, channel k kLanes + l, for `channels` channels; missing lanes are zero.
template <class IO>
void gather(const Lines<const IO>& from, std::int64_t n, const std::int32_t* slot, std::int64_t channels,
            Vector<Compute<IO>>* tile) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  const std::int64_t full = channels / lanes;
  const int rest = static_cast<int>(channels % lanes);
  if (from.d_stride == 1) {
    for (std::int64_t j = 0; j < n; ++j) {
      const IO* row = from.data + j * from.n_stride;
      const IO* ahead = row + kPrefetchRows * from.n_stride;
      for (std::int64_t k = 0; k < full; ++k) {
        __builtin_prefetch(ahead + k * lanes);
        tile[k * n + slot[j]] = load(row + k * lanes);
      }
      if (rest > 0) tile[full * n + slot[j]] = load_some(row + full * lanes, 1, rest);
    }
    return;
  }
  for (std::int64_t k = 0; k <= full; ++k) {
    const int count = k < full ? lanes : rest;
    if (count == 0) break;
    const IO* start = from.data + k * lanes * from.d_stride;
    Vector<T>* to = tile + k * n;
    std::int64_t j = 0;
    if (from.n_stride == 1) {
      for (; j + lanes <= n; j += lanes) {
        Vector<T> rows[lanes];
        for (int l = 0; l < lanes; ++l) rows[l] = l < count ? load(start + l * from.d_stride + j) : Vector<T>{};
        transpose<T>(rows);
        for (int l = 0; l < lanes; ++l) to[slot[j + l]] = rows[l];
      }
    }
    for (; j < n; ++j) to[slot[j]] = load_some(start + j * from.n_stride, from.d_stride, count);
  }
}

// lines sample j, channel k kLanes + l <- row(k, j) lane l.
template <class IO, class Row>
void scatter(const Lines<IO>& to, std::int64_t n, std::int64_t channels, const Row& row) {
  using T = Compute<IO>;
  constexpr int lanes = kLanes<T>;
  const std::int64_t full = channels / lanes;
  const int rest = static_cast<int>(channels % lanes);
  if (to.d_stride == 1) {
    for (std::int64_t j = 0; j < n; ++j) {
      IO* at = to.data + j * to.n_stride;
      for (std::int64_t k = 0; k < full; ++k) store(at + k * lanes, row(k, j));
      if (rest > 0) store_some(at + full * lanes, 1, rest, row(full, j));
    }
    return;
  }
  for (std::int64_t k = 0; k <= full; ++k) {
    const int count = k < full ? lanes : rest;
    if (count == 0) break;
    IO* start = to.data + k * lanes * to.d_stride;
    std::int64_t j = 0;
    if (to.n_stride == 1) {
      for (; j + lanes <= n; j += lanes) {
        Vector<T> rows[lanes];
        for (int l = 0; l < lanes; ++l) rows[l] = row(k, j + l);
        transpose<T>(rows);
        for (int l = 0; l < count; ++l) store(start + l * to.d_stride + j, rows[l]);
      }
    }
    for (; j < n; ++j) store_some(start + j * to.n_stride, to.d_stride, count, row(k, j));
  }
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
  static_assert(kMaxTiles == 4);
  switch (count) {
    case 1: return f.template operator()<1>();
    case 2: return f.template operator()<2>();
    case 3: return f.template operator()<3>();
    case 4: return f.template operator()<4>();
    default: __builtin_unreachable();
  }
}

// Samples of one item -> tiles, in the slot order of a plan.
template <class IO, class Plan, class T = Compute<IO>>
void gather(const Signal& signal, std::int64_t item, const Group& group, const Plan& plan, const Tiles<T>& tiles) {
  const IO* data = batch_item<const IO>(signal, item);
  if (signal.d_stride != 1 || group.lanes < kLanes<T>) {
    for (std::int64_t k = 0; k < tiles.count; ++k) {
      const Lines<const IO> from{data + group.channel[k] * signal.d_stride, signal.n_stride, signal.d_stride};
      gather(from, signal.n, plan.slot, group.lanes, tiles[k]);
    }
    return;
  }
  with_count(tiles.count, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride, pitch = tiles.pitch;
    const std::int32_t* slot = plan.slot;
    const IO* row[kCount];
    unroll<0, kCount>([&]<int k>() { row[k] = data + group.channel[k]; });
    for (std::int64_t j = 0; j < n; ++j) {
      Vector<T>* to = tiles.data + slot[j];
      unroll<0, kCount>([&]<int k>() {
        __builtin_prefetch(row[k] + ahead);
        to[k * pitch] = load(row[k]);
        row[k] += stride;
      });
    }
  });
}

// Whether writing a signal past the caches pays and is possible: it is large, and every row piece is aligned.
template <class IO>
bool can_stream(const Signal& signal) {
  constexpr std::int64_t large = std::int64_t{2} << 20, alignment = kLanes<Compute<IO>> * sizeof(IO);
  bool aligned = reinterpret_cast<std::uintptr_t>(signal.data) % alignment == 0;
  for (int axis = 0; axis < signal.axes; ++axis) aligned &= signal.stride[axis] * sizeof(IO) % alignment == 0;
  return aligned && signal.d_stride == 1 && signal.n_stride * sizeof(IO) % alignment == 0 &&
         signal.d % kLanes<Compute<IO>> == 0 && signal.batch * signal.n * signal.d * std::int64_t(sizeof(IO)) > large;
}

// Samples of one item <- row(j, k), sample j of tile k.
template <class IO, class Row>
void scatter(const Signal& signal, std::int64_t item, const Group& group, bool streaming, const Row& row) {
  using T = Compute<IO>;
  IO* data = batch_item<IO>(signal, item);
  if (signal.d_stride != 1 || group.lanes < kLanes<T>) {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const Lines<IO> to{data + group.channel[k] * signal.d_stride, signal.n_stride, signal.d_stride};
      scatter(to, signal.n, group.lanes, [&](std::int64_t, std::int64_t j) { return row(j, k); });
    }
    return;
  }
  with_count(group.tiles, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    IO* at[kCount];
    unroll<0, kCount>([&]<int k>() { at[k] = data + group.channel[k]; });
    for (std::int64_t j = 0; j < n; ++j) {
      unroll<0, kCount>([&]<int k>() {
        if (streaming) {
          stream(at[k], row(j, k));
        } else {
          __builtin_prefetch(at[k] + ahead, 1);
          store(at[k], row(j, k));
        }
        at[k] += stride;
      });
    }
  });
}

// Runs body(begin, end) over 0 .. count on the pool, in pieces of at least about `bytes` worth of work.
template <class Body>
void parallel(const ThreadPool& pool, std::int64_t count, std::int64_t bytes_each, const Body& body) {
  constexpr std::int64_t bytes_per_wakeup = 64 * 1024;  // a few microseconds of work
  const std::int64_t grain = max(1, bytes_per_wakeup / max(1, bytes_each));
  if (pool.threads == 1 || count <= grain) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
  pool.run(
      count, grain,
      [](std::int64_t begin, std::int64_t end, void* context) { (*static_cast<const Body*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
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
