// Filtering over a grid of tokens: real transforms of the rows, then of the columns of their half spectra, in place.
//
// Slot tile[s h + r] holds, after the rows, what row r has in slot s: every column is contiguous, and a stage over the
// rows is one sweep (BlockPlan). The columns of frequencies 0 and w / 2 are real; in the others re and im are arrays
// of their own, and the product with the response happens while a complex transform of theirs is in registers.
#include "filter_pass.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

template <class T>
struct GridTransform {
  const BlockPlan<T>& first;  // of all rows at once
  const RealPlan<T>& row;     // where the bins of one are
  const RealPlan<T>& real_column;
  const ComplexPlan<T>& column;
  std::int64_t h, w, n, slots, bins, work;
  const std::int32_t* slot;

  GridTransform(std::int64_t h_, std::int64_t w_)
      : first(block_plan<T>(w_, h_)), row(real_plan<T>(w_)), real_column(real_plan<T>(h_)), column(complex_plan<T>(h_)),
        h(h_), w(w_), n(h * w), slots(first.slots), bins(h * (w / 2 + 1)),
        work(max(first.work, max(real_column.work, column.work))), slot(first.slot) {}

  void forward(Vector<T>* tile, Vector<T>* scratch, Outer outer) const {
    for (std::int64_t s = 0; s < first.stages; ++s) {
      const RealStage<T>& stage = first.stage[s];
      if (s > 0 || !outer.forward) real_forward_stage(stage, tile, scratch);
      for_each_pair(stage, tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im) {
        complex_forward(child, 0, re, im, 1, scratch);
        for_columns(stage, [&](std::int64_t at, std::int64_t count) {
          complex_forward(column, 0, re + at, im + at, count, scratch);
        });
      });
    }
    tail(tile);
    real_forward(real_column, tile, scratch);
    if (w % 2 == 0) real_forward(real_column, tile + h, scratch);
  }

  template <class Middle>
  void convolve(Vector<T>* tile, Vector<T>* scratch, const Middle& middle, Outer outer) const {
    for (std::int64_t s = 0; s < first.stages; ++s) {
      const RealStage<T>& stage = first.stage[s];
      if (s > 0 || !outer.forward) real_forward_stage(stage, tile, scratch);
      for_each_pair(stage, tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im) {
        complex_forward(child, 0, re, im, 1, scratch);
        for_columns(stage, [&](std::int64_t at, std::int64_t count) {
          complex_convolve(column, 0, re + at, im + at, count, scratch, middle);
        });
        complex_inverse(child, 0, re, im, 1, scratch);
      });
    }
    tail(tile);
    real_convolve(real_column, tile, scratch, middle);
    if (w % 2 == 0) real_convolve(real_column, tile + h, scratch, middle);
    tail(tile);
    for (std::int64_t s = first.stages - 1; s >= 0; --s) {
      if (s > 0 || !outer.inverse) real_inverse_stage(first.stage[s], tile, scratch);
    }
  }

  // Row kh (w / 2 + 1) + kw of the response is bin (kh, kw). Column 0 and column w / 2 hold conjugate bins kh and -kh.
  template <class F>
  void for_each_bin(const F& f) const {
    const std::int64_t half = w / 2 + 1;
    for (std::int64_t kw = 0; kw < half; ++kw) {
      if (row.im[kw] < 0) {
        for (std::int64_t kh = 0; kh <= h / 2; ++kh) {
          const std::int64_t at = row.re[kw] * h, im = real_column.im[kh];
          f(Bin<T>{kh * half + kw, (h - kh) % h * half + kw, at + real_column.re[kh], im < 0 ? -1 : at + im,
                   real_column.sign[kh]});
        }
        continue;
      }
      // Where the rows leave conj X[kw] = X[w - kw], the columns have the conjugate of bin (kh, kw) at -kh.
      for (std::int64_t kh = 0; kh < h; ++kh) {
        const std::int64_t bin = column.bin[row.sign[kw] < 0 ? (h - kh) % h : kh];
        f(Bin<T>{kh * half + kw, -1, row.re[kw] * h + bin, row.im[kw] * h + bin, row.sign[kw]});
      }
    }
  }

 private:
  // The transform of length 2 that the stages over rows of even length leave.
  void tail(Vector<T>* tile) const {
    for (std::int64_t i = 0; w % 2 == 0 && i < h; ++i) {
      const Vector<T> a = tile[i], b = tile[h + i];
      tile[i] = a + b;
      tile[h + i] = a - b;
    }
  }

  // Calls f(start, count) for runs of a pair's columns that the first-level cache holds.
  template <class F>
  SPECTRANS_INLINE void for_columns(const RealStage<T>& stage, F&& f) const {
    const std::int64_t columns = stage.m / h, per_run = max(1, kSweepBytes / (2 * h * kVectorBytes));
    for (std::int64_t c = 0; c < columns; c += per_run) f(c * h, min(per_run, columns - c));
  }
};

}  // namespace

void filter2d(const Filter2d& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    filter_pass<IO>(call, GridTransform<Compute<IO>>(call.h, call.x.n / call.h), pool);
  });
}

}  // namespace spectrans::SPECTRANS_ISA
