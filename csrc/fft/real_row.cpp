// Makes and keeps plans of real rows.
#include "real_row.h"

#include <algorithm>

#include "butterflies.h"
#include "plan_cache.h"
#include "table.h"

namespace spectrans {
namespace {

template <class T>
struct Owner {
  Table<std::int32_t> row, first, re, im;
  Table<T> sign, cos, sin, last, last_back;
  RealRowPlan<T> plan;

  Owner(std::int64_t n, std::int64_t lanes) {
    const std::int64_t m = n / lanes, unit = lanes / 2, units = (m / 2 + unit - 1) / unit, rows = 1 + units % 2;
    const RealPlan<T>& part = real_plan<T>(m);
    for (std::int64_t i = 0; i < rows * units; ++i) {
      const std::int64_t start = std::min(i % units * unit, m / 2 - unit);
      row.push_back(static_cast<std::int32_t>(i / units));
      first.push_back(static_cast<std::int32_t>(start));
      for (std::int64_t c = start; c < start + unit; ++c) {
        re.push_back(part.re[c]);
        im.push_back(part.im[c] < 0 ? static_cast<std::int32_t>(part.slots) : part.im[c]);
        sign.push_back(part.sign[c]);
      }
    }
    const std::int64_t blocks = rows * units / 2;
    for (std::int64_t block = 0; block < blocks; ++block) {
      for (std::int64_t b = 0; b < lanes; ++b) {
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          const trig::Point w = trig::unit_root(b * (first[2 * block + lane / unit] + lane % unit), n);
          cos.push_back(static_cast<T>(w.cos));
          sin.push_back(static_cast<T>(-w.sin));
        }
      }
    }
    last.resize(lanes * lanes);
    last_back.resize(lanes * lanes);
    for (std::int64_t b = 0; b < lanes; ++b) {
      for (std::int64_t e = 0; e < unit; ++e) {
        const trig::Point w = trig::unit_root(b * (2 * e + 1), 2 * lanes);
        last[b * lanes + e] = static_cast<T>(w.cos);
        last[b * lanes + unit + e] = static_cast<T>(-w.sin);
        last_back[e * lanes + b] = static_cast<T>(2 * w.cos);
        last_back[(unit + e) * lanes + b] = static_cast<T>(-2 * w.sin);
      }
    }
    plan = {n,         m,         &part,       rows,       blocks,     row.data(),  first.data(),
            re.data(), im.data(), sign.data(), cos.data(), sin.data(), last.data(), last_back.data()};
  }
};

}  // namespace

bool has_real_rows(std::int64_t n, std::int64_t lanes) {
  if (n % (2 * lanes) != 0 || n < lanes * lanes) return false;
  const RealPlan<float>& part = real_plan<float>(n / lanes);
  return part.stages > 0 && part.work == 0;
}

template <class T>
const RealRowPlan<T>& real_row_plan(std::int64_t n, std::int64_t lanes) {
  return planned<Owner<T>>(n, lanes).plan;
}

template SPECTRANS_API const RealRowPlan<float>& real_row_plan<float>(std::int64_t, std::int64_t);
template SPECTRANS_API const RealRowPlan<double>& real_row_plan<double>(std::int64_t, std::int64_t);

}  // namespace spectrans
