// The largest eigenvalue of a symmetric matrix and its vector, by Householder's tridiagonalisation: in so many steps as
// there are rows, whatever the matrix.
#pragma once

#include "gram.h"

namespace spectrans::cuda {
namespace {

constexpr int kValueThreads = 256, kFewThreads = 64;
constexpr std::int64_t kMaxRows = 4096;  // three of its rows fit the shared memory of any device

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
  Guard guard;
};

// The product, from its tiles: both triangles, exactly symmetric.
template <class Tile>
__global__ void __launch_bounds__(kSplitThreads) assemble_kernel(const __grid_constant__ AssembleParameters p) {
  std::int64_t item = blockIdx.x, i, j;
  place_tile(divide(item, p.pairs), p.tiles, i, j);
  if (p.guard.skips(item)) return;
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
  Guard guard;
};

// Step k makes row k tridiagonal by H = I - 2 u u^T from both sides. H A H = A - u w^T - w u^T, with p = 2 A u and
// w = p - (p^T u) u, is what the next step finds still to do: so one pass over A does the update and the next product.
__global__ void __launch_bounds__(kValueThreads) reduce_kernel(const __grid_constant__ ReduceParameters p) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = p.of.n;
  const int block = static_cast<int>(blockIdx.x % p.blocks);
  const bool last = block == p.blocks - 1;
  const int begin = block * p.columns, end = smaller(begin + p.columns, n);
  if (end <= p.first + 1 && !last) return;
  if (p.guard.skips(blockIdx.x / p.blocks)) return;
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
  double* state;      // [item]
  Guard guard;
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

// The places of a vector that a thread keeps in registers: its index, and further ones a block apart, `own` at most.
template <int own, class F>
SPECTRANS_DEVICE void each_own(int n, const F& f) {
  unroll<0, own>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
    const int j = static_cast<int>(threadIdx.x + i * blockDim.x);
    if (j < n) f.template operator()<i>(j);
  });
}

template <int own>
SPECTRANS_DEVICE void normalise(double* x, int n, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  double squared = 0;
  each_own<own>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { squared += x[i] * x[i]; });
  const double scale = 1 / sqrt(group_sum(room, thread, threads, squared));
  each_own<own>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { x[i] *= scale; });
}

// y <- H_0 (H_1 (... y)), of norm 1.
SPECTRANS_DEVICE void reflect(const Tridiagonal& of, double* y, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = of.n;
  constexpr int kOwn = static_cast<int>(kMaxRows / kValueThreads);
  double x[kOwn];
  each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { x[i] = load(y + j); });
  normalise<kOwn>(x, n, room);
  for (int k = n - 2; k >= 0; --k) {
    double u[kOwn], along = 0;
    each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA {
      u[i] = j > k ? load(of.reflections + std::int64_t{k} * n + j) : 0;
    });
    each_own<kOwn>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { along += u[i] * x[i]; });
    along = 2 * group_sum(room, thread, threads, along);
    each_own<kOwn>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { x[i] -= along * u[i]; });
  }
  normalise<kOwn>(x, n, room);
  each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { store(y + j, x[i]); });
}

// Bounds of the largest eigenvalue: the largest entry of the diagonal, and Gershgorin's. Not finite where T is not.
struct Bounds {
  double trace, low, high;
};

SPECTRANS_DEVICE Bounds bounds_of(const Tridiagonal& of, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = of.n;
  Bounds bounds{0, 0, 0};
  for (int i = thread; i < n; i += threads) {
    const double entry = load(of.diagonal + i), before = i > 0 ? fabs(load(of.beside + i - 1)) : 0;
    const double bound = entry + before + (i < n - 1 ? fabs(load(of.beside + i)) : 0);
    bounds.trace += entry;
    bounds.low = entry > bounds.low ? entry : bounds.low;
    bounds.high = bound > bounds.high ? bound : bounds.high;
  }
  bounds.trace = group_sum(room, thread, threads, bounds.trace);
  bounds.low = group_largest(room, thread, threads, bounds.low);
  bounds.high = group_largest(room, thread, threads, bounds.high) * (1 + 0x1p-50);
  return bounds;
}

// 1, or 0: the matrix is zero, or NaN: it is not finite.
SPECTRANS_DEVICE double state_of(const Bounds& bounds) {
  const bool finite = bounds.trace - bounds.trace == 0;
  return !finite ? bounds.trace - bounds.trace : bounds.low > 0 ? 1 : 0;
}

// By multisection, a place for each thread.
SPECTRANS_DEVICE double largest_eigenvalue(const Tridiagonal& of, Bounds bounds, Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int rounds = threads == kFewThreads ? 9 : 7;  // 65^9 and 257^7 exceed 2^53
  for (int round = 0; round < rounds; ++round) {
    const double step = (bounds.high - bounds.low) / (threads + 1);
    const double above = exceeded(of, bounds.low + step * (thread + 1)) ? thread + 1 : 0;
    const double most = group_largest(room, thread, threads, above);
    bounds.high = bounds.low + step * (most + 1);
    bounds.low += step * most;
  }
  return bounds.high;
}

__global__ void __launch_bounds__(kValueThreads) pair_kernel(const __grid_constant__ PairParameters p) {
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), n = p.of.n;
  const std::int64_t item = blockIdx.x;
  if (p.guard.skips(item)) return;
  const Tridiagonal of = of_item(p.of, item);
  double* const x = p.vector + item * n;
  const auto room = shared<double>(0);
  const Bounds bounds = bounds_of(of, room);
  const double state = state_of(bounds);
  if (thread == 0) store(p.state + item, state);
  if (state != 1) {
    for (int j = thread; j < n; j += threads) store(x + j, 0.0);
    return;
  }
  eigenvector(of, largest_eigenvalue(of, bounds, room), p.down + item * n, p.up + item * n, x, room);
  reflect(of, x, room);
}

}  // namespace
}  // namespace spectrans::cuda
