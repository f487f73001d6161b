// The first bins of real transforms by their definition (fft/direct.h), on tiles.
#pragma once

#include "../fft/direct.h"
#include "simd.h"

namespace spectrans {
namespace {

// Columns summed one after the other; longer sums are pairwise, which keeps their rounding to that of a transform.
constexpr std::int64_t kDirectColumns = 7;

// A vector for each column of a table, `step` apart.
template <class T>
struct Column {
  const Vector<T>* at;
  std::int64_t step;
};

// sum[2 i] = sum_q even[q] cos, sum[2 i + 1] = sum_q odd[q] sin, over row i of a block of a table.
template <int kRows, class T>
void direct_sums(const T* table, Column<T> even, Column<T> odd, std::int64_t columns, Vector<T> (&sum)[2 * kRows]) {
  if (columns > kDirectColumns) {
    const std::int64_t half = columns / 2;
    Vector<T> rest[2 * kRows];
    direct_sums<kRows, T>(table, even, odd, half, sum);
    direct_sums<kRows, T>(table + 2 * kRows * half, {even.at + half * even.step, even.step},
                          {odd.at + half * odd.step, odd.step}, columns - half, rest);
    unroll<0, 2 * kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i] += rest[i]; });
    return;
  }
  Vector<T> own[2 * kRows]{};
  for (std::int64_t q = 0; q < columns; ++q, table += 2 * kRows) {
    const Vector<T> e = once(even.at[q * even.step]), o = once(odd.at[q * odd.step]);
    unroll<0, kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      own[2 * i] += e * table[2 * i];
      own[2 * i + 1] += o * table[2 * i + 1];
    });
  }
  unroll<0, 2 * kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i] = own[i]; });
}

// Calls f(row, C, S) with the sums of every row of a table.
template <class T, class F>
SPECTRANS_INLINE void for_each_row(const T* table, std::int64_t rows, std::int64_t columns, Column<T> even,
                                   Column<T> odd, const F& f) {
  static_assert(kDirectRows == 4);
  const auto block = [&]<int kRows>(std::int64_t first) SPECTRANS_INLINE_LAMBDA {
    Vector<T> sum[2 * kRows];
    direct_sums<kRows, T>(table + 2 * first * columns, even, odd, columns, sum);
    unroll<0, kRows>([&]<int i>() SPECTRANS_INLINE_LAMBDA { f(first + i, sum[2 * i], sum[2 * i + 1]); });
  };
  std::int64_t row = 0;
  for (; row + kDirectRows <= rows; row += kDirectRows) block.template operator()<kDirectRows>(row);
  switch (rows - row) {
    case 1: return block.template operator()<1>(row);
    case 2: return block.template operator()<2>(row);
    case 3: return block.template operator()<3>(row);
  }
}

template <class T>
struct DirectModes {
  const DirectPlan<T>& plan;
  const std::int64_t slots = plan.slots, work = 0;
  const std::int32_t* const slot = plan.slot;
  const std::int32_t *const re = plan.re, *const im = plan.im;
  const T* const sign = plan.sign;

  void forward(Vector<T>* tile, Vector<T>*) const {
    const std::int64_t n = plan.n, pairs = (n - 1) / 2;
    for (std::int64_t q = 1; q <= pairs; ++q) {
      const Vector<T> a = once(tile[q]), b = once(tile[n - q]);
      tile[q] = a + b;
      tile[n - q] = b - a;
    }
    const Vector<T> first = tile[0], middle = n % 2 == 0 ? tile[n / 2] : Vector<T>{};
    const Vector<T> alone[2] = {first + middle, first - middle};
    for_each_row<T>(plan.forward, plan.modes, pairs, {tile + 1, 1}, {tile + n - 1, -1},
                    [&](std::int64_t k, const Vector<T>& c, const Vector<T>& s) SPECTRANS_INLINE_LAMBDA {
                      tile[n + 2 * k] = alone[k % 2] + c;
                      tile[n + 2 * k + 1] = s;
                    });
  }

  void inverse(Vector<T>* tile, Vector<T>*) const {
    const std::int64_t n = plan.n, columns = plan.modes - 1;
    const Vector<T>* bins = tile + n;
    if (2 * columns == n) tile[n + 2 * columns + 1] = Vector<T>{};
    for_each_row<T>(plan.inverse, n / 2 + 1, columns, {bins + 2, 2}, {bins + 3, 2},
                    [&](std::int64_t j, const Vector<T>& c, const Vector<T>& s) SPECTRANS_INLINE_LAMBDA {
                      const Vector<T> even = bins[0] + c;
                      tile[j] = even - s;
                      if (j > 0) tile[n - j] = even + s;
                    });
  }
};

}  // namespace
}  // namespace spectrans
