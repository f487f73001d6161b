// Sums of products with the tables of direct plans (fft/direct.h): small matrix products, on tiles.
#pragma once

#include "../../fft/direct.h"
#include "../simd.h"

namespace spectrans {
namespace {

// Columns summed one after the other, at most. Such sums are added in pairs, and those in pairs, which keeps the
// rounding of long ones to that of a transform; six columns take two sums already.
constexpr std::int64_t kDirectColumns = 10, kFewColumns = 6;
constexpr std::int64_t kFewSums = 4;  // of so many columns each, at most, which are added in registers
constexpr int kDirectLevels = 16;     // of pairs: enough for every table there is (fft/direct.cpp)

// Tiles whose sums are made side by side, so that each entry of a table is read for all of them: with the rows of a
// block as many sums as hide the latency of an addition, in registers.
template <int kRows>
constexpr int kDirectTiles = kRows < kDirectRows || kVectorBytes == 64 ? 4 : 2;

// As many columns in each sum, but for the last one.
SPECTRANS_INLINE std::int64_t columns_each(std::int64_t columns) {
  if (columns < kFewColumns) return columns;
  const std::int64_t sums = columns <= 2 * kDirectColumns ? 2 : (columns + kDirectColumns - 1) / kDirectColumns;
  return (columns + sums - 1) / sums;
}

// What columns are made of, a vector for each half and tile of them: its next column -> value[half kTiles + tile].
//
// Vectors in memory: those of a column `step` after those of the one before, those of a tile `pitch` after each other.
template <class T>
struct Columns {
  static constexpr int halves = 1;
  const Vector<T>* at;
  std::int64_t step, pitch;

  Columns of(std::int64_t tile) const { return {at + tile * pitch, step, pitch}; }
  template <int kTiles>
  SPECTRANS_INLINE void take(Vector<T> (&value)[kTiles]) {
    unroll<0, kTiles>([&]<int t>() SPECTRANS_INLINE_LAMBDA { value[t] = once(at[t * pitch]); });
    at += step;
  }
};

// Both halves of one tile.
template <class T>
struct BothHalves {
  static constexpr int halves = 2;
  Columns<T> even, odd;

  template <int kTiles>
  SPECTRANS_INLINE void take(Vector<T> (&value)[2]) {
    static_assert(kTiles == 1);
    value[0] = once(*even.at);
    value[1] = once(*odd.at);
    even.at += even.step;
    odd.at += odd.step;
  }
};

// sum[half][row][tile]: the next columns of each half times every other entry of a table.
template <int kRows, int kTiles, class T, class From>
SPECTRANS_INLINE void add_columns(const T*& table, From& from, std::int64_t columns,
                                  Vector<T> (&sum)[From::halves * kRows * kTiles]) {
  constexpr int kOfHalf = kRows * kTiles;
  for (const T* const end = table + 2 * kRows * columns; table != end; table += 2 * kRows) {
    Vector<T> value[From::halves * kTiles];
    from.template take<kTiles>(value);
    unroll<0, From::halves * kOfHalf>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      constexpr int half = i / kOfHalf, row = i % kOfHalf / kTiles, tile = i % kTiles;
      sum[i] += value[half * kTiles + tile] * table[row * 2 + half];
    });
  }
}

// The same of few columns, as many in each sum as columns_each says, in registers.
template <int kRows, int kTiles, class T, class From>
SPECTRANS_INLINE void add_few(const T* table, From from, std::int64_t columns, std::int64_t each,
                              Vector<T> (&sum)[From::halves * kRows * kTiles]) {
  static_assert(kFewSums == 4);
  constexpr int kSums = From::halves * kRows * kTiles;
  const auto next = [&](Vector<T>(&to)[kSums]) SPECTRANS_INLINE_LAMBDA {
    const std::int64_t count = columns < each ? columns : each;
    add_columns<kRows, kTiles>(table, from, count, to);
    columns -= count;
  };
  const auto next_pair = [&](Vector<T>(&to)[kSums]) SPECTRANS_INLINE_LAMBDA {
    next(to);
    if (columns == 0) return;
    Vector<T> other[kSums]{};
    next(other);
    unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { to[i] += other[i]; });
  };
  next_pair(sum);
  if (columns == 0) return;
  Vector<T> pair[kSums]{};
  next_pair(pair);
  unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i] += pair[i]; });
}

