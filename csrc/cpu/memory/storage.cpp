// Between signals of each type and what kernels compute with.
#include "storage.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

template <class IO, class T = Compute<IO>>
struct Stored {
  static void outer_forward(const RealStage<T>& first, const std::int32_t* sample, const Signal& signal,
                            std::int64_t item, const Group& group, const Tiles<T>& tiles) {
    spectrans::outer_forward(first, sample, tiles,
                             RowsFrom<IO>{batch_item<const IO>(signal, item), signal.n_stride, group.channel});
  }
  static void outer_inverse(const RealStage<T>& first, const std::int32_t* sample, const Signal& signal,
                            std::int64_t item, const Group& group, bool streaming, const Tiles<T>& tiles) {
    spectrans::outer_inverse(first, sample, tiles,
                             RowsTo<IO>{batch_item<IO>(signal, item), signal.n_stride, group.channel, streaming});
  }

  static void gather_parts(const SplitLines<T>& lines, const Signal& signal, std::int64_t pack, Vector<T>* tile) {
    lines.template gather<IO>(signal, pack, tile);
  }
  static void scatter_parts(const SplitLines<T>& lines, const Signal& signal, std::int64_t pack,
                            const Vector<T>* tile) {
    lines.template scatter<IO>(signal, pack, tile);
  }

  static void read_staged(const StagedRows<T>& staged, const Signal& x, const Signal& gate, std::int64_t item,
                          const Group& group, Vector<T>* rows) {
    staged.template read<IO>(x, gate, item, group, rows);
  }
  static void write_staged(const StagedRows<T>& staged, const Signal& y, const Signal& gate, std::int64_t item,
                           const Group& group, bool streaming, Vector<T>* rows, Vector<T>* work) {
    staged.template write<IO>(y, gate, item, group, streaming, rows, work);
  }

  static void forward_row(const RealRows<T>& rows, const void* row, bool asks, const T* results, Vector<T>* tile) {
    const IO* from = static_cast<const IO*>(row);
    if (!asks) return rows.forward(from, tile, [](std::int64_t) SPECTRANS_INLINE_LAMBDA {});
    rows.forward(from, tile, [next = from + rows.n(), results](std::int64_t at) SPECTRANS_INLINE_LAMBDA {
      fetch(next + at);
      fetch(results + at);
    });
  }
  static void inverse_row(const RealRows<T>& rows, Vector<T>* tile, void* row, bool streaming, bool asks,
                          const T* next) {
    rows.inverse(tile, static_cast<IO*>(row), streaming, [asks, next](std::int64_t at) SPECTRANS_INLINE_LAMBDA {
      if (asks) fetch(next + at);
    });
  }

  static const Storage<T>& table() {
    static constexpr Storage<T> storage{
        .size = sizeof(IO),
        .tiles_of_line = kTilesOfLine<IO>,
        .gather = gather<IO>,
        .multiply = multiply<IO>,
        .scatter = scatter<IO, SlotRows<T>>,
        .can_stream = can_stream<IO>,
        .can_stream_rows = can_stream_rows<IO>,
        .outer_forward = kOuterStages ? outer_forward : nullptr,
        .outer_inverse = kOuterStages ? outer_inverse : nullptr,
        .fetch = fetch<IO>,
        .pieces = pieces_from<IO>,
        .gather_parts = gather_parts,
        .scatter_parts = scatter_parts,
        .read_staged = read_staged,
        .write_staged = write_staged,
        .forward_row = forward_row,
        .inverse_row = inverse_row,
    };
    return storage;
  }
};

}  // namespace

const Storage<float>& float_storage(Element element) {
  switch (element) {
    case Element::bfloat16: return Stored<BFloat16>::table();
    case Element::float16: return Stored<Float16>::table();
    default: return Stored<float>::table();
  }
}

const Storage<double>& double_storage() { return Stored<double>::table(); }

}  // namespace spectrans::SPECTRANS_ISA
