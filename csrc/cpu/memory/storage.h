// What depends on the type that signals are stored in, as functions: compiled once for all kernels, in storage.cpp.
// What uses them is compiled once for all types that are computed alike.
#pragma once

#include "../parts/split.h"
#include "ahead.h"
#include "outer_stage.h"
#include "real_rows.h"
#include "staged_rows.h"

namespace spectrans {
namespace SPECTRANS_ISA {

template <class T>
struct Storage {
  std::int64_t size;           // of an element, in bytes
  std::int64_t tiles_of_line;  // tiles whose pieces of a row are one cache line

  std::int64_t size_in_bytes(const Signal& signal) const { return spectrans::size_in_bytes(signal, size); }
  void* item(const Signal& signal, std::int64_t index) const {
    return static_cast<char*>(signal.data) + batch_offset(signal, index) * size;
  }
  Signal rows(const Signal& signal, std::int64_t first, std::int64_t count) const {
    return some_rows(signal, first, count, size);
  }

  // tile.h
  void (*gather)(const Signal& signal, std::int64_t pack, const Group& group, const std::int32_t* slot,
                 const Tiles<T>& tiles);
  void (*multiply)(const Signal& gate, std::int64_t pack, const Group& group, const std::int32_t* slot,
                   const Tiles<T>& tiles);
  void (*scatter)(const Signal& signal, std::int64_t pack, const Group& group, bool streaming, const SlotRows<T>& rows);
  bool (*can_stream)(const Signal& signal);
  bool (*can_stream_rows)(const Signal& signal);

  // outer_stage.h; null where there are no such stages
  void (*outer_forward)(const RealStage<T>& first, const std::int32_t* sample, const Signal& signal, std::int64_t item,
                        const Group& group, const Tiles<T>& tiles);
  void (*outer_inverse)(const RealStage<T>& first, const std::int32_t* sample, const Signal& signal, std::int64_t item,
                        const Group& group, bool streaming, const Tiles<T>& tiles);

  // ahead.h
  void (*fetch)(const Signal& signal, std::int64_t pack, const Group& group);
  PiecesAhead (*pieces)(const Signal& signal, std::int64_t pack, const Group& group, std::int64_t tile);

  // parts/split.h
  void (*gather_parts)(const SplitLines<T>& lines, const Signal& signal, std::int64_t pack, Vector<T>* tile);
  void (*scatter_parts)(const SplitLines<T>& lines, const Signal& signal, std::int64_t pack, const Vector<T>* tile);

  // staged_rows.h
  void (*read_staged)(const StagedRows<T>& staged, const Signal& x, const Signal& gate, std::int64_t item,
                      const Group& group, Vector<T>* rows);
  void (*write_staged)(const StagedRows<T>& staged, const Signal& y, const Signal& gate, std::int64_t item,
                       const Group& group, bool streaming, Vector<T>* rows, Vector<T>* work);

  // real_rows.h: a row -> the transforms of its lanes, while the next row is asked for, and where so many results go;
  // and back; next: so many values that are asked for
  void (*forward_row)(const RealRows<T>& rows, const void* row, bool asks, const T* results, Vector<T>* tile);
  void (*inverse_row)(const RealRows<T>& rows, Vector<T>* tile, void* row, bool streaming, bool asks, const T* next);
};

const Storage<float>& float_storage(Element element);
const Storage<double>& double_storage();

}  // namespace SPECTRANS_ISA

namespace {

using SPECTRANS_ISA::Storage;

// Of an element that is computed in T; of T itself.
template <class T>
const Storage<T>& storage_of(Element element) {
  if constexpr (std::is_same_v<T, double>)
    return SPECTRANS_ISA::double_storage();
  else
    return SPECTRANS_ISA::float_storage(element);
}
template <class T>
const Storage<T>& own_storage() {
  return storage_of<T>(Element::float32);
}

// Calls f with that of an element.
template <class F>
void with_storage(Element element, F&& f) {
  if (element == Element::float64) return f(own_storage<double>());
  f(storage_of<float>(element));
}

// The groups of a signal whose items are a task each. Where channels come first, tiles have no lines in common: each is
// done by itself, in the nearest cache.
template <class T>
Groups<T> shared_groups(const Storage<T>& storage, const Signal& signal, const ThreadPool& pool) {
  const Groups<T> groups(signal.n, signal.d, signal.batch, channels_first(signal) ? 1 : kMaxTiles);
  return groups.shared(groups.packs(signal.batch), pool.threads, storage.tiles_of_line);
}

// Calls f with what tile k is to ask for, ahead(k), so that the rows of task `next` of all packs and groups of a signal
// are there when it begins: nothing, where it does not come to that, the nearer caches hold the signal, or tiles wait.
template <class T, class F>
void with_rows_ahead(const Storage<T>& storage, const Signal& signal, const Groups<T>& groups, std::int64_t next,
                     std::int64_t end, const F& f) {
  if (next == end || storage.size_in_bytes(signal) <= kLargeBytes || !asks_beside(groups.n * kVectorBytes)) {
    return f([](std::int64_t) { return Nothing{}; });
  }
  const Group group = groups[next % groups.count];
  PiecesAhead pieces;
  f([&](std::int64_t k) {
    pieces = storage.pieces(signal, next / groups.count, group, k);
    return Asking{&pieces};
  });
}

}  // namespace
}  // namespace spectrans
