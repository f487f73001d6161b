// The first bins of real transforms by their definition (fft/direct.h): of tiles, and of rows where they lie.
#pragma once

#include "../memory/storage.h"
#include "../transform/direct_sums.h"

namespace spectrans {
namespace {

// Modes, at most, for which rows are read again for each block of the table, rather than copied to tiles: as long as
// registers hold the sums of all the tiles of a cache line.
template <class IO>
constexpr std::int64_t kFewModes = kVectorBytes == kLine   ? 16
                                   : kTilesOfLine<IO> <= 2 ? 2
                                                           : 0;

// Samples and their mirror images, as the halves of columns: rows of memory that come together as they are read.
template <class IO, class T = Compute<IO>>
struct FoldedRows {
  static constexpr int halves = 2;
  static constexpr std::int64_t ahead = 8;  // rows that are asked for, into the first cache
  const IO *low, *high;                     // where the column before came from
  std::int64_t stride;
  const std::int64_t* channel;  // of each tile

  template <int kTiles>
  SPECTRANS_INLINE void take(Vector<T> (&value)[2 * kTiles]) {
    low += stride;
    high -= stride;
    unroll<0, kTiles>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
      if constexpr (t % kTilesOfLine<IO> == 0) {
        fetch_near(low + channel[t] + ahead * stride);
        fetch_near(high + channel[t] - ahead * stride);
      }
      const Vector<T> a = once(load(low + channel[t])), b = once(load(high + channel[t]));
      value[t] = a + b;
      value[kTiles + t] = b - a;
    });
  }
};

// Sums of tiles. One instance serves signals of every element type.
template <class T>
struct DirectTiles {
  const DirectPlan<T>& plan;

  // Samples and their mirror images, put together -> bins.
  void sum(const Tiles<T>& tiles) const {
    const std::int64_t n = plan.n, pairs = (n - 1) / 2;
    const std::int64_t alone[2] = {0, n % 2 == 0 ? n / 2 : 0};  // slots
    for_each_row<1>(plan.forward, plan.modes, pairs, tiles.count, {tiles.data + 1, 1, tiles.pitch},
                    {tiles.data + n - 1, -1, tiles.pitch},
                    [&](std::int64_t k, std::int64_t t, const Vector<T>& c, const Vector<T>& s)
                        SPECTRANS_INLINE_LAMBDA {
                          Vector<T>* tile = tiles[t];
                          tile[n + 2 * k] = tile[alone[k % 2]] + c;
                          tile[n + 2 * k + 1] = s;
                        });
  }

  // Bins -> samples.
  void invert(const Tiles<T>& tiles) const {
    for_each_sample<1>(tiles, [=]<int>(std::int64_t j, std::int64_t t, const Vector<T>& value)
                                  SPECTRANS_INLINE_LAMBDA { tiles[t][j] = value; });
  }

  // put<kNext>(j, t, sample j of tile t), after which come samples j + kNext, j + 2 kNext, ...; those of `kTogether`
  // tiles one after the other.
  template <int kTogether, class Put>
  SPECTRANS_INLINE void for_each_sample(const Tiles<T>& tiles, const Put& put) const {
    const std::int64_t n = plan.n;
    const Vector<T>* const bins = tiles.data + n;
    for_each_row<kTogether>(
        plan.inverse, n / 2 + 1, plan.modes - 1, tiles.count, {bins + 2, 2, tiles.pitch}, {bins + 3, 2, tiles.pitch},
        [=, pitch = tiles.pitch](std::int64_t j, std::int64_t t, const Vector<T>& c, const Vector<T>& s)
            SPECTRANS_INLINE_LAMBDA {
              const Vector<T> even = bins[t * pitch] + c;
              put.template operator()<1>(j, t, even - s);
              if (j > 0) put.template operator()<-1>(n - j, t, even + s);
            });
  }
};

template <class IO>
struct DirectModes {
  using T = Compute<IO>;
  static constexpr bool kScales = true;  // the plan has the norm
  const DirectPlan<T>& plan;
  const DirectTiles<T> sums{plan};
  const std::int64_t slots = plan.slots, work = 0;
  const std::int32_t* const slot = plan.slot;
  const std::int32_t *const re = plan.re, *const im = plan.im;
  const T* const sign = plan.sign;

  // Samples in memory -> their bins.
  template <class MeanwhileOf>
  void forward(const Storage<T>& storage, const Signal& signal, std::int64_t pack, const Group& group,
               const Tiles<T>& tiles, Vector<T>*, const MeanwhileOf&) const {
    if constexpr (kFewModes<IO> > 0) {
      if (whole_vectors<T>(signal, group) && plan.modes <= kFewModes<IO>) {
        return sum_rows(signal, pack, group, tiles);
      }
    }
    gather(storage, signal, pack, group, tiles);
    sums.sum(tiles);
  }

