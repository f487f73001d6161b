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
  static constexpr std::int64_t strip = kLanes<T>;       // rows side by side in a vector
  static constexpr std::int64_t high = kLanes<double>;   // rows and
  static constexpr std::int64_t wide = 3;                // strips of a micro tile: 4 x 12 doubles, 4 x 24 floats
  static constexpr std::int64_t depth = 128;             // samples of a panel
  static constexpr std::int64_t pitch = depth + 2;       // vectors from a strip to the next: no power of two
  static constexpr std::int64_t parts = Wide<T>::count;  // vectors of doubles, of a strip

  // Of so many rows, on the right.
  static constexpr std::int64_t strips(std::int64_t rows) { return ceil_div(rows, wide * strip) * wide; }

  // Vectors of sums of so many strips: row r of strip s, times the rows of strip c, from ((s across + c) strip + r)
  // parts on.
  static constexpr std::int64_t sums(std::int64_t strips, std::int64_t across) {
    return strips * across * strip * parts;
  }

  // Adds the products of `count` samples. Strip s of a panel begins at s pitch; across: strips of the right one, a
  // multiple of `wide`. symmetric: the panels are of the same rows, and what is left of the diagonal is not needed.
  // (A part of a function that fills panels as well, its sums would not stay in registers.)
  [[gnu::noinline]] static void multiply(const Vector<T>* left, std::int64_t strips, const Vector<T>* right,
                                         std::int64_t across, std::int64_t count, bool symmetric,
                                         Vector<double>* sums) {
    for (std::int64_t c = 0; c < across; c += wide) {
      for (std::int64_t s = 0; s < (symmetric ? min(strips, c + wide) : strips); ++s) {
        unroll<0, strip / high>([&]<int h>() SPECTRANS_INLINE_LAMBDA {
          Vector<T> sum[high][wide] = {};
          const Vector<T>*a = left + s * pitch, *b = right + c * pitch;
          for (std::int64_t k = 0; k < count; ++k) {
            const T* row = reinterpret_cast<const T*>(a + k) + h * high;
            unroll<0, high>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
              unroll<0, wide>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[r][q] += row[r] * b[q * pitch + k]; });
            });
          }
          Vector<double>* to = sums + ((s * across + c) * strip + h * high) * parts;
          unroll<0, wide>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
            unroll<0, high>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
              const Wide<T> more = widened<T>(sum[r][q]);
              unroll<0, parts>([&]<int p>()
                                   SPECTRANS_INLINE_LAMBDA { to[(q * strip + r) * parts + p] += more.part[p]; });
            });
          });
        });
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
};

}  // namespace
}  // namespace spectrans
