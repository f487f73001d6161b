// Makes and keeps row plans.
#include "row.h"

#include <algorithm>
#include <vector>

#include "aligned.h"
#include "butterflies.h"
#include "made_once.h"

namespace spectrans {
namespace {

template <class T>
struct Owner {
  LineVector<T> cos, sin;
  std::vector<std::int32_t> bin;
  RowPlan<T> plan;

  Owner(std::int64_t n, std::int64_t lanes) {
    const std::int64_t m = n / lanes, pitch = std::max(m, lanes);
    cos.resize(lanes * pitch);
    sin.resize(lanes * pitch);
    for (std::int64_t b = 0; b < lanes; ++b) {
      for (std::int64_t c = 0; c < m; ++c) {
        const trig::Point w = trig::unit_root(b * c, n);
        cos[b * pitch + c] = static_cast<T>(w.cos);
        sin[b * pitch + c] = static_cast<T>(-w.sin);
      }
    }
    const ComplexPlan<T>& child = complex_plan<T>(m);
    bin.assign(child.bin, child.bin + m);
    bin.resize(pitch);
    plan = {n, m, pitch, &child, cos.data(), sin.data(), bin.data()};
  }
};

}  // namespace

template <class T>
const RowPlan<T>& row_plan(std::int64_t n, std::int64_t lanes) {
  return made_once<Owner<T>>(n, lanes).plan;
}

template SPECTRANS_API const RowPlan<float>& row_plan<float>(std::int64_t, std::int64_t);
template SPECTRANS_API const RowPlan<double>& row_plan<double>(std::int64_t, std::int64_t);

}  // namespace spectrans
