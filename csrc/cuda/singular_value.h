// The largest singular value of a matrix, and its vectors, without ever asking the device how far it is.
//
// With B the matrix or its transpose, whichever has fewer rows, x the eigenvector of B B^H (tridiagonal.h) is a left
// singular vector of B, |B^H x| the value and B^H x over it the right one. All of it is in float64, where the relative
// error of the largest eigenvalue of a product of n terms is of the order of n 2^-53, whatever the smaller ones are.
// Large real matrices are first tried with an iteration (lanczos.h), which reads them a few dozen times; all that
// follows returns at once where that was enough.
//
// Complex matrices become real ones of twice the size, [[re, -im], [im, re]] for each entry: every eigenvalue is there
// twice, and any vector of its plane is a vector of complex numbers (re, im).
#pragma once

#include "lanczos.h"

namespace spectrans::cuda {
namespace {

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
  Guard guard;
};

// B^H x: `across` samples a block.
template <class S>
__global__ void __launch_bounds__(kValueThreads) product_kernel(const __grid_constant__ ValueParameters p) {
  std::int64_t item = blockIdx.x;
  const std::int64_t block = divide(item, p.blocks);
  if (p.guard.skips(item)) return;
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
  if (p.guard.skips(item)) return;
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
  if (p.guard.skips(item)) return;
  const double inverse = load(p.inverse + item);
  const std::int64_t first = blockIdx.x % blocks * kPeakElements;
  for (int i = static_cast<int>(threadIdx.x); i < kPeakElements && first + i < all; i += kValueThreads) {
    const bool of_left = first + i < left;
    const std::int64_t at = of_left ? first + i : first + i - left, count = of_left ? left : right;
    double value = inverse == 0 ? 0 : load((of_left ? p.vector : p.right) + item * count + at);
    if (!of_left) value *= inverse;
    if (p.transposed && p.parts == 2 && at % 2 == 1) value = -value;
    store_result(of_left == p.transposed ? p.v : p.u, (p.first_item + item) * count + at, p.wide, value);
  }
}

// ---- on the host ----------------------------------------------------------------------------------------------------

struct Limits {
  std::int64_t scratch = std::int64_t{1} << 28;  // bytes, if one matrix needs no more
  std::int64_t direct = 1024;                    // rows up to which it is not worth while to try an iteration first
  int steps = kMaxSteps;                         // of the iteration
};

class LargestSingularValue {
 public:
  LargestSingularValue(const SpectralNorm& call, const Stream& stream, const Limits& limits = {})
      : call_(call), stream_(stream), steps_(limits.steps) {
    const Signal& x = call.x;
    transposed_ = x.n > x.d;
    parts_ = call.pairs ? 2 : 1;
    rows_ = {call.element, x, x.n, x.d, x.n_stride, x.d_stride, x.n_stride < x.d_stride, nullptr};
    if (transposed_) rows_ = {call.element, x, x.d, x.n, x.d_stride, x.n_stride, x.d_stride < x.n_stride, nullptr};
    n_ = rows_.rows * parts_;
    lines_ = rows_.beside ? turned(rows_) : rows_;
    iterates_ = !call.pairs && n_ > limits.direct && lines_.samples <= kMaxLength;
    std::int64_t room = 3 * n_ * n_ + 2 * rows_.samples * parts_;
    if (iterates_) room += lanczos_doubles(lines_.rows, lines_.samples) + lines_.rows;
    items_ = std::clamp<std::int64_t>(limits.scratch / (room * kDoubleBytes), 1, x.batch);
  }

