// Few lines of prime length: the convolutions that Rader made of their transforms are done in parts (fft/split.h).
#pragma once

#include "../memory/spectrum.h"
#include "join.h"

namespace spectrans {
namespace {

// The largest number of parts of each of so many lines of n samples that the lanes have room for.
template <class T>
std::int64_t most_parts(std::int64_t n, std::int64_t lines) {
  std::int64_t r = kLanes<T> / lines;
  while (n % r != 0) --r;
  return r;
}

// Where a plan is Rader's algorithm: its stage.
template <class T>
const RealStage<T>* rader_stage(const RealPlan<T>& plan) {
  if (plan.stages == 0) return nullptr;
  const RealStage<T>& stage = plan.stage[0];
  const bool rader = stage.radix == plan.n && (stage.prime != nullptr || stage.wide != nullptr);
  return rader ? &stage : nullptr;
}

// Hartley transforms of prime length of so many lines, one a lane.
template <class U>
class RaderLines {
  static constexpr std::int64_t lanes = kLanes<U>;

 public:
  RaderLines(const PrimePlan<U>& plan, std::int64_t lines)
      : plan_(plan), lines_(lines), length_(plan.convolution->n), r_(most_parts<U>(length_, lines)),
        split_(split_plan<U>(length_, r_, lanes)) {}

  std::int64_t work_bytes() const {
    return split_.part->slots * kVectorBytes + (lines_ + 1) * Spectrum<U>::size(length_) * std::int64_t(sizeof(U));
  }

  // In place: sample j of line l is lane l of rows[slot[j]].
  template <class T>
  void transform(Vector<T>* rows, const std::int32_t* slot, Vector<T>* work) const {
    T* samples = reinterpret_cast<T*>(rows);
    auto* tile = reinterpret_cast<Vector<U>*>(work);
    U* values = reinterpret_cast<U*>(tile);
    U* spectra = reinterpret_cast<U*>(tile + split_.part->slots);
    const auto at = [&](std::int64_t j) { return samples + slot[j] * kLanes<T>; };
    U first[lanes];
    for (std::int64_t l = 0; l < lines_; ++l) first[l] = static_cast<U>(at(0)[l]);
    for (std::int64_t i = 0; i < split_.part->slots; ++i) tile[i] = Vector<U>{};
    for_each_value(values, [&](std::int64_t q, U* value) {
      const T* from = at(plan_.gather[q]);
      for (std::int64_t l = 0; l < lines_; ++l) value[l] = static_cast<U>(from[l]);
    });
    real_forward(*split_.part, tile, static_cast<Vector<U>*>(nullptr));
    SPECTRANS_ISA::join(split_, tile, 1, lines_, spectra);
    const Spectrum<U> response(spectra + lines_ * Spectrum<U>::size(length_), length_);
    arrange(response);
    for (std::int64_t l = 0; l < lines_; ++l) {
      const Spectrum<U> line(spectra + l * Spectrum<U>::size(length_), length_);
      at(0)[l] = static_cast<T>(first[l] + line.re[0]);
      line.multiply(response);
      line.finish();
    }
    SPECTRANS_ISA::spread(split_, spectra, 1, lines_, tile);
    real_inverse(*split_.part, tile, static_cast<Vector<U>*>(nullptr));
    for_each_value(values, [&](std::int64_t q, const U* value) {
      T* to = at(plan_.scatter[q]);
      for (std::int64_t l = 0; l < lines_; ++l) to[l] = static_cast<T>(first[l] + value[l]);
    });
  }

 private:
  // Calls f(q, value q of the first line, where the others follow).
  template <class F>
  void for_each_value(U* values, const F& f) const {
    const std::int32_t* slot = split_.part->slot;
    for (std::int64_t q = 0, j = 0; q < plan_.p - 1; ++j) {
      U* value = values + slot[j] * lanes;
      for (std::int64_t part = 0; part < r_ && q < plan_.p - 1; ++part, ++q, value += lines_) f(q, value);
    }
  }

  void arrange(const Spectrum<U>& response) const {
    const RealPlan<U>& plan = *plan_.convolution;
    for (std::int64_t k = 0; k <= length_ / 2; ++k) {
      response.re[k] = plan_.response[plan.re[k]];
      response.im[k] = plan.im[k] < 0 ? 0 : plan.sign[k] * plan_.response[plan.im[k]];
    }
  }

  const PrimePlan<U>& plan_;
  const std::int64_t lines_, length_, r_;
  const SplitPlan<U>& split_;
};

}  // namespace
}  // namespace spectrans
