// Factorisation of lengths into the stages of a block's transform.
#include "plan.h"

#include <bit>
#include <initializer_list>

namespace spectrans::cuda {
namespace {

struct Radices {
  int count = 0;
  int radix[kMaxStages];
  void add(int value) { radix[count++] = value; }
};

int take(std::int64_t& n, int factor) {
  int power = 0;
  for (; n % factor == 0; n /= factor) ++power;
  return power;
}

// 2^twos as few radices as the limit allows, near each other.
void add_twos(Radices& radices, int twos, int limit_log2) {
  for (int left = (twos + limit_log2 - 1) / limit_log2; left > 0; --left) {
    const int share = (twos + left - 1) / left;
    radices.add(1 << share);
    twos -= share;
  }
}

int log2_of(int limit) { return limit >= 16 ? 4 : limit >= 8 ? 3 : limit >= 4 ? 2 : 1; }

// The radices of a length, the last one at the end and at most last_limit.
Radices factor(std::int64_t n, int last_limit, int stage_limit) {
  Radices radices;
  int twos = take(n, 2);
  const int threes = take(n, 3), fives = take(n, 5), sevens = take(n, 7);
  int odd[] = {sevens, fives, threes};
  constexpr int prime[] = {7, 5, 3};
  int last = 1;
  const int limit = log2_of(last_limit);
  if (twos > 0) {
    const int share = twos == limit + 1 ? limit - 1 : twos < limit ? twos : limit;  // 16 = 4 x 4, not 2 x 8
    last = 1 << share;
    twos -= share;
  }
  for (int i = 0; i < 3 && last < 3; ++i) {
    if (odd[i] == 0 || prime[i] > last_limit) continue;
    --odd[i];
    twos += last == 2;
    last = prime[i];
  }
  add_twos(radices, twos, log2_of(stage_limit));
  for (int i = 0; i < 3; ++i) {
    for (int times = 0; times < odd[i]; ++times) radices.add(prime[i]);
  }
  radices.add(last);
  return radices;
}

bool smooth(std::int64_t n) {
  if (n < 1) return false;
  for (const int prime : {2, 3, 5, 7}) take(n, prime);
  return n == 1;
}

void add_stages(Plan& plan, const Radices& radices, std::int64_t length, std::int64_t inner, int axis) {
  std::int64_t m = length;
  for (int i = 0; i < radices.count; ++i) {
    m /= radices.radix[i];
    Stage& stage = plan.stage[plan.stages++];
    stage.radix = radices.radix[i];
    stage.by_step = divider(m * inner);
    stage.by_inner = divider(inner);
    stage.m = static_cast<int>(m);
    stage.axis = axis;
  }
}

std::int64_t cheapest_length(std::int64_t n, int last_limit, int stage_limit) {
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
  if (power == n) return n;
  std::int64_t best = power, best_cost = power * factor(power, last_limit, stage_limit).count;
  for (std::int64_t sevens = 1; sevens < power; sevens *= 7) {
    for (std::int64_t fives = sevens; fives < power; fives *= 5) {
      for (std::int64_t threes = fives; threes < power; threes *= 3) {
        std::int64_t length = threes;
        while (length < n) length *= 2;
        const std::int64_t cost = length * factor(length, last_limit, stage_limit).count;
        if (cost > best_cost || (cost == best_cost && length >= best)) continue;
        best = length;
        best_cost = cost;
      }
    }
  }
  return best;
}

Plan make_plan(std::int64_t rows, std::int64_t row, int last_limit, int stage_limit, bool in_order_of_bins) {
  Plan result{};
  result.rows = static_cast<int>(rows);
  result.row = static_cast<int>(row);
  const Radices of_row = factor(row, last_limit, stage_limit);
  result.last = of_row.radix[of_row.count - 1];
  result.blocks = result.row / result.last;
  if (rows > 1) add_stages(result, factor(rows, stage_limit, stage_limit), rows, row, 0);
  add_stages(result, of_row, row, 1, 1);

  result.padded = result.last % 2 == 0;
  result.by_last = divider(result.last);
  result.by_blocks = divider(result.blocks);
  result.first = result.row / (of_row.count > 1 ? of_row.radix[0] : 1);
  const auto address = [&](std::int64_t position) {
    return static_cast<int>(position + (result.padded ? position / result.last : 0) +
                            (result.first_padded ? position / result.by_first.divisor : 0));
  };
  const Divider first = result.stage[0].by_step;
  const bool even = address(first.divisor) % 2 == 0;
  result.by_first = first;
  result.first_padded = in_order_of_bins && result.stages > 1 && even;
  for (int s = 0; s < result.stages; ++s) result.stage[s].step = address(result.stage[s].by_step.divisor);
  result.addresses = address(rows * row);

  for (int s = 0; s < result.stages; ++s) {
    Stage& stage = result.stage[s];
    if (stage.m == 1) continue;
    const int count = (stage.radix - 1) * stage.m;
    const bool from_roots = count > (stage_limit > 8 ? kMaxTwiddlesOfFloat : kMaxTwiddles);
    stage.twiddles = from_roots ? ~result.twiddles : result.twiddles;
    result.twiddles += from_roots ? roots_of(stage) : count;
  }
  return result;
}

}  // namespace

bool has_plan(std::int64_t rows, std::int64_t row) { return smooth(rows) && smooth(row) && rows * row <= 1 << 15; }

Plan plan(std::int64_t rows, std::int64_t row, int last_limit, int stage_limit) {
  return make_plan(rows, row, last_limit, stage_limit, true);
}

Plan weighted_plan(std::int64_t n, int last_limit, int stage_limit) {
  return make_plan(1, cheapest_length(n, last_limit, stage_limit), last_limit, stage_limit, false);
}

}  // namespace spectrans::cuda