  void run() {
    if (call_.element == Element::float64) rows_.exponent = lines_.exponent = find_exponents();
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

  // The transpose.
  static Rows turned(Rows of) {
    std::swap(of.rows, of.samples);
    std::swap(of.row_stride, of.sample_stride);
    of.beside = !of.beside;
    return of;
  }

  int* find_exponents() {
    const std::int64_t batch = call_.x.batch, reals = rows_.rows * rows_.samples * parts_;
    const std::int64_t blocks = ceil_div(reals, kPeakElements);
    int* exponents =
        static_cast<int*>(stream_.allocate(static_cast<std::size_t>(batch) * sizeof(int), stream_.context));
    const PeakParameters parameters{rows_, reals, blocks, parts_, doubles(batch * blocks), exponents};
    launch(peak_kernel, grid(batch * blocks, kValueThreads, kValueThreads), stream_.stream, parameters);
    launch(exponent_kernel, grid(batch, kValueThreads, kValueThreads), stream_.stream, parameters);
    return exponents;
  }

  void allocate() {
    tridiagonal_.n = static_cast<int>(n_);
    tridiagonal_.matrix = doubles(items_ * n_ * n_);
    tridiagonal_.reflections = doubles(items_ * n_ * n_);
    double* at = doubles(items_ * (7 * n_ + 1));
    const auto take = [&](std::int64_t count) { return at += items_ * count, at - items_ * count; };
    tridiagonal_.products = take(2 * n_);
    tridiagonal_.diagonal = take(n_);
    tridiagonal_.beside = take(n_);
    pair_ = {tridiagonal_, take(n_), take(n_), take(n_), take(1), {}};
    value_ = value_parameters(rows_, transposed_, pair_.vector, pair_.state);
    if (iterates_) {
      // Its vector is as long as a line: of the transpose, this is the short side.
      lanczos_ = prepare_lanczos(lines_, items_, stream_);
      const Guard open{lanczos_.state, true};
      value_.guard = pair_.guard = open;
      iterated_ = value_parameters(turned(lines_), transposed_ == rows_.beside, lanczos_.vector, lanczos_.state);
      iterated_.guard = {lanczos_.state, false};
    }
    const GramPlan plan = gram_plan(items_);
    with_tile(call_.pairs, plan.size,
              [&]<class Tile>(Tile) { sums_ = doubles(plan.splits * items_ * plan.pairs * Tile::sums); });
  }

  // From a vector [rows] that is `left`, or `right` of the transpose.
  ValueParameters value_parameters(const Rows& of, bool transposed, const double* vector, const double* state) const {
    const int across = of.beside ? 8 : 32;
    const std::int64_t blocks = ceil_div(of.samples, across);
    const bool wide = call_.element == Element::float64;
    return {of,
            0,
            blocks,
            parts_,
            across,
            transposed,
            wide,
            vector,
            state,
            doubles(items_ * of.samples * parts_),
            doubles(items_ * blocks),
            doubles(items_),
            call_.value,
            call_.u,
            call_.v,
            {}};
  }

  [[nodiscard]] GramPlan gram_plan(std::int64_t items) const {
    return {items, rows_.rows, rows_.samples * parts_, call_.pairs};
  }

  void run(std::int64_t first, std::int64_t items) {
    if (iterates_) {
      lanczos_.first_item = first;
      iterate(lanczos_, items, steps_, stream_);
      finish(iterated_, first, items);
    }
    const GramPlan plan = gram_plan(items_);
    with_tile(call_.pairs, plan.size, [&]<class Tile>(Tile) {
      multiply<Tile>(rows_, first, items, plan, sums_, nullptr, stream_.stream, pair_.guard);
      const std::int64_t blocks = items * plan.pairs;
      launch(assemble_kernel<Tile>, grid(blocks, kSplitThreads, 0), stream_.stream,
             {tridiagonal_, rows_.rows, plan.tiles, plan.pairs, blocks, plan.splits, sums_, pair_.guard});
    });
    reduce(items);
    const int threads = n_ <= kFewRows ? kFewThreads : kValueThreads;
    launch(pair_kernel, grid(items, threads, threads), stream_.stream, pair_);
    finish(value_, first, items);
  }

  void finish(ValueParameters& of, std::int64_t first, std::int64_t items) const {
    of.first_item = first;
    with_storage(call_.element, [&]<class S>(S) {
      launch(product_kernel<S>, grid(items * of.blocks, kValueThreads, kValueThreads), stream_.stream, of);
    });
    launch(value_kernel, grid(items, kValueThreads, kValueThreads), stream_.stream, of);
    const std::int64_t reals = (of.of.rows + of.of.samples) * parts_;
    launch(vectors_kernel, grid(items * ceil_div(reals, kPeakElements), kValueThreads, 0), stream_.stream, of);
  }

  // Up to kNarrow rows, columns of 64 bytes are enough blocks for all multiprocessors; of more, wider ones, for each
  // block finds the reflection anew. A small matrix, or one of many, is one block's from the first step to the last; a
  // large one has a launch a step.
  void reduce(std::int64_t items) {
    const int n = tridiagonal_.n;
    const bool alone = n <= kAlone || (n <= 4 * kAlone && items_ >= kManyItems);
    const int threads = n <= kFewRows ? kFewThreads : kValueThreads;
    ReduceParameters parameters{tridiagonal_, 0, n, 1, n, 0, pair_.guard};
    parameters.across = alone ? power_of_two_below(n, threads / 4) : n <= kNarrow ? 8 : 16;
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
  Rows rows_, lines_;       // the short way; the way that samples are neighbours
  std::int64_t n_, items_;  // items_: of the batch at a time
  int parts_, steps_;
  bool transposed_, iterates_;
  Tridiagonal tridiagonal_{};
  PairParameters pair_{};
  ValueParameters value_{}, iterated_{};
  Lanczos lanczos_{};
  double* sums_ = nullptr;
};

}  // namespace
}  // namespace spectrans::cuda
