// Products of all rows of a matrix with all rows of another, in blocks that stay in the caches.
//
// Rows lie side by side in the lanes of vectors: a strip is a vector of rows for each sample of theirs, a panel a few
// strips. Products of a panel's samples are added in registers, in T, and those sums in double.
#pragma once

#include "wide.h"

namespace spectrans {
namespace {

template <class T>
struct Panels {
  static constexpr std::int64_t strip = kLanes<T>;      // rows side by side in a vector
  static constexpr std::int64_t high = kLanes<double>;  // rows and
  static constexpr std::int64_t wide = 3;           // strips, at most, of a micro tile: 4 x 12 doubles, 4 x 24 floats
  static constexpr std::int64_t depth = 128;        // samples of a panel
  static constexpr std::int64_t pitch = depth + 2;  // vectors from a strip to the next: no power of two
  static constexpr std::int64_t parts = Wide<T>::count;  // vectors of doubles, of a strip

  static constexpr std::int64_t strips(std::int64_t rows) { return ceil_div(rows, strip); }

  // Vectors of sums of so many strips: row r of strip s, times the rows of strip c, from ((s across + c) strip + r)
  // parts on.
  static constexpr std::int64_t sums(std::int64_t strips, std::int64_t across) {
    return strips * across * strip * parts;
  }

  // Adds the products of `count` samples. Strip s of a panel begins at s pitch; across: strips of the right one.
  // symmetric: the panels are of the same rows, and strips on the left of the diagonal are not needed.
  static void multiply(const Vector<T>* left, std::int64_t strips, const Vector<T>* right, std::int64_t across,
                       std::int64_t count, bool symmetric, Vector<double>* sums) {
    for (std::int64_t c = 0; c < across; c += wide) {
      const std::int64_t end = min(across, c + wide);
      for (std::int64_t s = 0; s < (symmetric ? end : strips); ++s) {
        const std::int64_t first = symmetric ? max(c, s) : c;
        for (std::int64_t h = 0; h < strip; h += high) {
          Vector<T> products[wide][high];
          micro_tile(reinterpret_cast<const T*>(left + s * pitch) + h, right + first * pitch, end - first, count,
                     products);
          Vector<double>* to = sums + ((s * across + first) * strip + h) * parts;
          for (std::int64_t q = 0; q < end - first; ++q, to += strip * parts) {
            const T* from = reinterpret_cast<const T*>(products[q]);
            for (std::int64_t i = 0; i < high * parts; ++i) to[i] += load_doubles(from + i * high);
          }
        }
      }
    }
  }

  // Samples (re, im), (re, im), ... -> (im, -re), ...: their products with (re, im), ... are the imaginary parts of
  // products of complex rows, as those of (re, im), ... are the real ones.
  static void turn(Vector<T>* panel, std::int64_t strips, std::int64_t count) {
    for (std::int64_t s = 0; s < strips; ++s, panel += pitch) {
      for (std::int64_t k = 0; k < count; k += 2) {
        const Vector<T> re = panel[k];
        panel[k] = panel[k + 1];
        panel[k + 1] = -re;
      }
    }
  }

 private:
  static void micro_tile(const T* rows, const Vector<T>* right, std::int64_t strips, std::int64_t count,
                         Vector<T> (*products)[high]) {
    switch (strips) {
      case 1: return micro_tile<1>(rows, right, count, products);
      case 2: return micro_tile<2>(rows, right, count, products);
      default: return micro_tile<wide>(rows, right, count, products);
    }
  }

  // products[q][r]: of row r and strip q. (A part of a function that does anything else with them, the sums would not
  // stay in registers: to widen floats there leaves GCC eight of the 32.)
  template <int strips>
  [[gnu::noinline]] static void micro_tile(const T* rows, const Vector<T>* right, std::int64_t count,
                                           Vector<T> (*products)[high]) {
    Vector<T> sum[strips][high] = {};
    for (std::int64_t k = 0; k < count; ++k, rows += strip) {
      unroll<0, high>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
        unroll<0, strips>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[q][r] += rows[r] * right[q * pitch + k]; });
      });
    }
    unroll<0, strips>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
      unroll<0, high>([&]<int r>() SPECTRANS_INLINE_LAMBDA { products[q][r] = sum[q][r]; });
    });
  }
};

}  // namespace
}  // namespace spectrans
