// Transforms of the columns that a block of threads holds in its shared memory: Plan, carried out.
//
// forward() brings samples in and does every stage but the last; middle_pairs() or middle() does that one, shows the
// bins to a function while they are in registers, and does the first inverse stage on what it makes of them; inverse()
// does the others and hands samples out. Each of them leaves values in the place it found them in, by the same thread
// that took them, so that one barrier between two stages is enough.
#pragma once

#include "plan.h"
#include "roots.h"

namespace spectrans::cuda {

SPECTRANS_DEVICE int quotient(int t, Divider divider) {
  return static_cast<int>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(t)) * divider.magic) >> 31);
}

// One thread's view of one tile: the values of its column.
template <class T>
struct Tile {
  Shared<Pair<T>> values;
  int stride;

  SPECTRANS_DEVICE Complex<T> load(int address SPECTRANS_SITE) const {
#if defined(SPECTRANS_EMULATION)
    const Pair<T> value = values.load(address * stride, site);
#else
    const Pair<T> value = values.load(address * stride);
#endif
    return {value.re, value.im};
  }
  SPECTRANS_DEVICE void store(int address, Complex<T> value SPECTRANS_SITE) const {
#if defined(SPECTRANS_EMULATION)
    values.store(address * stride, {value.re, value.im}, site);
#else
    values.store(address * stride, {value.re, value.im});
#endif
  }
};

// What a thread knows of its block: which column and which share of the butterflies it has, and where the tables are.
template <class T, Lengths kLengths = Lengths::line>
struct Frame {
  const Plan& plan;
  const Layout& layout;
  int column, worker;

  SPECTRANS_DEVICE Frame(const Plan& plan_, const Layout& layout_) : plan(plan_), layout(layout_) {
    const int thread = threadIdx.x;
    if (layout.columns_first) {
      column = thread & (layout.columns - 1);
      worker = thread / layout.columns;
    } else {
      column = thread / layout.workers;
      worker = thread - column * layout.workers;
    }
  }

  [[nodiscard]] SPECTRANS_DEVICE int rows() const { return is_line(kLengths) ? 1 : plan.rows; }

  SPECTRANS_DEVICE Tile<T> tile(int index = 0) const { return tile_of(column, index); }

  // Another column's.
  SPECTRANS_DEVICE Tile<T> tile_of(int other, int index = 0) const {
    const int first = index * plan.addresses * layout.columns;
    const Shared<Pair<T>> all = shared<Pair<T>>(0);
    if (layout.columns_first) return {{all.base + first + other}, layout.columns};
    return {{all.base + first + other * plan.addresses}, 1};
  }

  SPECTRANS_DEVICE int address(int position) const {
    int result = position;
    if (plan.padded) result += quotient(position, plan.by_last);
    if (plan.first_padded) result += quotient(position, plan.by_first);
    return result;
  }

  // Where decimation in frequency has left a bin: the sum of what belongs to its row and to its block of the row.
  SPECTRANS_DEVICE int address_of(int row, int bin) const {
    const int of_bin = shared<std::uint16_t>(layout.bin_addresses).load(bin);
    return rows() == 1 ? of_bin : shared<std::uint16_t>(layout.row_addresses).load(row) + of_bin;
  }

  // Where the last stage, done in place, leaves bin k of the first row.
  SPECTRANS_DEVICE int bin_address(int k) const {
    const int i = quotient(k, plan.by_blocks);
    return shared<std::uint16_t>(layout.bin_addresses).load(k - i * plan.blocks) + i;
  }

  // exp(-2 pi i bin / (2 row))
  SPECTRANS_DEVICE Complex<T> turn(int bin) const {
    const Pair<T> w = shared<Pair<T>>(layout.turns).load(bin);
    return {w.re, w.im};
  }

  // exp(-2 pi i j q / (r m)), q > 0
  SPECTRANS_DEVICE Complex<T> twiddle(const Stage& stage, int j, int q) const {
    const Shared<Pair<T>> table = shared<Pair<T>>(layout.twiddles);
    if (!can_have_roots<T>(kLengths) || stage.twiddles >= 0) {
      const Pair<T> w = table.load(stage.twiddles + (q - 1) * stage.m + j);
      return {w.re, w.im};
    }
    // coarse (1 + fine)
    const int roots = ~stage.twiddles, k = j * q;
    const Pair<T> fine = table.load(roots + (k & (kFine - 1))), coarse = table.load(roots + kFine + (k >> kFineLog2));
    return {coarse.re + (coarse.re * fine.re - coarse.im * fine.im),
            coarse.im + (coarse.re * fine.im + coarse.im * fine.re)};
  }
};

