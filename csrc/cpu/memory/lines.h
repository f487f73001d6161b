// Lines of memory, one a lane or along vectors, and the vectors of a tile: neighbouring values are turned in registers.
#pragma once

#include "../groups.h"

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
  int together = 1;  // lanes that are neighbours in memory: those of one item, or one

  Starts() = default;
  // size: of what lanes hold one of, a value or a pair
  Starts(const Signal& signal, std::int64_t pack, const Group& group, std::int64_t k, std::int64_t size = 1) {
    const std::int64_t first = pack * group.items, items = min(group.items, signal.batch - first);
    used = 0;
    together = signal.d_stride == size ? group.lanes : 1;
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

// The lanes of a tile as pieces of vectors, of which a mask takes what is side by side in memory: kParts vectors hold
// kParts values of each lane.
template <class IO, int kParts>
class Pieces {
  using T = Compute<IO>;
  static constexpr int lanes = kLanes<T>;

 public:
  explicit Pieces(const Starts<IO>& starts) {
    const int each = kParts * starts.together;
    for (int first = 0; first < starts.used; first += starts.together) {
      const std::uint64_t mask = ((std::uint64_t{1} << each) - 1) << (kParts * first);
      for (int part = 0; part < kParts; ++part) {
        const auto here = static_cast<std::uint32_t>(mask >> (part * lanes)) & first_lanes(lanes);
        if (here != 0) piece_[part][count_[part]++] = {starts.at[first] - kParts * first + part * lanes, here};
      }
    }
  }

  // Lanes not in use are zero.
  SPECTRANS_INLINE Vector<T> load(std::int64_t offset, int part = 0) const {
    Raw<std::remove_const_t<IO>> value{};
    for (int i = 0; i < count_[part]; ++i) {
      value = load_masked<std::remove_const_t<IO>>(piece_[part][i].at + offset, piece_[part][i].mask, value);
    }
    return from_raw<std::remove_const_t<IO>>(value);
  }
  SPECTRANS_INLINE void store(std::int64_t offset, Vector<T> value, int part = 0) const {
    const auto raw = to_raw<IO>(value);
    for (int i = 0; i < count_[part]; ++i) store_masked(piece_[part][i].at + offset, piece_[part][i].mask, raw);
  }

 private:
  struct Piece {
    IO* at;
    std::uint32_t mask;
  };

  Piece piece_[kParts][lanes];
  int count_[kParts]{};
};

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

// Calls f with the lanes of an item as a compile-time constant, where they and the lanes of a vector are powers of two
// and there is more than one item. Whether there were.
template <class T, int kBlock = 2, class F>
SPECTRANS_INLINE bool with_block(int together, const F& f) {
  if constexpr (kBlock < kLanes<T>) {
    if (together != kBlock) return with_block<T, 2 * kBlock>(together, f);
    f.template operator()<kBlock>();
    return true;
  }
  return false;
}

// Lanes by items, where these are dense: blocks of kBlock values of each, turned in registers. from: the first of them.
template <class IO, int kBlock, class T = Compute<IO>>
SPECTRANS_INLINE void load_blocks(const Starts<const IO>& from, int first, std::int64_t at, int step, Vector<T>* rows) {
  constexpr int items = kLanes<T> / kBlock;
  unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    const int lane = first + i * step;
    rows[i] = lane < from.used ? load(from.at[lane] + at) : Vector<T>{};
  });
  transpose_blocks<T, kBlock>(rows);
}
template <class IO, int kBlock, class T = Compute<IO>>
SPECTRANS_INLINE void store_blocks(const Starts<IO>& to, int first, std::int64_t at, int step, Vector<T>* rows) {
  constexpr int items = kLanes<T> / kBlock;
  transpose_blocks<T, kBlock>(rows);
  unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    const int lane = first + i * step;
    if (lane < to.used) store(to.at[lane] + at, rows[i]);
  });
}

