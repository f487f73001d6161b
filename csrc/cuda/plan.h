// Plans of the transforms a block of threads does in its shared memory: plain data, passed to kernels by value.
//
// A block holds several columns (channels) of `rows` x `row` complex values; rows = 1 but for grids of tokens.
// Decimation in frequency goes through the stages in order, first those of the rows axis, then those of the row axis;
// in a stage, butterfly t of radix r takes the values at
//
//     base + i step,  i < r,     base = r step floor(t / step) + t mod step,
//
// and leaves output q, times exp(-2 pi i j q / (r m)) with j = (t mod step) / inner and m = step / inner, at base + q
// step. The last stage has step 1. It is not done with the others: its r outputs are bins
//
//     bin + blocks i,  i < r,    blocks = row / r,
//
// where they can be used without going back to memory; the inverse retraces the stages. A real line of even length is
// held as half as many complex values x[2 p] + i x[2 p + 1]; bins k and row - k then give those of the line.
#pragma once

#include <cstdint>

#include "../fft/butterflies.h"

namespace spectrans::cuda {

SPECTRANS_INLINE constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

constexpr int kMaxStages = 10;

// floor(t / divisor) = t magic >> 31, right for t divisor < 2^31.
struct Divider {
  std::uint32_t divisor, magic;
};

constexpr Divider divider(std::int64_t divisor) {
  return {static_cast<std::uint32_t>(divisor),
          static_cast<std::uint32_t>(((std::int64_t{1} << 31) + divisor - 1) / divisor)};
}

struct Stage {
  int radix;
  int step;         // of addresses: padding included
  Divider by_step;  // the step itself
  Divider by_inner;
  int m;         // twiddles of each output q; 1: all of them are 1
  int twiddles;  // where they begin, [q - 1][j], in the table of all stages; negative: ~ of where roots begin
  int axis;      // 0: rows, 1: row
};

// A stage with more twiddles than this makes them from two short tables of roots exp(-2 pi i k / (r m)): fine ones, of
// k < kFine, then coarse ones, of multiples of it. In float, where they take half the room, the first stage of 7^4 has
// a table of all, too.
constexpr int kMaxTwiddles = 2048, kMaxTwiddlesOfFloat = 6 * 343, kFineLog2 = 7, kFine = 1 << kFineLog2;
SPECTRANS_INLINE int roots_of(const Stage& stage) { return kFine + (stage.radix * stage.m >> kFineLog2) + 1; }

struct Plan {
  int rows, row;
  int stages;  // of both axes, the last included
  Stage stage[kMaxStages];
  int last, blocks;  // radix of the last stage, blocks of it in a row
  Divider by_blocks;
  int first;      // of a row: butterflies that samples are brought in by
  int addresses;  // of one column, padding included
  int twiddles;   // of all stages
  // Where values a power of two apart would share a bank, one place is left free after every `last` values and after
  // every first step.
  bool padded, first_padded;
  Divider by_last, by_first;
};

// What a kernel is compiled for: the less can come up, the sooner it is compiled. Lines have rows = 1; parts of lines
// too long for a block (long.h) are short enough, in float, for tables of all their twiddles.
enum class Lengths { line, odd_line, part_of_line, grid, grid_of_odd_rows };
enum class Place { first, inner, last };  // of a stage that is the only one: last

SPECTRANS_INLINE constexpr bool is_line(Lengths lengths) {
  return lengths != Lengths::grid && lengths != Lengths::grid_of_odd_rows;
}
template <class T>
SPECTRANS_INLINE constexpr bool can_have_roots(Lengths lengths) {
  return sizeof(T) != 4 || lengths != Lengths::part_of_line;
}

// Whether a stage can have a radix. A single factor 2 of a line is in its first stage, or all of its last one; the last
// stage of a grid is one of its rows, and a radix 1 nowhere else.
SPECTRANS_INLINE constexpr bool comes_up(int radix, Lengths lengths, Place place) {
  if (radix == 1) return place == Place::last;
  if (radix % 2 == 1) return true;
  if (lengths == Lengths::odd_line) return false;
  if (lengths == Lengths::grid_of_odd_rows && place == Place::last) return false;
  return radix != 2 || place != Place::inner || lengths == Lengths::grid;
}

// How a block's threads and shared memory are shared out among its columns. The tiles come first, then the tables:
// the twiddles, the turns exp(-2 pi i bin / (2 row)), and the addresses of bins on each axis; for
// weighted lines (right_angle.h) the twiddles, the weights, and spectra that are kept.
struct Layout {
  int columns;         // of one tile, a power of two
  int workers;         // threads to a column
  bool columns_first;  // neighbouring threads have neighbouring columns, not neighbouring samples
  int twiddles, turns, row_addresses, bin_addresses, weights, kept;  // where they begin, in bytes
};

// Whether rows x row values can be transformed in shared memory: the lengths have no prime factor but 2, 3, 5 and 7.
[[nodiscard]] bool has_plan(std::int64_t rows, std::int64_t row);

// last_limit: the largest radix of the last stage, 8 or 4 (where its values of several tiles are in registers at once);
// stage_limit: of the others, 16 in float or 8 in double.
[[nodiscard]] Plan plan(std::int64_t rows, std::int64_t row, int last_limit, int stage_limit);

// For weighted lines of n samples (right_angle.h): of the length from n on that costs least, every stage taking all its
// values through shared memory once. Bins are taken where they lie: values a first step apart need not be in different
// banks.
[[nodiscard]] Plan weighted_plan(std::int64_t n, int last_limit, int stage_limit);

}  // namespace spectrans::cuda
