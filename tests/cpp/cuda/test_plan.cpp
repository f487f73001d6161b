// That plans have the radices that kernels are compiled for, and no others.
#include "../oracle.h"
#include "cuda/plan.h"

namespace {

using spectrans::cuda::comes_up;
using spectrans::cuda::has_plan;
using spectrans::cuda::Lengths;
using spectrans::cuda::Place;
using spectrans::cuda::Plan;

constexpr int kRadices[] = {1, 2, 3, 4, 5, 7, 8, 16};
constexpr Place kPlaces[] = {Place::first, Place::inner, Place::last};

// The radices of some plans, by the place of their stages.
class Seen {
 public:
  void add(const Plan& plan) {
    for (int s = 0; s < plan.stages; ++s) {
      const Place place = s == plan.stages - 1 ? Place::last : s == 0 ? Place::first : Place::inner;
      seen_[static_cast<int>(place)][plan.stage[s].radix] = true;
    }
  }

  // complete: whether every radix that is compiled, up to the limits, is to have come up
  void check(oracle::Report& report, const char* what, Lengths lengths, int last_limit, int stage_limit,
             bool complete) const {
    for (const Place place : kPlaces) {
      const int limit = place == Place::last ? last_limit : stage_limit;
      for (int radix = 0; radix <= 16; ++radix) {
        bool known = false;
        for (const int of_kernels : kRadices) known = known || radix == of_kernels;
        const bool compiled = known && radix <= limit && comes_up(radix, lengths, place);
        const bool seen = seen_[static_cast<int>(place)][radix];
        const bool right = complete ? seen == compiled : !seen || compiled;
        report.check(what, radix, right ? 0 : 1, 0);
      }
    }
  }

 private:
  bool seen_[3][17] = {};
};

}  // namespace

int main() {
  oracle::Report report;
  constexpr std::int64_t most = 1 << 15;
  for (const int stage_limit : {8, 16}) {
    for (const int last_limit : {2, 4, 8}) {
      Seen lines, odd_lines, grids, grids_of_odd_rows, weighted;
      for (std::int64_t row = 1; row <= most; ++row) {
        for (std::int64_t rows = 1; rows <= most / row; ++rows) {
          if (!has_plan(rows, row)) continue;
          const Plan plan = spectrans::cuda::plan(rows, row, last_limit, stage_limit);
          if (rows == 1) (row % 2 == 0 ? lines : odd_lines).add(plan);
          (row % 2 == 0 ? grids : grids_of_odd_rows).add(plan);
        }
      }
      for (std::int64_t n = 1; n <= most; ++n) {
        weighted.add(spectrans::cuda::weighted_plan(n, last_limit, stage_limit));
      }
      const bool all = last_limit == 8;  // smaller ones leave less over for the other stages
      odd_lines.check(report, "odd lines", Lengths::odd_line, last_limit, stage_limit, all);
      lines.check(report, "lines of even rows", Lengths::line, last_limit, stage_limit, false);
      grids.check(report, "grids", Lengths::grid, last_limit, stage_limit, false);
      grids_of_odd_rows.check(report, "grids of odd rows", Lengths::grid_of_odd_rows, last_limit, stage_limit, all);
      weighted.check(report, "weighted lines", Lengths::line, last_limit, stage_limit, all);
    }
  }
  return report.finish();
}
