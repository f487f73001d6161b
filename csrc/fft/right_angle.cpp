// Building right-angle plans: the length, the first radix, the shifted twiddles, and the cache that keeps them.
#include "right_angle.h"

#include <limits>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "butterflies.h"

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

template <class T>
class Planner {
 public:
  // Never destroyed: worker threads may outlive static destructors.
  static Planner& instance() {
    static Planner& planner = *new Planner;
    return planner;
  }

  const RightAnglePlan<T>& plan(std::int64_t n) {
    const std::int64_t length = right_angle_length(n);
    const std::lock_guard lock(mutex_);
    if (const auto found = plans_.find(length); found != plans_.end()) return found->second.plan;
    Kept& kept = plans_[length];
    const std::int64_t radix = length % 8 == 0 ? 8 : 4, m = length / radix;
    kept.twiddles.resize(2 * length);
    T* entry = kept.twiddles.data();
    for (std::int64_t j = 0; j < m; ++j) {
      for (std::int64_t q = 0; q < radix; ++q, entry += 2) {
        const trig::Point w = trig::unit_root(j * (4 * q - 1), 4 * length);
        entry[0] = static_cast<T>(w.cos);
        entry[1] = static_cast<T>(-w.sin);
      }
    }
    kept.plan = {length, radix, m, kept.twiddles.data(), &complex_plan<T>(m)};
    return kept.plan;
  }

 private:
  struct Kept {
    RightAnglePlan<T> plan;
    std::vector<T> twiddles;
  };

  std::mutex mutex_;
  std::unordered_map<std::int64_t, Kept> plans_;
};

}  // namespace

std::int64_t right_angle_length(std::int64_t n) {
  static std::mutex mutex;
  static auto* const known = new std::unordered_map<std::int64_t, std::int64_t>;  // outlives every thread
  const std::lock_guard lock(mutex);
  const auto [found, isnew] = known->try_emplace(n, 0);
  if (isnew) found->second = cheapest_length(n);
  return found->second;
}

template <class T>
const RightAnglePlan<T>& right_angle_plan(std::int64_t n) {
  return Planner<T>::instance().plan(n);
}

template SPECTRANS_API const RightAnglePlan<float>& right_angle_plan<float>(std::int64_t);
template SPECTRANS_API const RightAnglePlan<double>& right_angle_plan<double>(std::int64_t);

}  // namespace spectrans