template <class T, Lengths kLengths>
SPECTRANS_DEVICE void fill_twiddles(const Frame<T, kLengths>& frame) {
  const Plan& plan = frame.plan;
  const Shared<Pair<T>> table = shared<Pair<T>>(frame.layout.twiddles);
  const int threads = frame.layout.columns * frame.layout.workers;
  for (int s = 0; s < plan.stages; ++s) {
    const Stage& stage = plan.stage[s];
    if (stage.m == 1) continue;
    const int length = stage.radix * stage.m;
    if (!can_have_roots<T>(kLengths) || stage.twiddles >= 0) {
      for (int i = threadIdx.x; i < (stage.radix - 1) * stage.m; i += threads) {
        const int q = i / stage.m, j = i - q * stage.m;
        const Complex<T> w = unit_root<T>(j * (q + 1), length);
        table.store(stage.twiddles + i, {w.re, w.im});
      }
      continue;
    }
    const int roots = roots_of(stage), begin = ~stage.twiddles;
    for (int i = threadIdx.x; i < roots; i += threads) {
      const int k = i < kFine ? i : (i - kFine) * kFine;
      Complex<T> w = unit_root<T>(k < length ? k : 0, length);
      if (i < kFine) w.re -= T(1);
      table.store(begin + i, {w.re, w.im});
    }
  }
}

// Decimation in frequency leaves bins in the order of their reversed digits: those of `count` blocks of so many
// positions.
template <class T, Lengths kLengths>
SPECTRANS_DEVICE void fill_addresses(const Frame<T, kLengths>& frame, int offset, int axis, int count, int positions) {
  const Shared<std::uint16_t> addresses = shared<std::uint16_t>(offset);
  const int threads = frame.layout.columns * frame.layout.workers;
  for (int place = threadIdx.x; place < count; place += threads) {
    int rest = place, bin = 0;
    for (int s = frame.plan.stages - 2; s >= 0; --s) {
      const Stage& stage = frame.plan.stage[s];
      if (stage.axis != axis) continue;
      const int digit = rest % stage.radix;
      rest /= stage.radix;
      bin = bin * stage.radix + digit;
    }
    addresses.store(bin, static_cast<std::uint16_t>(frame.address(place * positions)));
  }
}

// The tables of a block; once, before everything else. Ends with a barrier.
template <class T, Lengths kLengths>
SPECTRANS_DEVICE void prepare(const Frame<T, kLengths>& frame) {
  const Plan& plan = frame.plan;
  fill_twiddles(frame);
  const Shared<Pair<T>> turns = shared<Pair<T>>(frame.layout.turns);
  const int threads = frame.layout.columns * frame.layout.workers;
  for (int k = threadIdx.x; k < plan.blocks; k += threads) {
    const Complex<T> w = unit_root<T>(k, 2 * plan.row);
    turns.store(k, {w.re, w.im});
  }
  if constexpr (!is_line(kLengths)) fill_addresses(frame, frame.layout.row_addresses, 0, plan.rows, plan.row);
  fill_addresses(frame, frame.layout.bin_addresses, 1, plan.blocks, plan.last);
  __syncthreads();
}

// Calls f.template operator()<radix>() for the radices that stages can have there; those beyond 8 in float only.
template <class T, Lengths kLengths, Place kPlace, class F>
SPECTRANS_DEVICE void with_stage_radix(int radix, F&& f) {
  switch (radix) {
    case 2:
      if constexpr (comes_up(2, kLengths, kPlace)) f.template operator()<2>();
      break;
    case 3: f.template operator()<3>(); break;
    case 4:
      if constexpr (comes_up(4, kLengths, kPlace)) f.template operator()<4>();
      break;
    case 5: f.template operator()<5>(); break;
    case 7: f.template operator()<7>(); break;
    case 8:
      if constexpr (comes_up(8, kLengths, kPlace)) f.template operator()<8>();
      break;
    default:
      if constexpr (sizeof(T) == 4 && comes_up(16, kLengths, kPlace)) f.template operator()<16>();
  }
}

