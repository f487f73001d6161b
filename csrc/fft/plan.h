// Plans: how a transform of length n is split into stages, with their twiddles. Plain data, no Tensor, no lanes.
//
// A real transform never becomes a complex one of the same length. One stage of radix r, with m = n / r, does
//
//     X[q + r k] = sum_j w_n^{jq} (sum_t x[j + m t] w_r^{qt}) w_m^{jk},    w_n = exp(-2 pi i / n),
//
// and because x is real only these q are needed: the pairs q = 1 .. (r - 1) / 2, each a complex transform
// of length m, and what is left over, again a real transform: of length m (odd r: the bins r k), or of length
// 2 m (even r: the bins (r / 2) k, that is q = 0 and q = r / 2 together). So every bin is computed exactly once,
// nothing is unpacked, and n reals in become n reals out, in place:
//
//     slots  [ low part: m or 2 m reals | re of q = 1: m | re of q = 2 | ... | im of q = 1: m | ... ]
//
// Sample j + m t of a stage is where column t of that picture has its j-th slot. In the first stage of a long power of
// two these columns would all be in one set of the first-level cache: a gap is left after each of them.
//
// Where r and m have no common factor the twiddles w_n^{jq} go away (Good and Thomas): with sample (m t + r j) mod n
// in place of j + m t, butterfly q and bin k of length m give the bin that is q mod r and k mod m.
//
// A complex transform is decimation in frequency: its bins stay where the stages leave them. RealPlan says
// which slot a sample starts in and which slots hold a bin. Prime factors beyond the largest butterfly go through
// Rader's algorithm (PrimePlan), or, while they are small, through sums by definition (direct.h).
#pragma once

#include <cstdint>

#include "direct.h"
#include "export.h"

namespace spectrans {

constexpr std::int64_t kLargestButterfly = 13;

template <class T>
struct RealPlan;

// The Hartley transform of prime length p as a cyclic convolution of length m >= p - 1 (Rader 1968):
// y[g^-s] = x[0] + sum_q x[g^q] cas(2 pi g^(q - s) / p),   y[0] = sum x,   cas = cos + sin, g a generator.
template <class T>
struct PrimePlan {
  std::int64_t p;
  const RealPlan<T>* convolution;  // real transform of length m, smooth
  const std::int32_t* gather;      // [p - 1]  g^q
  const std::int32_t* scatter;     // [p - 1]  g^-q
  const T* response;               // [slots]  spectrum of the kernel in slot order, divided by m
};

template <class T>
struct ComplexStage {
  std::int64_t radix, m;  // blocks of radix * m values, butterflies over stride m
  const T* twiddles;      // [m][radix - 1][re, im]  exp(-2 pi i j q / (radix m)); null where none are needed
  // Of a radix beyond the largest butterfly, one of these.
  const PrimePlan<T>* prime = nullptr;
  const PrimePlan<double>* wide = nullptr;  // T is float
  const DirectPlan<T>* direct = nullptr;
};

template <class T>
struct ComplexPlan {
  std::int64_t n;
  std::int64_t stages;
  const ComplexStage<T>* stage;
  const std::int32_t* slot;  // [n] of each sample
  const std::int32_t* bin;   // [n] slot of each bin
  std::int64_t work;         // as in RealPlan
};

template <class T>
struct RealStage {
  std::int64_t radix, m;
  std::int64_t low;    // slots of the low part: m (odd radix) or 2 m (even)
  std::int64_t gap;    // slots left free after the low part and between the others; in the first stage alone
  std::int64_t pairs;  // complex transforms of length m that follow it
  const T* twiddles;   // [m][pairs][re, im]  exp(-2 pi i j q / (radix m)); null where none are needed
  const T* doubled;    // twice those: on the way back, the bins of a pair stand for their mirror images too
  const ComplexPlan<T>* child;
  // Of a radix beyond the largest butterfly, one of these.
  const PrimePlan<T>* prime = nullptr;
  const PrimePlan<double>* wide = nullptr;  // T is float
  const DirectPlan<T>* direct = nullptr;
};

template <class T>
struct RealPlan {
  std::int64_t n;
  std::int64_t slots;   // of a tile: n and the gaps
  std::int64_t stages;  // after the last one a real transform of length 1 or 2 is left in slots 0, 1
  const RealStage<T>* stage;
  const std::int32_t* slot;    // [n] of each sample
  const std::int32_t* sample;  // [n] the sample that the first stage takes as its j + m t
  // Bin k of the half spectrum, k = 0 .. n / 2: value[re[k]] + i sign[k] value[im[k]]; im[k] < 0 where it is zero.
  const std::int32_t* re;
  const std::int32_t* im;
  const T* sign;
  const std::int32_t* bin;  // [n / 2 + 1] the bins in the order of re: neighbours share cache lines
  std::int64_t work;        // slots of scratch that radices beyond the largest butterfly need; 0 without such
};

// `rows` real transforms of length n side by side: what RealPlan says of one value holds of a block of `rows` of them,
// so that one sweep of a stage does all rows. The rows' slots in a block are those of the samples of a transform over
// them.
template <class T>
struct BlockPlan {
  std::int64_t n, rows;
  std::int64_t slots;  // of a tile
  std::int64_t stages;
  const RealStage<T>* stage;   // m, low and gap are in values, not blocks, and so are those of the children
  const std::int32_t* slot;    // [rows n] of sample j of row i, at i n + j
  const std::int32_t* sample;  // [rows n] as in RealPlan
  std::int64_t work;           // as in RealPlan
};

// The plan of a real transform of length n >= 1, from the cache (plan_cache.h). T: float, double. wide: with Rader's
// algorithm in double, for half the error in thrice the time.
template <class T>
[[nodiscard]] SPECTRANS_API const RealPlan<T>& real_plan(std::int64_t n, bool wide = false);

// The same without gaps: a tile is n slots, so that such tiles are columns of another.
template <class T>
[[nodiscard]] SPECTRANS_API const RealPlan<T>& dense_real_plan(std::int64_t n);

// The same for a complex transform.
template <class T>
[[nodiscard]] SPECTRANS_API const ComplexPlan<T>& complex_plan(std::int64_t n);

// The same for blocks.
template <class T>
[[nodiscard]] SPECTRANS_API const BlockPlan<T>& block_plan(std::int64_t n, std::int64_t rows);

// Of Rader's algorithm for p, an odd prime.
template <class T>
[[nodiscard]] const PrimePlan<T>& prime_plan(std::int64_t p);

// Additions and multiplications of one forward real transform.
[[nodiscard]] SPECTRANS_API double plan_flops(std::int64_t n);

}  // namespace spectrans
