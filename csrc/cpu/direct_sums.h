// Sums of products with the tables of direct plans (fft/direct.h): small matrix products, on tiles.
#pragma once

#include "../fft/direct.h"
#include "simd.h"

namespace spectrans {
namespace {

// Columns summed one after the other, at most. Such sums are added in pairs, and those in pairs, which keeps the
// rounding of long ones to that of a transform; six columns take two sums already.
constexpr std::int64_t kDirectColumns = 10, kFewColumns = 6;
constexpr int kDirectLevels = 16;  // of pairs: enough for every table there is (fft/direct.cpp)

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

// A vector for each column of a table, `step` apart, in each of several tiles, `pitch` apart.
template <class T>
struct Columns {
  const Vector<T>* at;
  std::int64_t step, pitch;

  SPECTRANS_INLINE Columns of(std::int64_t tile) const { return {at + tile * pitch, step, pitch}; }
};

// sum[half][row][tile]: the columns of a (half 0) and of b (half 1, where there are two) times every other entry of a
// table. Goes on to the columns after those.
template <int kRows, int kTiles, int kHalves, class T>
SPECTRANS_INLINE void add_columns(const T*& table, Columns<T>& a, Columns<T>& b, std::int64_t columns,
                                  Vector<T> (&sum)[kHalves * kRows * kTiles]) {
  constexpr int kOfHalf = kRows * kTiles;
  for (const T* const end = table + 2 * kRows * columns; table != end; table += 2 * kRows) {
    unroll<0, kHalves>([&]<int half>() SPECTRANS_INLINE_LAMBDA {
      Columns<T>& from = half == 0 ? a : b;
      Vector<T> value[kTiles];
      unroll<0, kTiles>([&]<int t>() SPECTRANS_INLINE_LAMBDA { value[t] = once(from.at[t * from.pitch]); });
      unroll<0, kOfHalf>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        sum[half * kOfHalf + i] += value[i % kTiles] * table[i / kTiles * 2 + half];
      });
      from.at += from.step;
    });
  }
}

// The same of any number of columns.
template <int kRows, int kTiles, int kHalves, class T>
void add_in_pairs(const T* table, const Columns<T>& first, const Columns<T>& second, std::int64_t columns,
                  Vector<T>* sum) {
  constexpr int kSums = kHalves * kRows * kTiles;
  Columns<T> a = first, b = second;
  Vector<T> pair[kDirectLevels][kSums];
  std::int64_t before = 0;  // sums that are in pairs, or pairs of pairs, of which there is one for each binary digit
  const std::int64_t each = columns_each(columns);
  for (; columns > 0; columns -= each, ++before) {
    Vector<T> own[kSums]{};
    add_columns<kRows, kTiles, kHalves>(table, a, b, columns < each ? columns : each, own);
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

// Calls f(row, tile, C, S) with the sums of every row of a table: C = sum_q even[q] cos, S = sum_q odd[q] sin.
template <class T, class F>
SPECTRANS_INLINE void for_each_row(const T* table, std::int64_t rows, std::int64_t columns, std::int64_t tiles,
                                   const Columns<T>& even, const Columns<T>& odd, const F& f) {
  if (columns <= 2 * kDirectColumns) {
    const std::int64_t each = columns_each(columns);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      for_each_block(rows, [&]<int kRows>(std::int64_t first) SPECTRANS_INLINE_LAMBDA {
        const T* entries = table + 2 * first * columns;
        Columns<T> a = even.of(tile), b = odd.of(tile);
        Vector<T> sum[2 * kRows]{};
        add_columns<kRows, 1, 2>(entries, a, b, each, sum);
        if (each < columns) {
          Vector<T> rest[2 * kRows]{};
          add_columns<kRows, 1, 2>(entries, a, b, columns - each, rest);
          unroll<0, 2 * kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i] += rest[i]; });
        }
        unroll<0, kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { f(first + i, tile, sum[i], sum[kRows + i]); });
      });
    }
    return;
  }
  for_each_block(rows, [&]<int kRows>(std::int64_t first) SPECTRANS_INLINE_LAMBDA {
    const T* const entries = table + 2 * first * columns;
    const auto sums = [&]<int kTiles, int kHalves>(std::int64_t tile) SPECTRANS_INLINE_LAMBDA {
      constexpr int kOfHalf = kRows * kTiles;
      const Columns<T> a = even.of(tile), b = odd.of(tile);
      Vector<T> sum[2][kOfHalf];
      if constexpr (kHalves == 2) {
        add_in_pairs<kRows, kTiles, 2>(entries, a, b, columns, sum[0]);
      } else {
        add_in_pairs<kRows, kTiles, 1>(entries, a, a, columns, sum[0]);
        add_in_pairs<kRows, kTiles, 1>(entries + 1, b, b, columns, sum[1]);
      }
      unroll<0, kOfHalf>(
          [&]<int i>() SPECTRANS_INLINE_LAMBDA { f(first + i / kTiles, tile + i % kTiles, sum[0][i], sum[1][i]); });
    };
    constexpr int kTiles = kDirectTiles<kRows>;
    std::int64_t tile = 0;
    for (; tile + kTiles <= tiles; tile += kTiles) sums.template operator()<kTiles, 1>(tile);
    for (; tile < tiles; ++tile) sums.template operator()<1, 2>(tile);
  });
}

}  // namespace
}  // namespace spectrans