// Likewise for the last stage.
template <int Limit, Lengths kLengths, class F>
SPECTRANS_DEVICE void with_last_radix(int radix, F&& f) {
  constexpr Place last = Place::last;
  switch (radix) {
    case 1: f.template operator()<1>(); break;
    case 2:
      if constexpr (comes_up(2, kLengths, last)) f.template operator()<2>();
      break;
    case 3:
      if constexpr (Limit >= 3) f.template operator()<3>();
      break;
    case 4:
      if constexpr (Limit >= 4 && comes_up(4, kLengths, last)) f.template operator()<4>();
      break;
    case 5:
      if constexpr (Limit >= 5) f.template operator()<5>();
      break;
    case 7:
      if constexpr (Limit >= 7) f.template operator()<7>();
      break;
    default:
      if constexpr (Limit >= 8 && comes_up(8, kLengths, last)) f.template operator()<8>();
  }
}

constexpr int kForward = -1, kInverse = 1;  // signs of the exponent

// v[q] times exp(Sign 2 pi i j q / (r m)), for the butterfly that is `rest` within its block
template <int R, int Sign, class T, Lengths kLengths>
SPECTRANS_DEVICE void twiddle(const Frame<T, kLengths>& frame, const Stage& stage, int rest, Complex<T>* v) {
  if (stage.m == 1) return;
  const int j = quotient(rest, stage.by_inner);
  unroll<1, R>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
    const Complex<T> w = frame.twiddle(stage, j, q);
    v[q] = Sign == kForward ? times(v[q], w.re, w.im) : times_conj(v[q], w.re, w.im);
  });
}

// A stage between others, in place.
template <int Sign, class T, Lengths kLengths>
SPECTRANS_DEVICE void inner_stage(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Stage& stage) {
  with_stage_radix<T, kLengths, Place::inner>(stage.radix, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    const int count = frame.rows() * frame.plan.row / R, step = stage.by_step.divisor;
    for (int t = frame.worker; t < count; t += frame.layout.workers) {
      const int block = quotient(t, stage.by_step), rest = t - block * step;
      const int base = frame.address(block * (R * step) + rest);
      Complex<T> v[R];
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = tile.load(base + i * stage.step); });
      if constexpr (Sign == kForward) {
        Dft<R, Sign, T, T>::run(v);
        twiddle<R, Sign>(frame, stage, rest, v);
      } else {
        twiddle<R, Sign>(frame, stage, rest, v);
        Dft<R, Sign, T, T>::run(v);
      }
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(base + i * stage.step, v[i]); });
    }
  });
}

// `samples.template load<R>(v, first, step)` fills v with the samples first, first + step, ... Ends with a barrier.
template <class T, Lengths kLengths, class Samples>
SPECTRANS_DEVICE void forward(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Samples& samples) {
  const Plan& plan = frame.plan;
  if (plan.stages == 1) {
    for (int p = frame.worker; p < plan.row; p += frame.layout.workers) {
      Complex<T> v[1];
      samples.template load<1>(v, p, 0);
      tile.store(frame.address(p), v[0]);
    }
    __syncthreads();
    return;
  }
  const Stage& first = plan.stage[0];
  with_stage_radix<T, kLengths, Place::first>(first.radix, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    const int step = first.by_step.divisor;
    for (int t = frame.worker; t < step; t += frame.layout.workers) {
      Complex<T> v[R];
      samples.template load<R>(v, t, step);
      Dft<R, kForward, T, T>::run(v);
      twiddle<R, kForward>(frame, first, t, v);
      const int base = frame.address(t);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(base + i * first.step, v[i]); });
    }
  });
  __syncthreads();
  for (int s = 1; s < plan.stages - 1; ++s) {
    inner_stage<kForward>(frame, tile, plan.stage[s]);
    __syncthreads();
  }
}

// `samples.template store<R>(v, first, step)` takes them. Begins with a barrier; the tile may be filled again by
// forward() after it.
template <class T, Lengths kLengths, class Samples>
SPECTRANS_DEVICE void inverse(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Samples& samples) {
  const Plan& plan = frame.plan;
  __syncthreads();
  if (plan.stages == 1) {
    for (int p = frame.worker; p < plan.row; p += frame.layout.workers) {
      const Complex<T> v[1] = {tile.load(frame.address(p))};
      samples.template store<1>(v, p, 0);
    }
    return;
  }
  for (int s = plan.stages - 2; s > 0; --s) {
    inner_stage<kInverse>(frame, tile, plan.stage[s]);
    __syncthreads();
  }
  const Stage& first = plan.stage[0];
  with_stage_radix<T, kLengths, Place::first>(first.radix, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    const int step = first.by_step.divisor;
    for (int t = frame.worker; t < step; t += frame.layout.workers) {
      const int base = frame.address(t);
      Complex<T> v[R];
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = tile.load(base + i * first.step); });
      twiddle<R, kInverse>(frame, first, t, v);
      Dft<R, kInverse, T, T>::run(v);
      samples.template store<R>(v, t, step);
    }
  });
}

