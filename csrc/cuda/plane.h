// Transforms over both axes of planes [n, d]: a kernel over rows writes their half spectra, bins k <= d / 2, and an
// operation's own kernel goes over columns of them; or columns are changed, and a kernel over rows makes planes again.
// What lies between the kernels stays in L2.
//
// Two rows go through one complex transform as its real and imaginary parts. They may share their roundings, NaNs and
// infinities: every value of an item's result depends on all of the item.
#pragma once

#include <algorithm>
#include <utility>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"

namespace spectrans::cuda {

// Largest radix of a last stage, of which two blocks are in registers at once, and of the others.
template <class T>
constexpr int kLastOfPlane = sizeof(T) == 4 ? 8 : 4;
template <class T>
constexpr int kStageOfPlane = sizeof(T) == 4 ? 16 : 8;

// Threads of a block, and blocks of a multiprocessor that a compiler leaves registers for: in float three blocks of 256
// threads fit.
template <class T>
constexpr int kPlaneThreads = sizeof(T) == 4 ? 384 : kMaxThreads;
template <class T>
constexpr int kPlaneBlocks = sizeof(T) == 4 ? 2 : 1;

// Rows [items of a chunk, rows, pitch] of bins k <= d / 2.
template <class T>
struct HalfSpectrum {
  Pair<T>* data;
  int rows, bins, pitch;

  SPECTRANS_DEVICE Pair<T>* row(int item, int j) const { return data + (std::int64_t{item} * rows + j) * pitch; }
  [[nodiscard]] std::int64_t values() const { return std::int64_t{rows} * pitch; }  // of an item
};

// A column of one, in place.
template <class T>
struct SpectrumColumn {
  Pair<T>* column;
  int pitch;
  bool active;  // otherwise it is read as zeros and not written

  SPECTRANS_DEVICE SpectrumColumn(const HalfSpectrum<T>& half, int item, int k)
      : column(half.row(item, 0) + k), pitch(half.pitch), active(k < half.bins) {}

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Pair<T> value = active ? cuda::load(column + std::int64_t{first + i * step} * pitch) : Pair<T>{};
      v[i] = {value.re, value.im};
    });
  }

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (!active) return;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      cuda::store(column + std::int64_t{first + i * step} * pitch, Pair<T>{v[i].re, v[i].im});
    });
  }
};

// ---- on the host ----------------------------------------------------------------------------------------------------

// The axes by what is done along them: a transform does not mind which axis is which, and rows are to be along memory.
[[nodiscard]] inline bool rows_are_apart(const Signal& signal) { return signal.d_stride != 1 && signal.n_stride == 1; }
inline void exchange_axes(Signal& signal) {
  std::swap(signal.n, signal.d);
  std::swap(signal.n_stride, signal.d_stride);
}

template <class T>
[[nodiscard]] Plan plane_plan(std::int64_t length, int last_limit = kLastOfPlane<T>) {
  return plan(1, length, last_limit, kStageOfPlane<T>);
}

// Why no block of every GPU holds a line of that many complex values, or so many tiles of them, of a plan with such a
// last stage; or null.
template <class S>
[[nodiscard]] const char* why_not_transform(std::int64_t length, int tiles = 1,
                                            int last_limit = kLastOfPlane<typename Arithmetic<S>::type>) {
  using T = typename Arithmetic<S>::type;
  if (!has_plan(1, length)) return "a length has a prime factor beyond 7, or is too long";
  const Work work{.channels = 1, .tiles = tiles, .storage_size = sizeof(S), .size = sizeof(T), .columns_first = false};
  if (geometry(plane_plan<T>(length, last_limit), work, kLeastSharedLimit).shared_bytes > 0) return nullptr;
  return "a length does not fit into a block's shared memory";
}

// Of a kernel over columns, which are neighbours in memory; storage_size: of what is read or written of them.
template <class T>
[[nodiscard]] Work columns_of_planes(std::int64_t columns, int storage_size) {
  return {.channels = columns,
          .tiles = 1,
          .storage_size = storage_size,
          .size = sizeof(T),
          .columns_first = true,
          .max_threads = kPlaneThreads<T>,
          .segment = 4 * kSector};
}

// Blocks that take so many columns, or rows, each.
[[nodiscard]] inline dim3 blocks_of(std::int64_t columns, int columns_of_block, std::int64_t items) {
  return {static_cast<unsigned>(ceil_div(columns, columns_of_block)),
          static_cast<unsigned>(std::min(items, kMaxBlocksAlongY))};
}

// Items whose half spectra are in memory at a time.
struct Chunk {
  std::int64_t first_item, items;
};

// The rows of all planes of an operation's signals: for each chunk, forward() queues the kernel over rows of a signal
// that is read, inverse() that of a signal that is written, and in between the operation queues its kernel over
// columns.
template <class S>
class Planes {
 public:
  using T = typename Arithmetic<S>::type;

  // sets: of half spectra, one for each signal that is transformed at the same time
  // folded: of the rows j <= n / 2 of x[j, l] + x[-j, -l], which has the real parts of x's bins, twice
  Planes(const Signal& signal, int sets, bool folded, const Stream& stream);

  template <class F>
  void each_chunk(F&& f) const {
    for (std::int64_t item = 0; item < batch_; item += chunk_) f(Chunk{item, std::min(chunk_, batch_ - item)});
  }

  // Bins come doubled, and again from folded rows.
  void forward(const Signal& signal, const Chunk& chunk, int set = 0) const;
  // d times the rows.
  void inverse(const Signal& signal, const Chunk& chunk, int set = 0) const;

  [[nodiscard]] HalfSpectrum<T> half(int set = 0) const;
  [[nodiscard]] int shared_limit() const { return shared_limit_; }

 private:
  Stream stream_;
  bool folded_;
  int shared_limit_;
  std::int64_t batch_, chunk_ = 0;
  HalfSpectrum<T> half_;
};

}  // namespace spectrans::cuda
