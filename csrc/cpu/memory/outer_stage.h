// The outer stage: butterflies of a plan's first stage on the way between memory and tiles.
//
// Where samples were copied first, tiles would be written and read once more. A butterfly takes rows far apart, but of
// all tiles: whole cache lines side by side, as a copy does. There are loops for what is usual, as each is compiled for
// its radix and number of tiles: for others samples are copied.
#pragma once

#include "tile.h"

namespace spectrans {
namespace {

// Whether that pays: where vectors are whole cache lines. Shorter ones of rows far apart are slower than a copy of rows
// in order, and one more pass over tiles.
constexpr bool kOuterStages = kVectorBytes == kLine;

// Butterflies between one whose rows are written and one whose rows are asked for, so that they are there by then.
constexpr std::int64_t kButterfliesAhead = 2;

// Whether a plan has such a stage.
template <class Plan>
SPECTRANS_INLINE bool has_outer_stage(const Plan& plan) {
  return kOuterStages && plan.stages > 0 && plan.stage[0].radix <= 9;
}

// Whether it can be done for the tiles of a group.
SPECTRANS_INLINE bool takes_rows(const Group& group) { return group.tiles == 2 || group.tiles % 4 == 0; }

// Rows of an item that is read.
template <class IO>
struct RowsFrom {
  const IO* data;
  std::int64_t stride;
  const std::int64_t* channel;

  SPECTRANS_INLINE const IO* at(std::int64_t j) const { return data + j * stride; }
  SPECTRANS_INLINE auto load(const IO* at, std::int64_t k) const { return spectrans::load(at + channel[k]); }
};

// Rows of an item that is written.
template <class IO>
struct RowsTo {
  IO* data;
  std::int64_t stride;
  const std::int64_t* channel;
  bool streaming;

  SPECTRANS_INLINE IO* at(std::int64_t j) const { return data + j * stride; }
  SPECTRANS_INLINE void fetch(const IO* at, std::int64_t k) const {
    if (!streaming) fetch_near(at + channel[k] + kLineEnd<IO>);
  }
  SPECTRANS_INLINE void store(IO* at, std::int64_t k, Vector<Compute<IO>> value) const {
    if (streaming) {
      stream(at + channel[k], value);
    } else {
      spectrans::store(at + channel[k], value);
    }
  }
};

// Tiles come in twos or fours: f does as many in one go.
template <class Stage, class F>
SPECTRANS_INLINE void with_outer_stage(const Stage& stage, std::int64_t tiles, F&& f) {
  const auto with_tiles = [&]<int R, bool kTwiddled>() SPECTRANS_INLINE_LAMBDA {
    if (tiles % 4 == 0) return f.template operator()<R, kTwiddled, 4>();
    return f.template operator()<R, kTwiddled, 2>();
  };
  switch (stage.radix) {
    case 3: return with_twiddles<3>(stage, with_tiles);
    case 4: return with_twiddles<4>(stage, with_tiles);
    case 5: return with_twiddles<5>(stage, with_tiles);
    case 7: return with_twiddles<7>(stage, with_tiles);
    case 8: return with_twiddles<8>(stage, with_tiles);
    case 9: return with_twiddles<9>(stage, with_tiles);
    default: __builtin_unreachable();
  }
}

// sample: of a plan, whose first stage this is.
template <class IO, class T = Compute<IO>>
void outer_forward(const RealStage<T>& first_stage, const std::int32_t* sample, const Tiles<T>& tiles,
                   const RowsFrom<IO>& rows) {
  with_outer_stage(first_stage, tiles.count, [&, sample]<int R, bool kTwiddled, int kCount>() {
    const RealStage<T> stage = first_stage;
    const T* w = stage.twiddles;
    const RowsFrom<IO> from = rows;
    const Tiles<T> to = tiles;
    for (std::int64_t j = 0; j < stage.m; ++j, w += kTwiddled ? 2 * kRealPairs<R> : 0) {
      const IO* at[R];
      unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { at[t] = from.at(sample[j + stage.m * t]); });
      for (std::int64_t first = 0; first < (kMaxTiles == kCount ? kCount : to.count); first += kCount) {
        unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
          Vector<T> x[R];
          unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { x[t] = once(from.load(at[t], first + k)); });
          real_forward_butterfly<R, kTwiddled>(stage, x, w, to[first + k] + j);
        });
      }
    }
  });
}

// Those of a row are written one after the other.
template <class IO, class T = Compute<IO>>
void outer_inverse(const RealStage<T>& first_stage, const std::int32_t* sample, const Tiles<T>& tiles,
                   const RowsTo<IO>& rows) {
  with_outer_stage(first_stage, tiles.count, [&, sample]<int R, bool kTwiddled, int kCount>() {
    const RealStage<T> stage = first_stage;
    const T* w = stage.doubled;
    const Tiles<T> from = tiles;
    const RowsTo<IO> to = rows;
    for (std::int64_t j = 0; j < stage.m; ++j, w += kTwiddled ? 2 * kRealPairs<R> : 0) {
      const std::int64_t later = min(j + kButterfliesAhead, stage.m - 1);
      for (std::int64_t first = 0; first < (kMaxTiles == kCount ? kCount : from.count); first += kCount) {
        Vector<T> out[R][kCount];
        unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
          Vector<T> x[R];
          real_inverse_butterfly<R, kTwiddled>(stage, from[first + k] + j, w, x);
          unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA { out[t][k] = x[t]; });
        });
        unroll<0, R>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
          IO *at = to.at(sample[j + stage.m * t]), *next = to.at(sample[later + stage.m * t]);
          unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
            if constexpr (k % kTilesOfLine<IO> == 0) to.fetch(next, first + k);
          });
          unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA { to.store(at, first + k, out[t][k]); });
        });
      }
    }
  });
}

}  // namespace
}  // namespace spectrans
