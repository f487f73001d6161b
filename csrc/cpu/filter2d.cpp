// Filtering over a grid of tokens: real transforms of the rows, then of the columns of their half spectra, in place.
//
// Slot tile[s h + r] holds, after the rows, what row r has in slot s: every column is contiguous, and a stage over the
// rows is one sweep (BlockPlan). The columns of frequencies 0 and w / 2 are real; in the others re and im are arrays
// of their own, and the product with the response happens while a complex transform of theirs is in registers.
#include "filter/pass.h"
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
      : first(block_plan<T>(w_, h_)), row(real_plan<T>(w_)), real_column(dense_real_plan<T>(h_)),
        column(complex_plan<T>(h_)), h(h_), w(w_), n(h * w), slots(first.slots), bins(h * (w / 2 + 1)),
        work(max(first.work, max(real_column.work, column.work))), slot(first.slot) {}

  void forward(Vector<T>* tile, Vector<T>* scratch, Outer outer) const {
    for (std::int64_t s = 0; s < first.stages; ++s) {
      const RealStage<T>& stage = first.stage[s];
      if (s > 0 || !outer.forward) Stages<T>::real_forward(stage, tile, scratch);
      for_pairs(stage, tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
        complex_forward(child, 0, re, im, blocks, scratch);
        for_columns(blocks * stage.m, [&](std::int64_t at, std::int64_t count) {
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
      if (s > 0 || !outer.forward) Stages<T>::real_forward(stage, tile, scratch);
      for_pairs(stage, tile, [&](const ComplexPlan<T>& child, Vector<T>* re, Vector<T>* im, std::int64_t blocks) {
        complex_forward(child, 0, re, im, blocks, scratch);
        for_columns(blocks * stage.m, [&](std::int64_t at, std::int64_t count) {
          complex_convolve(column, 0, re + at, im + at, count, scratch, middle);
        });
        complex_inverse(child, 0, re, im, blocks, scratch);
      });
    }
    tail(tile);
    real_convolve(real_column, tile, scratch, middle);
    if (w % 2 == 0) real_convolve(real_column, tile + h, scratch, middle);
    tail(tile);
    for (std::int64_t s = first.stages - 1; s >= 0; --s) {
      if (s > 0 || !outer.inverse) Stages<T>::real_inverse(first.stage[s], tile, scratch);
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

  // Calls f(start, count) for runs of columns, of so many values, that the first-level cache holds.
  template <class F>
  SPECTRANS_INLINE void for_columns(std::int64_t values, F&& f) const {
    const std::int64_t columns = values / h, per_run = max(1, kSweepBytes / (2 * h * kVectorBytes));
    for (std::int64_t c = 0; c < columns; c += per_run) f(c * h, min(per_run, columns - c));
  }
};

// Few channels: transforms of several rows side by side in the lanes, and of the columns of so many neighbouring
// frequencies.
template <class T, bool kFilter, bool kGradient>
class SplitGridPass {
  static constexpr std::int64_t lanes = kLanes<T>;

 public:
  SplitGridPass(const Filter2d& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), h_(call.h), w_(call.x.n / call.h), d_(call.x.d), half_(w_ / 2 + 1),
        blocks_(ceil_div(half_, lanes)), rows_(w_, d_, h_), column_(complex_plan<T>(h_)),
        parts_(kGradient ? min(call.x.batch, kTasks) : call.x.batch) {}

  void run() const {
    const std::int64_t size = d_ * blocks_ * 2 * h_;  // of all columns
    auto* response = static_cast<Vector<T>*>(
        scratch(ScratchRoom::shared, ((kFilter ? 1 : 0) + (kGradient ? 2 * parts_ : 0)) * size * kVectorBytes));
    Vector<T>* totals = response + (kFilter ? size : 0);
    if (kFilter) arrange_response(response);
    parallel(pool_, parts_, h_ * w_ * d_ * std::int64_t(sizeof(T)) * ceil_div(call_.x.batch, parts_),
             [&](std::int64_t begin, std::int64_t end) {
               // Of an item, and of as much of the other signal.
               const std::int64_t packs = rows_.packs(), numbers = packs * rows_.pack_size();
               const auto space =
                   rows_.workspace(ceil_div(4 * h_ + column_.work, rows_.tile_slots()), (kGradient ? 2 : 1) * packs);
               for (std::int64_t part = begin; part < end; ++part) {
                 Vector<T>*total = totals + 2 * part * size, *sum = total + size;
                 for (std::int64_t i = 0; kGradient && i < 2 * size; ++i) total[i] = Vector<T>{};
                 const std::int64_t first = part * call_.x.batch / parts_, last = (part + 1) * call_.x.batch / parts_;
                 const std::int64_t piece = items_per_sum(last - first);
                 for (std::int64_t item = first; item < last; ++item) {
                   one(item, response, sum, space, space.more, space.more + numbers);
                   if (!kGradient || ((item - first) % piece < piece - 1 && item + 1 < last)) continue;
                   for (std::int64_t i = 0; i < size; ++i) {
                     total[i] += sum[i];
                     sum[i] = Vector<T>{};
                   }
                 }
               }
             });
    if (!kGradient) return;
    const std::int64_t numbers = size * lanes;
    T* total = reinterpret_cast<T*>(totals);
    add_parts(pool_, numbers, parts_ - 1, total + 2 * numbers, 2 * numbers, total);
    write_gradient(totals);
  }

  // Whether that is faster than the channels of items in the lanes, as measured: in the time of a sample of those, a
  // row takes so much, whatever its length, if it fills a few vectors. Grids that leave the caches take the more.
  static bool suits(const Filter2d& call) {
    const std::int64_t h = call.h, w = call.x.n / h, d = call.x.d, batch = call.x.batch;
    if (2 * d > lanes || h * w < kShort) return false;
    const double row = (w < 2 * lanes ? 0.6 : 0.2) * lanes, sample = 1.8 / lanes,
                 far = h * w * kVectorBytes > kFarGridBytes ? 3 : 1;
    const auto lines = static_cast<double>(batch * d), packs = static_cast<double>(ceil_div(batch, lanes / d));
    return lines * (row + sample * static_cast<double>(w)) < packs * far * static_cast<double>(w);
  }

 private:
  using Workspace = typename SplitLines<T>::Workspace;
  static constexpr std::int64_t kShort = 256;
  static constexpr std::int64_t kFarGridBytes = std::int64_t{6} << 20;  // of a tile

  // The rows of an item, as a signal.
  Signal rows_of(const Signal& grid, std::int64_t item) const {
    Signal rows = grid;
    rows.data = storage_.item(grid, item);
    rows.n = w_;
    rows.batch = rows.size[0] = h_;
    rows.stride[0] = w_ * grid.n_stride;
    rows.axes = 1;
    return rows;
  }

  void forward_rows(const Signal& grid, std::int64_t item, const Workspace& space, T* spectra) const {
    const Signal rows = rows_of(grid, item);
    for (std::int64_t pack = 0; pack < rows_.packs(); ++pack) {
      storage_.gather_parts(rows_, rows, pack, space.tile);
      rows_.forward(pack, space, spectra + pack * rows_.pack_size());
    }
  }

  // Spectra of the rows, at a block of frequencies of a channel <-> a column.
  Spectrum<T> row(T* spectra, std::int64_t r, std::int64_t channel) const {
    return Spectrum<T>(spectra + (r * d_ + channel) * rows_.spectrum_size(), w_);
  }
  void read_column(T* spectra, std::int64_t channel, std::int64_t k, Vector<T>* column) const {
    for (std::int64_t r = 0; r < h_; ++r) {
      column[column_.slot[r]] = load(row(spectra, r, channel).re + k);
      column[h_ + column_.slot[r]] = load(row(spectra, r, channel).im + k);
    }
  }
  void write_column(const Vector<T>* column, std::int64_t channel, std::int64_t k, T* spectra) const {
    for (std::int64_t r = 0; r < h_; ++r) {
      store(row(spectra, r, channel).re + k, column[column_.slot[r]]);
      store(row(spectra, r, channel).im + k, column[h_ + column_.slot[r]]);
    }
  }

  void one(std::int64_t item, const Vector<T>* response, Vector<T>* sum, const Workspace& space, T* spectra,
           T* with_spectra) const {
    Vector<T>*column = space.tiles, *with = column + 2 * h_, *work = with + 2 * h_;
    forward_rows(call_.x, item, space, spectra);
    if (kGradient) forward_rows(call_.with, item, space, with_spectra);
    for (std::int64_t c = 0; c < d_; ++c) {
      for (std::int64_t block = 0; block < blocks_; ++block) {
        const std::int64_t k = block * lanes, at = (c * blocks_ + block) * 2 * h_;
        read_column(spectra, c, k, column);
        if (kGradient) {
          read_column(with_spectra, c, k, with);
          complex_forward(column_, 0, with, with + h_, 1, work);
        }
        complex_convolve(column_, 0, column, column + h_, 1, work,
                         FilterProduct<T, kFilter, kGradient>{column, response + at, with, sum + at, {}, {}, 0});
        if (kFilter) write_column(column, c, k, spectra);
      }
    }
    if (!kFilter) return;
    const Signal rows = rows_of(call_.y, item);
    for (std::int64_t pack = 0; pack < rows_.packs(); ++pack) {
      rows_.inverse(pack, space, spectra + pack * rows_.pack_size());
      storage_.scatter_parts(rows_, rows, pack, space.tile);
    }
  }

  // Calls f(channel, kh, first of a block of frequencies kw, how many there are, where their bin kh is in the columns).
  template <class F>
  void for_each_bin(const F& f) const {
    for (std::int64_t c = 0; c < d_; ++c) {
      for (std::int64_t kh = 0; kh < h_; ++kh) {
        for (std::int64_t block = 0; block < blocks_; ++block) {
          const std::int64_t k = block * lanes;
          f(c, kh, k, static_cast<int>(min(lanes, half_ - k)), (c * blocks_ + block) * 2 * h_ + column_.bin[kh]);
        }
      }
    }
  }

  // Calls f(lane) for the frequencies of a block whose column holds conjugate bins kh and -kh: 0 and w / 2.
  template <class F>
  void for_each_mirrored(std::int64_t kw, std::int64_t count, const F& f) const {
    if (kw == 0) f(0);
    if (w_ % 2 == 0 && w_ / 2 >= kw && w_ / 2 < kw + count) f(w_ / 2 - kw);
  }

  // There (H[kh] + conj H[-kh]) / 2 acts.
  void arrange_response(Vector<T>* columns) const {
    const Divisor<T> n(h_ * w_);
    const T sign = call_.adjoint ? T(-1) : T(1);
    for_each_bin([&](std::int64_t c, std::int64_t kh, std::int64_t kw, int count, std::int64_t at) {
      const auto from = [&](std::int64_t row, std::int64_t k) {
        return static_cast<const T*>(call_.response) + (row * half_ + k) * call_.bin_stride + c * call_.channel_stride;
      };
      Complex<Vector<T>> h = load_complex_line(from(kh, kw), call_.bin_stride, count);
      for_each_mirrored(kw, count, [&](std::int64_t lane) {
        const T* image = from((h_ - kh) % h_, kw + lane);
        h.re[lane] = (h.re[lane] + image[0]) / 2;
        h.im[lane] = (h.im[lane] - image[1]) / 2;
      });
      columns[at] = n.divide(h.re, T(1));
      columns[at + h_] = n.divide(h.im, sign);
    });
  }

  // The reverse, for the gradient: bins of other columns stand for their conjugates, too.
  void write_gradient(const Vector<T>* columns) const {
    const Divisor<T> n(h_ * w_);
    for_each_bin([&](std::int64_t c, std::int64_t kh, std::int64_t kw, int count, std::int64_t at) {
      Vector<T> re = n.divide(columns[at], T(2)), im = n.divide(columns[at + h_], T(2));
      for_each_mirrored(kw, count, [&](std::int64_t lane) {
        re[lane] /= 2;
        im[lane] /= 2;
      });
      store_complex_line(static_cast<T*>(call_.response_grad) + 2 * ((kh * half_ + kw) * d_ + c), 2 * d_, count, re,
                         im);
    });
  }

  const Filter2d& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const std::int64_t h_, w_, d_, half_;
  const std::int64_t blocks_;  // of frequencies, to a row
  const SplitLines<T> rows_;
  const ComplexPlan<T>& column_;
  const std::int64_t parts_;  // of the batch
};

}  // namespace

void filter2d(const Filter2d& call, const ThreadPool& pool) {
  with_storage(call.element, [&]<class T>(const Storage<T>& storage) {
    if (!SplitGridPass<T, true, false>::suits(call)) {
      filter_pass(call, GridTransform<T>(call.h, call.x.n / call.h), storage, pool);
    } else if (call.response_grad == nullptr) {
      SplitGridPass<T, true, false>(call, storage, pool).run();
    } else if (call.response == nullptr) {
      SplitGridPass<T, false, true>(call, storage, pool).run();
    } else {
      SplitGridPass<T, true, true>(call, storage, pool).run();
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
