// Lines too long for a block's shared memory: n = h1 h2 samples as h1 rows of h2, columns first, then rows.
//
//     X[k1 + h1 k2] = sum_p2 w_h2^(p2 k2) w_n^(p2 k1) sum_p1 w_h1^(p1 k1) x[p1 h2 + p2],      w_n = exp(-2 pi i / n)
//
// Columns are real: they are transformed in pairs, x[p1 h2 + 2 c] + i x[p1 h2 + 2 c + 1], and rows k1 > h1 / 2 are the
// conjugates of others. So h1 / 2 + 1 rows of complex values lie in global memory in between, about as large as the
// samples in float: a kernel over columns writes them, a kernel over rows, the operation's own, changes bins while they
// are in registers, and a kernel over columns makes samples of them again.
#pragma once

#include <algorithm>

#include "geometry.h"
#include "kernels.h"
#include "lines.h"

namespace spectrans::cuda {

// Largest radix of a row's last stage; half of it where two sets of rows are in registers at once.
template <class T>
constexpr int kLastOfLong = sizeof(T) == 4 ? 8 : 4;

template <class T>
using PartFrame = Frame<T, Lengths::part_of_line>;

// Most threads of a block of a kernel over columns, and of one over rows.
template <class T>
constexpr int kColumnThreads = sizeof(T) == 4 ? kMaxThreads : 256;
template <class T>
constexpr int kRowThreads = sizeof(T) == 4 ? kMaxThreads : 256;

// The rows k1 <= h1 / 2 of several lines: [item, group, tile, h2, lane]. Lanes, which neighbouring threads take, are
// neighbouring channels, so that groups are of channels and a tile is a row; or, of channels whose samples are
// neighbours in memory, neighbouring rows, so that a group is a channel.
template <class T>
struct Rows {
  Pair<T>* data;
  int n, h1, h2;
  int lanes_log2, groups, tiles;
  bool lanes_are_rows;

  [[nodiscard]] SPECTRANS_DEVICE int count() const { return h1 / 2 + 1; }
  [[nodiscard]] SPECTRANS_DEVICE int lanes() const { return 1 << lanes_log2; }

  // The rows of one line.
  [[nodiscard]] SPECTRANS_DEVICE Pair<T>* line(std::int64_t item, int channel) const {
    const int group = lanes_are_rows ? channel : channel >> lanes_log2, lane = channel - (group << lanes_log2);
    return data + (((item * groups + group) * tiles * h2) << lanes_log2) + (lanes_are_rows ? 0 : lane);
  }

  // Where in a line's rows (k1, p2) is.
  [[nodiscard]] SPECTRANS_DEVICE int place(int k1, int p2) const {
    const int tile = lanes_are_rows ? k1 >> lanes_log2 : k1, lane = k1 - (tile << lanes_log2);
    return ((tile * h2 + p2) << lanes_log2) + (lanes_are_rows ? lane : 0);
  }
};

// The lines whose rows are in memory at a time.
struct Slab {
  std::int64_t first_item, items;
  int first_channel, channels;
};

// ---- kernels over columns -------------------------------------------------------------------------------------------

template <class T>
struct ColumnParameters {
  Plan plan;
  Layout layout;
  Rows<T> rows;
  Slab slab;
  int channels_log2;  // of the channels in a block; the others of its columns are pairs of columns of the line
  int tiles_of_channels;
  int steps;  // where the table begins, in bytes
};

// Of rows that are blocks apart, up to h1 / 2.
SPECTRANS_INLINE int steps_of(const Plan& plan) { return (plan.last + 1) / 2; }

// What a thread knows of a block's columns.
template <class T>
struct Columns {
  const ColumnParameters<T>& p;
  const PartFrame<T> frame;
  int channel, pair;  // channel of the slab
  bool active;        // otherwise both are 0

  // Prepares the block.
  SPECTRANS_DEVICE explicit Columns(const ColumnParameters<T>& p_) : p(p_), frame(p_.plan, p_.layout) {
    channel = channel_of(frame.column);
    pair = pair_of(frame.column);
    active = channel < p.slab.channels && 2 * pair < p.rows.h2;
    if (!active) channel = pair = 0;
    const Shared<Pair<T>> table = shared<Pair<T>>(p.steps);
    const int columns = p.layout.columns;
    for (int i = threadIdx.x; i < 2 * steps_of(p.plan) * columns; i += columns * p.layout.workers) {
      const int step = i / (2 * columns), p2 = 2 * pair_of(i & (columns - 1)) + (i / columns & 1);
      const Complex<T> w = p2 < p.rows.h2 ? unit_root<T>(p2 * step, p.plan.last * p.rows.h2) : Complex<T>{T(0), T(0)};
      table.store(i, {w.re, w.im});
    }
    prepare(frame);
  }

