// The first bins of real transforms by their definition (fft/direct.h), on tiles.
#pragma once

#include "direct_sums.h"
#include "tile.h"

namespace spectrans {
namespace {

template <class T>
struct DirectModes {
  const DirectPlan<T>& plan;
  const std::int64_t slots = plan.slots, work = 0;
  const std::int32_t* const slot = plan.slot;
  const std::int32_t *const re = plan.re, *const im = plan.im;
  const T* const sign = plan.sign;

  // Samples and their mirror images come together as they are read.
  template <class IO>
  void gather(const Signal& signal, std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    const std::int64_t n = plan.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    const auto fold = [=](Vector<T>* tile, std::int64_t q, Vector<T> a, Vector<T> b) SPECTRANS_INLINE_LAMBDA {
      tile[q] = a + b;
      tile[n - q] = b - a;
    };
    if (whole_vectors<T>(signal, group)) {
      const IO* const data = batch_item<const IO>(signal, pack);
      for (std::int64_t q = 0; q <= n / 2; ++q) {
        const IO *low = data + q * stride, *high = data + (n - q) * stride;
        for (std::int64_t k = 0; k < tiles.count; ++k) {
          const std::int64_t channel = group.channel[k];
          if (2 * q % n == 0) {
            tiles[k][q] = load(low + channel);
            continue;
          }
          if (k % kTilesOfLine<IO> == 0) {
            fetch(low + channel + ahead);
            fetch(high + channel - ahead);
          }
          fold(tiles[k], q, once(load(low + channel)), once(load(high + channel)));
        }
      }
    } else {
      spectrans::gather<IO>(signal, pack, group, plan.slot, tiles);
      for (std::int64_t k = 0; k < tiles.count; ++k) {
        for (std::int64_t q = 1; 2 * q < n; ++q) fold(tiles[k], q, tiles[k][q], tiles[k][n - q]);
      }
    }
    for (std::int64_t k = 0; n % 2 == 0 && k < tiles.count; ++k) {
      const Vector<T> first = tiles[k][0], middle = tiles[k][n / 2];
      tiles[k][0] = first + middle;
      tiles[k][n / 2] = first - middle;
    }
  }

  template <class MeanwhileOf>
  void forward(const Tiles<T>& tiles, Vector<T>*, const MeanwhileOf&) const {
    const std::int64_t n = plan.n, pairs = (n - 1) / 2;
    const std::int64_t alone[2] = {0, n % 2 == 0 ? n / 2 : 0};  // slots
    for_each_row<T>(plan.forward, plan.modes, pairs, tiles.count, {tiles.data + 1, 1, tiles.pitch},
                    {tiles.data + n - 1, -1, tiles.pitch},
                    [&](std::int64_t k, std::int64_t t, const Vector<T>& c, const Vector<T>& s)
                        SPECTRANS_INLINE_LAMBDA {
                          Vector<T>* tile = tiles[t];
                          tile[n + 2 * k] = tile[alone[k % 2]] + c;
                          tile[n + 2 * k + 1] = s;
                        });
  }

  void inverse(const Tiles<T>& tiles, Vector<T>*) const {
    const std::int64_t n = plan.n, columns = plan.modes - 1;
    const Vector<T>* bins = tiles.data + n;
    for (std::int64_t t = 0; 2 * columns == n && t < tiles.count; ++t) tiles[t][n + 2 * columns + 1] = Vector<T>{};
    for_each_row<T>(
        plan.inverse, n / 2 + 1, columns, tiles.count, {bins + 2, 2, tiles.pitch}, {bins + 3, 2, tiles.pitch},
        [&](std::int64_t j, std::int64_t t, const Vector<T>& c, const Vector<T>& s) SPECTRANS_INLINE_LAMBDA {
          Vector<T>* tile = tiles[t];
          const Vector<T> even = tile[n] + c;
          tile[j] = even - s;
          if (j > 0) tile[n - j] = even + s;
        });
  }
};

}  // namespace
}  // namespace spectrans
