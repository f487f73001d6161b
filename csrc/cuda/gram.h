// ||T T^H - I||_F by tiles of the product, in float64: a tile stays in registers until its squares are summed, so that
// neither the product nor I nor the difference is ever held. The product is Hermitian: tiles above the diagonal count
// twice, those below not at all. That halves the arithmetic, which an H100's vector units then do about as fast as its
// tensor cores do all of it (34 and 67 Tflop/s), and no copy of T in float64 is made.
//
// Sums in float32 would not do: the rows of a float32 matrix are as far from orthonormal as they round.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "reduction.h"

namespace spectrans::cuda {
namespace {

// A matrix [rows, samples] of each item; its rows are multiplied with each other.
struct Rows {
  Element element;
  Signal signal;  // the batch, and where it begins
  std::int64_t rows, samples, row_stride, sample_stride;
  bool beside;  // rows are neighbours in memory, rather than samples
  // Of float64, an item each: exponents of the powers of two that elements are divided by, lest squares overflow or
  // vanish. Or null.
  const int* exponent;
};

// What is known of items beforehand: some of them are not a kernel's business.
constexpr double kOpen = -1;
struct Guard {
  const double* state = nullptr;  // [item] kOpen, or how it ended
  bool open = false;              // which items are
  SPECTRANS_DEVICE bool skips(std::int64_t item) const {
    return state != nullptr && (load(state + item) == kOpen) != open;
  }
};

constexpr int kGramThreads = 128, kGramX = 16, kGramY = 8;
constexpr int kDepth = 16;  // reals of each row that are in shared memory at once

// Of a block: as many columns as rows. A thread's rows are kGramY apart, its columns kGramX, so that neighbours read
// neighbours.
template <bool is_complex, int tall, int wide>
struct GramTile {
  static constexpr bool complex = is_complex;
  static constexpr int high = tall, across = wide, size = kGramY * tall, parts = complex ? 2 : 1;
  static constexpr int pitch = size + 1;            // odd: columns of a panel are stored without bank conflicts
  static constexpr int panel = kDepth * pitch;      // doubles
  static constexpr int sums = parts * size * size;  // of a tile
  static_assert(size == kGramX * wide);
};

struct GramParameters {
  Rows of;
  std::int64_t first_item;
  std::int64_t tiles, pairs;  // of an item: tiles along a side, and tiles on and above the diagonal
  std::int64_t depth;         // reals of each row that one block multiplies, whole steps
  double* sums;               // [split, item, pair, part, row, column]; or null:
  double* squares;            // [item, pair] the tile's share of ||T T^H - I||^2; its root where that is all
  Guard guard;
};

// Row i of the upper triangle has tiles - i tiles.
SPECTRANS_DEVICE void place_tile(std::int64_t pair, std::int64_t tiles, std::int64_t& i, std::int64_t& j) {
  for (i = 0, j = pair; j >= tiles - i; ++i) j -= tiles - i;
  j += i;
}

// A warp is 8 threads wide and 4 high, and of every thread's neighbours one reads the same row and one the same column.
SPECTRANS_DEVICE int gram_x(int thread) {
  return (thread & 1) | (thread >> 1 & 2) | (thread >> 2 & 4) | (thread >> 2 & 8);
}
SPECTRANS_DEVICE int gram_y(int thread) { return (thread >> 1 & 1) | (thread >> 2 & 2) | (thread >> 4 & 4); }

// A division by 2^exponent, in two steps that neither overflow nor vanish.
struct Shrink {
  double first, second;
  SPECTRANS_DEVICE explicit Shrink(int exponent)
      : first(ldexp(1.0, -(exponent / 2))), second(ldexp(1.0, exponent / 2 - exponent)) {}
  SPECTRANS_DEVICE double operator()(double value) const { return value * first * second; }
  SPECTRANS_DEVICE double operator()(float value) const { return value; }
};

SPECTRANS_DEVICE Shrink shrink_of(const Rows& of, std::int64_t item) {
  return Shrink(of.exponent == nullptr ? 0 : load(of.exponent + item));
}

// to[q pitch + r] = real q of row r, q < kDepth; zero where there is none.
template <class Tile, class S>
SPECTRANS_DEVICE void load_panel(const Rows& of, std::int64_t offset, int rows, int reals, const Shrink& shrink,
                                 Shared<double> to) {
  const S* from = static_cast<const S*>(of.signal.data) + offset;
  constexpr int each = Tile::size * kDepth / kGramThreads, line = Tile::size * Tile::parts;
  const auto place = [&](int i, int& row, int& q) SPECTRANS_INLINE_LAMBDA {
    const int at = static_cast<int>(threadIdx.x) + i * kGramThreads;
    row = of.beside ? at % line / Tile::parts : at / kDepth;
    q = of.beside ? at / line * Tile::parts + at % Tile::parts : at % kDepth;
  };
  S value[each];
  unroll<0, each>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    int row, q;
    place(i, row, q);
    const std::int64_t sample = q / Tile::parts * of.sample_stride + q % Tile::parts;
    value[i] = row < rows && q < reals ? load(from + row * of.row_stride + sample) : narrow<S>(0);
  });
  unroll<0, each>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    int row, q;
    place(i, row, q);
    to.store(q * Tile::pitch + row, shrink(widen(value[i])));
  });
}

