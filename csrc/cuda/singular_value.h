// The largest singular value of a matrix, and its vectors, without ever asking the device how far it is: there is no
// iteration to stop. With B the matrix or its transpose, whichever has fewer rows, and B B^H = Q T Q^H the Householder
// tridiagonalisation, the largest eigenvalue of T is found by multisection, its vector by a twisted factorisation, and
// x = Q y is a left singular vector of B; |B^H x| is the value, B^H x over it the right one.
//
// Everything is in float64, where the relative error of the largest eigenvalue of a product of n terms is of the order
// of n 2^-53 whatever the smaller ones are. Lanczos' iteration (csrc/cpu/lanczos.h) would read a large matrix less
// often, but needs as many steps as there are rows to be sure: how many it takes depends on the values.
//
// Complex matrices become real ones of twice the size, [[re, -im], [im, re]] for each entry: every eigenvalue is there
// twice, and any vector of its plane is a vector of complex numbers (re, im).
#pragma once

#include "gram.h"

namespace spectrans::cuda {
namespace {

constexpr int kValueThreads = 256, kFewThreads = 64;
constexpr std::int64_t kMaxRows = 4096;  // of the real matrix: three of its rows fit the shared memory of any device

// ---- exponents ------------------------------------------------------------------------------------------------------

constexpr int kPeakElements = 4096;  // of a block

struct PeakParameters {
  Rows of;
  std::int64_t reals, blocks;  // of an item
  int parts;
  double* peaks;   // [item, block]
  int* exponents;  // [item]
};

// The largest modulus of an item's parts; NaN if one is.
__global__ void __launch_bounds__(kValueThreads) peak_kernel(const __grid_constant__ PeakParameters p) {
  std::int64_t item = blockIdx.x;
  const std::int64_t first = divide(item, p.blocks) * kPeakElements, near = p.of.beside ? p.of.rows : p.of.samples;
  const auto* data = static_cast<const double*>(p.of.signal.data) + batch_offset(p.of.signal, item);
  const std::int64_t near_stride = p.of.beside ? p.of.row_stride : p.of.sample_stride;
  const std::int64_t far_stride = p.of.beside ? p.of.sample_stride : p.of.row_stride;
  double peak = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kPeakElements && first + i < p.reals; i += kValueThreads) {
    std::int64_t far = first + i;
    const std::int64_t part = divide(far, p.parts), at = divide(far, near);
    const double size = fabs(load(data + far * far_stride + at * near_stride + part));
    peak = size > peak || size != size ? size : peak;
  }
  peak = group_largest(shared<double>(0), static_cast<int>(threadIdx.x), kValueThreads, peak);
  if (threadIdx.x == 0) store(p.peaks + blockIdx.x, peak);
}

__global__ void __launch_bounds__(kValueThreads) exponent_kernel(const __grid_constant__ PeakParameters p) {
  const double* peaks = p.peaks + blockIdx.x * p.blocks;
  double peak = 0;
  for (std::int64_t i = threadIdx.x; i < p.blocks; i += kValueThreads) {
    const double other = load(peaks + i);
    peak = other > peak || other != other ? other : peak;
  }
  peak = group_largest(shared<double>(0), static_cast<int>(threadIdx.x), kValueThreads, peak);
  const bool usual = peak > 0 && peak <= 0x1.fffffffffffffp1023;
  if (threadIdx.x == 0) store(p.exponents + blockIdx.x, usual ? ilogb(peak) : 0);
}

// ---- tridiagonalisation ---------------------------------------------------------------------------------------------

// Of each item, n the rows of the real matrix.
struct Tridiagonal {
  int n;
  double* matrix;             // [n, n], overwritten
  double* reflections;        // [n, n] row k: the unit vector u of I - 2 u u^T, zero up to k
  double* products;           // [2, n]
  double *diagonal, *beside;  // [n]
};

SPECTRANS_DEVICE Tridiagonal of_item(const Tridiagonal& of, std::int64_t item) {
  const std::int64_t n = of.n;
  return {of.n,
          of.matrix + item * n * n,
          of.reflections + item * n * n,
          of.products + item * 2 * n,
          of.diagonal + item * n,
          of.beside + item * n};
}

struct AssembleParameters {
  Tridiagonal to;
  std::int64_t rows, tiles, pairs, blocks;
  int splits;
  const double* sums;
};

// The product, from its tiles: both triangles, exactly symmetric.
template <class Tile>
__global__ void __launch_bounds__(kSplitThreads) assemble_kernel(const __grid_constant__ AssembleParameters p) {
  std::int64_t item = blockIdx.x, i, j;
  place_tile(divide(item, p.pairs), p.tiles, i, j);
  double* const to = p.to.matrix + item * p.to.n * p.to.n;
  const auto put = [&](std::int64_t row, std::int64_t column, double value)
                       SPECTRANS_INLINE_LAMBDA { store(to + row * p.to.n + column, value); };
  for (int at = static_cast<int>(threadIdx.x); at < Tile::size * Tile::size; at += kSplitThreads) {
    const std::int64_t row = i * Tile::size + at / Tile::size, column = j * Tile::size + at % Tile::size;
    if (row > column || column >= p.rows) continue;
    const double* from = p.sums + std::int64_t{blockIdx.x} * Tile::sums + at;
    const std::int64_t step = p.blocks * Tile::sums;
    const double re = sum_splits(from, step, p.splits);
    if constexpr (Tile::complex) {
      const double im = row == column ? 0 : sum_splits(from + Tile::size * Tile::size, step, p.splits);
      for (int part = 0; part < 2; ++part) {
        const double across = part == 0 ? -im : im;
        put(2 * row + part, 2 * column + part, re);
        put(2 * row + part, 2 * column + 1 - part, across);
        if (row == column) continue;
        put(2 * column + part, 2 * row + part, re);
        put(2 * column + 1 - part, 2 * row + part, across);
      }
    } else {
      put(row, column, re);
      if (row != column) put(column, row, re);
    }
  }
}

constexpr int kRowsInFlight = 8;

// Steps first .. first + steps. Several blocks share a matrix if it is one step: columns [block columns, ...).
struct ReduceParameters {
  Tridiagonal of;
  int first, steps, blocks, columns, across;
};

// Step k makes row k tridiagonal by H = I - 2 u u^T from both sides. H A H = A - u w^T - w u^T, with p = 2 A u and
// w = p - (p^T u) u, is what the next step finds still to do: so one pass over A does the update and the next product.
__global__ void __launch_bounds__(kValueThreads) reduce_kernel(const __grid_constant__ ReduceParameters p) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = p.of.n;
  const int block = static_cast<int>(blockIdx.x % p.blocks);
  const bool last = block == p.blocks - 1;
  const int begin = block * p.columns, end = smaller(begin + p.columns, n);
  if (end <= p.first + 1 && !last) return;
  const Tridiagonal of = of_item(p.of, blockIdx.x / p.blocks);
  const auto room = shared<double>(0), old = shared<double>(threads * kDoubleBytes);
  const Shared<double> w{old.base + n}, u{w.base + n};
  const int down = threads / p.across, x = thread % p.across, y = thread / p.across;
  for (int k = p.first; k < p.first + p.steps; ++k) {
    // What is still to do.
    double along = 0;
    for (int j = k + thread; j < n; j += threads) {
      const double of_old = k == 0 ? 0 : load(of.reflections + (k - 1LL) * n + j);
      const double product = k == 0 ? 0 : load(of.products + (k - 1) % 2 * n + j);
      u.store(j, load(of.matrix + std::int64_t{k} * n + j));
      old.store(j, of_old);
      w.store(j, product);
      along += of_old * product;
    }
    along = group_sum(room, thread, threads, along);
    for (int j = k + thread; j < n; j += threads) w.store(j, w.load(j) - along * old.load(j));
    __syncthreads();
    // Row k, and the reflection of what is right of the diagonal to its first place.
    const double old_k = old.load(k), w_k = w.load(k);
    double squared = 0;
    for (int j = k + thread; j < n; j += threads) {
      const double value = u.load(j) - old_k * w.load(j) - w_k * old.load(j);
      u.store(j, value);
      if (j > k) squared += value * value;
    }
    squared = group_sum(room, thread, threads, squared);
    // What is not finite stays on the diagonal.
    const bool reflects = squared > 0x1p-1000 && squared <= 0x1.fffffffffffffp1023;
    const double first = reflects ? u.load(k + 1) : 0, norm = reflects ? sqrt(squared) : 0;
    const double beside = first < 0 ? norm : -norm, scale = reflects ? 1 / sqrt(2 * norm * (norm + fabs(first))) : 0;
    if (last && thread == 0) {
      store(of.diagonal + k, u.load(k));
      store(of.beside + k, beside);
    }
    __syncthreads();
    for (int j = k + 1 + thread; j < n; j += threads) {
      const double value = reflects ? scale * (u.load(j) - (j == k + 1 ? beside : 0)) : 0;
      u.store(j, value);
      if (last) store(of.reflections + std::int64_t{k} * n + j, value);
    }
    __syncthreads();
    // The update of this block's columns, and their products with u.
    const int past = k + 1 > begin ? (k + 1 - begin) / p.across * p.across : 0;
    for (int base = begin + past; base < end; base += p.across) {
      const int column = base + x;
      const bool active = column > k && column < end;
      double sum = 0;
      if (active) {
        const double old_c = old.load(column), w_c = w.load(column);
        double* const at = of.matrix + column;
        // Several loads before the first store: it might be to where the next load is from, for all a compiler knows.
        for (int j = k + 1 + y; j < n; j += kRowsInFlight * down) {
          double value[kRowsInFlight];
          unroll<0, kRowsInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
            const int row = j + i * down;
            if (row < n) value[i] = load(at + std::int64_t{row} * n);
          });
          unroll<0, kRowsInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
            const int row = j + i * down;
            if (row >= n) return;
            value[i] = value[i] - old.load(row) * w_c - w.load(row) * old_c;
            store(at + std::int64_t{row} * n, value[i]);
            sum += value[i] * u.load(row);
          });
        }
      }
      sum = group_sum(room, x * down + y, down, sum);
      if (active && y == 0) store(of.products + k % 2 * n + column, 2 * sum);
    }
    __syncthreads();
  }
}

