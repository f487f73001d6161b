// Reductions over the threads of a block, in an order that depends on its size alone, and offsets along many axes.
#pragma once

#include <cstdint>

#include "device.h"
#include "plan.h"

namespace spectrans::cuda {

SPECTRANS_DEVICE int smaller(int a, int b) { return a < b ? a : b; }
SPECTRANS_DEVICE std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

constexpr int power_of_two_below(std::int64_t n, int most) {
  int power = 1;
  while (power < most && 2 * power <= n) power *= 2;
  return power;
}

// The values of each group of `count` (a power of two) neighbouring places combined, for all of the group. Every thread
// of the block has a place of its own, below the size of the block; room: as many values. Two rounds of up to 16 values
// a thread take fewer barriers than a binary tree.
template <class T, class Combine>
SPECTRANS_DEVICE T group_reduce(Shared<T> room, int place, int count, T value, const Combine& combine) {
  const int first = place & ~(count - 1), lane = place - first;
  for (int left = count; left > 1;) {
    if (lane < left) room.store(place, value);
    __syncthreads();
    const int parts = smaller(left, 16);
    left /= parts;
    if (left == 1 || lane < left) {
      const int from = first + (left == 1 ? 0 : lane);
      value = room.load(from);
      for (int i = 1; i < parts; ++i) value = combine(value, room.load(from + i * left));
    }
    __syncthreads();
  }
  return value;
}

SPECTRANS_DEVICE double group_sum(Shared<double> room, int place, int count, double value) {
  return group_reduce(room, place, count, value, [](double a, double b) { return a + b; });
}

// NaN if one is.
SPECTRANS_DEVICE double group_largest(Shared<double> room, int place, int count, double value) {
  return group_reduce(room, place, count, value, [](double a, double b) { return b > a || b != b ? b : a; });
}

// Divides in 32 bits where that is enough: a division in 64 takes several times as long.
SPECTRANS_DEVICE std::int64_t divide(std::int64_t& index, std::int64_t size) {
  std::int64_t rest;
  if (((index | size) >> 32) == 0) {
    const auto i = static_cast<unsigned>(index), n = static_cast<unsigned>(size), quotient = i / n;
    rest = i - quotient * n;
    index = quotient;
  } else {
    const std::int64_t quotient = index / size;
    rest = index - quotient * size;
    index = quotient;
  }
  return rest;
}

// Where item `index` of the batch begins.
SPECTRANS_DEVICE std::int64_t batch_offset(const Signal& signal, std::int64_t index) {
  std::int64_t offset = 0;
  for (int at = signal.axes - 1; at >= 0; --at) offset += divide(index, signal.size[at]) * signal.stride[at];
  return offset;
}

}  // namespace spectrans::cuda