template <class Tile>
SPECTRANS_DEVICE void load_panel(const Rows& of, std::int64_t item, std::int64_t first, std::int64_t begin,
                                 const Shrink& shrink, Shared<double> to) {
  const std::int64_t offset = item + first * of.row_stride + begin / Tile::parts * of.sample_stride;
  const int rows = static_cast<int>(smaller(of.rows - first, std::int64_t{Tile::size}));
  const int reals = static_cast<int>(smaller(of.samples * Tile::parts - begin, std::int64_t{kDepth}));
  switch (of.element) {
    case Element::float32: return load_panel<Tile, float>(of, offset, rows, reals, shrink, to);
    case Element::float64: return load_panel<Tile, double>(of, offset, rows, reals, shrink, to);
    case Element::bfloat16: return load_panel<Tile, __nv_bfloat16>(of, offset, rows, reals, shrink, to);
    case Element::float16: return load_panel<Tile, __half>(of, offset, rows, reals, shrink, to);
  }
}

// |value|^2 of an entry of T T^H - I, as often as it and its mirror image count.
SPECTRANS_DEVICE double share(double re, double im, std::int64_t row, std::int64_t column, bool on_diagonal) {
  if (row == column) re -= 1;
  return (on_diagonal ? 1 : 2) * (re * re + im * im);
}

