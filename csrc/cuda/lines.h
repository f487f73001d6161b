// Tensors [batch ..., n, d] as kernels see them: an item's address, and its channels' samples as lines of a transform.
#pragma once

#include "device.h"
#include "transform.h"

namespace spectrans::cuda {

constexpr int kMaxLineAxes = 6;  // of a batch, those joined that can be walked with one stride; more are rare

struct Lines {
  void* data;
  std::int64_t n_stride, d_stride;
  int axes;
  std::int64_t size[kMaxLineAxes], stride[kMaxLineAxes];
  bool together;  // samples 2 p and 2 p + 1 of every channel can be moved as one
};

inline Lines lines(const Signal& signal, std::int64_t element_size) {
  Lines result{signal.data, signal.n_stride, signal.d_stride, signal.axes, {}, {}, false};
  bool even = signal.n_stride == 1 && (signal.d == 1 || signal.d_stride % 2 == 0) &&
              reinterpret_cast<std::uintptr_t>(signal.data) % (2 * element_size) == 0;
  for (int axis = 0; axis < signal.axes && axis < kMaxLineAxes; ++axis) {
    result.size[axis] = signal.size[axis];
    result.stride[axis] = signal.stride[axis];
    even = even && signal.stride[axis] % 2 == 0;
  }
  result.together = even;
  return result;
}

// In elements, of item `item` of the batch and channel `channel` from the beginning.
SPECTRANS_DEVICE std::int64_t offset(const Lines& lines, std::int64_t item, std::int64_t channel) {
  std::int64_t result = channel * lines.d_stride;
  for (int axis = lines.axes - 1; axis > 0; --axis) {
    const std::int64_t rest = item / lines.size[axis];
    result += (item - rest * lines.size[axis]) * lines.stride[axis];
    item = rest;
  }
  return lines.axes > 0 ? result + item * lines.stride[0] : result;
}

// A real line of even length as half as many complex values x[2 p] + i x[2 p + 1].
template <class S>
struct EvenOddSamples {
  S* line;
  std::int64_t n_stride;
  bool together, active;  // an inactive line is read as zeros and not written

  SPECTRANS_DEVICE EvenOddSamples(const Lines& lines, std::int64_t item, int channel, int d)
      : line(static_cast<S*>(lines.data) + offset(lines, item, channel)), n_stride(lines.n_stride),
        together(lines.together), active(channel < d) {}

  template <int R, class T>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = {T(0), T(0)}; });
    if (!active) return;
    const S* at = line + 2 * first * n_stride;
    const std::int64_t stride = 2 * step * n_stride;
    if (together) {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const Pair<S> both = cuda::load(reinterpret_cast<const Pair<S>*>(at + i * stride));
        v[i] = {widen(both.re), widen(both.im)};
      });
      return;
    }
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i].re = widen(cuda::load(at + i * stride)); });
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i].im = widen(cuda::load(at + n_stride + i * stride)); });
  }

  template <int R, class T>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (!active) return;
    S* at = line + 2 * first * n_stride;
    const std::int64_t stride = 2 * step * n_stride;
    if (together) {
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        cuda::store(reinterpret_cast<Pair<S>*>(at + i * stride), Pair<S>{narrow<S>(v[i].re), narrow<S>(v[i].im)});
      });
      return;
    }
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { cuda::store(at + i * stride, narrow<S>(v[i].re)); });
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { cuda::store(at + n_stride + i * stride, narrow<S>(v[i].im)); });
  }
};

// A real line as the real parts of complex values; what is stored are real parts.
template <class S>
struct RealSamples {
  S* line;
  std::int64_t n_stride;
  bool active;

  SPECTRANS_DEVICE RealSamples(const Lines& lines, std::int64_t item, int channel, int d)
      : line(static_cast<S*>(lines.data) + offset(lines, item, channel)), n_stride(lines.n_stride),
        active(channel < d) {}

  template <int R, class T>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      v[i] = {active ? widen(cuda::load(line + (first + i * step) * n_stride)) : T(0), T(0)};
    });
  }

  template <int R, class T>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (!active) return;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      cuda::store(line + (first + i * step) * n_stride, narrow<S>(v[i].re));
    });
  }
};

}  // namespace spectrans::cuda
