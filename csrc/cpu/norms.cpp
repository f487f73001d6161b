// Norm checks: energies and the largest modulus; distance from orthogonality (norms/gram.h), largest singular
// value (norms/squaring.h, norms/lanczos.h).
#include "instruction_set.h"
#include "norms/gram.h"
#include "norms/lanczos.h"
#include "norms/squaring.h"
#include "norms/wide.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// -- energy -----------------------------------------------------------------------------------------------------------

// Elements whose squares one task adds: sums are cut at places that depend on shapes alone, and the pieces added in
// order, so that they have the same bits at any number of threads.
constexpr std::int64_t kPiece = 64 * 1024;
// Bytes from where a sum is to what it asks for: further than the processor does by itself, which gains a tenth.
constexpr std::int64_t kAhead = 8 * 1024;

struct Axis {
  std::int64_t size, stride;
  std::int64_t out;  // kept axes: the step in the result
};

// Axes from the outermost to the innermost.
struct Axes {
  Axis axis[kMaxAxes];
  int count = 0;

  void add(Axis a) {
    if (a.size == 1) return;
    int at = count++;
    for (; at > 0 && axis[at - 1].stride < a.stride; --at) axis[at] = axis[at - 1];
    axis[at] = a;
  }
  Axis take(int at) {
    const Axis taken = axis[at];
    for (--count; at < count; ++at) axis[at] = axis[at + 1];
    return taken;
  }
  // Axes that can be walked with one step become one.
  void join() {
    int last = 0;
    for (int at = 1; at < count; ++at) {
      if (axis[last].stride == axis[at].size * axis[at].stride) {
        axis[last] = {axis[last].size * axis[at].size, axis[at].stride, axis[at].out};
      } else {
        axis[++last] = axis[at];
      }
    }
    count = min(count, last + 1);
  }
  std::int64_t volume() const {
    std::int64_t product = 1;
    for (int at = 0; at < count; ++at) product *= axis[at].size;
    return product;
  }
  std::int64_t offset(std::int64_t index, std::int64_t Axis::* step) const {
    if (count == 1) return index * (axis[0].*step);
    std::int64_t sum = 0;
    for (int at = count - 1; at >= 0; --at) {
      sum += index % axis[at].size * (axis[at].*step);
      index /= axis[at].size;
    }
    return sum;
  }
};

// The energies of one tensor. `lanes`: neighbours in memory that lie side by side in vectors. Either they are summed
// over (one result a task), or they are kept, `group` of them a result (as many results as fit a block).
template <class IO>
class EnergyPass {
  static constexpr std::int64_t kBlock = 16 * kLanes<double>;  // kept lanes of a task: their sums stay in registers

 public:
  explicit EnergyPass(const Energy& call) : data_(static_cast<const IO*>(call.x)), energy_(call.energy) {
    std::int64_t out = 1;
    for (int at = call.kept - 1; at >= 0; --at) {
      kept_.add({call.size[at], call.stride[at], out});
      out *= call.size[at];
    }
    for (int at = call.kept; at < call.kept + call.reduced; ++at) {
      if (call.stride[at] == 0) {
        repeats_ *= static_cast<double>(call.size[at]);
      } else {
        reduced_.add({call.size[at], call.stride[at], 0});
      }
    }
    results_ = out;
    reduced_.join();
    lanes_ = {1, 1, 0};
    group_ = 1;
    if (reduced_.count > 0 && reduced_.axis[reduced_.count - 1].stride == 1) {
      const std::int64_t run = reduced_.axis[reduced_.count - 1].size;
      const int beside = run <= kLanes<double> ? kept_with_stride(run) : -1;
      along_ = beside < 0;
      lanes_ = reduced_.take(reduced_.count - 1);
      if (!along_) {
        group_ = run;
        lanes_ = kept_.take(beside);
        lanes_.size *= run;
      }
    } else if (const int at = kept_with_stride(1); at >= 0) {
      along_ = false;
      lanes_ = kept_.take(at);
    } else if (reduced_.count > 0) {
      lanes_ = reduced_.take(reduced_.count - 1);  // neighbours only in order
    }
    lines_ = reduced_.volume();
    blocks_ = along_ ? 1 : ceil_div(lanes_.size, kBlock / group_ * group_);
    const std::int64_t width = along_ ? lanes_.size : min(lanes_.size, kBlock);
    // A piece is a number of lines or, where those are longer, a part of one.
    per_line_ = along_ ? ceil_div(lanes_.size, kPiece) : 1;
    lines_per_piece_ = per_line_ > 1 ? 1 : max(1, kPiece / width);
    pieces_ = ceil_div(lines_, lines_per_piece_) * per_line_;
    bytes_ = min(kPiece, lines_ * width) * static_cast<std::int64_t>(sizeof(IO));
  }