template <class Tile>
__global__ void __launch_bounds__(kGramThreads, Tile::complex ? 4 : 3)
    gram_kernel(const __grid_constant__ GramParameters p) {
  constexpr int high = Tile::high, across = Tile::across;
  const int thread = static_cast<int>(threadIdx.x), x = gram_x(thread), y = gram_y(thread);
  std::int64_t item = blockIdx.x, i, j;
  place_tile(divide(item, p.pairs), p.tiles, i, j);
  if (p.guard.skips(item)) return;
  const std::int64_t offset = batch_offset(p.of.signal, p.first_item + item);
  const Shrink shrink = shrink_of(p.of, p.first_item + item);
  const auto left = shared<double>(0);
  const auto right = i == j ? left : shared<double>(Tile::panel * static_cast<int>(sizeof(double)));
  double re[high][across] = {}, im[high][across] = {};
  const std::int64_t begin = blockIdx.y * p.depth, end = smaller(begin + p.depth, p.of.samples * Tile::parts);
  for (std::int64_t k = begin; k < end; k += kDepth) {
    load_panel<Tile>(p.of, offset, i * Tile::size, k, shrink, left);
    if (i != j) load_panel<Tile>(p.of, offset, j * Tile::size, k, shrink, right);
    __syncthreads();
    for (int q = 0; q < kDepth; q += Tile::parts) {
      double a[Tile::parts][high], b[Tile::parts][across];
      unroll<0, Tile::parts>([&]<int part>() SPECTRANS_INLINE_LAMBDA {
        unroll<0, high>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          a[part][r] = left.load((q + part) * Tile::pitch + y + r * kGramY);
        });
        unroll<0, across>([&]<int c>() SPECTRANS_INLINE_LAMBDA {
          b[part][c] = right.load((q + part) * Tile::pitch + x + c * kGramX);
        });
      });
      unroll<0, high * across>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
        constexpr int r = e / across, c = e % across;
        re[r][c] += a[0][r] * b[0][c];
        if constexpr (Tile::complex) {
          re[r][c] += a[1][r] * b[1][c];
          im[r][c] += a[1][r] * b[0][c];
          im[r][c] -= a[0][r] * b[1][c];
        }
      });
    }
    __syncthreads();
  }
  if (p.sums != nullptr) {
    const std::int64_t blocks = gridDim.x, tile = blockIdx.y * blocks + blockIdx.x;
    unroll<0, high * across>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
      constexpr int r = e / across, c = e % across;
      double* to = p.sums + tile * Tile::sums + (y + r * kGramY) * Tile::size + x + c * kGramX;
      store(to, re[r][c]);
      if constexpr (Tile::complex) store(to + Tile::size * Tile::size, im[r][c]);
    });
    return;
  }
  double sum = 0;
  unroll<0, high * across>([&]<int e>() SPECTRANS_INLINE_LAMBDA {
    constexpr int r = e / across, c = e % across;
    const std::int64_t row = i * Tile::size + y + r * kGramY, column = j * Tile::size + x + c * kGramX;
    if (row < p.of.rows && column < p.of.rows) sum += share(re[r][c], im[r][c], row, column, i == j);
  });
  sum = group_sum(left, thread, kGramThreads, sum);
  if (thread == 0) store(p.squares + blockIdx.x, p.pairs == 1 ? sqrt(sum) : sum);
}

// Of a tile whose products several blocks have summed.
struct SplitParameters {
  std::int64_t rows, tiles, pairs, blocks;
  int splits;
  const double* sums;
  double* squares;
};

SPECTRANS_DEVICE double sum_splits(const double* from, std::int64_t step, int splits) {
  double sum = load(from);
  for (int split = 1; split < splits; ++split) sum += load(from + split * step);
  return sum;
}

constexpr int kSplitThreads = 256;

template <class Tile>
__global__ void __launch_bounds__(kSplitThreads) split_kernel(const __grid_constant__ SplitParameters p) {
  const int thread = static_cast<int>(threadIdx.x);
  std::int64_t item = blockIdx.x, i, j;
  place_tile(divide(item, p.pairs), p.tiles, i, j);
  double sum = 0;
  for (int at = thread; at < Tile::size * Tile::size; at += kSplitThreads) {
    const std::int64_t row = i * Tile::size + at / Tile::size, column = j * Tile::size + at % Tile::size;
    if (row >= p.rows || column >= p.rows) continue;
    const double* from = p.sums + std::int64_t{blockIdx.x} * Tile::sums + at;
    const std::int64_t step = p.blocks * Tile::sums;
    const double re = sum_splits(from, step, p.splits);
    const double im = Tile::complex ? sum_splits(from + Tile::size * Tile::size, step, p.splits) : 0;
    sum += share(re, im, row, column, i == j);
  }
  sum = group_sum(shared<double>(0), thread, kSplitThreads, sum);
  if (thread == 0) store(p.squares + blockIdx.x, p.pairs == 1 ? sqrt(sum) : sum);
}

struct RootParameters {
  const double* squares;  // [item, pair]
  double* to;
  std::int64_t pairs;
};

__global__ void __launch_bounds__(kSplitThreads) root_kernel(const __grid_constant__ RootParameters p) {
  const int thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (std::int64_t pair = thread; pair < p.pairs; pair += kSplitThreads) {
    sum += load(p.squares + blockIdx.x * p.pairs + pair);
  }
  sum = group_sum(shared<double>(0), thread, kSplitThreads, sum);
  if (thread == 0) store(p.to + blockIdx.x, sqrt(sum));
}