// ---- the largest eigenvalue of T and its vector ---------------------------------------------------------------------

struct PairParameters {
  Tridiagonal of;
  double *down, *up;  // [item, n] pivots from either end
  double* vector;     // [item, n]
  double* state;      // [item] 1, or 0: the matrix is zero, or NaN: it is not finite
};

// Whether an eigenvalue exceeds x: then a pivot of T - x is positive (Sylvester). The loop goes on when it knows, so
// that its loads need not wait for what it finds.
SPECTRANS_DEVICE bool exceeded(const Tridiagonal& of, double x) {
  double pivot = load(of.diagonal) - x;
  bool positive = pivot >= 0;
  for (int i = 1; i < of.n; ++i) {
    const double beside = load(of.beside + i - 1);
    pivot = load(of.diagonal + i) - x - beside * beside / pivot;
    positive = positive || pivot >= 0;
  }
  return positive;
}

SPECTRANS_DEVICE double nonzero(double pivot) { return pivot == 0 ? 0x1p-1000 : pivot; }

// The factorisations of T - theta from both ends, by one thread each, and y from where they meet best.
SPECTRANS_DEVICE void eigenvector(const Tridiagonal& of, double theta, double* down, double* up, double* y,
                                  Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = of.n;
  if (thread == 0) {
    double pivot = nonzero(load(of.diagonal) - theta);
    store(down, pivot);
    for (int i = 1; i < n; ++i) {
      const double beside = load(of.beside + i - 1);
      pivot = nonzero(load(of.diagonal + i) - theta - beside * beside / pivot);
      store(down + i, pivot);
    }
  }
  if (thread == 32) {
    double pivot = nonzero(load(of.diagonal + n - 1) - theta);
    store(up + n - 1, pivot);
    for (int i = n - 2; i >= 0; --i) {
      const double beside = load(of.beside + i);
      pivot = nonzero(load(of.diagonal + i) - theta - beside * beside / pivot);
      store(up + i, pivot);
    }
  }
  __syncthreads();
  double least = HUGE_VAL;
  int joint = 0;
  for (int i = thread; i < n; i += threads) {
    const double twist = fabs(load(down + i) + load(up + i) - (load(of.diagonal + i) - theta));
    if (twist < least) {
      least = twist;
      joint = i;
    }
  }
  const double of_all = -group_largest(room, thread, threads, -least);
  joint = -static_cast<int>(group_largest(room, thread, threads, least == of_all ? -joint : -n));
  if (thread == 0) {
    double value = 1;
    store(y + joint, value);
    for (int i = joint - 1; i >= 0; --i) {
      value *= -load(of.beside + i) / load(down + i);
      store(y + i, value);
    }
  }
  if (thread == 32) {
    double value = 1;
    for (int i = joint + 1; i < n; ++i) {
      value *= -load(of.beside + i - 1) / load(up + i);
      store(y + i, value);
    }
  }
  __syncthreads();
}

