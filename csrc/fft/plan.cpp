// Building plans: factorisation, twiddles, Rader's permutations, and the cache that keeps them.
#include "plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "butterflies.h"
#include "numbers.h"
#include "planning_lock.h"

namespace spectrans {
namespace {

// A stage's columns so many vectors apart are a multiple of a page apart, with the widest vectors, and share a set of
// the first-level cache. The gap is a cache line at least, with the narrowest.
constexpr std::int64_t kPageVectors = 64, kGap = 4;

// A length from `least` on that takes little time and few roundings.
std::int64_t padded_length(std::int64_t least) {
  std::int64_t best = 0;
  for (const std::int64_t odd : {1, 3, 5, 9, 15}) {
    std::int64_t length = odd;
    while (length < least) length *= 2;
    if (best == 0 || length < best) best = length;
  }
  return best;
}

// Whether sums by definition are faster than Rader's algorithm: as measured.
bool is_direct(std::int64_t prime) { return prime > kLargestButterfly && prime <= (is_smooth(prime - 1) ? 53 : 83); }

// Odd radices first, so that the last stages, where whole transforms sit in cache, are powers of two. Threes in pairs.
std::vector<std::int64_t> odd_radices(std::int64_t n) {
  std::vector<std::int64_t> radices;
  for (; n % 9 == 0; n /= 9) radices.push_back(9);
  for (const std::int64_t prime : prime_factors(n)) {
    if (prime != 2) radices.push_back(prime);
  }
  std::sort(radices.rbegin(), radices.rend());
  return radices;
}

std::vector<std::int64_t> complex_radices(std::int64_t n) {
  std::vector<std::int64_t> radices = odd_radices(n);
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  // The columns of a long stage lie a multiple of a page apart and share one set of the first-level cache, where eight
  // real and eight imaginary ones do not fit.
  for (; twos >= 9; twos -= 2) radices.push_back(4);
  if (twos == 1) {
    radices.push_back(2);
  } else {
    const int fours = twos % 3 == 0 ? 0 : (twos % 3 == 1 ? 2 : 1);  // 2^twos = 4^fours 8^eights
    radices.insert(radices.end(), fours, 4);
    radices.insert(radices.end(), (twos - 2 * fours) / 3, 8);
  }
  return radices;
}

// An even radix r leaves a real transform of 2 n / r.
std::vector<std::int64_t> real_radices(std::int64_t n) {
  std::vector<std::int64_t> radices = odd_radices(n);
  std::int64_t power = 1;
  while (n % (2 * power) == 0) power *= 2;
  while (power >= 4) {
    const std::int64_t radix = power >= 8 ? 8 : 4;
    radices.push_back(radix);
    power = 2 * power / radix;
  }
  return radices;
}

// Length 1 counts: its only twiddle is 1.
bool is_coprime(std::int64_t radix, std::int64_t m) { return std::gcd(radix, m) == 1; }

// Output bin of butterfly q and bin k of the transform of length m that follows it.
std::int64_t joined_bin(std::int64_t radix, std::int64_t m, std::int64_t q, std::int64_t k) {
  if (!is_coprime(radix, m)) return q + radix * k;
  // That which is q modulo the radix, and k modulo m.
  const std::int64_t apart = ((q - k) % radix + radix) % radix;
  return k + m * (apart * inverse_mod(m, radix) % radix);
}

// Slot of each sample: those of the stage, then those of the transforms of length m.
std::vector<std::int32_t> sample_slots(std::int64_t n) {
  const std::vector<std::int64_t> odd = odd_radices(n);
  std::vector<std::int32_t> slots(n);
  if (odd.empty()) {  // powers of two take samples as they come
    std::iota(slots.begin(), slots.end(), 0);
    return slots;
  }
  const std::int64_t radix = odd.front(), m = n / radix;
  const std::vector<std::int32_t> inner = sample_slots(m);
  for (std::int64_t t = 0; t < radix; ++t) {
    for (std::int64_t j = 0; j < m; ++j) {
      const std::int64_t sample = is_coprime(radix, m) ? (m * t + radix * j) % n : j + m * t;
      slots[sample] = static_cast<std::int32_t>(m * t + inner[j]);
    }
  }
  return slots;
}

// Everything a plan points to lives here, for the life of the process. Who asks holds the planning lock.
template <class T>
class Planner {
 public:
  // Never destroyed: worker threads may outlive static destructors.
  static Planner& instance(bool wide = false) {
    static Planner& planner = *new Planner(false);
    if (!wide || std::is_same_v<T, double>) return planner;
    static Planner& wide_planner = *new Planner(true);
    return wide_planner;
  }