// ---- on the host ----------------------------------------------------------------------------------------------------

constexpr int kDoubleBytes = static_cast<int>(sizeof(double));

inline double* allocate_doubles(const Stream& stream, std::int64_t count) {
  return static_cast<double*>(stream.allocate(static_cast<std::size_t>(count) * sizeof(double), stream.context));
}

// Blocks that multiply a large device is kept busy by, and products of which a block should not do less.
constexpr std::int64_t kManyBlocks = 256, kLeastDepth = 512;

// How a product is divided: as shapes alone tell, so that sums have the same bits everywhere. (Of no rows or no samples
// there is a tile of zeros.)
struct GramPlan {
  std::int64_t tiles, pairs, depth;
  int splits, size;

  GramPlan(std::int64_t items, std::int64_t rows, std::int64_t reals, bool complex)
      : size(rows <= 16 ? 16
             : complex  ? 32
                        : 64) {
    tiles = std::max<std::int64_t>(1, ceil_div(rows, size));
    reals = std::max<std::int64_t>(1, reals);
    pairs = tiles * (tiles + 1) / 2;
    const std::int64_t wanted = std::min(ceil_div(kManyBlocks, items * pairs), ceil_div(reals, kLeastDepth));
    depth = ceil_div(ceil_div(reals, wanted), kDepth) * kDepth;
    splits = static_cast<int>(ceil_div(reals, depth));
  }
};

template <class F>
void with_tile(bool complex, int size, F&& f) {
  if (complex) {
    size == 16 ? f(GramTile<true, 2, 1>{}) : f(GramTile<true, 4, 2>{});
  } else {
    size == 16 ? f(GramTile<false, 2, 1>{}) : f(GramTile<false, 8, 4>{});
  }
}

template <class Tile>
void multiply(const Rows& rows, std::int64_t first_item, std::int64_t items, const GramPlan& plan, double* sums,
              double* squares, void* stream, const Guard& guard = {}) {
  const dim3 blocks(static_cast<unsigned>(items * plan.pairs), static_cast<unsigned>(plan.splits));
  const int doubles = std::max((plan.tiles == 1 ? 1 : 2) * Tile::panel, kGramThreads);
  launch(gram_kernel<Tile>, {blocks, kGramThreads, doubles * kDoubleBytes}, stream,
         {rows, first_item, plan.tiles, plan.pairs, plan.depth, sums, squares, guard});
}

inline void gram_errors(const Orthogonality& call, const Stream& stream) {
  const Signal& t = call.t;
  const bool beside = t.n_stride < t.d_stride;
  const Rows rows{call.element, t, t.n, t.d, t.n_stride, t.d_stride, beside, nullptr};
  const GramPlan plan(t.batch, t.n, t.d * (call.pairs ? 2 : 1), call.pairs);
  const std::int64_t blocks = t.batch * plan.pairs;
  double* squares = plan.pairs == 1 ? call.error : allocate_doubles(stream, blocks);
  with_tile(call.pairs, plan.size, [&]<class Tile>(Tile) {
    double* sums = plan.splits == 1 ? nullptr : allocate_doubles(stream, plan.splits * blocks * Tile::sums);
    multiply<Tile>(rows, 0, t.batch, plan, sums, squares, stream.stream);
    if (sums == nullptr) return;
    launch(split_kernel<Tile>, {dim3(static_cast<unsigned>(blocks)), kSplitThreads, kSplitThreads * kDoubleBytes},
           stream.stream, {t.n, plan.tiles, plan.pairs, blocks, plan.splits, sums, squares});
  });
  if (plan.pairs == 1) return;
  launch(root_kernel, {dim3(static_cast<unsigned>(t.batch)), kSplitThreads, kSplitThreads * kDoubleBytes},
         stream.stream, {squares, call.error, plan.pairs});
}

}  // namespace
}  // namespace spectrans::cuda