// The places of a vector that a thread keeps in registers: its index, and further ones a block apart.
template <class F>
SPECTRANS_DEVICE void each_own(int n, const F& f) {
  unroll<0, kMaxRows / kValueThreads>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    const int j = static_cast<int>(threadIdx.x + i * blockDim.x);
    if (j < n) f.template operator()<i>(j);
  });
}

SPECTRANS_DEVICE void normalise(double* x, int n, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  double squared = 0;
  each_own(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { squared += x[i] * x[i]; });
  const double scale = 1 / sqrt(group_sum(room, thread, threads, squared));
  each_own(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { x[i] *= scale; });
}

// y <- H_0 (H_1 (... y)), of norm 1.
SPECTRANS_DEVICE void reflect(const Tridiagonal& of, double* y, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = of.n;
  double x[kMaxRows / kValueThreads];
  each_own(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { x[i] = load(y + j); });
  normalise(x, n, room);
  for (int k = n - 2; k >= 0; --k) {
    double u[kMaxRows / kValueThreads], along = 0;
    each_own(n, [&]<int i>(int j)
                    SPECTRANS_INLINE_LAMBDA { u[i] = j > k ? load(of.reflections + std::int64_t{k} * n + j) : 0; });
    each_own(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { along += u[i] * x[i]; });
    along = 2 * group_sum(room, thread, threads, along);
    each_own(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { x[i] -= along * u[i]; });
  }
  normalise(x, n, room);
  each_own(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { store(y + j, x[i]); });
}

