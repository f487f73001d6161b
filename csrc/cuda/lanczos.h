// The largest singular value of a large matrix A by Lanczos' iteration on A^T A: w = A^T (A q) takes one read of A, a
// few of its lines at a time, which stay in registers between the two products.
//
// The schedule of launches is fixed; what is proved is not iterated further: kernels return at once. A unit vector v is
// the proof: some eigenvalue of A^T A lies within |A^T A v - theta v| of theta = |A v|^2, which is never more than the
// largest. (csrc/cpu/norms/lanczos.h says why nothing less will do.) What is not proved when the schedule ends is left
// to the tridiagonalisation. The q are not orthogonalised: they lose that only towards vectors that are found already
// (Paige).
#pragma once

#include "tridiagonal.h"

namespace spectrans::cuda {
namespace {

constexpr int kLineThreads = 512, kOwn = 8;  // places of a line that are a thread's
constexpr int kMaxLength = kOwn * kLineThreads;
constexpr int kMaxLineBlocks = 256, kLeastLines = 8;  // each finds the vector anew
constexpr int kMaxSteps = 240;
constexpr int kCheck = 24;                                        // steps between two proofs that are tried
constexpr int kSegment = 32, kSlices = kValueThreads / kSegment;  // of vectors that blocks share

// Of items first_item .. of the batch; lines are rows, of so many samples.
struct Lanczos {
  Rows lines;
  std::int64_t first_item;
  int length, blocks, each, segments;  // each: lines of a block
  double tolerance;
  double* basis;                                    // [item, kMaxSteps, length]
  double* partial;                                  // [item, block, length] of w
  double* w;                                        // [item, 2, length] of the iteration, and of the proof
  double* dots;                                     // [item, 2, segment] of w with its vector
  double* ritz;                                     // [item, length]
  double* vector;                                   // [item, length] the same, of norm 1
  double *diagonal, *beside, *weights, *down, *up;  // [item, kMaxSteps]
  double* state;                                    // [item]
};

struct LanczosParameters {
  Lanczos of;
  int step;
  bool proof;
};

SPECTRANS_DEVICE bool is_open(const Lanczos& of, std::int64_t item) { return load(of.state + item) == kOpen; }

SPECTRANS_DEVICE Tridiagonal tridiagonal_of(const Lanczos& of, std::int64_t item, int steps) {
  return {steps, nullptr, nullptr, nullptr, of.diagonal + item * kMaxSteps, of.beside + item * kMaxSteps};
}

// Uniform in (-1, 1), splitmix64: any vector of structure would be at right angles to somebody's.
SPECTRANS_DEVICE double pseudo_random(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = (seed << 32) + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-52 - 1;
}

// Vector `step` from w of the one before. Where nothing is left of w, all that the start has a part of is found: on
// with another start, which may have a part of more.
SPECTRANS_DEVICE void next_vector(const Lanczos& of, std::int64_t item, int step, bool keeps, double* q,
                                  Shared<double> room) {
  const int thread = static_cast<int>(threadIdx.x), n = of.length;
  double* const basis = of.basis + item * kMaxSteps * n;
  const auto start = [&] {
    each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { q[i] = pseudo_random(step, j); });
    normalise<kOwn>(q, n, room);
  };
  if (step == 0) {
    start();
    if (keeps && thread == 0) store(of.state + item, kOpen);
  } else {
    double alpha = 0;
    for (int i = thread; i < of.segments; i += kLineThreads) alpha += load(of.dots + item * 2 * of.segments + i);
    alpha = group_sum(room, thread, kLineThreads, alpha);
    const double before = step > 1 ? load(of.beside + item * kMaxSteps + step - 2) : 0;
    double squared = 0;
    each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA {
      q[i] = load(of.w + item * 2 * n + j) - alpha * load(basis + std::int64_t{step - 1} * n + j);
      if (step > 1) q[i] -= before * load(basis + std::int64_t{step - 2} * n + j);
      squared += q[i] * q[i];
    });
    const double norm = sqrt(group_sum(room, thread, kLineThreads, squared));
    const bool left = norm > 1e-13 * (fabs(alpha) + before);
    if (left) {
      each_own<kOwn>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA { q[i] /= norm; });
    } else {
      start();
    }
    if (keeps && thread == 0) {
      store(of.diagonal + item * kMaxSteps + step - 1, alpha);
      store(of.beside + item * kMaxSteps + step - 1, left ? norm : 0);
    }
  }
  if (keeps && step < kMaxSteps) {
    each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { store(basis + std::int64_t{step} * n + j, q[i]); });
  }
}

struct alignas(16) Two {
  double first, second;
};

