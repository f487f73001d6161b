// Makes and keeps decimations.
#include "decimation.h"

#include <cmath>

#include "butterflies.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

constexpr std::int64_t kMostParts = 16;
constexpr std::int64_t kLong = 2048;  // shorter transforms hardly leave the first-level cache: nothing is gained

// Splitting into r parts saves log2 r of the log2 n levels of the transform; joining `modes` bins of r parts takes
// modes r / n times as long as so many levels, as measured.
constexpr double kJoin = 3;

std::int64_t parts(std::int64_t n, std::int64_t modes) {
  if (n < kLong) return 1;
  std::int64_t best = 1;
  double most = 0;
  for (std::int64_t r = 2; r <= kMostParts; ++r) {
    if (n % r != 0 || 2 * modes - 1 > n / r) continue;
    const double saved = std::log2(r) - kJoin * static_cast<double>(modes * r) / static_cast<double>(n);
    if (saved > most) {
      most = saved;
      best = r;
    }
  }
  return best;
}

template <class T>
struct Owner {
  Table<std::int32_t> slot;
  Table<T> twiddles;
  Decimation<T> decimation;

  Owner(std::int64_t n, std::int64_t r, bool wide) : slot(n) {
    const RealPlan<T>& part = real_plan<T>(n / r, wide);
    const std::int64_t pitch = part.slots + 1;
    for (std::int64_t j = 0; j < n; ++j) slot[j] = static_cast<std::int32_t>(j % r * pitch + part.slot[j / r]);
    twiddles.reserve((part.n + 1) / 2 * (r - 1) * 2);
    for (std::int64_t k = 0; k < (part.n + 1) / 2; ++k) {
      for (std::int64_t t = 1; t < r; ++t) {
        const trig::Point w = trig::unit_root(t * k, n);
        twiddles.push_back(static_cast<T>(w.cos));
        twiddles.push_back(static_cast<T>(-w.sin));
      }
    }
    decimation = {n, r, pitch, &part, slot.data(), twiddles.data()};
  }
};

}  // namespace

template <class T>
const Decimation<T>& decimation(std::int64_t n, std::int64_t modes, bool wide) {
  return planned<Owner<T>>(n, parts(n, modes), wide).decimation;
}

template SPECTRANS_API const Decimation<float>& decimation<float>(std::int64_t, std::int64_t, bool);
template SPECTRANS_API const Decimation<double>& decimation<double>(std::int64_t, std::int64_t, bool);

}  // namespace spectrans
