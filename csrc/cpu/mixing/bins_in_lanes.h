// Mixing over both axes (plane.h): rows of as many bins as there are lanes, side by side.
#pragma once

#include "plane.h"

namespace spectrans {
namespace {

// Rows side by side: a vector holds a channel of lanes bins, so that any number of channels will do. Row r is bin r %
// bins of item r / bins of a pack.
template <class IO, bool kHartley>
class BinsInLanes : public Plane<IO, kHartley> {
  using Base = Plane<IO, kHartley>;
  using Base::lanes, Base::x_, Base::n_, Base::d_, Base::bins_, Base::channels_, Base::items_, Base::width_;
  using Base::sequence_, Base::pitch_, Base::staged_pitch_;
  using typename Base::T;
  using Hidden = std::conditional_t<kHartley, ComplexPlan<T>, RealPlan<T>>;

  static std::int64_t slots_of(const ComplexPlan<T>& plan) { return 2 * plan.n; }
  static std::int64_t slots_of(const RealPlan<T>& plan) { return plan.slots; }

  static const Hidden& hidden_plan(std::int64_t d) {
    if constexpr (kHartley) {
      return complex_plan<T>(d);
    } else {
      return real_plan<T>(d);
    }
  }

  static std::int64_t items_of(const Signal& x) {
    const std::int64_t channels = Base::channels_of(x);
    return channels <= lanes / 2 ? max(1, min(x.batch, lanes / channels)) : 1;
  }

 public:
  BinsInLanes(const Signal& x, const Signal& y, double scale)
      : Base(x, y, scale, items_of(x), max(items_of(x) * Base::channels_of(x), min(lanes, x.d))),
        hidden_(hidden_plan(x.d)), block_slots_(padded(slots_of(hidden_))) {}

  std::int64_t row_tasks() const { return ceil_div(items_ * bins_, lanes); }
  std::int64_t row_bytes() const { return block_slots_ * kVectorBytes; }
  std::int64_t work_slots() const {
    return max(sequence_.work, block_slots_ + (kHartley ? 2 : 1) * staged_pitch_ + hidden_.work);
  }

  void rows(std::int64_t pack, std::int64_t task, std::int64_t, const Vector<T>* tiles, Vector<T>* space) const {
    constexpr int kinds = kHartley ? 2 : 1;
    Vector<T>*block = space + kinds * staged_pitch_, *work = block + block_slots_;
    if (items_ > 1) {
      for (int i = 0; i < lanes; ++i) take_row(tiles, min(task * lanes + i, items_ * bins_ - 1), block, i);
    } else {
      for (std::int64_t l = 0; l < channels_; l += lanes) turn_bins(tiles, task * lanes, l / lanes, block);
    }
    if constexpr (kHartley) {
      complex_forward(hidden_, 0, block, block + d_, 1, work);
    } else {
      real_inverse(hidden_, block, work);
    }
    // [lanes][staged_pitch_]: y[p, q] and y[-p, -q] at q
    T* staged[2] = {reinterpret_cast<T*>(space), reinterpret_cast<T*>(space + (kinds - 1) * staged_pitch_)};
    for (std::int64_t q = 0; q < d_; q += lanes) {
      turn_rows<-1>(block, q, staged[0] + q);
      if constexpr (kHartley) turn_rows<1>(block, q, staged[1] + q);
    }
    const std::int64_t first = task * lanes;
    const std::int64_t end = min(first + lanes, min(items_, x_.batch - pack * items_) * bins_);
    for (std::int64_t r = first; r < end; ++r) {
      const std::int64_t at = (r - first) * staged_pitch_;
      Base::put_rows(batch_item<IO>(Base::y_, pack * items_ + r / bins_), r % bins_, staged[0] + at, staged[1] + at);
    }
  }

 private:
  // Row r of a pack in one tile -> lane `to` of a block.
  void take_row(const Vector<T>* tile, std::int64_t r, Vector<T>* block, int to) const {
    const std::int64_t p = r % bins_, first = r / bins_ * channels_;
    T* lane = reinterpret_cast<T*>(block) + to;
    for (std::int64_t l = 0; l < channels_; ++l) {
      const T im = sequence_.im[p] < 0 ? T(0) : tile[sequence_.im[p]][first + l] * sequence_.sign[p];
      set_real<lanes>(lane, l, tile[sequence_.re[p]][first + l]);
      set_imag<lanes>(lane, l, im);
    }
  }

  // Bins p, p + 1, ... of a tile of channels -> the channels of a block of bins.
  void turn_bins(const Vector<T>* tiles, std::int64_t p, std::int64_t k, Vector<T>* block) const {
    const std::int64_t bins = bins_ - p, l = Base::first_of(k), channels = min(lanes, channels_ - l);
    const std::int32_t *re = sequence_.re + p, *im = sequence_.im + p;
    const T* sign = sequence_.sign + p;
    const Vector<T>* tile = tiles + k * pitch_;
    Vector<T> values[lanes];
    for (int i = 0; i < lanes; ++i) values[i] = i < bins ? tile[re[i]] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_real(block, l + i, values[i]);
    for (int i = 0; i < lanes; ++i) values[i] = i < bins && im[i] >= 0 ? tile[im[i]] * sign[i] : Vector<T>{};
    transpose<T>(values);
    for (int i = 0; i < channels; ++i) set_imag(block, l + i, values[i]);
  }

  // Channel l of a block as the hidden transform wants it: vectors, or (kStep = lanes) one lane of each.
  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_real(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * hidden_.slot[l]] = value;
    } else {
      block[kStep * hidden_.re[l]] = value;
    }
  }

  template <int kStep = 1, class V>
  SPECTRANS_INLINE void set_imag(V* block, std::int64_t l, V value) const {
    if constexpr (kHartley) {
      block[kStep * (d_ + hidden_.slot[l])] = value;
    } else if (hidden_.im[l] >= 0) {
      block[kStep * hidden_.im[l]] = value * -hidden_.sign[l];
    }
  }

  // Columns q, q + 1, ... of a block of rows -> staged rows. Hartley: Re F + kSign Im F.
  template <int kSign>
  void turn_rows(const Vector<T>* block, std::int64_t q, T* to) const {
    const std::int64_t count = d_ - q, im = d_;
    Vector<T> values[lanes];
    if constexpr (kHartley) {
      const std::int32_t* bin = hidden_.bin + q;
      for (int i = 0; i < lanes; ++i) {
        values[i] = i < count ? block[bin[i]] + T(kSign) * block[im + bin[i]] : Vector<T>{};
      }
    } else {
      const std::int32_t* slot = hidden_.slot + q;
      for (int i = 0; i < lanes; ++i) values[i] = i < count ? block[slot[i]] : Vector<T>{};
    }
    transpose<T>(values);
    for (int i = 0; i < lanes; ++i) store(to + i * staged_pitch_, values[i]);
  }

  const Hidden& hidden_;
  const std::int64_t block_slots_;
};

}  // namespace
}  // namespace spectrans
