// Makes and keeps row plans.
#include "row.h"

#include <algorithm>
#include <iterator>

#include "butterflies.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

template <class T>
struct Owner {
  Table<std::int32_t> sample, bin;
  Table<T> twiddles;
  RowPlan<T> plan;

  Owner(std::int64_t n, std::int64_t lanes) {
    const std::int64_t m = n / lanes, blocks = (m + lanes - 1) / lanes;
    const ComplexPlan<T>& child = complex_plan<T>(m);
    const auto first_lane = [&](std::int64_t slot) { return static_cast<std::int32_t>(slot * lanes); };
    std::transform(child.slot, child.slot + m, std::back_inserter(sample), first_lane);
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t first = std::max(std::int64_t{0}, std::min(block * lanes, m - lanes));
      const auto bin_of = [&](std::int64_t lane) { return std::min(first + lane, m - 1); };
      for (std::int64_t i = 0; i < lanes; ++i) bin.push_back(first_lane(child.bin[bin_of(i)]));
      for (std::int64_t b = 1; b < lanes; ++b) {
        for (const bool imaginary : {false, true}) {
          for (std::int64_t i = 0; i < lanes; ++i) {
            const trig::Point w = trig::unit_root(b * bin_of(i), n);
            twiddles.push_back(static_cast<T>(imaginary ? -w.sin : w.cos));
          }
        }
      }
    }
    plan = {n, m, &child, sample.data(), blocks, bin.data(), twiddles.data()};
  }
};

}  // namespace

template <class T>
const RowPlan<T>& row_plan(std::int64_t n, std::int64_t lanes) {
  return planned<Owner<T>>(n, lanes).plan;
}

template SPECTRANS_API const RowPlan<float>& row_plan<float>(std::int64_t, std::int64_t);
template SPECTRANS_API const RowPlan<double>& row_plan<double>(std::int64_t, std::int64_t);

}  // namespace spectrans