  std::int64_t results() const { return results_; }
  std::int64_t pieces() const { return pieces_; }
  std::int64_t tasks() const { return kept_.volume() * blocks_ * pieces_; }
  std::int64_t bytes() const { return bytes_; }
  double* energy() const { return energy_; }

  // partial [pieces, results]
  void run(std::int64_t task, double* partial) const {
    const std::int64_t piece = task % pieces_, block = task / pieces_ % blocks_, item = task / pieces_ / blocks_;
    const IO* data = data_ + kept_.offset(item, &Axis::stride);
    double* to = partial + piece * results_ + kept_.offset(item, &Axis::out);
    const std::int64_t first = piece / per_line_ * lines_per_piece_, last = min(lines_, first + lines_per_piece_);
    if (along_) {
      const std::int64_t begin = piece % per_line_ * kPiece, end = min(lanes_.size, begin + kPiece);
      *to = repeats_ * sum(data + begin * lanes_.stride, end - begin, first, last);
    } else {
      const std::int64_t width = kBlock / group_ * group_, begin = block * width;
      sums(data + begin, min(lanes_.size - begin, width), first, last, to + begin / group_ * lanes_.out);
    }
  }

 private:
  int kept_with_stride(std::int64_t stride) const {
    for (int at = 0; at < kept_.count; ++at) {
      if (kept_.axis[at].stride == stride) return at;
    }
    return -1;
  }

  // Over `count` lanes of the lines first .. last.
  double sum(const IO* data, std::int64_t count, std::int64_t first, std::int64_t last) const {
    constexpr std::int64_t step = 2 * kStep<IO>, bytes = step * sizeof(IO);
    constexpr int lines = bytes < 64 ? 1 : bytes / 64;  // of the cache
    Wide<IO> sum[2] = {};
    for (std::int64_t line = first; line < last; ++line) {
      const IO* at = data + reduced_.offset(line, &Axis::stride);
      std::int64_t j = 0;
      if (lanes_.stride != 1) {
        for (; lanes_.stride == 2 && j + kStep<IO> < count; j += kStep<IO>) sum[0].add_squares(load_even(at + 2 * j));
        for (; j < count; j += kStep<IO>) {
          const int some = static_cast<int>(min(kStep<IO>, count - j));
          sum[1].add_squares(widened<IO>(load_some(at + j * lanes_.stride, lanes_.stride, some)));
        }
        continue;
      }
      for (; j + step <= count; j += step) {
        unroll<0, lines>([&]<int i>() SPECTRANS_INLINE_LAMBDA { prefetch_beyond(at + j, kAhead + 64 * i); });
        sum[0].add_squares(load_wide(at + j));
        sum[1].add_squares(load_wide(at + j + kStep<IO>));
      }
      if (j + kStep<IO> <= count) {
        sum[0].add_squares(load_wide(at + j));
        j += kStep<IO>;
      }
      if (j < count) sum[1].add_squares(load_wide_some(at + j, static_cast<int>(count - j)));
    }
    return sum[0].total() + sum[1].total();
  }

  // Every other element, as the real parts of complex numbers are, of two whole vectors.
  static SPECTRANS_INLINE Wide<IO> load_even(const IO* from) {
    return widened<IO>(ShufflesOf<Compute<IO>>::even(load(from), load(from + kStep<IO>)));
  }