  [[nodiscard]] SPECTRANS_DEVICE int channel_of(int column) const {
    const int tile = blockIdx.x % p.tiles_of_channels;
    return (tile << p.channels_log2) + (column & ((1 << p.channels_log2) - 1));
  }
  [[nodiscard]] SPECTRANS_DEVICE int pair_of(int column) const {
    const int tile = blockIdx.x / p.tiles_of_channels;
    return tile * (p.layout.columns >> p.channels_log2) + (column >> p.channels_log2);
  }
  [[nodiscard]] SPECTRANS_DEVICE bool alone() const { return 2 * pair + 1 == p.rows.h2; }

  // The first of the two columns.
  [[nodiscard]] SPECTRANS_DEVICE int p2() const { return 2 * pair; }

  // exp(-2 pi i p2 (bin + i blocks) / n) = exp(-2 pi i p2 bin / n) exp(-2 pi i p2 i / (last h2)), p2 = 2 pair + second
  [[nodiscard]] SPECTRANS_DEVICE Complex<T> turn(int second, int bin) const {
    return unit_root<T>((2 * pair + second) * bin, p.rows.n);
  }
  [[nodiscard]] SPECTRANS_DEVICE Complex<T> step(int second, int i) const {
    const Pair<T> w = shared<Pair<T>>(p.steps).load((2 * i + second) * p.layout.columns + frame.column);
    return {w.re, w.im};
  }

  // exp(-2 pi i p2 bin / n) of both columns, for the bin of a pair of blocks and for its mirror image. They take as
  // many instructions as a butterfly: kernels have them once for all radices.
  struct Turns {
    Complex<T> even, odd, mirrored_even, mirrored_odd;
  };
  [[nodiscard]] SPECTRANS_DEVICE Turns turns(const BlockPair& blocks) const {
    const int mirrored_bin = p.plan.blocks - blocks.bin;
    return {turn(0, blocks.bin), turn(1, blocks.bin), turn(0, mirrored_bin), turn(1, mirrored_bin)};
  }

  // f(k1, repeats, at, mirrored, even_turn, odd_turn) for the bins k1 <= h1 / 2 and h1 - k1 of a pair of blocks, and
  // what they are to be turned by in either column. A bin that repeats comes up elsewhere too.
  template <int R, class F>
  SPECTRANS_DEVICE void each_row(const BlockPair& blocks, const Turns& turns, PairValues<R, T>& values,
                                 const F& f) const {
    const int count = p.plan.blocks, bin = blocks.bin, mirrored_bin = count - bin;
    const bool own = blocks.base == blocks.mirrored_base;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      constexpr bool below = 2 * i < R;
      constexpr int by = below ? i : R - 1 - i;
      const int k1 = (below ? bin : mirrored_bin) + by * count;
      const Complex<T> even = below ? turns.even : turns.mirrored_even, odd = below ? turns.odd : turns.mirrored_odd;
      const Complex<T> even_turn = times(step(0, by), even.re, even.im), odd_turn = times(step(1, by), odd.re, odd.im);
      Complex<T>&v = values.v[i], &u = values.u[R - 1 - i];
      f(k1, own && !below && 2 * k1 != p.rows.h1, below ? v : u, below ? u : v, even_turn, odd_turn);
    });
  }
};

