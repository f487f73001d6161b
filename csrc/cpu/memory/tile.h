// Between memory and tiles: gathers groups of neighbouring tiles row by row, so that whole cache lines are used
// per visit whatever the strides, and scatters them back.
#pragma once

#include "../transform/transform.h"
#include "lines.h"

namespace spectrans {
namespace {

constexpr std::int64_t kPrefetchRows = 32;

// Asks for the (re, im) pairs of a tile.
template <class T>
SPECTRANS_INLINE void fetch_pairs(const T* pairs) {
  for (std::int64_t i = 0; i < 2 * kVectorBytes; i += kLine) fetch(pairs + i / std::int64_t(sizeof(T)));
}

// Tiles of one group, `pitch` vectors apart.
template <class T>
struct Tiles {
  Vector<T>* data;
  std::int64_t pitch, count;

  Vector<T>* operator[](std::int64_t k) const { return data + k * pitch; }
};

// Calls f with the number of tiles of a group as a compile-time constant.
template <class F>
SPECTRANS_INLINE void with_count(std::int64_t count, F&& f) {
  unroll<1, kMaxTiles + 1>([&]<int kCount>() SPECTRANS_INLINE_LAMBDA {
    if (count == kCount) f.template operator()<kCount>();
  });
}

// Whether tiles of a group take whole vectors from the rows of a signal.
template <class T>
SPECTRANS_INLINE bool whole_vectors(const Signal& signal, const Group& group) {
  return signal.d_stride == 1 && group.lanes == kLanes<T>;
}

// Where the tiles of a group are in a row, from the first on: side by side, but for the last, which may overlap.
template <class T, int kCount>
class RowPieces {
 public:
  explicit RowPieces(const Group& group) : last_(group.channel[kCount - 1] - group.channel[0]) {}

  template <int k>
  SPECTRANS_INLINE std::int64_t at() const {
    return k == kCount - 1 ? last_ : k * kLanes<T>;
  }

 private:
  std::int64_t last_;
};

// Calls put(k)(j, sample j of tile k) for all samples of an item, or pack of items.
template <class IO, class Put>
void for_each_sample(const Signal& signal, std::int64_t pack, const Group& group, const Put& put) {
  if (!whole_vectors<Compute<IO>>(signal, group)) {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      gather_lanes<IO>(Starts<const IO>(signal, pack, group, k), signal.n_stride, signal.n, put(k));
    }
    return;
  }
  const IO* data = batch_item<const IO>(signal, pack);
  with_count(group.tiles, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    const Put own = put;  // stores could change what it refers to from elsewhere
    const RowPieces<Compute<IO>, kCount> pieces(group);
    const IO* row = data + group.channel[0];
    for (std::int64_t j = 0; j < n; ++j, row += stride) {
      unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
        const IO* at = row + pieces.template at<k>();
        if constexpr (k % kTilesOfLine<IO> == 0) fetch(at + kLineEnd<IO> + ahead);
        own(k)(j, load(at));
      });
    }
  });
}

// Samples -> tiles; slot: of each.
template <class IO, class T = Compute<IO>>
void gather(const Signal& signal, std::int64_t pack, const Group& group, const std::int32_t* slot,
            const Tiles<T>& tiles) {
  for_each_sample<IO>(signal, pack, group, [slot, tiles](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
    return [slot, tile = tiles[k]](std::int64_t j, const Vector<T>& value)
               SPECTRANS_INLINE_LAMBDA { tile[slot[j]] = value; };
  });
}

// Samples in tiles, times those of a gate.
template <class IO, class T = Compute<IO>>
void multiply(const Signal& gate, std::int64_t pack, const Group& group, const std::int32_t* slot,
              const Tiles<T>& tiles) {
  for_each_sample<IO>(gate, pack, group, [slot, tiles](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
    return [slot, tile = tiles[k]](std::int64_t j, const Vector<T>& value)
               SPECTRANS_INLINE_LAMBDA { tile[slot[j]] *= value; };
  });
}

// Whether writing a signal past the caches is possible and pays: vectors of its rows of `count` values, `stride` apart,
// are aligned, and it is large.
template <class IO>
bool can_stream(const Signal& signal, std::int64_t count, std::int64_t stride) {
  constexpr std::int64_t alignment = kLanes<Compute<IO>> * sizeof(IO);
  bool aligned = reinterpret_cast<std::uintptr_t>(signal.data) % alignment == 0;
  for (int axis = 0; axis < signal.axes; ++axis) aligned &= signal.stride[axis] * sizeof(IO) % alignment == 0;
  return aligned && stride * sizeof(IO) % alignment == 0 && count % kLanes<Compute<IO>> == 0 &&
         size_in_bytes(signal, sizeof(IO)) > kLargeBytes;
}
template <class IO>
bool can_stream(const Signal& signal) {
  return signal.d_stride == 1 && can_stream<IO>(signal, signal.d, signal.n_stride);
}
// The same where channels come first.
template <class IO>
bool can_stream_rows(const Signal& signal) {
  return signal.n_stride == 1 && can_stream<IO>(signal, signal.n, signal.d_stride);
}

// What is in the slots of tiles, as rows.
template <class T>
struct SlotRows {
  const Vector<T>* slots;
  std::int64_t pitch;
  const std::int32_t* slot;

  SPECTRANS_INLINE auto operator()(std::int64_t j) const {
    return [at = slots + slot[j], pitch = pitch](std::int64_t k) SPECTRANS_INLINE_LAMBDA { return at[k * pitch]; };
  }
};

// Samples of one item, or pack of items <- row(j)(k), sample j of tile k.
template <class IO, class Row>
void scatter(const Signal& signal, std::int64_t pack, const Group& group, bool streaming, const Row& row) {
  using T = Compute<IO>;
  if (!whole_vectors<T>(signal, group)) {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      scatter_lanes<IO>(Starts<IO>(signal, pack, group, k), signal.n_stride, signal.n,
                        [&](std::int64_t j) { return row(j)(k); });
    }
    return;
  }
  IO* data = batch_item<IO>(signal, pack);
  with_count(group.tiles, [&]<int kCount>() {
    const std::int64_t n = signal.n, stride = signal.n_stride, ahead = kPrefetchRows * stride;
    const Row own = row;  // stores could change what it refers to from elsewhere
    const RowPieces<T, kCount> pieces(group);
    IO* to = data + group.channel[0];
    for (std::int64_t j = 0; j < n; ++j, to += stride) {
      const auto sample = own(j);
      unroll<0, kCount>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
        IO* at = to + pieces.template at<k>();
        if (streaming) {
          stream(at, sample(k));
        } else {
          if constexpr (k % kTilesOfLine<IO> == 0) fetch(at + kLineEnd<IO> + ahead);
          store(at, sample(k));
        }
      });
    }
  });
}

}  // namespace
}  // namespace spectrans