  // Bins -> their samples in memory.
  void inverse(const Storage<T>& storage, const Signal& signal, std::int64_t pack, const Group& group, bool streaming,
               const Tiles<T>& tiles, Vector<T>*) const {
    const std::int64_t last = plan.modes - 1;
    for (std::int64_t t = 0; 2 * last == plan.n && t < tiles.count; ++t) tiles[t][plan.re[last] + 1] = Vector<T>{};
    if (!whole_vectors<T>(signal, group)) {
      sums.invert(tiles);
      storage.scatter(signal, pack, group, streaming, SlotRows<T>{tiles.data, tiles.pitch, plan.slot});
      return;
    }
    IO* const data = batch_item<IO>(signal, pack);
    const std::int64_t stride = signal.n_stride, *const channel = group.channel;
    if (streaming) {  // whole lines, one after the other
      sums.template for_each_sample<kTilesOfLine<IO>>(
          tiles, [=]<int>(std::int64_t j, std::int64_t t, const Vector<T>& value)
                     SPECTRANS_INLINE_LAMBDA { stream(data + j * stride + channel[t], value); });
    } else {
      sums.template for_each_sample<1>(
          tiles, [=]<int kNext>(std::int64_t j, std::int64_t t, const Vector<T>& value) SPECTRANS_INLINE_LAMBDA {
            IO* const to = data + j * stride + channel[t];
            fetch_near(to + kNext * kDirectRows * stride);
            store(to, value);
          });
    }
  }

 private:
  void sum_rows(const Signal& signal, std::int64_t pack, const Group& group, const Tiles<T>& tiles) const {
    const std::int64_t n = plan.n, pairs = (n - 1) / 2, stride = signal.n_stride;
    const IO* const data = batch_item<const IO>(signal, pack);
    const auto sum_some = [&]<int kRows, int kTiles>(std::int64_t k, std::int64_t tile) SPECTRANS_INLINE_LAMBDA {
      const std::int64_t* const channel = group.channel + tile;
      const FoldedRows<IO> rows{data, data + n * stride, stride, channel};
      Vector<T> sum[2][kRows][kTiles];
      add_in_pairs<kRows, kTiles>(plan.forward + 2 * k * pairs, rows, pairs, &sum[0][0][0]);
      unroll<0, kTiles>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
        const Vector<T> first = load(data + channel[t]);
        const Vector<T> middle = n % 2 == 0 ? load(data + n / 2 * stride + channel[t]) : Vector<T>{};
        Vector<T>* const bins = tiles[tile + t] + n + 2 * k;
        unroll<0, kRows>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
          bins[2 * r] = (r % 2 == 0 ? first + middle : first - middle) + sum[0][r][t];
          bins[2 * r + 1] = sum[1][r][t];
        });
      });
    };
    for_each_block(plan.modes, [&]<int kRows>(std::int64_t k) SPECTRANS_INLINE_LAMBDA {
      constexpr int kTiles = kVectorBytes == kLine || kRows <= 2 ? 2 : 1;
      std::int64_t tile = 0;
      for (; tile + kTiles <= tiles.count; tile += kTiles) sum_some.template operator()<kRows, kTiles>(k, tile);
      for (; tile < tiles.count; ++tile) sum_some.template operator()<kRows, 1>(k, tile);
    });
  }

  // Samples and their mirror images come together as they are read.
  void gather(const Storage<T>& storage, const Signal& signal, std::int64_t pack, const Group& group,
              const Tiles<T>& tiles) const {
    const std::int64_t n = plan.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    const auto fold = [=](Vector<T>* tile, std::int64_t q, Vector<T> a, Vector<T> b) SPECTRANS_INLINE_LAMBDA {
      tile[q] = a + b;
      tile[n - q] = b - a;
    };
    if (whole_vectors<T>(signal, group)) {
      const IO* const data = batch_item<const IO>(signal, pack);
      for (std::int64_t k = 0; k < tiles.count; ++k) {
        tiles[k][0] = load(data + group.channel[k]);
        if (n % 2 == 0) tiles[k][n / 2] = load(data + n / 2 * stride + group.channel[k]);
      }
      with_count(tiles.count, [&, to = tiles]<int kCount>() {
        const RowPieces<T, kCount> pieces(group);
        const IO *low = data + group.channel[0], *high = low + n * stride;
        for (std::int64_t q = 1; 2 * q < n; ++q) {
          low += stride;
          high -= stride;
          unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
            const std::int64_t at = pieces.template at<k>();
            if constexpr (k % kTilesOfLine<IO> == 0) {
              fetch(low + at + ahead);
              fetch(high + at - ahead);
            }
            fold(to[k], q, once(load(low + at)), once(load(high + at)));
          });
        }
      });
    } else {
      storage.gather(signal, pack, group, plan.slot, tiles);
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
};

}  // namespace
}  // namespace spectrans