__global__ void __launch_bounds__(kValueThreads) pair_kernel(const __grid_constant__ PairParameters p) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = p.of.n;
  const std::int64_t item = blockIdx.x;
  const Tridiagonal of = of_item(p.of, item);
  double* const x = p.vector + item * n;
  const auto room = shared<double>(0);
  // Bounds: the largest entry of the diagonal, and Gershgorin's.
  double trace = 0, low = 0, high = 0;
  for (int i = thread; i < n; i += threads) {
    const double entry = load(of.diagonal + i), before = i > 0 ? fabs(load(of.beside + i - 1)) : 0;
    const double bound = entry + before + (i < n - 1 ? fabs(load(of.beside + i)) : 0);
    trace += entry;
    low = entry > low ? entry : low;
    high = bound > high ? bound : high;
  }
  trace = group_sum(room, thread, threads, trace);
  low = group_largest(room, thread, threads, low);
  high = group_largest(room, thread, threads, high) * (1 + 0x1p-50);
  const bool finite = trace - trace == 0, usual = finite && low > 0;
  if (thread == 0) store(p.state + item, usual ? 1 : finite ? 0 : trace - trace);
  if (!usual) {
    for (int j = thread; j < n; j += threads) store(x + j, 0.0);
    return;
  }
  const int rounds = threads == kFewThreads ? 9 : 7;  // 65^9 and 257^7 exceed 2^53
  for (int round = 0; round < rounds; ++round) {
    const double step = (high - low) / (threads + 1);
    const double above = exceeded(of, low + step * (thread + 1)) ? thread + 1 : 0;
    const double most = group_largest(room, thread, threads, above);
    high = low + step * (most + 1);
    low += step * most;
  }
  eigenvector(of, high, p.down + item * n, p.up + item * n, x, room);
  reflect(of, x, room);
}