// The same of any number of columns.
template <int kRows, int kTiles, class T, class From>
void add_in_pairs(const T* table, From from, std::int64_t columns, Vector<T>* sum) {
  constexpr int kSums = From::halves * kRows * kTiles;
  Vector<T> pair[kDirectLevels][kSums];
  std::int64_t before = 0;  // sums that are in pairs, or pairs of pairs, of which there is one for each binary digit
  const std::int64_t each = columns_each(columns);
  for (; columns > 0; columns -= each, ++before) {
    Vector<T> own[kSums]{};
    add_columns<kRows, kTiles>(table, from, columns < each ? columns : each, own);
    int level = 0;
    for (std::int64_t digits = before; digits % 2 != 0; digits /= 2, ++level) {
      unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { own[i] += pair[level][i]; });
    }
    unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { pair[level][i] = own[i]; });
  }
  Vector<T> total[kSums]{};
  for (int level = 0; before != 0; before /= 2, ++level) {
    if (before % 2 == 0) continue;
    unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { total[i] += pair[level][i]; });
  }
  unroll<0, kSums>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i] = total[i]; });
}

// Calls f(first) with blocks of rows, their number as a compile-time constant.
template <class F>
SPECTRANS_INLINE void for_each_block(std::int64_t rows, const F& f) {
  static_assert(kDirectRows == 4);
  std::int64_t row = 0;
  for (; row + kDirectRows <= rows; row += kDirectRows) f.template operator()<kDirectRows>(row);
  switch (rows - row) {
    case 1: return f.template operator()<1>(row);
    case 2: return f.template operator()<2>(row);
    case 3: return f.template operator()<3>(row);
  }
}

// Calls f(row, tile, C, S) with the sums of every row of a table: C = sum_q even[q] cos, S = sum_q odd[q] sin. Those of
// `kTogether` tiles come one after the other.
template <int kTogether, class T, class F>
SPECTRANS_INLINE void for_each_row(const T* table, std::int64_t rows, std::int64_t columns, std::int64_t tiles,
                                   const Columns<T>& even, const Columns<T>& odd, const F& f) {
  if (columns <= kFewSums * kDirectColumns) {
    const std::int64_t each = columns_each(columns);
    for_each_block(rows, [&]<int kRows>(std::int64_t first) SPECTRANS_INLINE_LAMBDA {
      const auto sums = [&]<int kTiles>(std::int64_t tile) SPECTRANS_INLINE_LAMBDA {
        Vector<T> sum[kTiles][2 * kRows]{};
        unroll<0, kTiles>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
          add_few<kRows, 1>(table + 2 * first * columns, BothHalves<T>{even.of(tile + t), odd.of(tile + t)}, columns,
                            each, sum[t]);
        });
        unroll<0, kRows * kTiles>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
          constexpr int r = i / kTiles, t = i % kTiles;
          f(first + r, tile + t, sum[t][r], sum[t][kRows + r]);
        });
      };
      std::int64_t tile = 0;
      for (; tile + kTogether <= tiles; tile += kTogether) sums.template operator()<kTogether>(tile);
      for (; kTogether > 1 && tile < tiles; ++tile) sums.template operator()<1>(tile);
    });
    return;
  }
  for_each_block(rows, [&]<int kRows>(std::int64_t first) SPECTRANS_INLINE_LAMBDA {
    const T* const entries = table + 2 * first * columns;
    const auto sums = [&]<int kTiles, int kHalves>(std::int64_t tile) SPECTRANS_INLINE_LAMBDA {
      const Columns<T> a = even.of(tile), b = odd.of(tile);
      Vector<T> sum[2][kRows][kTiles];
      if constexpr (kHalves == 2) {
        add_in_pairs<kRows, kTiles>(entries, BothHalves<T>{a, b}, columns, &sum[0][0][0]);
      } else {
        add_in_pairs<kRows, kTiles>(entries, a, columns, &sum[0][0][0]);
        add_in_pairs<kRows, kTiles>(entries + 1, b, columns, &sum[1][0][0]);
      }
      unroll<0, kRows * kTiles>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        constexpr int r = i / kTiles, t = i % kTiles;
        f(first + r, tile + t, sum[0][r][t], sum[1][r][t]);
      });
    };
    constexpr int kTiles = kDirectTiles<kRows>;
    std::int64_t tile = 0;
    for (; tile + kTiles <= tiles; tile += kTiles) sums.template operator()<kTiles, 1>(tile);
    for (; tile < tiles; ++tile) sums.template operator()<1, 2>(tile);
  });
}

}  // namespace
}  // namespace spectrans