// ---- complex lines --------------------------------------------------------------------------------------------------

// A block of the last stage, whose bins are (row, bin + i blocks).
struct Block {
  int row, bin;
  int base;  // address
};

template <class T, Lengths kLengths>
SPECTRANS_DEVICE Block block_at(const Frame<T, kLengths>& frame, int t) {
  const int blocks = frame.plan.blocks, row = frame.rows() == 1 ? 0 : t / blocks, bin = t - row * blocks;
  return {row, bin, frame.address_of(row, bin)};
}

// The last forward stage of a block, and the first inverse one.
template <int R, class T>
SPECTRANS_DEVICE void read_block(const Tile<T>& tile, const Block& block, Complex<T>* v) {
  unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { v[i] = tile.load(block.base + i); });
  Dft<R, kForward, T, T>::run(v);
}
template <int R, class T>
SPECTRANS_DEVICE void write_block(const Tile<T>& tile, const Block& block, Complex<T>* v) {
  Dft<R, kInverse, T, T>::run(v);
  unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(block.base + i, v[i]); });
}

template <int R, class T>
SPECTRANS_DEVICE void clear(const Tile<T>& tile, int base) {
  unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(base + i, {T(0), T(0)}); });
}

// The last forward stage of a single row in place: bins are left at frame.bin_address(k), for any thread to read after
// a barrier.
template <int LastLimit, class T, Lengths kLengths>
SPECTRANS_DEVICE void last_stage(const Frame<T, kLengths>& frame, const Tile<T>& tile) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    for (int t = frame.worker; t < plan.blocks; t += frame.layout.workers) {
      const Block block{0, 0, frame.address(t * R)};
      Complex<T> v[R];
      read_block<R>(tile, block, v);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(block.base + i, v[i]); });
    }
  });
}

// Where bins end. Nothing is compared where none is left out: a kernel without a register to spare would spill one.
struct AllBins {};
SPECTRANS_DEVICE bool beyond(int, AllBins) { return false; }
SPECTRANS_DEVICE bool beyond(int bin, int end) { return bin >= end; }

// bins(row, k, value) for every bin of every row; what it leaves in value is transformed back where Writes. Blocks
// whose bins are all `end` or more are left out: their bins are zero where Writes.
template <int LastLimit, bool Reads, bool Writes, class T, Lengths kLengths, class Bins, class End = AllBins>
SPECTRANS_DEVICE void middle(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Bins& bins, End end = {}) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    for (int t = frame.worker; t < frame.rows() * plan.blocks; t += frame.layout.workers) {
      const Block block = block_at(frame, t);
      if (beyond(block.bin, end)) {
        if constexpr (Writes) clear<R>(tile, block.base);
        continue;
      }
      Complex<T> v[R];
      if constexpr (Reads) read_block<R>(tile, block, v);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { bins(block.row, block.bin + i * plan.blocks, v[i]); });
      if constexpr (Writes) write_block<R>(tile, block, v);
    }
  });
}

// The same for the bins of two tiles at once: bins(row, k, value, other). Only the first tile is written.
template <int LastLimit, bool Writes, class T, Lengths kLengths, class Bins>
SPECTRANS_DEVICE void middle(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Tile<T>& other,
                             const Bins& bins) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    for (int t = frame.worker; t < frame.rows() * plan.blocks; t += frame.layout.workers) {
      const Block block = block_at(frame, t);
      Complex<T> v[R], u[R];
      read_block<R>(tile, block, v);
      read_block<R>(other, block, u);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { bins(block.row, block.bin + i * plan.blocks, v[i], u[i]); });
      if constexpr (Writes) write_block<R>(tile, block, v);
    }
  });
}

// The same for a single row, a block at a time where the blocks lie: slots.template operator()<R>(slot, v) for values
// whose slots are slot, slot + blocks, ..., next to those of the neighbouring threads, and their thread's own. Without
// Reads, values are zero before.
template <int LastLimit, bool Reads, bool Writes, class T, Lengths kLengths, class Slots>
SPECTRANS_DEVICE void middle_slots(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Slots& slots) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    for (int t = frame.worker; t < plan.blocks; t += frame.layout.workers) {
      const Block block{0, 0, frame.address(t * R)};
      Complex<T> v[R] = {};
      if constexpr (Reads) read_block<R>(tile, block, v);
      slots.template operator()<R>(t, v);
      if constexpr (Writes) write_block<R>(tile, block, v);
    }
  });
}

