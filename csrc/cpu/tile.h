// Between memory and tiles: gathers groups of neighbouring tiles row by row, so that whole cache lines are used
// per visit whatever the strides, and scatters them back.
#pragma once

#include "kernels.h"
#include "scratch.h"
#include "transform.h"

namespace spectrans {
namespace {

constexpr std::int64_t kGroupBytes = 128 * 1024;  // what the tiles of one group may take of the second-level cache
constexpr int kMaxTiles = 4;
constexpr std::int64_t kPrefetchRows = 8;

SPECTRANS_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
SPECTRANS_INLINE std::int64_t min(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
SPECTRANS_INLINE std::int64_t max(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

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

// put(k, j, value): lane l of value is sample j of channel k kLanes + l, for `channels` channels; missing lanes are
// zero.
template <class IO, class Put>
void gather(const Lines<const IO>& from, std::int64_t n, std::int64_t channels, const Put& put) {
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
        put(k, j, load(row + k * lanes));
      }
      if (rest > 0) put(full, j, load_some(row + full * lanes, 1, rest));
    }
    return;
  }
  for (std::int64_t k = 0; k <= full; ++k) {
    const int count = k < full ? lanes : rest;
    if (count == 0) break;
    const IO* start = from.data + k * lanes * from.d_stride;
    std::int64_t j = 0;
    if (from.n_stride == 1) {
      for (; j + lanes <= n; j += lanes) {
        Vector<T> rows[lanes];
        for (int l = 0; l < lanes; ++l) rows[l] = l < count ? load(start + l * from.d_stride + j) : Vector<T>{};
        transpose<T>(rows);
        for (int l = 0; l < lanes; ++l) put(k, j + l, rows[l]);
      }
    }
    for (; j < n; ++j) put(k, j, load_some(start + j * from.n_stride, from.d_stride, count));
  }
}

// tile[k n + slot(j)] <- sample j of the k-th lanes.
template <class IO>
void gather(const Lines<const IO>& from, const RealPlan<Compute<IO>>& plan, std::int64_t channels,
            Vector<Compute<IO>>* tile) {
  gather(from, plan.n, channels, [&](std::int64_t k, std::int64_t j, const Vector<Compute<IO>>& value) {
    tile[k * plan.n + plan.slot[j]] = value;
  });
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
