// Lines of memory, one a lane or along vectors, and the vectors of a tile: neighbouring values are turned in registers.
#pragma once

#include "groups.h"

namespace spectrans {
namespace {

// Asks for a cache line that is read or written later. To the second level: requests to the first are dropped where
// many are under way; for reading: a line asked for so is written as fast, unless another thread holds it.
SPECTRANS_INLINE void fetch(const void* line) { __builtin_prefetch(line, 0, 2); }

// The same of one that is needed very soon, to the first level: at its stores, above all, a core waits for lines from
// the second.
SPECTRANS_INLINE void fetch_near(const void* line) { __builtin_prefetch(line, 0, 3); }

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

// Where each lane of a tile starts. Lanes not in use repeat the first.
template <class IO>
struct Starts {
  static constexpr int lanes = kLanes<Compute<IO>>;
  IO* at[lanes];
  int used;

  Starts() = default;
  Starts(const Signal& signal, std::int64_t pack, const Group& group, std::int64_t k) {
    const std::int64_t first = pack * group.items, items = min(group.items, signal.batch - first);
    used = 0;
    for (std::int64_t i = 0; i < items; ++i) {
      IO* channel = batch_item<IO>(signal, first + i) + group.channel[k] * signal.d_stride;
      for (int l = 0; l < group.lanes; ++l, channel += signal.d_stride) at[used++] = channel;
    }
    for (int lane = used; lane < lanes; ++lane) at[lane] = at[0];
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
    unroll<0, lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA { rows[l] = once(load(from.at[l] + at)); });
  } else {
    unroll<0, lanes>([&]<int l>()
                         SPECTRANS_INLINE_LAMBDA { rows[l] = l < from.used ? load(from.at[l] + at) : Vector<T>{}; });
  }
  transpose<T>(rows);
}

// Asks for what is written soon after the values of every lane at `at`.
template <class IO>
SPECTRANS_INLINE void fetch_lines(const Starts<IO>& to, std::int64_t at) {
  constexpr std::int64_t ahead = 2 * kLine / sizeof(IO);
  unroll<0, Starts<IO>::lanes>([&]<int l>() SPECTRANS_INLINE_LAMBDA { fetch_near(to.at[l] + at + ahead); });
}

// And back.
template <class IO, class T = Compute<IO>>
SPECTRANS_INLINE void store_lines(const Starts<IO>& to, std::int64_t at, Vector<T>* rows) {
  transpose<T>(rows);
  unroll<0, kLanes<T>>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
    if (l < to.used) store(to.at[l] + at, rows[l]);
  });
}

// One in every lane in use.
template <class IO, class T = Compute<IO>>
Vector<T> lanes_in_use(const Starts<IO>& starts) {
  Vector<T> result{};
  for (int l = 0; l < starts.used; ++l) result[l] = 1;
  return result;
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
  const Vector<T> in_use = lanes_in_use(from);
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
      fetch_lines(to, j);
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
  const Vector<T> in_use = lanes_in_use(from);
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
      fetch_lines(to, 2 * k);
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

// The first `count` values, as many as fit; the others are zero.
template <class IO>
SPECTRANS_INLINE Vector<Compute<IO>> load_first(const IO* from, std::int64_t count) {
  if (count >= kLanes<Compute<IO>>) return load(from);
  return count > 0 ? load_some(from, 1, static_cast<int>(count)) : Vector<Compute<IO>>{};
}

}  // namespace
}  // namespace spectrans
