// Elements as vectors of doubles: squares of float32 and of halves are exact there, and do not overflow.
#pragma once

#include "../memory/tile.h"

namespace spectrans {
namespace {

// What lies so many bytes on; there may be nothing.
SPECTRANS_INLINE void prefetch_beyond(const void* from, std::int64_t bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) + bytes));
}

// Elements loaded at a time: a vector of what they are computed in.
template <class IO>
constexpr int kStep = kLanes<Compute<IO>>;

// As many elements as fit a vector of doubles.
SPECTRANS_INLINE Vector<double> load_doubles(const double* from) { return load(from); }
SPECTRANS_INLINE Vector<double> load_doubles(const float* from) {
  typename VectorOf<float, kLanes<double>>::type value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_convertvector(value, Vector<double>);
}

// By halves.
template <class T, int n>
SPECTRANS_INLINE T horizontal_sum(typename VectorOf<T, n>::type value) {
  if constexpr (n == 2) {
    return value[0] + value[1];
  } else {
    using Half = typename VectorOf<T, n / 2>::type;
    struct Halves {
      Half low, high;
    };
    const auto halves = bit_cast<Halves>(value);
    return horizontal_sum<T, n / 2>(halves.low + halves.high);
  }
}

template <class T, int count, int block>
SPECTRANS_INLINE void add_pairs(Vector<T>* sums) {
  if constexpr (count > 1) {
    unroll<0, count / 2>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Vector<T> a = sums[2 * i], b = sums[2 * i + 1];
      sums[i] = ShufflesOf<T>::template interleave<block, 0>(a, b) + ShufflesOf<T>::template interleave<block, 1>(a, b);
    });
    add_pairs<T, count / 2, 2 * block>(sums);
  }
}

// Of `count` vectors at once, a power of two: pairs are added to interleaved halves.
template <class T, int count>
SPECTRANS_INLINE void horizontal_sums(const Vector<T>* of, T* to) {
  constexpr int lanes = kLanes<T>;
  if constexpr (count > lanes) {
    horizontal_sums<T, count / 2>(of, to);
    horizontal_sums<T, count / 2>(of + count / 2, to + count / 2);
  } else if constexpr (count == 1) {
    *to = horizontal_sum<T, lanes>(*of);
  } else {
    Vector<T> sums[count];
    unroll<0, count>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sums[i] = of[i]; });
    add_pairs<T, count, 1>(sums);
    T each[lanes];  // sum i in every lane i + m count
    store(each, sums[0]);
    unroll<0, count>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      T sum = each[i];
      unroll<1, lanes / count>([&]<int m>() SPECTRANS_INLINE_LAMBDA { sum += each[i + m * count]; });
      to[i] = sum;
    });
  }
}

// kStep elements as doubles.
template <class IO>
struct Wide {
  static constexpr int count = kStep<IO> / kLanes<double>;
  Vector<double> part[count];

  SPECTRANS_INLINE void add_squares(const Wide& x) {
    unroll<0, count>([&]<int i>() SPECTRANS_INLINE_LAMBDA { part[i] += x.part[i] * x.part[i]; });
  }
  SPECTRANS_INLINE void store(double* to) const {
    unroll<0, count>([&]<int i>() SPECTRANS_INLINE_LAMBDA { spectrans::store(to + i * kLanes<double>, part[i]); });
  }
  double total() const {
    Vector<double> all = part[0];
    for (int i = 1; i < count; ++i) all += part[i];
    return horizontal_sum<double, kLanes<double>>(all);
  }
};

template <class IO>
SPECTRANS_INLINE Wide<IO> widened(Vector<Compute<IO>> value) {
  Wide<IO> wide;
  if constexpr (Wide<IO>::count == 1) {
    wide.part[0] = value;
  } else {
    float each[kStep<IO>];
    store(each, value);
    unroll<0, Wide<IO>::count>([&]<int i>()
                                   SPECTRANS_INLINE_LAMBDA { wide.part[i] = load_doubles(each + i * kLanes<double>); });
  }
  return wide;
}

template <class IO>
SPECTRANS_INLINE Wide<IO> load_wide(const IO* from) {
  if constexpr (std::is_same_v<IO, float>) {
    Wide<IO> wide;
    unroll<0, Wide<IO>::count>([&]<int i>()
                                   SPECTRANS_INLINE_LAMBDA { wide.part[i] = load_doubles(from + i * kLanes<double>); });
    return wide;
  } else {
    return widened<IO>(load(from));
  }
}

// The first `count` elements; the others are zero.
template <class IO>
SPECTRANS_INLINE Wide<IO> load_wide_some(const IO* from, int count) {
  return widened<IO>(load_some(from, 1, count));
}

template <class IO>
SPECTRANS_INLINE double wide_element(const IO* from) {
  if constexpr (sizeof(IO) == 2) {
    return load_some(from, 1, 1)[0];
  } else {
    return *from;
  }
}

SPECTRANS_INLINE double square(double value) { return value * value; }

// Of vectors of doubles, padded with zeros to whole registers.
inline double dot(const double* a, const double* b, std::int64_t padded) {
  Vector<double> sum[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * kLanes<double> <= padded; i += 4 * kLanes<double>) {
    unroll<0, 4>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
      sum[q] += load(a + i + q * kLanes<double>) * load(b + i + q * kLanes<double>);
    });
  }
  for (; i < padded; i += kLanes<double>) sum[0] += load(a + i) * load(b + i);
  return Wide<double>{{(sum[0] + sum[1]) + (sum[2] + sum[3])}}.total();
}

// -- range: squares of doubles may overflow, or vanish --

constexpr double kLargest = 0x1.fffffffffffffp1023;  // finite

// Of rows of `length` elements; infinite or NaN if one is.
template <class IO>
double largest_magnitude(const IO* from, std::int64_t rows, std::int64_t row_stride, std::int64_t length) {
  double largest = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < length; ++j) {
      const double value = __builtin_fabs(wide_element(from + row * row_stride + j));
      if (value != value) return value;
      largest = value > largest ? value : largest;
    }
  }
  return largest;
}

// Of the power of two that brings such elements near to one, itself and its reciprocal being normal.
inline int exponent_of(double largest) {
  const int exponent = __builtin_ilogb(largest);
  return exponent > 1000 ? 1000 : exponent < -1000 ? -1000 : exponent;
}

}  // namespace
}  // namespace spectrans