  const RealPlan<T>& real(std::int64_t n, bool gaps = true) {
    if (const auto found = reals_.find({n, gaps}); found != reals_.end()) return *found->second;
    std::vector<RealStage<T>> stages;
    std::vector<std::int32_t> re(n / 2 + 1, -1), im(n / 2 + 1, -1);
    std::vector<T> sign(n / 2 + 1, T(0));
    std::vector<std::int64_t> left(n);  // the bins of the real part that is left
    std::iota(left.begin(), left.end(), 0);
    std::int64_t work = 0;
    for (const std::int64_t radix : real_radices(n)) {
      const std::int64_t length = static_cast<std::int64_t>(left.size()), m = length / radix, pairs = (radix - 1) / 2;
      const bool even = radix % 2 == 0;
      const std::int64_t low = even ? 2 * m : m;
      const bool meet = stages.empty() && radix <= kLargestButterfly && m % kPageVectors == 0;
      const std::int64_t gap = gaps && meet ? kGap : 0;
      const ComplexPlan<T>* child = complex(m);
      const T* table = twiddles(length, m, pairs);
      stages.push_back({radix, m, low, gap, pairs, table, doubled(table, 2 * m * pairs), child});
      set_prime(stages.back());
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
    std::vector<std::int32_t> in_order(n / 2 + 1);
    std::iota(in_order.begin(), in_order.end(), 0);
    std::sort(in_order.begin(), in_order.end(), [&](std::int32_t a, std::int32_t b) { return re[a] < re[b]; });
    const std::int64_t count = static_cast<std::int64_t>(stages.size());
    std::vector<std::int32_t> slots = sample_slots(n), samples(n);
    for (std::int64_t j = 0; j < n; ++j) samples[slots[j]] = static_cast<std::int32_t>(j);
    const std::int64_t free = count == 0 ? 0 : (stages[0].radix - stages[0].low / stages[0].m) * stages[0].gap;
    for (std::int32_t& slot : slots) {
      if (count > 0 && slot >= stages[0].low) {
        slot += static_cast<std::int32_t>(stages[0].gap * (1 + (slot - stages[0].low) / stages[0].m));
      }
    }
    const RealPlan<T>* plan = keep_one(RealPlan<T>{n, n + free, count, keep(std::move(stages)), keep(std::move(slots)),
                                                   keep(std::move(samples)), keep(std::move(re)), keep(std::move(im)),
                                                   keep(std::move(sign)), keep(std::move(in_order)), work});
    reals_.emplace(std::pair(n, gaps), plan);
    return *plan;
  }

  const ComplexPlan<T>* complex(std::int64_t n) {
    if (const auto found = complexes_.find(n); found != complexes_.end()) return found->second;
    std::vector<ComplexStage<T>> stages;
    std::int64_t length = n, work = 0;
    for (const std::int64_t radix : complex_radices(n)) {
      const std::int64_t m = length / radix;
      stages.push_back({radix, m, twiddles(length, m, radix - 1)});
      set_prime(stages.back());
      work = std::max(work, work_slots(stages.back()));
      length = m;
    }
    std::vector<std::int32_t> slots(n);
    const std::vector<std::int64_t> bins = bins_in_place(n);
    for (std::int64_t slot = 0; slot < n; ++slot) slots[bins[slot]] = static_cast<std::int32_t>(slot);
    const std::int64_t count = static_cast<std::int64_t>(stages.size());
    const ComplexPlan<T>* plan = keep_one(
        ComplexPlan<T>{n, count, keep(std::move(stages)), keep(sample_slots(n)), keep(std::move(slots)), work});
    complexes_.emplace(n, plan);
    return plan;
  }

  const PrimePlan<T>* prime(std::int64_t p) {
    if (const auto found = primes_.find(p); found != primes_.end()) return found->second;
    const std::int64_t m = is_smooth(p - 1) ? p - 1 : padded_length(2 * p - 3);
    const RealPlan<T>& convolution = real(m);
    const std::int64_t g = generator(p), inverse = inverse_mod(g, p);
    std::vector<std::int32_t> gather(p - 1), scatter(p - 1);
    std::int64_t up = 1, down = 1;
    for (std::int64_t q = 0; q < p - 1; ++q) {
      gather[q] = static_cast<std::int32_t>(up);
      scatter[q] = static_cast<std::int32_t>(down);
      up = up * g % p;
      down = down * inverse % p;
    }
    // Kernel h[s] = cas(2 pi g^-s / p), wrapped to length m when padded; its spectrum from the definition of
    // the transform would be quadratic, so a small recursive one is used.
    std::vector<long double> kernel(m, 0.0L);
    for (std::int64_t s = 0; s < p - 1; ++s) {
      const trig::Point w = trig::unit_root(scatter[s], p);
      kernel[s] = w.cos + w.sin;
      if (s > 0 && m > p - 1) kernel[m - (p - 1) + s] = kernel[s];
    }
    const std::vector<Complex<long double>> spectrum = host_dft(kernel);
    std::vector<T> response(convolution.slots);
    for (std::int64_t k = 0; k <= m / 2; ++k) {
      response[convolution.re[k]] = static_cast<T>(spectrum[k].re / m);
      if (convolution.im[k] >= 0) {
        response[convolution.im[k]] = static_cast<T>(convolution.sign[k] * spectrum[k].im / m);
      }
    }
    const PrimePlan<T>* plan = keep_one(
        PrimePlan<T>{p, &convolution, keep(std::move(gather)), keep(std::move(scatter)), keep(std::move(response))});
    primes_.emplace(p, plan);
    return plan;
  }

  const BlockPlan<T>& block(std::int64_t n, std::int64_t rows) {
    if (const auto found = blocks_.find({n, rows}); found != blocks_.end()) return *found->second;
    const RealPlan<T>& one = real(n);
    std::vector<RealStage<T>> stages(one.stage, one.stage + one.stages);
    for (RealStage<T>& stage : stages) {
      stage.twiddles = repeated(stage.twiddles, stage.m, 2 * stage.pairs, rows);
      stage.doubled = repeated(stage.doubled, stage.m, 2 * stage.pairs, rows);
      stage.child = complex_block(*stage.child, rows);
      stage.m *= rows;
      stage.low *= rows;
      stage.gap *= rows;
    }
    const std::vector<std::int32_t> row_slots = sample_slots(rows);
    std::vector<std::int32_t> slots(rows * n), samples(rows * n);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        slots[i * n + j] = static_cast<std::int32_t>(one.slot[j] * rows + row_slots[i]);
        samples[j * rows + row_slots[i]] = static_cast<std::int32_t>(i * n + one.sample[j]);
      }
    }
    const BlockPlan<T>* plan = keep_one(BlockPlan<T>{n, rows, one.slots * rows, one.stages, keep(std::move(stages)),
                                                     keep(std::move(slots)), keep(std::move(samples)), one.work});
    blocks_.emplace(std::pair(n, rows), plan);
    return *plan;
  }