// Whether masks take or give the lanes of a tile faster than one by one: of a few items.
template <class IO>
SPECTRANS_INLINE bool are_pieces(const Starts<IO>& starts) {
  constexpr int kMostPieces = 5;
  return kMasks && starts.together > 1 && starts.used <= kMostPieces * starts.together;
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
  } else if (stride == from.together) {
    with_block<T>(from.together, [&]<int kBlock>() SPECTRANS_INLINE_LAMBDA {
      constexpr int items = lanes / kBlock;
      for (; j + items <= n; j += items) {
        Vector<T> rows[items];
        load_blocks<IO, kBlock>(from, 0, j * stride, kBlock, rows);
        unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA { put(j + i, rows[i]); });
      }
    });
  }
  if constexpr (kMasks) {
    if (are_pieces(from)) {
      const Pieces<const IO, 1> pieces(from);
      for (; j < n; ++j) put(j, pieces.load(j * stride));
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
  } else if (stride == to.together) {
    with_block<T>(to.together, [&]<int kBlock>() SPECTRANS_INLINE_LAMBDA {
      constexpr int items = lanes / kBlock;
      for (; j + items <= n; j += items) {
        Vector<T> rows[items];
        unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA { rows[i] = row(j + i); });
        store_blocks<IO, kBlock>(to, 0, j * stride, kBlock, rows);
      }
    });
  }
  if constexpr (kMasks) {
    if (are_pieces(to)) {
      const Pieces<IO, 1> pieces(to);
      for (; j < n; ++j) pieces.store(j * stride, row(j));
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
  const auto put_vectors = [&](std::int64_t k, const Vector<T>& low, const Vector<T>& high) SPECTRANS_INLINE_LAMBDA {
    put(k, Complex<Vector<T>>{ShufflesOf<T>::even(low, high), ShufflesOf<T>::odd(low, high)});
  };
  std::int64_t k = 0;
  if (stride == 2) {
    for (; k + at_once <= count; k += at_once) {
      Vector<T> rows[lanes];
      load_lines<T>(from, 2 * k, rows);
      unroll<0, at_once>([&]<int i>()
                             SPECTRANS_INLINE_LAMBDA { put(k + i, Complex<Vector<T>>{rows[2 * i], rows[2 * i + 1]}); });
    }
  } else if (stride == 2 * from.together) {
    with_block<T>(2 * from.together, [&]<int kBlock>() SPECTRANS_INLINE_LAMBDA {
      constexpr int items = lanes / kBlock;  // in each half of the lanes
      for (; k + items <= count; k += items) {
        Vector<T> low[items], high[items];
        load_blocks<T, kBlock>(from, 0, k * stride, kBlock / 2, low);
        load_blocks<T, kBlock>(from, at_once, k * stride, kBlock / 2, high);
        unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA { put_vectors(k + i, low[i], high[i]); });
      }
    });
  }
  if constexpr (kMasks) {
    if (are_pieces(from)) {
      const Pieces<const T, 2> pieces(from);
      for (; k < count; ++k) put_vectors(k, pieces.load(k * stride, 0), pieces.load(k * stride, 1));
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
  const auto vectors = [&](std::int64_t k, Vector<T>& low, Vector<T>& high) SPECTRANS_INLINE_LAMBDA {
    const Complex<Vector<T>> z = pair(k);
    low = ShufflesOf<T>::template zip_half<0>(z.re, z.im);
    high = ShufflesOf<T>::template zip_half<1>(z.re, z.im);
  };
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
  } else if (stride == 2 * to.together) {
    with_block<T>(2 * to.together, [&]<int kBlock>() SPECTRANS_INLINE_LAMBDA {
      constexpr int items = lanes / kBlock;
      for (; k + items <= count; k += items) {
        Vector<T> low[items], high[items];
        unroll<0, items>([&]<int i>() SPECTRANS_INLINE_LAMBDA { vectors(k + i, low[i], high[i]); });
        store_blocks<T, kBlock>(to, 0, k * stride, kBlock / 2, low);
        store_blocks<T, kBlock>(to, at_once, k * stride, kBlock / 2, high);
      }
    });
  }
  if constexpr (kMasks) {
    if (are_pieces(to)) {
      const Pieces<T, 2> pieces(to);
      for (; k < count; ++k) {
        Vector<T> low, high;
        vectors(k, low, high);
        pieces.store(k * stride, low, 0);
        pieces.store(k * stride, high, 1);
      }
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

// And back, `stride` elements apart.
template <class IO>
SPECTRANS_INLINE void store_first(IO* to, std::int64_t stride, std::int64_t count, Vector<Compute<IO>> value) {
  if (stride == 1 && count >= kLanes<Compute<IO>>) return store(to, value);
  store_some(to, stride, static_cast<int>(min(count, kLanes<Compute<IO>>)), value);
}

}  // namespace
}  // namespace spectrans