// A block's lines' part of A^T (A q), q the vector of this step or, for the proof, the Ritz vector.
template <class S>
__global__ void __launch_bounds__(kLineThreads) line_kernel(const __grid_constant__ LanczosParameters p) {
  using T = typename Arithmetic<S>::type;
  const Lanczos& of = p.of;
  const int thread = static_cast<int>(threadIdx.x), n = of.length, block = static_cast<int>(blockIdx.x % of.blocks);
  const std::int64_t item = blockIdx.x / of.blocks;
  if ((p.proof || p.step > 0) && !is_open(of, item)) return;
  const auto room = shared<double>(0);
  double q[kOwn], w[kOwn] = {};
  if (p.proof) {
    each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { q[i] = load(of.ritz + item * n + j); });
    normalise<kOwn>(q, n, room);
    if (block == 0)
      each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { store(of.vector + item * n + j, q[i]); });
  } else {
    next_vector(of, item, p.step, block == 0, q, room);
    if (p.step == kMaxSteps) return;
  }
  const Shrink shrink = shrink_of(of.lines, of.first_item + item);
  const S* const data =
      static_cast<const S*>(of.lines.signal.data) + batch_offset(of.lines.signal, of.first_item + item);
  const std::int64_t begin = std::int64_t{block} * of.each, end = smaller(begin + of.each, of.lines.rows);
  for (std::int64_t line = begin; line < end; line += 2) {
    T a[2][kOwn];
    unroll<0, 2>([&]<int g>() SPECTRANS_INLINE_LAMBDA {
      const S* const from = data + (line + g) * of.lines.row_stride;
      each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA {
        a[g][i] = line + g < end ? widen(load(from + j * of.lines.sample_stride)) : T(0);
      });
    });
    Two products{0, 0};
    each_own<kOwn>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA {
      products.first += shrink(a[0][i]) * q[i];
      products.second += shrink(a[1][i]) * q[i];
    });
    const auto add = [](Two x, Two y) { return Two{x.first + y.first, x.second + y.second}; };
    products = group_reduce(shared<Two>(0), thread, kLineThreads, products, add);
    each_own<kOwn>(n, [&]<int i>(int) SPECTRANS_INLINE_LAMBDA {
      w[i] += products.first * shrink(a[0][i]) + products.second * shrink(a[1][i]);
    });
  }
  double* const to = of.partial + (item * of.blocks + block) * n;
  each_own<kOwn>(n, [&]<int i>(int j) SPECTRANS_INLINE_LAMBDA { store(to + j, w[i]); });
}

// A segment of a vector: the sum of `count` terms, shared by kSlices threads, for the first of them.
template <class Term>
SPECTRANS_DEVICE double sum_of_terms(Shared<double> room, int count, const Term& term) {
  const int thread = static_cast<int>(threadIdx.x), x = thread % kSegment, y = thread / kSegment;
  double sum = 0;
  for (int i = y; i < count; i += kSlices) sum += term(i);
  return group_sum(room, x * kSlices + y, kSlices, sum);
}

// w, and its product with the vector that it comes from.
__global__ void __launch_bounds__(kValueThreads) segment_kernel(const __grid_constant__ LanczosParameters p) {
  const Lanczos& of = p.of;
  const int thread = static_cast<int>(threadIdx.x), n = of.length, which = p.proof ? 1 : 0;
  const int segment = static_cast<int>(blockIdx.x % of.segments), j = segment * kSegment + thread % kSegment;
  const std::int64_t item = blockIdx.x / of.segments;
  if (!is_open(of, item)) return;
  const auto room = shared<double>(0);
  const double* const partial = of.partial + item * of.blocks * n + j;
  const double w =
      sum_of_terms(room, j < n ? of.blocks : 0, [&](int i) { return load(partial + std::int64_t{i} * n); });
  double product = 0;
  if (thread < kSegment && j < n) {
    const double* const from = p.proof ? of.vector + item * n : of.basis + (item * kMaxSteps + p.step) * n;
    product = w * load(from + j);
    store(of.w + (item * 2 + which) * n + j, w);
  }
  product = group_sum(room, thread, kValueThreads, product);
  if (thread == 0) store(of.dots + (item * 2 + which) * of.segments + segment, product);
}

// The largest eigenvalue of the tridiagonal matrix of `step` steps: the weights of the Ritz vector.
__global__ void __launch_bounds__(kValueThreads, 1) weight_kernel(const __grid_constant__ LanczosParameters p) {
  const std::int64_t item = blockIdx.x;
  if (!is_open(p.of, item)) return;
  const auto room = shared<double>(0);
  const Tridiagonal of = tridiagonal_of(p.of, item, p.step);
  const Bounds bounds = bounds_of(of, room);
  const double state = state_of(bounds);
  // Of a matrix that is not zero, |A q| is not zero for one start after the other.
  if (state != 1) {
    if (threadIdx.x == 0) store(p.of.state + item, state);
    return;
  }
  const std::int64_t at = item * kMaxSteps;
  eigenvector(of, largest_eigenvalue(of, bounds, room), p.of.down + at, p.of.up + at, p.of.weights + at, room);
}