 private:
  explicit Planner(bool wide) : wide_(wide) {}

  template <class U>
  const U* keep(std::vector<U> values) {
    auto held = std::make_shared<std::vector<U>>(std::move(values));
    store_.push_back(held);
    return held->data();
  }

  template <class U>
  const U* keep_one(U value) {
    auto held = std::make_shared<U>(value);
    store_.push_back(held);
    return held.get();
  }

  // [m][columns][re, im] of exp(-2 pi i j q / n), q = 1 .. columns, row j where the stages put sample j
  const T* twiddles(std::int64_t n, std::int64_t m, std::int64_t columns) {
    if (is_coprime(n / m, m)) return nullptr;
    const std::vector<std::int32_t> slots = sample_slots(m);  // column j of the stage is in slot slots[j]
    std::vector<T> table(2 * m * columns);
    for (std::int64_t j = 0; j < m; ++j) {
      for (std::int64_t q = 1; q <= columns; ++q) {
        const trig::Point w = trig::unit_root(j * q % n, n);
        T* entry = &table[2 * (columns * slots[j] + q - 1)];
        entry[0] = static_cast<T>(w.cos);
        entry[1] = static_cast<T>(-w.sin);
      }
    }
    return keep(std::move(table));
  }

  const T* doubled(const T* table, std::int64_t count) {
    if (table == nullptr) return nullptr;
    std::vector<T> twice(table, table + count);
    for (T& value : twice) value *= 2;
    return keep(std::move(twice));
  }

  // What does the butterflies of a stage where there are none.
  template <class Stage>
  void set_prime(Stage& stage) {
    if (stage.radix <= kLargestButterfly) return;
    if (is_direct(stage.radix)) {
      stage.direct = &direct_plan<T>(stage.radix);
    } else if (wide_) {
      stage.wide = Planner<double>::instance().prime(stage.radix);
    } else {
      stage.prime = prime(stage.radix);
    }
  }

