// The samples of a group of tiles in the order they have in memory, on their way from there to transforms that take
// rows far apart, and back: so that whole cache lines, several of them side by side, are used whenever memory is
// touched.
#pragma once

#include "tile.h"

namespace spectrans {
namespace {

// Columns of m rows each, as the first stage of a transform takes them, a few slots apart: columns a multiple of a page
// long would meet in the same sets of the first-level cache.
template <class T>
class StagedRows {
  static constexpr std::int64_t kGap = max(1, kLine / kVectorBytes);
  static constexpr std::int64_t kPiece = 128;  // rows that are met again while they are near
  static constexpr std::int64_t kWorkPitch = kPiece + 1;

 public:
  // Rows first .. first + n are those of signals, the others zero.
  StagedRows(std::int64_t n, std::int64_t m, std::int64_t columns, std::int64_t first = 0)
      : n_(n), m_(m), columns_(columns), first_(first), pitch_(padded(columns * (m + kGap))) {}

  // Vectors of a group of so many tiles, and those to work with.
  std::int64_t slots(std::int64_t tiles) const { return tiles * pitch_; }
  static constexpr std::int64_t work() { return kMaxTiles * kWorkPitch; }

  // Row j of column t of a tile.
  template <class Row>
  SPECTRANS_INLINE Row& at(Row* rows, std::int64_t t, std::int64_t j) const {
    return rows[t * (m_ + kGap) + j];
  }
  Vector<T>* tile(Vector<T>* rows, std::int64_t k) const { return rows + k * pitch_; }

  // rows <- an item of x, times that of a gate, where there is one.
  template <class IO>
  void read(const Signal& x, const Signal& gate, std::int64_t item, const Group& group, Vector<T>* rows) const {
    const auto read_piece = [&](std::int64_t first, std::int64_t count, Vector<T>* piece) {
      for_each_sample<IO>(some_rows(x, first, count, sizeof(IO)), item, group,
                          [piece, pitch = pitch_](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
                            return [to = piece + k * pitch](std::int64_t j, const Vector<T>& value)
                                       SPECTRANS_INLINE_LAMBDA { to[j] = value; };
                          });
      if (gate.data == nullptr) return;
      for_each_sample<IO>(some_rows(gate, first, count, sizeof(IO)), item, group,
                          [piece, pitch = pitch_](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
                            return [to = piece + k * pitch](std::int64_t j, const Vector<T>& value)
                                       SPECTRANS_INLINE_LAMBDA { to[j] *= value; };
                          });
    };
    for_each_piece(read_piece, rows);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      clear(0, first_, tile(rows, k));
      clear(first_ + n_, m_ * columns_, tile(rows, k));
    }
  }

  // An item of y <- rows, times that of a gate, where there is one. streaming: past the caches.
  template <class IO>
  void write(const Signal& y, const Signal& gate, std::int64_t item, const Group& group, bool streaming,
             Vector<T>* rows, Vector<T>* work) const {
    const auto write_piece = [&](std::int64_t first, std::int64_t count, const Vector<T>* piece) {
      Rows from{piece, pitch_};
      if (gate.data != nullptr) {
        for_each_sample<IO>(some_rows(gate, first, count, sizeof(IO)), item, group,
                            [from, work](std::int64_t k) SPECTRANS_INLINE_LAMBDA {
                              return [to = work + k * kWorkPitch, rows = from.from + k * from.pitch](
                                         std::int64_t j, const Vector<T>& value)
                                         SPECTRANS_INLINE_LAMBDA { to[j] = rows[j] * value; };
                            });
        from = {work, kWorkPitch};
      }
      scatter<IO>(some_rows(y, first, count, sizeof(IO)), item, group, streaming, from);
    };
    for_each_piece(write_piece, rows);
  }

 private:
  struct Rows {
    const Vector<T>* from;
    std::int64_t pitch;

    SPECTRANS_INLINE auto operator()(std::int64_t j) const {
      return [at = from + j, pitch = pitch](std::int64_t k) SPECTRANS_INLINE_LAMBDA { return at[k * pitch]; };
    }
  };

  // Calls f(first, count, its place in rows) for pieces of samples side by side.
  template <class F>
  void for_each_piece(const F& f, Vector<T>* rows) const {
    for (std::int64_t i = 0, count; i < n_; i += count) {
      const std::int64_t column = (first_ + i) / m_, row = (first_ + i) % m_;
      count = min(min(kPiece, n_ - i), m_ - row);
      f(i, count, &at(rows, column, row));
    }
  }

  void clear(std::int64_t begin, std::int64_t end, Vector<T>* rows) const {
    for (std::int64_t i = begin; i < end; ++i) at(rows, i / m_, i % m_) = Vector<T>{};
  }

  std::int64_t n_, m_, columns_, first_, pitch_;
};

}  // namespace
}  // namespace spectrans
