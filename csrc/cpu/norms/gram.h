// ||T T^H - I||_F by blocks of the product: a block is summed as soon as it is there, so neither the product nor I nor
// the difference is ever held. The product is Hermitian: blocks above the diagonal count twice, those below not at all.
//
// A complex row (re, im), (re, im), ... is a real row of twice the length. The products of such rows are the real
// parts, and those with rows (im, -re), (im, -re), ... the imaginary parts, of what is asked for.
#pragma once

#include "few_rows.h"
#include "panels.h"

namespace spectrans {
namespace {

template <class IO>
class GramPass {
  using Panel = Panels<double>;
  using Double = Vector<double>;
  static constexpr std::int64_t strip = Panel::strip, depth = Panel::depth, pitch = Panel::pitch;
  static constexpr std::int64_t rows = 96;  // of a block
  static constexpr std::int64_t strips = Panel::strips(rows);
  static constexpr std::int64_t panel = strips * pitch;  // vectors
  static constexpr std::int64_t block_sums = Panel::sums(strips, strips);
  static constexpr std::int64_t kBeside = 4;  // blocks of the product in a row that share a panel on the left
  static_assert(strips * strip == rows);

  // Lanes strip - 1 - r on: those of row r of a strip times itself. The identity, and how often elements count.
  struct Diagonal {
    double one[2 * strip] = {}, weight[2 * strip] = {};
    constexpr Diagonal() {
      one[strip - 1] = weight[strip - 1] = 1;
      for (std::int64_t l = strip; l < 2 * strip; ++l) weight[l] = 2;
    }
  };
  static constexpr Diagonal kDiagonal{};

 public:
  explicit GramPass(const Orthogonality& call)
      : call_(call), length_(call.t.d * (call.pairs ? 2 : 1)), blocks_(ceil_div(call.t.n, rows)),
        pairs_(blocks_ * (blocks_ + 1) / 2) {}

  void run(const ThreadPool& pool) const {
    const std::int64_t room = call_.t.batch * pairs_ * std::int64_t(sizeof(double));
    auto* partial = static_cast<double*>(scratch(ScratchRoom::shared, room));
    const std::int64_t work = min(rows, call_.t.n) * min(rows, call_.t.n) * length_;  // about bytes, to `parallel`
    parallel(pool, call_.t.batch * pairs_, work, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t beside = min(kBeside, blocks_);
      auto* space =
          static_cast<Double*>(scratch(ScratchRoom::worker, (2 * panel + beside * block_sums) * kVectorBytes));
      for (std::int64_t task = begin, count; task < end; task += count) {
        std::int64_t i = 0, j = task % pairs_;
        for (; j >= blocks_ - i; ++i) j -= blocks_ - i;  // row i of the upper triangle has blocks_ - i blocks
        count = min(min(kBeside, blocks_ - i - j), end - task);
        blocks(task / pairs_, i, i + j, count, space, partial + task);
      }
    });
    for (std::int64_t item = 0; item < call_.t.batch; ++item) {
      double sum = 0;
      for (std::int64_t pair = 0; pair < pairs_; ++pair) sum += partial[item * pairs_ + pair];
      call_.error[item] = __builtin_sqrt(sum);
    }
  }

 private:
  // Sums of the squares of blocks (i, j), (i, j + 1), ... and of their mirror images.
  void blocks(std::int64_t item, std::int64_t i, std::int64_t j, std::int64_t count, Double* space,
              double* squared) const {
    Double *left = space, *right = space + panel, *sums = space + 2 * panel;
    const auto strips_of = [&](std::int64_t at) { return Panel::strips(min(rows, call_.t.n - at * rows)); };
    const std::int64_t high = strips_of(i);
    for (int part = 0; part < (call_.pairs ? 2 : 1); ++part) {
      for (std::int64_t at = 0; at < count; ++at) {
        Double* const of_block = sums + at * block_sums;
        for (std::int64_t v = 0; v < Panel::sums(high, strips_of(j + at)); ++v) of_block[v] = Double{};
      }
      for (std::int64_t k = 0; k < length_; k += depth) {
        const std::int64_t samples = min(depth, length_ - k);
        pack(item, i, high, k, samples, left);
        for (std::int64_t at = 0; at < count; ++at) {
          const std::int64_t across = strips_of(j + at);
          const bool same = i == j + at && part == 0;
          if (!same) pack(item, j + at, across, k, samples, right);
          if (part == 1) Panel::turn(right, across, samples);
          Panel::multiply(left, high, same ? left : right, across, samples, i == j + at, sums + at * block_sums);
        }
      }
      for (std::int64_t at = 0; at < count; ++at) {
        const double of_part = squares(sums + at * block_sums, i, high, j + at, strips_of(j + at), part == 0);
        squared[at] = part == 0 ? of_part : squared[at] + of_part;
      }
    }
  }

