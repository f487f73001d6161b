// Building plans: stages, their twiddles, and where samples and bins are.
#include "plan.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "butterflies.h"
#include "numbers.h"
#include "order.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

// A stage's columns so many vectors apart are a multiple of a page apart, with the widest vectors, and share a set of
// the first-level cache. The gap is a cache line at least, with the narrowest.
constexpr std::int64_t kPageVectors = 64, kGap = 4;

// Whether sums by definition are faster than Rader's algorithm: as measured.
bool is_direct(std::int64_t prime) { return prime > kLargestButterfly && prime <= (is_smooth(prime - 1) ? 53 : 83); }

// [m][columns][re, im] of exp(-2 pi i j q / n), q = 1 .. columns, row j where the stages put sample j; empty where
// there is no need.
template <class T>
Table<T> twiddle_table(std::int64_t n, std::int64_t m, std::int64_t columns) {
  if (is_coprime(n / m, m)) return {};
  const Table<std::int32_t> slots = sample_slots(m);  // column j of the stage is in slot slots[j]
  Table<T> table(2 * m * columns);
  for (std::int64_t j = 0; j < m; ++j) {
    for (std::int64_t q = 1; q <= columns; ++q) {
      const trig::Point w = trig::unit_root(j * q % n, n);
      T* entry = &table[2 * (columns * slots[j] + q - 1)];
      entry[0] = static_cast<T>(w.cos);
      entry[1] = static_cast<T>(-w.sin);
    }
  }
  return table;
}

template <class T>
Table<T> doubled(Table<T> table) {
  for (T& value : table) value *= 2;
  return table;
}

// Every row of a table [m][columns], `times` times over; no table stays none.
template <class T>
Table<T> repeated(const T* table, std::int64_t m, std::int64_t columns, std::int64_t times) {
  Table<T> rows;
  if (table == nullptr) return rows;
  rows.reserve(m * columns * times);
  for (std::int64_t i = 0; i < m * times; ++i) {
    const T* row = table + i / times * columns;
    rows.insert(rows.end(), row, row + columns);
  }
  return rows;
}

// Owns what a plan points to.
class Store {
 public:
  template <class U>
  const U* keep(Table<U> values) {  // null where there are none
    auto held = std::make_shared<Table<U>>(std::move(values));
    store_.push_back(held);
    return held->empty() ? nullptr : held->data();
  }

 private:
  std::vector<std::shared_ptr<void>> store_;
};

// Two spectra of a prime length, and what one of them takes.
template <class Stage>
std::int64_t work_slots(const Stage& stage) {
  const std::int64_t p = stage.radix;
  if (stage.direct != nullptr) return 3 * (p + 1);
  if (stage.prime != nullptr) return 4 * (p + 1) + stage.prime->convolution->slots;
  return stage.wide != nullptr ? 6 * (p + 1) + stage.wide->convolution->slots : 0;
}

// What does the butterflies of a stage where there are none.
template <class T, class Stage>
void set_prime(Stage& stage, bool wide) {
  if (stage.radix <= kLargestButterfly) return;
  if (is_direct(stage.radix)) {
    stage.direct = &direct_plan<T>(stage.radix);
  } else if (wide) {
    stage.wide = &prime_plan<double>(stage.radix);
  } else {
    stage.prime = &prime_plan<T>(stage.radix);
  }
}

template <class T>
struct ComplexOwner {
  Store store;
  ComplexPlan<T> plan;

  ComplexOwner(std::int64_t n, bool wide) {
    Table<ComplexStage<T>> stages;
    std::int64_t length = n, work = 0;
    for (const std::int64_t radix : complex_radices(n)) {
      const std::int64_t m = length / radix;
      stages.push_back({radix, m, store.keep(twiddle_table<T>(length, m, radix - 1))});
      set_prime<T>(stages.back(), wide);
      work = std::max(work, work_slots(stages.back()));
      length = m;
    }
    Table<std::int32_t> slots(n);
    const std::vector<std::int64_t> bins = bins_in_place(n);
    for (std::int64_t slot = 0; slot < n; ++slot) slots[bins[slot]] = static_cast<std::int32_t>(slot);
    const std::int64_t count = static_cast<std::int64_t>(stages.size());
    plan = {n, count, store.keep(std::move(stages)), store.keep(sample_slots(n)), store.keep(std::move(slots)), work};
  }
};

template <class T>
struct RealOwner {
  Store store;
  RealPlan<T> plan;

