// A signal that is convolved segment by segment. Those in between have all the rows around them that taps reach, and
// are items of a batch; the first and the last have zeros instead on one side, or on both.
#pragma once

#include "ways.h"

namespace spectrans {
namespace {

// So many of them, side by side, of `rows` rows each, from `first` on.
struct Segments {
  std::int64_t first, rows, count;
  std::int64_t n;             // of the signal
  std::int64_t element_size;  // in bytes

  // Rows around them, as far as there are any.
  std::int64_t before(const Reach& reach) const { return min(first, reach.before); }
  std::int64_t after(const Reach& reach) const { return min(n - first - count * rows, reach.after); }

  // As items.
  Signal of(const Signal& signal) const { return with(signal, 0, 0); }
  Signal around(const Signal& signal, const Reach& reach) const { return with(signal, before(reach), after(reach)); }

 private:
  Signal with(const Signal& signal, std::int64_t rows_before, std::int64_t rows_after) const {
    if (signal.data == nullptr) return signal;
    Signal result = some_rows(signal, first - rows_before, rows_before + rows + rows_after, element_size);
    if (count > 1) {
      result.size[result.axes] = count;
      result.stride[result.axes++] = rows * signal.n_stride;
      result.batch *= count;
    }
    return result;
  }
};

// Whether a signal can have one more batch axis.
inline bool can_be_cut(const Signal& signal) { return signal.axes < kMaxBatchAxes; }

// Calls f with the segments of a signal of n rows: `rows` each, no fewer than there are taps, and the last up to twice
// as many.
template <class F>
void for_each_segments(std::int64_t n, std::int64_t rows, std::int64_t element_size, const F& f) {
  const std::int64_t count = max(1, n / rows), last = (count - 1) * rows;
  if (count > 1) f(Segments{0, rows, 1, n, element_size});
  if (count > 2) f(Segments{rows, rows, count - 2, n, element_size});
  f(Segments{last, n - last, 1, n, element_size});
}

}  // namespace
}  // namespace spectrans