__global__ void __launch_bounds__(kValueThreads) ritz_kernel(const __grid_constant__ LanczosParameters p) {
  const Lanczos& of = p.of;
  const int thread = static_cast<int>(threadIdx.x), n = of.length;
  const int segment = static_cast<int>(blockIdx.x % of.segments), j = segment * kSegment + thread % kSegment;
  const std::int64_t item = blockIdx.x / of.segments;
  if (!is_open(of, item)) return;
  const double* const basis = of.basis + item * kMaxSteps * n + j;
  const double sum = sum_of_terms(shared<double>(0), j < n ? p.step : 0, [&](int i) {
    return load(of.weights + item * kMaxSteps + i) * load(basis + std::int64_t{i} * n);
  });
  if (thread < kSegment && j < n) store(of.ritz + item * n + j, sum);
}

__global__ void __launch_bounds__(kLineThreads) proof_kernel(const __grid_constant__ LanczosParameters p) {
  const Lanczos& of = p.of;
  const int thread = static_cast<int>(threadIdx.x), n = of.length;
  const std::int64_t item = blockIdx.x;
  if (!is_open(of, item)) return;
  const auto room = shared<double>(0);
  double theta = 0, squared = 0;
  for (int i = thread; i < of.segments; i += kLineThreads) theta += load(of.dots + (item * 2 + 1) * of.segments + i);
  theta = group_sum(room, thread, kLineThreads, theta);
  for (int j = thread; j < n; j += kLineThreads) {
    const double residual = load(of.w + (item * 2 + 1) * n + j) - theta * load(of.vector + item * n + j);
    squared += residual * residual;
  }
  squared = group_sum(room, thread, kLineThreads, squared);
  if (thread == 0 && theta > 0 && sqrt(squared) <= of.tolerance * theta) store(of.state + item, 1.0);
}

// ---- on the host ----------------------------------------------------------------------------------------------------

inline std::int64_t lanczos_doubles(std::int64_t lines, std::int64_t length) {
  return (kMaxSteps + std::min<std::int64_t>(lines, kMaxLineBlocks) + 5) * length + 5 * kMaxSteps + 1;
}

// Rows of so many samples, for so many items.
inline Lanczos prepare_lanczos(const Rows& lines, std::int64_t items, const Stream& stream) {
  Lanczos of{};
  of.lines = lines;
  of.length = static_cast<int>(lines.samples);
  of.each = static_cast<int>(std::max<std::int64_t>(kLeastLines, (ceil_div(lines.rows, kMaxLineBlocks) + 1) / 2 * 2));
  of.blocks = static_cast<int>(ceil_div(lines.rows, of.each));
  of.segments = static_cast<int>(ceil_div(lines.samples, kSegment));
  of.tolerance = lines.element == Element::float64 ? 5e-12 : 5e-8;
  const std::int64_t n = of.length;
  of.basis = allocate_doubles(stream, items * kMaxSteps * n);
  of.partial = allocate_doubles(stream, items * of.blocks * n);
  of.w = allocate_doubles(stream, items * 2 * n);
  of.dots = allocate_doubles(stream, items * 2 * of.segments);
  of.ritz = allocate_doubles(stream, items * n);
  of.vector = allocate_doubles(stream, items * n);
  double* const steps = allocate_doubles(stream, items * (5 * kMaxSteps + 1));
  double** const parts[] = {&of.diagonal, &of.beside, &of.weights, &of.down, &of.up, &of.state};
  for (int i = 0; i < 6; ++i) *parts[i] = steps + i * items * kMaxSteps;
  return of;
}

inline void iterate(const Lanczos& of, std::int64_t items, int steps, const Stream& stream) {
  const auto queue = [&](auto* kernel, std::int64_t blocks, int threads, int step, bool proof) {
    const int bytes = threads * static_cast<int>(sizeof(Two));
    launch(kernel, {dim3(static_cast<unsigned>(items * blocks)), threads, bytes}, stream.stream,
           LanczosParameters{of, step, proof});
  };
  const auto multiply_lines = [&](int step, bool proof) {
    with_storage(of.lines.element, [&]<class S>(S) { queue(line_kernel<S>, of.blocks, kLineThreads, step, proof); });
  };
  for (int step = 0; step <= steps; ++step) {
    multiply_lines(step, false);
    if (step < steps) queue(segment_kernel, of.segments, kValueThreads, step, false);
    if (step == 0 || step % kCheck != 0) continue;
    queue(weight_kernel, 1, kValueThreads, step, true);  // the step before has its place in T now
    queue(ritz_kernel, of.segments, kValueThreads, step, true);
    multiply_lines(step, true);
    queue(segment_kernel, of.segments, kValueThreads, step, true);
    queue(proof_kernel, 1, kLineThreads, step, true);
  }
}

}  // namespace
}  // namespace spectrans::cuda
