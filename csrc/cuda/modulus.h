// Where the modulus of complex numbers is largest. Which of two is the larger does not depend on what else a thread has
// seen, so that any order of comparisons finds the same place.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "reduction.h"

namespace spectrans::cuda {
namespace {

constexpr int kModulusThreads = 256, kPairsInFlight = 4;
constexpr std::int64_t kPairsPerPiece = 16 * 1024;

struct alignas(16) Place {
  double squared;  // the modulus; -1: nothing yet
  std::int64_t at;
};

// Of doubles, the squares may overflow or vanish where moduli do not.
template <class T>
SPECTRANS_DEVICE double squared_modulus(Pair<T> z) {
  const double re = fabs(static_cast<double>(z.re)), im = fabs(static_cast<double>(z.im));
  return re > im ? re * re + im * im : im * im + re * re;  // the same of (a, b) and (b, a), fused or not
}

template <class T>
SPECTRANS_DEVICE bool comparable(double squared) {
  return sizeof(T) == 4 || (squared > 0x1p-900 && squared < 0x1p1000);
}

// Whether |b| > |a|, by squares that are scaled for these two. Infinite ones are equal.
SPECTRANS_DEVICE bool exceeds(Pair<double> b, Pair<double> a) {
  const double of_a = fabs(a.re) > fabs(a.im) ? fabs(a.re) : fabs(a.im);
  const double of_b = fabs(b.re) > fabs(b.im) ? fabs(b.re) : fabs(b.im), most = of_a > of_b ? of_a : of_b;
  if (most == 0) return false;
  if (most > 0x1.fffffffffffffp1023) return of_b > of_a;
  const int exponent = ilogb(most);
  const double first = ldexp(1.0, -(exponent / 2)), second = ldexp(1.0, exponent / 2 - exponent);
  const auto scaled = [&](Pair<double> z) { return Pair<double>{z.re * first * second, z.im * first * second}; };
  return squared_modulus(scaled(b)) > squared_modulus(scaled(a));
}

template <class T>
struct Larger {
  const T* row;
  bool aligned;  // pairs, to their size

  SPECTRANS_DEVICE Pair<T> pair(std::int64_t at) const {
    if (aligned) return load(reinterpret_cast<const Pair<T>*>(row) + at);
    return {load(row + 2 * at), load(row + 2 * at + 1)};
  }

  SPECTRANS_DEVICE bool exceeds(Place b, Place a) const {
    if (a.squared < 0 || b.squared < 0 || (comparable<T>(a.squared) && comparable<T>(b.squared))) {
      return b.squared > a.squared;
    }
    const Pair<T> of_a = pair(a.at), of_b = pair(b.at);
    return cuda::exceeds({of_b.re, of_b.im}, {of_a.re, of_a.im});
  }

  // The first of equals; NaN exceeds everything.
  SPECTRANS_DEVICE Place operator()(Place a, Place b) const {
    const bool a_nan = a.squared != a.squared, b_nan = b.squared != b.squared;
    if (a_nan != b_nan) return a_nan ? a : b;
    const bool first = a.at < b.at;
    if (a_nan) return first ? a : b;
    return first ? (exceeds(b, a) ? b : a) : (exceeds(a, b) ? a : b);
  }
};

struct ModulusParameters {
  const void* pairs;
  const std::int64_t* places;  // [rows, among] of those to choose from, or null: all
  std::int64_t* to;            // [rows, pieces]
  std::int64_t rows, count, among, pieces;
  int team;
};

template <class T>
__global__ void __launch_bounds__(kModulusThreads) modulus_kernel(const __grid_constant__ ModulusParameters p) {
  const int thread = static_cast<int>(threadIdx.x), team = p.team;
  const std::int64_t task = blockIdx.x * (kModulusThreads / std::int64_t{team}) + thread / team;
  std::int64_t row = task;
  const std::int64_t first = divide(row, p.pieces) * kPairsPerPiece;
  const bool active = row < p.rows;
  const Larger<T> larger{static_cast<const T*>(p.pairs) + (active ? row : 0) * 2 * p.count,
                         reinterpret_cast<std::uintptr_t>(p.pairs) % sizeof(Pair<T>) == 0};
  const std::int64_t end = active ? smaller(first + kPairsPerPiece, p.among) : 0;
  Place best{-1, INT64_MAX};
  for (std::int64_t i = first + thread % team; i < end; i += kPairsInFlight * team) {
    Place found[kPairsInFlight];
    unroll<0, kPairsInFlight>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      const std::int64_t at = i + k * team;
      if (at < end) {
        found[k].at = p.places == nullptr ? at : load(p.places + row * p.among + at);
        found[k].squared = squared_modulus(larger.pair(found[k].at));
      }
    });
    unroll<0, kPairsInFlight>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      if (i + k * team < end) best = larger(best, found[k]);
    });
  }
  best = group_reduce(shared<Place>(0), thread, team, best, larger);
  if (active && thread % team == 0) store(p.to + task, best.at);
}

// One launch, and another where rows are cut: then among the best of the pieces.
inline void largest_moduli(const LargestModulus& call, const Stream& stream) {
  const std::int64_t* places = nullptr;
  for (std::int64_t among = call.count;;) {
    const std::int64_t pieces = ceil_div(among, kPairsPerPiece);
    std::int64_t* to = call.index;
    if (pieces > 1) {
      const std::size_t bytes = static_cast<std::size_t>(call.batch * pieces) * sizeof(std::int64_t);
      to = static_cast<std::int64_t*>(stream.allocate(bytes, stream.context));
    }
    const int team = power_of_two_below(ceil_div(std::min(among, kPairsPerPiece), kPairsInFlight), kModulusThreads);
    const ModulusParameters parameters{call.pairs, places, to, call.batch, call.count, among, pieces, team};
    const Grid grid{dim3(static_cast<unsigned>(ceil_div(call.batch * pieces, kModulusThreads / team))), kModulusThreads,
                    kModulusThreads * static_cast<int>(sizeof(Place))};
    const bool wide = call.element == Element::float64;
    launch(wide ? &modulus_kernel<double> : &modulus_kernel<float>, grid, stream.stream, parameters);
    if (pieces == 1) return;
    places = to;
    among = pieces;
  }
}

}  // namespace
}  // namespace spectrans::cuda
