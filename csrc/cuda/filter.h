// What the kernels of filters have in common, whether a block holds a line, a grid, or a row of a long line: responses,
// and sums of their gradients.
#pragma once

#include "kernels.h"
#include "sums.h"

namespace spectrans::cuda {

template <class T>
struct Response {
  const Pair<T>* data;
  std::int64_t bin_stride, channel_stride;  // in pairs
  int rows, width;                          // of the grid of tokens; a sequence is a grid of one row
  bool adjoint;
  T scale;

  SPECTRANS_DEVICE Complex<T> at(int row, int k, int channel) const {
    const Pair<T> h = load(data + (std::int64_t{row} * (width / 2 + 1) + k) * bin_stride + channel * channel_stride);
    return {h.re, h.im};
  }

  // What acts in (row, k), k <= width / 2: in the columns 0 and width / 2, which hold bins and their mirror images,
  // only the Hermitian part.
  SPECTRANS_DEVICE Complex<T> operator()(int row, int k, int channel) const {
    Complex<T> h = at(row, k, channel);
    if (k == 0 || 2 * k == width) {
      const Complex<T> mirrored = at(row == 0 ? 0 : rows - row, k, channel);
      h = {(h.re + mirrored.re) * T(0.5), (h.im - mirrored.im) * T(0.5)};
    }
    return {h.re * scale, (adjoint ? -h.im : h.im) * scale};
  }

  // A value of the whole spectrum, k < width, times what acts there.
  SPECTRANS_DEVICE Complex<T> filtered(Complex<T> value, int row, int k, int channel) const {
    if (2 * k <= width) {
      const Complex<T> h = (*this)(row, k, channel);
      return times(value, h.re, h.im);
    }
    const Complex<T> h = (*this)(row == 0 ? 0 : rows - row, width - k, channel);
    return times_conj(value, h.re, h.im);
  }
};

// Of a call on grids of h rows. doubled: bins come so from a line held as half as many complex values, and go back so.
template <class T>
[[nodiscard]] Response<T> response_of(const Filter& call, std::int64_t h, bool doubled) {
  return {static_cast<const Pair<T>*>(call.response),
          call.bin_stride / 2,
          call.channel_stride / 2,
          static_cast<int>(h),
          static_cast<int>(call.x.n / h),
          call.adjoint,
          T(1) / (T(call.x.n) * (doubled ? 2 : 1))};
}

// The chunks' sums, and the gradient they make.
template <class T>
struct Summation {
  std::int64_t chunk, chunks;  // items of one, and their number
  int width;
  Sums<T> sums;

  Summation(const Filter& call, std::int64_t h, const Stream& stream);

  // scale: of the products that were summed
  void finish(const Filter& call, T scale, const Stream& stream) const;
};

// ---- long lines -----------------------------------------------------------------------------------------------------

// Queues a call whose lines one block cannot hold.
void long_filter(const Filter& call, const Stream& stream);

}  // namespace spectrans::cuda