// Samples to rows. `samples` are x[p1 h2 + p2] + i x[p1 h2 + p2 + 1] for every p1. Ends with a barrier.
template <class T, class Samples>
SPECTRANS_DEVICE void forward(const Columns<T>& columns, std::int64_t item, const Samples& samples) {
  const Tile<T> tile = columns.frame.tile();
  forward(columns.frame, tile, samples);
  const ColumnParameters<T>& p = columns.p;
  Pair<T>* const line = p.rows.line(item, columns.channel);
  const int p2 = columns.p2();
  for (int t = columns.frame.worker; t < block_pairs(columns.frame); t += p.layout.workers) {
    const BlockPair blocks = block_pair(columns.frame, t);
    const auto turns = columns.turns(blocks);
    with_last_radix<kLastOfLong<T>, Lengths::part_of_line>(p.plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
      PairValues<R, T> values;
      values.read(tile, blocks);
      columns.each_row(blocks, turns, values,
                       [&](int k1, bool repeats, const Complex<T>& at, const Complex<T>& mirrored,
                           const Complex<T>& even_turn, const Complex<T>& odd_turn) SPECTRANS_INLINE_LAMBDA {
                         if (!columns.active || repeats) return;
                         const Complex<T> conjugate = {mirrored.re, -mirrored.im};
                         const Complex<T> even = times(at + conjugate, even_turn.re, even_turn.im);
                         store(line + p.rows.place(k1, p2), Pair<T>{even.re, even.im});
                         if (columns.alone()) return;
                         const Complex<T> odd = times(rotate<-1>(at - conjugate), odd_turn.re, odd_turn.im);
                         store(line + p.rows.place(k1, p2 + 1), Pair<T>{odd.re, odd.im});
                       });
    });
  }
  __syncthreads();
}

// Rows to samples. Ends with a barrier.
template <class T, class Samples>
SPECTRANS_DEVICE void inverse(const Columns<T>& columns, std::int64_t item, const Samples& samples) {
  const Tile<T> tile = columns.frame.tile();
  const ColumnParameters<T>& p = columns.p;
  const Pair<T>* const line = p.rows.line(item, columns.channel);
  const int p2 = columns.p2();
  for (int t = columns.frame.worker; t < block_pairs(columns.frame); t += p.layout.workers) {
    const BlockPair blocks = block_pair(columns.frame, t);
    const auto turns = columns.turns(blocks);
    with_last_radix<kLastOfLong<T>, Lengths::part_of_line>(p.plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
      PairValues<R, T> values;
      columns.each_row(blocks, turns, values,
                       [&](int k1, bool, Complex<T>& at, Complex<T>& mirrored, const Complex<T>& even_turn,
                           const Complex<T>& odd_turn) SPECTRANS_INLINE_LAMBDA {
                         const Pair<T> first = load(line + p.rows.place(k1, p2));
                         const Pair<T> second =
                             columns.alone() ? Pair<T>{T(0), T(0)} : load(line + p.rows.place(k1, p2 + 1));
                         const Complex<T> even = times_conj(Complex<T>{first.re, first.im}, even_turn.re, even_turn.im);
                         const Complex<T> odd = times_conj(Complex<T>{second.re, second.im}, odd_turn.re, odd_turn.im);
                         at = even + rotate<1>(odd);
                         mirrored = {even.re + odd.im, odd.re - even.im};
                       });
      values.write(tile, blocks);
    });
  }
  inverse(columns.frame, tile, samples);
  __syncthreads();
}

// ---- kernels over rows ----------------------------------------------------------------------------------------------

template <class T>
struct RowsParameters {
  Plan plan;
  Layout layout;
  Rows<T> rows;
  Slab slab;
};

// A row as complex samples, which go back where they came from.
template <class T>
struct RowSamples {
  Pair<T>* row;
  int lanes_log2;
  bool active;

  template <int R>
  SPECTRANS_DEVICE void load(Complex<T>* v, int first, int step) const {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Pair<T> value = active ? cuda::load(row + ((first + i * step) << lanes_log2)) : Pair<T>{T(0), T(0)};
      v[i] = {value.re, value.im};
    });
  }

  template <int R>
  SPECTRANS_DEVICE void store(const Complex<T>* v, int first, int step) const {
    if (!active) return;
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      cuda::store(row + ((first + i * step) << lanes_log2), Pair<T>{v[i].re, v[i].im});
    });
  }
};

struct HalfBin {
  int k;
  bool mirrored, repeats;
};

// Which row of which channel a thread's column is.
template <class T>
struct RowOfThread {
  const RowsParameters<T>& p;
  int channel, k1;  // channel of the slab
  bool active;      // otherwise both are 0