// ---- the value and the vectors --------------------------------------------------------------------------------------

struct ValueParameters {
  Rows of;
  std::int64_t first_item, blocks;  // of an item
  int parts, across;
  bool transposed, wide;
  const double *vector, *state;  // [item, rows parts], [item]
  double* right;                 // [item, samples parts] B^H x
  double* squares;               // [item, block] of it
  double* inverse;               // [item] 1 / |B^H x|, or 0
  void *value, *u, *v;
};

// B^H x: `across` samples a block.
template <class S>
__global__ void __launch_bounds__(kValueThreads) product_kernel(const __grid_constant__ ValueParameters p) {
  std::int64_t item = blockIdx.x;
  const std::int64_t block = divide(item, p.blocks);
  const int thread = static_cast<int>(threadIdx.x), down = kValueThreads / p.across;
  const int x = p.of.beside ? thread / down : thread % p.across, y = p.of.beside ? thread % down : thread / p.across;
  const Shrink shrink = shrink_of(p.of, p.first_item + item);
  const std::int64_t sample = block * p.across + x;
  const double* const vector = p.vector + item * p.of.rows * p.parts;
  double re = 0, im = 0;
  if (sample < p.of.samples) {
    const S* const data = static_cast<const S*>(p.of.signal.data) + batch_offset(p.of.signal, p.first_item + item) +
                          sample * p.of.sample_stride;
    for (std::int64_t row = y; row < p.of.rows; row += down) {
      const S* const at = data + row * p.of.row_stride;
      if (p.parts == 1) {
        re += shrink(widen(load(at))) * load(vector + row);
      } else {
        const double a = shrink(widen(load(at))), b = shrink(widen(load(at + 1)));
        const double c = load(vector + 2 * row), d = load(vector + 2 * row + 1);
        re += a * c + b * d;
        im += a * d - b * c;
      }
    }
  }
  const auto room = shared<double>(0);
  re = group_sum(room, x * down + y, down, re);
  if (p.parts == 2) im = group_sum(room, x * down + y, down, im);
  const bool mine = y == 0 && sample < p.of.samples;
  if (mine) {
    double* const to = p.right + (item * p.of.samples + sample) * p.parts;
    store(to, re);
    if (p.parts == 2) store(to + 1, im);
  }
  const double squares = group_sum(room, x * down + y, kValueThreads, mine ? re * re + im * im : 0);
  if (thread == 0) store(p.squares + blockIdx.x, squares);
}

SPECTRANS_DEVICE void store_result(void* to, std::int64_t at, bool wide, double value) {
  if (wide) {
    store(static_cast<double*>(to) + at, value);
  } else {
    store(static_cast<float*>(to) + at, static_cast<float>(value));
  }
}

__global__ void __launch_bounds__(kValueThreads) value_kernel(const __grid_constant__ ValueParameters p) {
  const std::int64_t item = blockIdx.x;
  double squared = 0;
  for (std::int64_t i = threadIdx.x; i < p.blocks; i += kValueThreads) {
    squared += load(p.squares + item * p.blocks + i);
  }
  squared = group_sum(shared<double>(0), static_cast<int>(threadIdx.x), kValueThreads, squared);
  if (threadIdx.x != 0) return;
  const double state = load(p.state + item), value = sqrt(squared);
  const int exponent = p.of.exponent == nullptr ? 0 : load(p.of.exponent + p.first_item + item);
  store(p.inverse + item, state == 1 ? 1 / value : 0);
  store_result(p.value, p.first_item + item, p.wide, state == 1 ? ldexp(value, exponent) : state);
}

