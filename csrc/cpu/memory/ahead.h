// Rows of memory that are asked for ahead of their use, while something else is computed.
#pragma once

#include "../caches.h"
#include "tile.h"

namespace spectrans {
namespace {

// What is read next has room in the second-level cache beside what is worked on.
constexpr std::int64_t kAheadBytes = 640 * 1024;

// A tile of so many bytes stays in the first-level cache of those CPUs that this matters on.
constexpr std::int64_t kFirstLevelBytes = 40 * 1024;

// Whether rows are asked for beside work on so many bytes: if that stays there, or need not wait for them.
SPECTRANS_INLINE bool asks_beside(std::int64_t bytes) { return bytes <= kFirstLevelBytes || requests_wait_apart(); }

// Rows that are needed next: they come to the second-level cache while something else is computed, if they are asked
// for one by one. (A burst of requests to the first level is mostly dropped.)
struct Ahead {
  const void* row;
  std::int64_t stride;  // bytes

  SPECTRANS_INLINE const char* at(std::int64_t j) const { return static_cast<const char*>(row) + j * stride; }
  SPECTRANS_INLINE void fetch(std::int64_t j, std::int64_t offset = 0) const { spectrans::fetch(at(j) + offset); }
};

// Those of an item from row j and a channel on; where there are none, or no whole rows, something that is always there.
template <class IO>
Ahead rows_from(const Signal& signal, bool there, std::int64_t item, std::int64_t j, std::int64_t channel) {
  if (!there || signal.d_stride != 1) return {&signal, 0};
  return {batch_item<const IO>(signal, item) + j * signal.n_stride + channel,
          signal.n_stride * std::int64_t(sizeof(IO))};
}

// All rows of a pack, at once.
template <class IO>
void fetch(const Signal& signal, std::int64_t pack, const Group& group) {
  for (std::int64_t k = 0; k < group.tiles && whole_vectors<Compute<IO>>(signal, group); ++k) {
    const Ahead rows = rows_from<IO>(signal, true, pack, 0, group.channel[k] + kLineEnd<IO>);
    for (std::int64_t j = 0; j < signal.n; ++j) rows.fetch(j);
    asm volatile("");  // or a compiler finds that nothing is done here
  }
}

// The same rows, asked for while tiles of as many slots are worked on, once for each pair of these. The piece of a row
// that belongs to the group is asked for line by line, before the next row's: one visit to its page.
class PiecesAhead {
 public:
  // Nothing is asked for.
  PiecesAhead() = default;
  // Rows of `tiles` pieces side by side, of `tile` bytes each.
  PiecesAhead(const Ahead& rows, std::int64_t tiles, std::int64_t tile) : at_(static_cast<const char*>(rows.row)) {
    const bool line = tiles * tile <= kLine;
    step_ = line ? rows.stride : min(kLine, 2 * tile / kAtOnce);
    asks_ = left_ = line ? 1 : ceil_div(tiles * tile, kAtOnce * step_);
    back_ = line ? 0 : rows.stride - asks_ * kAtOnce * step_;
  }

  SPECTRANS_INLINE void ask() const {
    if (at_ == nullptr) return;
    unroll<0, kAtOnce>([&]<int>() SPECTRANS_INLINE_LAMBDA {
      fetch(at_);
      at_ += step_;
    });
    if (--left_ > 0) return;
    at_ += back_;
    left_ = asks_;
  }

 private:
  static constexpr int kAtOnce = kVectorBytes == kLine ? 2 : 1;

  mutable const char* at_ = nullptr;
  mutable std::int64_t left_ = 0;                // asks, of those a row takes
  std::int64_t asks_ = 0, step_ = 0, back_ = 0;  // back: from the end of a piece to the next row's
};

// What tile k is to ask for. (Of three tiles, a quarter of the rows is not.)
template <class IO>
PiecesAhead pieces_from(const Signal& signal, std::int64_t pack, const Group& group, std::int64_t k) {
  if (k >= group.tiles || !whole_vectors<Compute<IO>>(signal, group)) return {};
  return {rows_from<IO>(signal, true, pack, k * signal.n / group.tiles, group.channel[0] + kLineEnd<IO>), group.tiles,
          kLanes<Compute<IO>> * std::int64_t(sizeof(IO))};
}

// Such requests, as transforms make them beside other work (as `Nothing`).
struct Asking {
  const PiecesAhead* pieces;

  SPECTRANS_INLINE void ask() const { pieces->ask(); }
};

}  // namespace
}  // namespace spectrans