  // Rows of block `at`, strip by strip: to[s pitch + k] holds sample k of the rows of strip s; rows there are none of
  // are zero.
  void pack(std::int64_t item, std::int64_t at, std::int64_t count, std::int64_t k, std::int64_t samples,
            Double* to) const {
    const Signal& t = call_.t;
    const IO* data = batch_item<const IO>(t, item);
    const std::int64_t unit = call_.pairs ? 2 : 1;
    for (std::int64_t s = 0; s < count; ++s, to += pitch) {
      const std::int64_t first = at * rows + s * strip;
      const int there = static_cast<int>(max(0, min(strip, t.n - first)));
      const IO* row = data + first * t.n_stride;
      std::int64_t l = 0;
      if (t.n_stride == unit && there == strip) {  // the rows are side by side already
        for (; l < samples; l += unit) {
          const IO* sample = row + (k + l) / unit * t.d_stride;
          if (call_.pairs) {
            const Double low = load_strip(sample), high = load_strip(sample + strip);
            to[l] = ShufflesOf<double>::even(low, high);
            to[l + 1] = ShufflesOf<double>::odd(low, high);
          } else {
            to[l] = load_strip(sample);
          }
        }
      } else if (t.d_stride == unit && there == strip) {
        for (; l + kStep<IO> <= samples; l += kStep<IO>) {
          Double square[Wide<IO>::count][strip];
          unroll<0, strip>([&]<int r>() SPECTRANS_INLINE_LAMBDA {
            const Wide<IO> of_row = load_wide(row + r * t.n_stride + k + l);
            unroll<0, Wide<IO>::count>([&]<int p>() SPECTRANS_INLINE_LAMBDA { square[p][r] = of_row.part[p]; });
          });
          unroll<0, Wide<IO>::count>([&]<int p>() SPECTRANS_INLINE_LAMBDA {
            transpose<double>(square[p]);
            unroll<0, strip>([&]<int r>() SPECTRANS_INLINE_LAMBDA { to[l + p * strip + r] = square[p][r]; });
          });
        }
      }
      for (; l < samples; ++l) {
        const IO* sample = row + (k + l) / unit * t.d_stride + (k + l) % unit;
        Double value{};
        for (int r = 0; r < there; ++r) value[r] = wide_element(sample + r * t.n_stride);
        to[l] = value;
      }
    }
  }

  static SPECTRANS_INLINE Double load_strip(const IO* from) {
    if constexpr (sizeof(IO) == 2) {
      return load_wide_some(from, strip).part[0];
    } else {
      return load_doubles(from);
    }
  }

  double squares(const Double* sums, std::int64_t i, std::int64_t high, std::int64_t j, std::int64_t across,
                 bool real) const {
    Double total{};
    for (std::int64_t s = 0; s < high; ++s) {
      for (std::int64_t c = i == j ? s : 0; c < across; ++c) {
        const Double* of = sums + (s * across + c) * strip;
        const bool diagonal = i == j && s == c;
        for (std::int64_t r = 0; r < strip; ++r) {
          Double value = of[r];
          if (diagonal) {
            const std::int64_t shift = strip - 1 - r;  // of the diagonal, to lane r
            if (real && i * rows + s * strip + r < call_.t.n) value -= load(kDiagonal.one + shift);
            total += load(kDiagonal.weight + shift) * value * value;
          } else {
            total += 2 * value * value;
          }
        }
      }
    }
    return Wide<double>{{total}}.total();
  }

  const Orthogonality& call_;
  std::int64_t length_, blocks_, pairs_;
};

// Of so few rows that the whole product is held.
template <class IO>
class GramOfFewRows {
 public:
  // Blocks of products are filled better by more rows, and begun faster.
  static bool suits(const Orthogonality& call) {
    return call.t.n > 0 && call.t.n <= (call.t.d < kLong ? kRows : kLongRows);
  }

  // About bytes, to `parallel`.
  static std::int64_t work(const Orthogonality& call) { return FewRows<IO>::work(rows(call), call.t.d); }

  GramOfFewRows(const Orthogonality& call, const ThreadPool& pool, ScratchRoom room)
      : call_(call), t_(call.t, call.pairs, false, pool) {
    Space<double> space(scratch(room, (t_.doubles() + t_.rows() * t_.rows()) * sizeof(double)));
    t_.use(space.take(t_.doubles()));
    product_ = space.take(t_.rows() * t_.rows());
  }

  void run(std::int64_t item) {
    t_.set(batch_item<const IO>(call_.t, item), 0);
    t_.multiply(product_, t_.rows());
    double sum = 0;
    for (std::int64_t i = 0; i < t_.rows(); i += t_.parts()) {
      double* const row = product_ + i * t_.rows();
      row[i] -= 1;
      for (std::int64_t j = 0; j < t_.rows(); ++j) sum += square(row[j]);
    }
    call_.error[item] = __builtin_sqrt(sum);
  }

 private:
  static constexpr std::int64_t kRows = 2, kLongRows = 8, kLong = 16;  // as measured

  static std::int64_t rows(const Orthogonality& call) { return call.t.n * (call.pairs ? 2 : 1); }

  const Orthogonality& call_;
  FewRows<IO> t_;
  double* product_;
};

}  // namespace
}  // namespace spectrans