// Of the transpose, left and right are exchanged, and conjugated.
__global__ void __launch_bounds__(kValueThreads) vectors_kernel(const __grid_constant__ ValueParameters p) {
  const std::int64_t left = p.of.rows * p.parts, right = p.of.samples * p.parts, all = left + right;
  const std::int64_t blocks = ceil_div(all, kPeakElements), item = blockIdx.x / blocks;
  const double inverse = load(p.inverse + item);
  const std::int64_t first = blockIdx.x % blocks * kPeakElements;
  for (int i = static_cast<int>(threadIdx.x); i < kPeakElements && first + i < all; i += kValueThreads) {
    const bool of_left = first + i < left;
    const std::int64_t at = of_left ? first + i : first + i - left, count = of_left ? left : right;
    double value = load((of_left ? p.vector : p.right) + item * count + at);
    if (!of_left) value = inverse == 0 ? 0 : value * inverse;
    if (p.transposed && p.parts == 2 && at % 2 == 1) value = -value;
    store_result(of_left == p.transposed ? p.v : p.u, (p.first_item + item) * count + at, p.wide, value);
  }
}

// ---- on the host ----------------------------------------------------------------------------------------------------

constexpr std::int64_t kMostScratch = std::int64_t{1} << 28;  // bytes, if one matrix needs no more

class LargestSingularValue {
 public:
  LargestSingularValue(const SpectralNorm& call, const Stream& stream, std::int64_t most_scratch = kMostScratch)
      : call_(call), stream_(stream) {
    const Signal& x = call.x;
    transposed_ = x.n > x.d;
    parts_ = call.pairs ? 2 : 1;
    rows_ = {call.element, x, x.n, x.d, x.n_stride, x.d_stride, x.n_stride < x.d_stride, nullptr};
    if (transposed_) rows_ = {call.element, x, x.d, x.n, x.d_stride, x.n_stride, x.d_stride < x.n_stride, nullptr};
    n_ = rows_.rows * parts_;
    across_ = rows_.beside ? 8 : 32;
    blocks_ = ceil_div(rows_.samples, across_);
    const std::int64_t bytes = kDoubleBytes * (3 * n_ * n_ + rows_.samples * parts_ + blocks_);
    items_ = std::clamp<std::int64_t>(most_scratch / bytes, 1, x.batch);
  }

  void run() {
    if (call_.element == Element::float64) find_exponents();
    allocate();
    for (std::int64_t first = 0; first < call_.x.batch; first += items_) {
      run(first, std::min(items_, call_.x.batch - first));
    }
  }

 private:
  double* doubles(std::int64_t count) const { return allocate_doubles(stream_, count); }

  static Grid grid(std::int64_t blocks, int threads, std::int64_t doubles) {
    return {dim3(static_cast<unsigned>(blocks)), threads, static_cast<int>(doubles) * kDoubleBytes};
  }

  void find_exponents() {
    const std::int64_t batch = call_.x.batch, reals = rows_.rows * rows_.samples * parts_;
    const std::int64_t blocks = ceil_div(reals, kPeakElements);
    int* exponents =
        static_cast<int*>(stream_.allocate(static_cast<std::size_t>(batch) * sizeof(int), stream_.context));
    const PeakParameters parameters{rows_, reals, blocks, parts_, doubles(batch * blocks), exponents};
    launch(peak_kernel, grid(batch * blocks, kValueThreads, kValueThreads), stream_.stream, parameters);
    launch(exponent_kernel, grid(batch, kValueThreads, kValueThreads), stream_.stream, parameters);
    rows_.exponent = exponents;
  }

