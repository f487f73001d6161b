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

// Most threads of a block of a kernel over rows.
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

template <class S>
struct ColumnParameters;

// The transforms of all lines of an operation's signals: for each slab, forward() queues the kernel over columns of a
// signal that is read, inverse() that of a signal that is written, and in between the operation queues its kernel over
// rows.
template <class S>
class LongLines {
 public:
  using T = typename Arithmetic<S>::type;

  // sets: of rows, one for each signal that is transformed at the same time
  LongLines(const Signal& signal, int sets, const Stream& stream);

  template <class F>
  void each_slab(F&& f) const {
    for (std::int64_t item = 0; item < signal_.batch; item += items_) {
      for (std::int64_t channel = 0; channel < signal_.d; channel += channels_) {
        f(Slab{item, std::min(items_, signal_.batch - item), static_cast<int>(channel),
               static_cast<int>(std::min(channels_, signal_.d - channel))});
      }
    }
  }

  // Bins come doubled.
  void forward(const Signal& signal, const Slab& slab, int set = 0) const;
  void inverse(const Signal& signal, const Slab& slab, int set = 0) const;

  [[nodiscard]] RowsParameters<T> rows(const Slab& slab, int set = 0) const;
  [[nodiscard]] Grid grid_of_rows(const Slab& slab) const;

 private:
  [[nodiscard]] int step_bytes() const;
  [[nodiscard]] Geometry geometry_of_columns(const Signal& signal) const;
  void launch_columns(void (*kernel)(ColumnParameters<S>), const Signal& signal, const Slab& slab, int set) const;

  const Signal& signal_;
  const Stream& stream_;
  int limit_;  // of shared memory
  int h1_, h2_;
  Plan column_plan_, row_plan_;
  Geometry row_geometry_;
  bool lanes_are_rows_;
  int lanes_log2_, tiles_;
  std::int64_t items_, channels_;  // of a slab
  Pair<T>* memory_;
  std::int64_t set_size_;
};

}  // namespace spectrans::cuda