  // Of every one of `count` <= kBlock lanes, over the lines first .. last.
  void sums(const IO* data, std::int64_t count, std::int64_t first, std::int64_t last, double* to) const {
    constexpr int most = kBlock / kStep<IO>;
    Wide<IO> sum[most] = {};
    const std::int64_t whole = count / kStep<IO>;
    const int rest = static_cast<int>(count % kStep<IO>);
    for (std::int64_t line = first; line < last; ++line) {
      const IO* at = data + reduced_.offset(line, &Axis::stride);
      if (whole == most) {
        unroll<0, most>([&]<int i>() SPECTRANS_INLINE_LAMBDA { sum[i].add_squares(load_wide(at + i * kStep<IO>)); });
        continue;
      }
      for (std::int64_t i = 0; i < whole; ++i) sum[i].add_squares(load_wide(at + i * kStep<IO>));
      if (rest > 0) sum[whole].add_squares(load_wide_some(at + whole * kStep<IO>, rest));
    }
    double each[kBlock];
    for (int i = 0; i < most; ++i) sum[i].store(each + i * kStep<IO>);
    for (std::int64_t i = 0; i < count; i += group_) {
      double total = 0;
      for (std::int64_t l = 0; l < group_; ++l) total += each[i + l];
      to[i / group_ * lanes_.out] = repeats_ * total;
    }
  }

  const IO* data_;
  double* energy_;
  Axes kept_, reduced_;
  Axis lanes_;
  bool along_ = true;   // the lanes are summed over
  double repeats_ = 1;  // axes of stride zero that are summed over
  std::int64_t group_, results_, lines_, blocks_, per_line_, lines_per_piece_, pieces_, bytes_;
};

template <class IO>
void energies(const Energy* calls, int count, const ThreadPool& pool) {
  for (int i = 0; i < count; ++i) {
    const EnergyPass<IO> pass(calls[i]);
    const bool whole = pass.pieces() == 1;
    const std::int64_t room = whole ? 0 : pass.pieces() * pass.results() * std::int64_t(sizeof(double));
    double* partial = whole ? pass.energy() : static_cast<double*>(scratch(ScratchRoom::shared, room));
    parallel(pool, pass.tasks(), pass.bytes(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) pass.run(task, partial);
    });
    if (whole) continue;
    for (std::int64_t result = 0; result < pass.results(); ++result) {
      double total = 0;
      for (std::int64_t piece = 0; piece < pass.pieces(); ++piece) total += partial[piece * pass.results() + result];
      pass.energy()[result] = total;
    }
  }
}

// -- largest modulus --------------------------------------------------------------------------------------------------

// Squares of doubles may overflow or vanish where moduli do not.
template <class T>
std::int64_t largest_modulus_exactly(const T* pairs, std::int64_t count) {
  std::int64_t at = 0;
  double largest = -1;
  for (std::int64_t k = 0; k < count; ++k) {
    const double re = pairs[2 * k], im = pairs[2 * k + 1];
    const double modulus = __builtin_hypot(re, im);
    if (re != re || im != im) return k;
    if (modulus > largest) {
      largest = modulus;
      at = k;
    }
  }
  return at;
}

template <class T>
double squared_modulus(const T* pair) {
  return square(static_cast<double>(pair[0])) + square(static_cast<double>(pair[1]));
}

template <class T>
std::int64_t largest_modulus_of(const T* pairs, std::int64_t count) {
  constexpr std::int64_t block = 512, lanes = kLanes<double>;
  std::int64_t best = 0;  // the block, then the pair
  double largest = -1;
  for (std::int64_t first = 0; first < count; first += block) {
    const std::int64_t end = min(count, first + block);
    Vector<double> most{};
    std::int64_t k = first;
    bool nan = false;
    for (; k + lanes <= end; k += lanes) {
      // Sums of neighbours: lane l of `squared` is the squared modulus of some pair of these.
      const Vector<double> low = load_doubles(pairs + 2 * k), high = load_doubles(pairs + 2 * k + lanes);
      const Vector<double> a = low * low, b = high * high;
      const Vector<double> squared = ShufflesOf<double>::even(a, b) + ShufflesOf<double>::odd(a, b);
      most = squared > most || squared != squared ? squared : most;
    }
    double in_block = 0;
    for (int l = 0; l < lanes; ++l) {
      nan = nan || most[l] != most[l];
      in_block = most[l] > in_block ? most[l] : in_block;
    }
    for (; k < end; ++k) {
      const double squared = squared_modulus(pairs + 2 * k);
      nan = nan || squared != squared;
      in_block = squared > in_block ? squared : in_block;
    }
    if (nan) return largest_modulus_exactly(pairs, count);
    if (in_block > largest) {
      largest = in_block;
      best = first;
    }
  }
  if (!(largest > 0x1p-900 && largest < 0x1p1000)) return largest_modulus_exactly(pairs, count);
  const std::int64_t end = min(count, best + block);
  for (std::int64_t k = best + 1; k < end; ++k) {
    if (squared_modulus(pairs + 2 * k) > squared_modulus(pairs + 2 * best)) best = k;
  }
  return best;
}