  void allocate() {
    tridiagonal_.n = static_cast<int>(n_);
    tridiagonal_.matrix = doubles(items_ * n_ * n_);
    tridiagonal_.reflections = doubles(items_ * n_ * n_);
    double* at = doubles(items_ * (7 * n_ + 2));
    const auto take = [&](std::int64_t count) { return at += items_ * count, at - items_ * count; };
    tridiagonal_.products = take(2 * n_);
    tridiagonal_.diagonal = take(n_);
    tridiagonal_.beside = take(n_);
    pair_ = {tridiagonal_, take(n_), take(n_), take(n_), take(1)};
    value_ = {rows_,
              0,
              blocks_,
              parts_,
              across_,
              transposed_,
              wide(),
              pair_.vector,
              pair_.state,
              doubles(items_ * rows_.samples * parts_),
              doubles(items_ * blocks_),
              take(1),
              call_.value,
              call_.u,
              call_.v};
    const GramPlan plan = gram_plan(items_);
    with_tile(call_.pairs, plan.size,
              [&]<class Tile>(Tile) { sums_ = doubles(plan.splits * items_ * plan.pairs * Tile::sums); });
  }

  [[nodiscard]] bool wide() const { return call_.element == Element::float64; }
  [[nodiscard]] GramPlan gram_plan(std::int64_t items) const {
    return {items, rows_.rows, rows_.samples * parts_, call_.pairs};
  }

  void run(std::int64_t first, std::int64_t items) {
    const GramPlan plan = gram_plan(items_);
    with_tile(call_.pairs, plan.size, [&]<class Tile>(Tile) {
      multiply<Tile>(rows_, first, items, plan, sums_, nullptr, stream_.stream);
      const std::int64_t blocks = items * plan.pairs;
      launch(assemble_kernel<Tile>, grid(blocks, kSplitThreads, 0), stream_.stream,
             {tridiagonal_, rows_.rows, plan.tiles, plan.pairs, blocks, plan.splits, sums_});
    });
    reduce(items);
    const int threads = n_ <= kFewRows ? kFewThreads : kValueThreads;
    launch(pair_kernel, grid(items, threads, threads), stream_.stream, pair_);
    value_.first_item = first;
    with_storage(call_.element, [&]<class S>(S) {
      launch(product_kernel<S>, grid(items * blocks_, kValueThreads, kValueThreads), stream_.stream, value_);
    });
    launch(value_kernel, grid(items, kValueThreads, kValueThreads), stream_.stream, value_);
    const std::int64_t reals = (rows_.rows + rows_.samples) * parts_;
    launch(vectors_kernel, grid(items * ceil_div(reals, kPeakElements), kValueThreads, 0), stream_.stream, value_);
  }

  // Up to kNarrow rows, columns of 64 bytes are enough blocks for all multiprocessors; of more, wider ones, for each
  // block finds the reflection anew. A small matrix, or one of many, is one block's from the first step to the last; a
  // large one has a launch a step.
  void reduce(std::int64_t items) {
    const int n = tridiagonal_.n;
    const bool alone = n <= kAlone || (n <= 4 * kAlone && items_ >= kManyItems);
    const int threads = n <= kFewRows ? kFewThreads : kValueThreads;
    ReduceParameters parameters{tridiagonal_, 0, n, 1, n, n <= kNarrow ? 8 : 16};
    if (!alone) {
      parameters.steps = 1;
      parameters.columns = parameters.across;
      parameters.blocks = static_cast<int>(ceil_div(n, parameters.columns));
    }
    for (; parameters.first < n; parameters.first += parameters.steps) {
      launch(reduce_kernel, grid(items * parameters.blocks, threads, threads + 3 * n), stream_.stream, parameters);
    }
  }

  static constexpr int kFewRows = 32, kAlone = 128, kNarrow = 1024;
  static constexpr std::int64_t kManyItems = 64;

  const SpectralNorm& call_;
  const Stream& stream_;
  Rows rows_;
  std::int64_t n_, items_, blocks_;  // items_: of the batch at a time
  int parts_, across_;
  bool transposed_;
  Tridiagonal tridiagonal_{};
  PairParameters pair_{};
  ValueParameters value_{};
  double* sums_ = nullptr;
};

}  // namespace
}  // namespace spectrans::cuda