  // Mixed radix in long double, for tables only.
  static std::vector<Complex<long double>> host_dft(const std::vector<long double>& x) {
    const std::int64_t n = static_cast<std::int64_t>(x.size());
    std::vector<Complex<long double>> values(n), roots(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const trig::Point w = trig::unit_root(i, n);
      values[i] = {x[i], 0};
      roots[i] = {w.cos, -w.sin};
    }
    return host_dft(values, roots);
  }

  // roots: of a length that is a multiple of x's
  static std::vector<Complex<long double>> host_dft(const std::vector<Complex<long double>>& x,
                                                    const std::vector<Complex<long double>>& roots) {
    const std::int64_t n = static_cast<std::int64_t>(x.size());
    if (n == 1) return x;
    const std::int64_t r = prime_factors(n).back(), m = n / r, step = static_cast<std::int64_t>(roots.size()) / n;
    std::vector<Complex<long double>> y(n);
    for (std::int64_t t = 0; t < r; ++t) {
      std::vector<Complex<long double>> part(m);
      for (std::int64_t j = 0; j < m; ++j) part[j] = x[j * r + t];
      part = host_dft(part, roots);
      for (std::int64_t k = 0; k < n; ++k) {
        const Complex<long double> w = roots[k * t % n * step];
        y[k] = y[k] + times(part[k % m], w.re, w.im);
      }
    }
    return y;
  }

  // Bin of each slot of a complex transform.
  static std::vector<std::int64_t> bins_in_place(std::int64_t n) {
    std::vector<std::int64_t> bins{0};
    std::vector<std::int64_t> radices = complex_radices(n);
    for (auto radix = radices.rbegin(); radix != radices.rend(); ++radix) {
      const std::int64_t m = static_cast<std::int64_t>(bins.size());
      std::vector<std::int64_t> longer;
      for (std::int64_t q = 0; q < *radix; ++q) {
        for (const std::int64_t bin : bins) longer.push_back(joined_bin(*radix, m, q, bin));
      }
      bins = std::move(longer);
    }
    return bins;
  }

  // Every row of a table [m][columns], `times` times over; no table stays none.
  const T* repeated(const T* table, std::int64_t m, std::int64_t columns, std::int64_t times) {
    if (table == nullptr) return nullptr;
    std::vector<T> rows;
    rows.reserve(m * columns * times);
    for (std::int64_t i = 0; i < m * times; ++i) {
      const T* row = table + i / times * columns;
      rows.insert(rows.end(), row, row + columns);
    }
    return keep(std::move(rows));
  }

  const ComplexPlan<T>* complex_block(const ComplexPlan<T>& one, std::int64_t rows) {
    ComplexPlan<T> plan = one;
    std::vector<ComplexStage<T>> stages(one.stage, one.stage + one.stages);
    for (ComplexStage<T>& stage : stages) {
      stage.twiddles = repeated(stage.twiddles, stage.m, 2 * (stage.radix - 1), rows);
      stage.m *= rows;
    }
    plan.stage = keep(std::move(stages));
    return keep_one(plan);
  }

  // Two spectra of a prime length, and what one of them takes.
  template <class Stage>
  static std::int64_t work_slots(const Stage& stage) {
    const std::int64_t p = stage.radix;
    if (stage.direct != nullptr) return 3 * (p + 1);
    if (stage.prime != nullptr) return 4 * (p + 1) + stage.prime->convolution->slots;
    return stage.wide != nullptr ? 6 * (p + 1) + stage.wide->convolution->slots : 0;
  }

  const bool wide_;
  std::vector<std::shared_ptr<void>> store_;
  std::map<std::pair<std::int64_t, bool>, const RealPlan<T>*> reals_;  // by their length and whether they have gaps
  std::unordered_map<std::int64_t, const ComplexPlan<T>*> complexes_;
  std::map<std::pair<std::int64_t, std::int64_t>, const BlockPlan<T>*> blocks_;
  std::unordered_map<std::int64_t, const PrimePlan<T>*> primes_;
};

}  // namespace

template <class T>
const RealPlan<T>& real_plan(std::int64_t n, bool wide) {
  const PlanningLock lock;
  return Planner<T>::instance(wide).real(n, true);
}

template <class T>
const RealPlan<T>& dense_real_plan(std::int64_t n) {
  const PlanningLock lock;
  return Planner<T>::instance().real(n, false);
}

template <class T>
const ComplexPlan<T>& complex_plan(std::int64_t n) {
  const PlanningLock lock;
  return *Planner<T>::instance().complex(n);
}

template <class T>
const BlockPlan<T>& block_plan(std::int64_t n, std::int64_t rows) {
  const PlanningLock lock;
  return Planner<T>::instance().block(n, rows);
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
