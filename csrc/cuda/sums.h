// Sums of products of bins over the batch: over chunks of it, then over the chunks, always in the same order.
#pragma once

#include <algorithm>

#include "device.h"

namespace spectrans::cuda {

template <class T>
struct Sums {
  Pair<T>* data;  // [chunks, rows, half, d]
  int rows, half, d;

  [[nodiscard]] SPECTRANS_INLINE std::int64_t bins() const { return std::int64_t{rows} * half * d; }  // of a chunk

  SPECTRANS_DEVICE Pair<T>* at(std::int64_t chunk, int row, int k, int channel) const {
    return data + ((chunk * rows + row) * half + k) * d + channel;
  }

  // conj(x) g, to what earlier items of the chunk have left there
  SPECTRANS_DEVICE void add(Pair<T>* to, Complex<T> x, Complex<T> g, bool first) const {
    const Complex<T> product = times_conj(g, x.re, x.im);
    const Pair<T> before = first ? Pair<T>{T(0), T(0)} : load(to);
    store(to, Pair<T>{before.re + product.re, before.im + product.im});
  }
};

// Largest radix of the last stage where products of two signals' bins are taken: four blocks of it are in registers at
// once.
template <class T>
constexpr int kLastOfTwo = sizeof(T) == 4 ? 4 : 2;

// Items of a chunk, which one block adds up: few where there would not be enough blocks otherwise, and not many more
// than there are chunks, so that sums of float32 stay accurate. By shapes alone, so that sums are the same on every
// device.
inline std::int64_t items_of_sum(std::int64_t batch, std::int64_t channels) {
  constexpr std::int64_t enough = 512, channels_of_block = 8;
  std::int64_t most = 16;
  while (most * most < batch) most *= 2;
  return std::clamp(batch * ((channels + channels_of_block - 1) / channels_of_block) / enough, std::int64_t{1}, most);
}

// Of a kernel that adds the chunks' sums up: a thread takes a bin, and others that far apart.
constexpr int kSumThreads = 256;
inline Grid grid_of_sums(std::int64_t bins) {
  const std::int64_t blocks = std::min((bins + kSumThreads - 1) / kSumThreads, kMaxBlocksAlongY);
  return {dim3(static_cast<unsigned>(blocks)), kSumThreads, 0};
}

}  // namespace spectrans::cuda