// ---- real lines -----------------------------------------------------------------------------------------------------

// Two blocks of the last stage whose bins are each other's mirror images: those of (row, bin) and of (-row, -bin).
struct BlockPair {
  int row, bin, mirrored_row;
  int base, mirrored_base;  // addresses

  // Whether the mirror image of bin k is a bin of the same block, and so comes up by itself.
  [[nodiscard]] SPECTRANS_DEVICE bool repeats(int k) const { return base == mirrored_base && k != 0; }
};

// How many there are.
template <class T, Lengths kLengths>
SPECTRANS_DEVICE int block_pairs(const Frame<T, kLengths>& frame) {
  const int blocks = frame.plan.blocks, rows = frame.rows();
  const int own = blocks % 2 == 0 ? 2 : 1;  // bins that are their own mirror image: 0 and blocks / 2
  return (blocks - own) / 2 * rows + own * (rows / 2 + 1);
}

// In order of their bins where there is one row: neighbouring threads have neighbouring bins.
template <class T, Lengths kLengths>
SPECTRANS_DEVICE BlockPair block_pair(const Frame<T, kLengths>& frame, int t) {
  const int blocks = frame.plan.blocks, rows = frame.rows();
  const int apart = (blocks - 1) / 2, half = rows / 2 + 1, others = half + apart * rows;
  BlockPair pair;
  if (rows == 1) {
    pair.row = 0;
    pair.bin = t;
  } else if (t < half) {
    pair.row = t;
    pair.bin = 0;
  } else if (t < others) {
    pair.row = (t - half) / apart;
    pair.bin = t - half - pair.row * apart + 1;
  } else {
    pair.row = t - others;
    pair.bin = blocks / 2;
  }
  pair.mirrored_row = pair.row == 0 ? 0 : rows - pair.row;
  const int mirrored_bin = pair.bin == 0 ? 0 : blocks - pair.bin;
  pair.base = frame.address_of(pair.row, pair.bin);
  pair.mirrored_base = frame.address_of(pair.mirrored_row, mirrored_bin);
  return pair;
}

// A pair's values: v[i] belongs to bin k = bin + i blocks, u[R - 1 - i] to bin row - k of the half-length transform.
template <int R, class T>
struct PairValues {
  Complex<T> v[R], u[R];

  // The mirror images of block 0 are in places 0, R - 1, ..., 1 of block 0.
  SPECTRANS_DEVICE void rotate_left() {
    const Complex<T> first = u[0];
    unroll<1, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { u[i - 1] = u[i]; });
    u[R - 1] = first;
  }
  SPECTRANS_DEVICE void rotate_right() {
    const Complex<T> last = u[R - 1];
    unroll<1, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { u[R - i] = u[R - 1 - i]; });
    u[0] = last;
  }

  // The last forward stage.
  SPECTRANS_DEVICE void read(const Tile<T>& tile, const BlockPair& pair) {
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      v[i] = tile.load(pair.base + i);
      u[i] = tile.load(pair.mirrored_base + i);
    });
    Dft<R, kForward, T, T>::run(v);
    Dft<R, kForward, T, T>::run(u);
    if (pair.bin == 0) rotate_left();
  }

  // The first inverse stage.
  SPECTRANS_DEVICE void write(const Tile<T>& tile, const BlockPair& pair) {
    if (pair.bin == 0) rotate_right();
    Dft<R, kInverse, T, T>::run(u);
    Dft<R, kInverse, T, T>::run(v);
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(pair.mirrored_base + i, u[i]); });
    unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA { tile.store(pair.base + i, v[i]); });
  }

  // From the half-length transform to twice the bins (row, k) and (-row, 2 row / 2 - k) of the real line, and back from
  // bins to twice the values of the half-length transform; w = exp(-2 pi i k / (2 row)).
  template <int i>
  SPECTRANS_DEVICE void to_bins(Complex<T> w) {
    const Complex<T> z = v[i], y = {u[R - 1 - i].re, -u[R - 1 - i].im};
    const Complex<T> even = z + y, odd = times(rotate<-1>(z - y), w.re, w.im);
    v[i] = even + odd;
    u[R - 1 - i] = {even.re - odd.re, odd.im - even.im};
  }
  template <int i>
  SPECTRANS_DEVICE void from_bins(Complex<T> w) {
    const Complex<T> z = v[i], y = {u[R - 1 - i].re, -u[R - 1 - i].im};
    const Complex<T> even = z + y, odd = rotate<1>(times_conj(z - y, w.re, w.im));
    v[i] = even + odd;
    u[R - 1 - i] = {even.re - odd.re, odd.im - even.im};
  }
};