  RealOwner(std::int64_t n, bool gaps, bool wide) {
    Table<RealStage<T>> stages;
    Table<std::int32_t> re(n / 2 + 1, -1), im(n / 2 + 1, -1);
    Table<T> sign(n / 2 + 1, T(0));
    std::vector<std::int64_t> left(n);  // the bins of the real part that is left
    std::iota(left.begin(), left.end(), 0);
    std::int64_t work = 0;
    for (const std::int64_t radix : real_radices(n)) {
      const std::int64_t length = static_cast<std::int64_t>(left.size()), m = length / radix, pairs = (radix - 1) / 2;
      const bool even = radix % 2 == 0;
      const std::int64_t low = even ? 2 * m : m;
      const bool meet = stages.empty() && radix <= kLargestButterfly && m % kPageVectors == 0;
      const std::int64_t gap = gaps && meet ? kGap : 0;
      const ComplexPlan<T>* child = &planned<ComplexOwner<T>>(m, wide).plan;
      const Table<T> twiddles = twiddle_table<T>(length, m, pairs);
      stages.push_back({radix, m, low, gap, pairs, store.keep(twiddles), store.keep(doubled(twiddles)), child});
      set_prime<T>(stages.back(), wide);
      work = std::max({work, work_slots(stages.back()), child->work});
      const std::vector<std::int64_t> bins = bins_in_place(m);
      for (std::int64_t q = 1; q <= pairs; ++q) {
        for (std::int64_t p = 0; p < m; ++p) {
          const std::int64_t bin = left[joined_bin(radix, m, q, bins[p])];
          const std::int64_t slot = low + gap + (m + gap) * (q - 1) + p;
          const bool upper = 2 * bin > n;
          const std::int64_t k = upper ? n - bin : bin;
          re[k] = static_cast<std::int32_t>(slot);
          im[k] = static_cast<std::int32_t>(slot + (m + gap) * pairs);
          sign[k] = upper ? T(-1) : T(1);
        }
      }
      std::vector<std::int64_t> next(low);
      for (std::int64_t k = 0; k < low; ++k) next[k] = left[even ? radix / 2 * k : joined_bin(radix, m, 0, k)];
      left = std::move(next);
    }
    re[0] = 0;
    if (n % 2 == 0) re[n / 2] = 1;
    Table<std::int32_t> in_order(n / 2 + 1);
    std::iota(in_order.begin(), in_order.end(), 0);
    std::sort(in_order.begin(), in_order.end(), [&](std::int32_t a, std::int32_t b) { return re[a] < re[b]; });
    const std::int64_t count = static_cast<std::int64_t>(stages.size());
    Table<std::int32_t> slots = sample_slots(n), samples(n);
    for (std::int64_t j = 0; j < n; ++j) samples[slots[j]] = static_cast<std::int32_t>(j);
    const std::int64_t free = count == 0 ? 0 : (stages[0].radix - stages[0].low / stages[0].m) * stages[0].gap;
    for (std::int32_t& slot : slots) {
      if (count > 0 && slot >= stages[0].low) {
        slot += static_cast<std::int32_t>(stages[0].gap * (1 + (slot - stages[0].low) / stages[0].m));
      }
    }
    plan = {n,
            n + free,
            count,
            store.keep(std::move(stages)),
            store.keep(std::move(slots)),
            store.keep(std::move(samples)),
            store.keep(std::move(re)),
            store.keep(std::move(im)),
            store.keep(std::move(sign)),
            store.keep(std::move(in_order)),
            work};
  }
};

template <class T>
struct BlockOwner {
  Store store;
  std::vector<ComplexPlan<T>> children;
  BlockPlan<T> plan;

  BlockOwner(std::int64_t n, std::int64_t rows) {
    const RealPlan<T>& one = real_plan<T>(n);
    Table<RealStage<T>> stages(one.stage, one.stage + one.stages);
    children.reserve(stages.size());
    for (RealStage<T>& stage : stages) {
      stage.twiddles = store.keep(repeated(stage.twiddles, stage.m, 2 * stage.pairs, rows));
      stage.doubled = store.keep(repeated(stage.doubled, stage.m, 2 * stage.pairs, rows));
      stage.child = &children.emplace_back(complex_block(*stage.child, rows));
      stage.m *= rows;
      stage.low *= rows;
      stage.gap *= rows;
    }
    const Table<std::int32_t> row_slots = sample_slots(rows);
    Table<std::int32_t> slots(rows * n), samples(rows * n);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        slots[i * n + j] = static_cast<std::int32_t>(one.slot[j] * rows + row_slots[i]);
        samples[j * rows + row_slots[i]] = static_cast<std::int32_t>(i * n + one.sample[j]);
      }
    }
    plan = {n,
            rows,
            one.slots * rows,
            one.stages,
            store.keep(std::move(stages)),
            store.keep(std::move(slots)),
            store.keep(std::move(samples)),
            one.work};
  }

 private:
  ComplexPlan<T> complex_block(const ComplexPlan<T>& one, std::int64_t rows) {
    ComplexPlan<T> block = one;
    Table<ComplexStage<T>> stages(one.stage, one.stage + one.stages);
    for (ComplexStage<T>& stage : stages) {
      stage.twiddles = store.keep(repeated(stage.twiddles, stage.m, 2 * (stage.radix - 1), rows));
      stage.m *= rows;
    }
    block.stage = store.keep(std::move(stages));
    return block;
  }
};

}  // namespace

template <class T>
const RealPlan<T>& real_plan(std::int64_t n, bool wide) {
  return planned<RealOwner<T>>(n, true, wide && std::is_same_v<T, float>).plan;
}

template <class T>
const RealPlan<T>& dense_real_plan(std::int64_t n) {
  return planned<RealOwner<T>>(n, false, false).plan;
}

template <class T>
const ComplexPlan<T>& complex_plan(std::int64_t n) {
  return planned<ComplexOwner<T>>(n, false).plan;
}

template <class T>
const BlockPlan<T>& block_plan(std::int64_t n, std::int64_t rows) {
  return planned<BlockOwner<T>>(n, rows).plan;
}

template SPECTRANS_API const RealPlan<float>& real_plan<float>(std::int64_t, bool);
template SPECTRANS_API const RealPlan<double>& real_plan<double>(std::int64_t, bool);
template SPECTRANS_API const RealPlan<float>& dense_real_plan<float>(std::int64_t);
template SPECTRANS_API const RealPlan<double>& dense_real_plan<double>(std::int64_t);
template SPECTRANS_API const ComplexPlan<float>& complex_plan<float>(std::int64_t);
template SPECTRANS_API const ComplexPlan<double>& complex_plan<double>(std::int64_t);
template SPECTRANS_API const BlockPlan<float>& block_plan<float>(std::int64_t, std::int64_t);
template SPECTRANS_API const BlockPlan<double>& block_plan<double>(std::int64_t, std::int64_t);

}  // namespace spectrans
