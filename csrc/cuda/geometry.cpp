// The choice of a block's shape.
#include "geometry.h"

#include <algorithm>

namespace spectrans::cuda {
namespace {

constexpr int kUsualThreads = 256;
constexpr int kFewThreads = 128;  // fewer leave a multiprocessor's schedulers without work

// The layout of so many columns; the bytes it takes.
std::int64_t lay_out(const Plan& plan, const Work& work, int columns, Layout& layout) {
  std::int64_t at = std::int64_t{plan.addresses} * columns * work.tiles * 2 * work.size;
  const auto take = [&](int& begin, std::int64_t bytes) {
    begin = static_cast<int>(at);
    at += bytes;
  };
  layout.columns = columns;
  layout.columns_first = work.columns_first;
  take(layout.twiddles, std::int64_t{plan.twiddles} * 2 * work.size);
  if (work.weighted) {
    take(layout.weights, std::int64_t{plan.first} * 2 * work.size);
    take(layout.kept, std::int64_t{plan.row} * columns * work.kept * 2 * work.size);
    return (at + 15) / 16 * 16;
  }
  take(layout.turns, std::int64_t{plan.blocks} * 2 * work.size);
  take(layout.row_addresses, plan.rows * 2);
  take(layout.bin_addresses, plan.blocks * 2);
  return (at + 15) / 16 * 16;
}

std::int64_t bytes(const Plan& plan, const Work& work, int columns) {
  Layout layout;
  return lay_out(plan, work, columns, layout);
}

// As many as there are butterflies in a stage of the largest radix, or a part of them that comes out even.
int workers(const Plan& plan, int columns, int limit) {
  int radix = plan.last;
  for (int s = 0; s < plan.stages; ++s) radix = std::max(radix, plan.stage[s].radix);
  const int butterflies = std::max(1, plan.rows * plan.row / radix);
  return static_cast<int>(ceil_div(butterflies, ceil_div(butterflies, std::max(1, limit / columns))));
}

// Of lines along memory: as many threads as there are butterflies in the first stage, or a part of them that comes out
// even, in whole warps, as one with samples of two lines moves parts of sectors. 0: so few that it has to.
int whole_warps(const Plan& plan) {
  const int butterflies = plan.stages == 1 ? plan.row : plan.rows * plan.row / plan.stage[0].radix;
  if (butterflies <= kWarp / 2) return 0;
  return ceil_div(ceil_div(butterflies, ceil_div(butterflies, kUsualThreads)), kWarp) * kWarp;
}

}  // namespace

Geometry geometry(const Plan& plan, const Work& work, int shared_limit) {
  int columns = work.columns_first ? work.segment / work.storage_size : 1;
  while (columns > kSector / work.storage_size && 2 * bytes(plan, work, columns) > shared_limit) columns /= 2;
  while (columns > 1 && (bytes(plan, work, columns) > shared_limit || columns / 2 >= work.channels)) columns /= 2;
  if (bytes(plan, work, columns) > shared_limit) return {{}, 0};
  const auto wider = [&] {
    return columns < work.channels && 2 * columns <= kFewThreads && bytes(plan, work, 2 * columns) <= shared_limit / 4;
  };
  while (columns * workers(plan, columns, kUsualThreads) < kFewThreads && wider()) columns *= 2;
  // Where only one block fits into a multiprocessor, it has to keep it busy alone.
  const bool alone = 2 * bytes(plan, work, columns) > shared_limit;
  const int warps = work.columns_first || alone ? 0 : whole_warps(plan);
  while (columns > 1 && columns * warps > kUsualThreads) columns /= 2;
  Geometry result{};
  result.shared_bytes = static_cast<int>(lay_out(plan, work, columns, result.layout));
  result.layout.workers = warps > 0 ? warps : workers(plan, columns, alone ? work.max_threads : kUsualThreads);
  return result;
}

}  // namespace spectrans::cuda