  SPECTRANS_DEVICE RowOfThread(const RowsParameters<T>& p_, int column) : p(p_) {
    const int group = blockIdx.x / p.rows.tiles, tile = blockIdx.x - group * p.rows.tiles;
    channel = p.rows.lanes_are_rows ? group : (group << p.rows.lanes_log2) + column;
    k1 = p.rows.lanes_are_rows ? (tile << p.rows.lanes_log2) + column : tile;
    active = channel < p.slab.channels && k1 < p.rows.count();
    if (!active) channel = k1 = 0;
  }

  // The bin of the line that is bin k2 of the row.
  [[nodiscard]] SPECTRANS_DEVICE int bin(int k2) const { return k1 + p.rows.h1 * k2; }

  // The bin of the half spectrum that it is or, if mirrored, that it is the conjugate of. All come up once but for
  // those that repeat: the mirror images in a row that holds both.
  [[nodiscard]] SPECTRANS_DEVICE HalfBin half_bin(int k2) const {
    const int k = bin(k2);
    const bool mirrored = 2 * k > p.rows.n;
    return {mirrored ? p.rows.n - k : k, mirrored, mirrored && (k1 == 0 || 2 * k1 == p.rows.h1)};
  }

  [[nodiscard]] SPECTRANS_DEVICE RowSamples<T> samples(std::int64_t item) const {
    return {p.rows.line(item, channel) + p.rows.place(k1, 0), p.rows.lanes_log2, active};
  }
};

// ---- on the host ----------------------------------------------------------------------------------------------------

// Whether lines of n samples can be split: n has no prime factor but 2, 3, 5 and 7, and is at most 2^20.
[[nodiscard]] bool has_split(std::int64_t n);

// Whether a block of that geometry would rather be avoided: not even one column fits, or so few that most of every
// sector is left to other blocks.
[[nodiscard]] bool too_long(const Geometry& block, const Work& work);

// Whether the samples of a channel are neighbours in memory, and channels are not.
[[nodiscard]] inline bool channels_first(const Signal& signal) {
  return signal.n_stride == 1 && (signal.d_stride != 1 || signal.d == 1);
}

// The transforms of all lines of an operation's signals: for each slab, forward() queues the kernel over columns of a
// signal that is read, inverse() that of a signal that is written, and in between the operation queues its kernel over
// rows.
template <class S>
class LongLines {
 public:
  using T = typename Arithmetic<S>::type;

  // sets: of rows, one for each signal that is transformed at the same time
  // sets_of_one: that follow them, of one item's rows
  // bin_size: in bytes, of what the operation writes for a bin; as wide as whole sectors of it take
  LongLines(const Signal& signal, int sets, const Stream& stream, int sets_of_one = 0, int bin_size = sizeof(Pair<T>));

  template <class F>
  void each_slab(F&& f) const {
    for (std::int64_t channel = 0; channel < signal_.d; channel += channels_) {
      for (std::int64_t item = 0; item < signal_.batch; item += items_) {
        f(Slab{item, std::min(items_, signal_.batch - item), static_cast<int>(channel),
               static_cast<int>(std::min(channels_, signal_.d - channel))});
      }
    }
  }

  // Bins come doubled.
  void forward(const Signal& signal, const Slab& slab, int set = 0) const;
  void inverse(const Signal& signal, const Slab& slab, int set = 0) const;

  // For kernels of the operation's own.
  [[nodiscard]] RowsParameters<T> rows(const Slab& slab, int set = 0) const;
  [[nodiscard]] Grid grid_of_rows(const Slab& slab) const;
  [[nodiscard]] ColumnParameters<T> columns(const Signal& signal, const Slab& slab, int set = 0,
                                            int storage_size = sizeof(S)) const;
  [[nodiscard]] Grid grid_of_columns(const Signal& signal, const Slab& slab, int storage_size = sizeof(S)) const;

 private:
  [[nodiscard]] int step_bytes() const;
  [[nodiscard]] Geometry geometry_of_columns(const Signal& signal, int storage_size) const;
  [[nodiscard]] int channels_log2(const Signal& signal, const Slab& slab, int columns) const;

  const Signal signal_;
  const Stream stream_;
  int limit_;  // of shared memory
  int h1_, h2_;
  Plan column_plan_, row_plan_;
  Geometry row_geometry_;
  bool lanes_are_rows_;
  int lanes_log2_, tiles_;
  std::int64_t items_, channels_;  // of a slab
  Pair<T>* memory_;
  int sets_;
  std::int64_t set_size_, size_of_one_;
};

}  // namespace spectrans::cuda
