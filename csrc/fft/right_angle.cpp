// Building right-angle plans: the length, the first radix, the shifted twiddles.
#include "right_angle.h"

#include <limits>

#include "butterflies.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

// Additions and multiplications of a complex transform, about; infinite where n has factors beyond 5. A radix-8 stage
// with its twiddles takes 98 for 8 points and three factors of 2, and so on.
double transform_cost(std::int64_t n) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto points = static_cast<double>(n);
  double cost = 0;
  for (; n % 2 == 0; n /= 2) cost += points * 98 / 24;
  for (; n % 9 == 0; n /= 9) cost += points * 152 / 9;
  if (n % 3 == 0) {
    cost += points * 30 / 3;
    n /= 3;
  }
  for (; n % 5 == 0; n /= 5) cost += points * 76 / 5;
  return n == 1 ? cost : infinity;
}

// The cheapest multiple of 4 from n on; the next power of two bounds the search.
std::int64_t cheapest_length(std::int64_t n) {
  std::int64_t power = 4;
  while (power < n) power *= 2;
  std::int64_t best = power;
  for (std::int64_t length = (n + 3) / 4 * 4; length < power; length += 4) {
    if (transform_cost(length) < transform_cost(best)) best = length;
  }
  return best;
}

struct Length {
  std::int64_t value;
  explicit Length(std::int64_t n) : value(cheapest_length(n)) {}
};

template <class T>
struct Owner {
  Table<T> twiddles;
  RightAnglePlan<T> plan;

  explicit Owner(std::int64_t length) {
    const std::int64_t radix = length % 8 == 0 ? 8 : 4, m = length / radix;
    twiddles.reserve(2 * length);
    for (std::int64_t j = 0; j < m; ++j) {
      for (std::int64_t q = 0; q < radix; ++q) {
        const trig::Point w = trig::unit_root(j * (4 * q - 1), 4 * length);
        twiddles.push_back(static_cast<T>(w.cos));
        twiddles.push_back(static_cast<T>(-w.sin));
      }
    }
    plan = {length, radix, m, twiddles.data(), &complex_plan<T>(m)};
  }
};

}  // namespace

std::int64_t right_angle_length(std::int64_t n) { return planned<Length>(n).value; }

template <class T>
const RightAnglePlan<T>& right_angle_plan(std::int64_t n) {
  return planned<Owner<T>>(right_angle_length(n)).plan;
}

template SPECTRANS_API const RightAnglePlan<float>& right_angle_plan<float>(std::int64_t);
template SPECTRANS_API const RightAnglePlan<double>& right_angle_plan<double>(std::int64_t);

}  // namespace spectrans