// exp(-2 pi i (bin + i blocks) / (2 row)) = turn exp(-2 pi i i / (2 R))
template <int i, int R, class T>
SPECTRANS_DEVICE Complex<T> turned(Complex<T> turn) {
  constexpr T c = trig::kCos<T, i, 2 * R>, s = trig::kSin<T, i, 2 * R>;
  if constexpr (i == 0) return turn;
  return times_conj(turn, c, s);
}

// bins(pair, k, at, mirrored): twice bin k of row pair.row and twice bin row - k of row pair.mirrored_row of a line of
// 2 row real samples, k = 0 .. row - 1; what it leaves there is transformed back, twice again, where Writes. A bin
// can come up twice: those of a pair that is its own mirror image, and then by the same thread. In columns k = 0 only
// rows up to half are bins `at`, and in columns row only the others, and row 0, `mirrored`: the rest are their
// conjugates. Pairs whose bins are all `end` or more are left out: their bins are zero where Writes.
template <int LastLimit, bool Reads, bool Writes, class T, Lengths kLengths, class Bins, class End = AllBins>
SPECTRANS_DEVICE void middle_pairs(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Bins& bins,
                                   End end = {}) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    const int count = block_pairs(frame);
    for (int t = frame.worker; t < count; t += frame.layout.workers) {
      const BlockPair pair = block_pair(frame, t);
      if (beyond(pair.bin, end)) {
        if constexpr (Writes) {
          clear<R>(tile, pair.mirrored_base);
          clear<R>(tile, pair.base);
        }
        continue;
      }
      const Complex<T> turn = frame.turn(pair.bin);
      PairValues<R, T> values;
      if constexpr (Reads) values.read(tile, pair);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const Complex<T> w = turned<i, R>(turn);
        if constexpr (Reads) values.template to_bins<i>(w);
        bins(pair, pair.bin + i * plan.blocks, values.v[i], values.u[R - 1 - i]);
        if constexpr (Writes) values.template from_bins<i>(w);
      });
      if constexpr (Writes) values.write(tile, pair);
    }
  });
}

// The bins of a complex line of one row, to be transformed back: bins(k, at, mirrored) gives bin k and bin -k.
template <int LastLimit, class T, Lengths kLengths, class Bins>
SPECTRANS_DEVICE void first_inverse_stage(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Bins& bins) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    for (int t = frame.worker; t < block_pairs(frame); t += frame.layout.workers) {
      const BlockPair pair = block_pair(frame, t);
      PairValues<R, T> values;
      unroll<0, R>([&]<int i>()
                       SPECTRANS_INLINE_LAMBDA { bins(pair.bin + i * plan.blocks, values.v[i], values.u[R - 1 - i]); });
      values.write(tile, pair);
    }
  });
}

// The same for the bins of two tiles at once: bins(pair, k, at, mirrored, other_at, other_mirrored). Only the first
// tile is written.
template <int LastLimit, bool Writes, class T, Lengths kLengths, class Bins>
SPECTRANS_DEVICE void middle_pairs(const Frame<T, kLengths>& frame, const Tile<T>& tile, const Tile<T>& other,
                                   const Bins& bins) {
  const Plan& plan = frame.plan;
  with_last_radix<LastLimit, kLengths>(plan.last, [&]<int R>() SPECTRANS_INLINE_LAMBDA {
    const int count = block_pairs(frame);
    for (int t = frame.worker; t < count; t += frame.layout.workers) {
      const BlockPair pair = block_pair(frame, t);
      const Complex<T> turn = frame.turn(pair.bin);
      PairValues<R, T> values, others;
      values.read(tile, pair);
      others.read(other, pair);
      unroll<0, R>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
        const Complex<T> w = turned<i, R>(turn);
        values.template to_bins<i>(w);
        others.template to_bins<i>(w);
        bins(pair, pair.bin + i * plan.blocks, values.v[i], values.u[R - 1 - i], others.v[i], others.u[R - 1 - i]);
        if constexpr (Writes) values.template from_bins<i>(w);
      });
      if constexpr (Writes) values.write(tile, pair);
    }
  });
}

}  // namespace spectrans::cuda