// -- matrices ---------------------------------------------------------------------------------------------------------

// One on all threads, or several side by side.
template <class Norm, class Call>
void of_each_matrix(const Call& call, std::int64_t batch, const ThreadPool& pool) {
  if (batch == 1) {
    Norm(call, pool, ScratchRoom::shared).run(0);
    return;
  }
  const ThreadPool alone{nullptr, 1};
  parallel(pool, batch, Norm::work(call), [&](std::int64_t begin, std::int64_t end) {
    Norm norm(call, alone, ScratchRoom::worker);
    for (std::int64_t item = begin; item < end; ++item) norm.run(item);
  });
}

}  // namespace

void energy(const Energies& call, const ThreadPool& pool) {
  with_element(call.of[0].element, [&]<class IO>(IO) {
    if (call.count == 1 || call.of[1].element == call.of[0].element) {
      energies<IO>(call.of, call.count, pool);
    } else {
      energies<IO>(call.of, 1, pool);
      with_element(call.of[1].element, [&]<class Other>(Other) { energies<Other>(call.of + 1, 1, pool); });
    }
  });
}

void orthogonality(const Orthogonality& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    if (GramOfFewRows<IO>::suits(call)) {
      of_each_matrix<GramOfFewRows<IO>>(call, call.t.batch, pool);
    } else {
      GramPass<IO>(call).run(pool);
    }
  });
}

void spectral_norm(const SpectralNorm& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    if (LargestBySquaring<IO>::suits(call)) {
      of_each_matrix<LargestBySquaring<IO>>(call, call.x.batch, pool);
    } else {
      of_each_matrix<LargestSingularValue<IO>>(call, call.x.batch, pool);
    }
  });
}

void largest_modulus(const LargestModulus& call, const ThreadPool& pool) {
  constexpr std::int64_t piece = 32 * 1024;
  const std::int64_t pieces = ceil_div(call.count, piece);
  auto* best = static_cast<std::int64_t*>(
      scratch(ScratchRoom::shared, call.batch * pieces * std::int64_t(sizeof(std::int64_t))));
  const auto rows = [&]<class T>(const T* pairs) {
    parallel(pool, call.batch * pieces, 2 * min(piece, call.count) * std::int64_t(sizeof(T)),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t first = task % pieces * piece, row = task / pieces * call.count;
                 best[task] = first + largest_modulus_of(pairs + 2 * (row + first), min(piece, call.count - first));
               }
             });
    for (std::int64_t i = 0; i < call.batch; ++i) {
      std::int64_t index = best[i * pieces];
      const auto modulus = [&](std::int64_t k) {
        const T* pair = pairs + 2 * (i * call.count + k);
        return pair[0] != pair[0] || pair[1] != pair[1] ? __builtin_nan("") : __builtin_hypot(pair[0], pair[1]);
      };
      for (std::int64_t p = 1; p < pieces && modulus(index) == modulus(index); ++p) {
        const std::int64_t other = best[i * pieces + p];
        if (!(modulus(other) <= modulus(index))) index = other;
      }
      call.index[i] = index;
    }
  };
  if (call.element == Element::float64) {
    rows(static_cast<const double*>(call.pairs));
  } else {
    rows(static_cast<const float*>(call.pairs));
  }
}

}  // namespace spectrans::SPECTRANS_ISA
