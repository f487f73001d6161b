// The first bins of real transforms by shorter ones (fft/decimation.h), on tiles.
//
// The parts of a signal lie one after the other in a tile. Their bins are joined in place, in the slots of part 0;
// inverted, each step is the transpose of its counterpart.
#pragma once

#include "../../fft/decimation.h"
#include "../memory/storage.h"

namespace spectrans {
namespace {

template <class T>
struct DecimatedModes {
  static constexpr bool kScales = false;
  const Decimation<T>& plan;
  const std::int64_t modes;
  const RealPlan<T>& part = *plan.part;
  const std::int64_t slots = plan.r * plan.pitch, work = part.work;
  const std::int32_t* const slot = plan.slot;
  const std::int32_t *const re = part.re, *const im = part.im;
  const T* const sign = part.sign;

  // Samples -> their bins; meanwhile(t): what is done beside those of tile t
  template <class MeanwhileOf>
  void forward(const Storage<T>& storage, const Signal& signal, std::int64_t pack, const Group& group,
               const Tiles<T>& tiles, Vector<T>* space, const MeanwhileOf& meanwhile) const {
    storage.gather(signal, pack, group, slot, tiles);
    for (std::int64_t t = 0; t < tiles.count; ++t) forward_tile(tiles[t], space, meanwhile(t));
  }
  // Bins -> their samples, in memory.
  void inverse(const Storage<T>& storage, const Signal& signal, std::int64_t pack, const Group& group, bool streaming,
               const Tiles<T>& tiles, Vector<T>* space) const {
    for (std::int64_t t = 0; t < tiles.count; ++t) invert_tile(tiles[t], space);
    storage.scatter(signal, pack, group, streaming, SlotRows<T>{tiles.data, tiles.pitch, slot});
  }

 private:
  template <class Meanwhile>
  void forward_tile(Vector<T>* tile, Vector<T>* space, Meanwhile meanwhile) const {
    for (std::int64_t t = 0; t < plan.r; ++t) real_forward(part, tile + t * plan.pitch, space, {}, meanwhile);
    if (plan.r > 1) join(tile);
  }

  void invert_tile(Vector<T>* tile, Vector<T>* space) const {
    for (std::int64_t t = 0; t < plan.r; ++t) {
      for (std::int64_t k = modes; k <= part.n / 2; ++k) {
        tile[t * plan.pitch + part.re[k]] = Vector<T>{};
        if (part.im[k] >= 0) tile[t * plan.pitch + part.im[k]] = Vector<T>{};
      }
    }
    if (plan.r > 1) spread(tile);
    for (std::int64_t t = 0; t < plan.r; ++t) real_inverse(part, tile + t * plan.pitch, space);
  }

  // X[k] = sum_t w^{tk} Y_t[k], where Y_0[k] is. A slot holds sign Im Y: multiplying w's imaginary part by the sign
  // serves as well.
  void join(Vector<T>* tile) const {
    const std::int64_t r = plan.r;
    for (std::int64_t s = 1; s < r; s *= 2) {  // pairwise: a plain sum would round more than the transform does
      for (std::int64_t t = 0; t + s < r; t += 2 * s) {
        tile[t * plan.pitch + part.re[0]] += tile[(t + s) * plan.pitch + part.re[0]];
      }
    }
    for (std::int64_t k = 1; k < modes; ++k) {
      const T* w = plan.twiddles + 2 * (r - 1) * k;
      Vector<T>*re = tile + part.re[k], *im = tile + part.im[k];
      const auto add = [&](Complex<Vector<T>>& sum, std::int64_t t) SPECTRANS_INLINE_LAMBDA {
        const T wr = w[2 * t - 2], wi = part.sign[k] * w[2 * t - 1];
        const Vector<T> a = once(re[t * plan.pitch]), b = once(im[t * plan.pitch]);
        sum.re = sum.re + a * wr - b * wi;
        sum.im = sum.im + a * wi + b * wr;
      };
      Complex<Vector<T>> even{*re, *im}, odd{};  // two sums: half the latency, and less rounding
      std::int64_t t = 1;
      for (; t + 1 < r; t += 2) {
        add(odd, t);
        add(even, t + 1);
      }
      if (t < r) add(odd, t);
      *re = even.re + odd.re;
      *im = even.im + odd.im;
    }
  }

  // Y_t[k] = conj(w^{tk}) X[k]
  void spread(Vector<T>* tile) const {
    const std::int64_t r = plan.r;
    for (std::int64_t t = 1; t < r; ++t) tile[t * plan.pitch + part.re[0]] = tile[part.re[0]];
    for (std::int64_t k = 1; k < modes; ++k) {
      const T* w = plan.twiddles + 2 * (r - 1) * k;
      Vector<T>*re = tile + part.re[k], *im = tile + part.im[k];
      const Vector<T> a = *re, b = *im;
      for (std::int64_t t = 1; t < r; ++t) {
        const Complex<Vector<T>> z = times_conj(Complex<Vector<T>>{a, b}, w[2 * t - 2], part.sign[k] * w[2 * t - 1]);
        re[t * plan.pitch] = z.re;
        im[t * plan.pitch] = z.im;
      }
    }
  }
};

}  // namespace
}  // namespace spectrans
