// Rows of the half spectra that transforms of its columns (along the sequence, channels in lanes) leave in the tiles of
// an item: row k is bin k of every channel, a vector in each tile.
#pragma once

#include "../memory/lines.h"
#include "transform.h"

namespace spectrans {
namespace {

// Bins between one whose row is transformed and one that is asked for.
constexpr std::int64_t kBinsAhead = 8;

// V: Vector<T>, or const
template <class T, class V>
class HalfRow {
 public:
  // Bin `bin` of tiles that lie `pitch` slots apart.
  HalfRow(const RealPlan<T>& plan, V* tiles, std::int64_t pitch, std::int64_t bin)
      : real_(plan.im[bin] < 0), re_(tiles + plan.re[bin]), im_(real_ ? re_ : tiles + plan.im[bin]), pitch_(pitch),
        sign_(real_ ? T(0) : plan.sign[bin]) {}

  SPECTRANS_INLINE Complex<Vector<T>> operator()(std::int64_t k) const {
    return {re_[k * pitch_], im_[k * pitch_] * sign_};
  }
  SPECTRANS_INLINE void put(std::int64_t k, Vector<T> re, Vector<T> im) const {
    if (!real_) im_[k * pitch_] = im * sign_;
    re_[k * pitch_] = re;
  }
  SPECTRANS_INLINE void fetch(std::int64_t k) const {
    spectrans::fetch(re_ + k * pitch_);
    spectrans::fetch(im_ + k * pitch_);
  }

 private:
  bool real_;
  V *re_, *im_;
  std::int64_t pitch_;
  T sign_;
};

// Which bin is in place r of an order in which, where tiles are far, neighbours in a cache line are done together.
template <class T>
std::int64_t bin_in_order(const RealPlan<T>& plan, std::int64_t r, bool near) {
  return kVectorBytes < kLine && !near ? plan.bin[r] : r;
}

}  // namespace
}  // namespace spectrans
