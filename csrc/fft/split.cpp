// Makes and keeps split plans.
#include "split.h"

#include "butterflies.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

template <class T>
struct Owner {
  Table<std::int32_t> re, im;
  Table<T> sign, cos, sin;
  SplitPlan<T> plan;

  Owner(std::int64_t n, std::int64_t r, std::int64_t lanes, bool wide) {
    const std::int64_t m = n / r, bins = (m / 2 + lanes) / lanes * lanes;
    const RealPlan<T>& part = real_plan<T>(m, wide);
    for (std::int64_t c = 0; c < bins; ++c) {
      const bool upper = 2 * (c % m) > m;
      const std::int64_t bin = upper ? m - c % m : c % m;
      re.push_back(part.re[bin]);
      im.push_back(part.im[bin]);
      sign.push_back(upper ? -part.sign[bin] : part.sign[bin]);
    }
    cos.reserve(r * bins);
    sin.reserve(r * bins);
    for (std::int64_t l = 0; l < r; ++l) {
      for (std::int64_t c = 0; c < bins; ++c) {
        const trig::Point w = trig::unit_root(l * c, n);
        cos.push_back(static_cast<T>(w.cos));
        sin.push_back(static_cast<T>(-w.sin));
      }
    }
    plan = {n, r, m, &part, bins, re.data(), im.data(), sign.data(), cos.data(), sin.data()};
  }
};

}  // namespace

template <class T>
const SplitPlan<T>& split_plan(std::int64_t n, std::int64_t r, std::int64_t lanes, bool wide) {
  return planned<Owner<T>>(n, r, lanes, wide).plan;
}

template SPECTRANS_API const SplitPlan<float>& split_plan<float>(std::int64_t, std::int64_t, std::int64_t, bool);
template SPECTRANS_API const SplitPlan<double>& split_plan<double>(std::int64_t, std::int64_t, std::int64_t, bool);

}  // namespace spectrans
