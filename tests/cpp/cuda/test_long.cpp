// How long lines are split: every length that is promised fits the smallest device, whatever is transformed.
#include "../oracle.h"
#include "cuda/long.h"
#include "queue.h"

namespace {

using namespace emulated;
using spectrans::cuda::Grid;
using spectrans::cuda::has_split;
using spectrans::cuda::LongLines;
using spectrans::cuda::Plan;
using spectrans::cuda::Slab;

constexpr int kSmallest = 99 * 1024;  // shared memory of a block, compute capability 8.6 and 8.9
constexpr std::int64_t kLongest = 1 << 20;

bool smooth(std::int64_t n) {
  for (const int prime : {2, 3, 5, 7}) {
    while (n % prime == 0) n /= prime;
  }
  return n == 1;
}

spectrans::Signal signal_of(std::int64_t batch, std::int64_t n, std::int64_t d, bool channels_first) {
  spectrans::Signal signal{};
  signal.n = n;
  signal.d = d;
  signal.n_stride = channels_first ? 1 : d;
  signal.d_stride = channels_first ? n : 1;
  signal.batch = batch;
  signal.axes = 1;
  signal.size[0] = batch;
  signal.stride[0] = n * d;
  return signal;
}

// Remembers the bytes that were asked for, and gives none.
struct Measure {
  std::size_t bytes = 0;
  [[nodiscard]] spectrans::cuda::Stream stream() {
    return {nullptr,
            [](std::size_t asked, void* context) -> void* {
              static_cast<Measure*>(context)->bytes += asked;
              return nullptr;
            },
            this};
  }
};

template <class S>
void check_launches(oracle::Report& report, std::int64_t n, int sets, bool channels_first) {
  using T = typename LongLines<S>::T;
  const spectrans::Signal signal = signal_of(70, n, 33, channels_first);
  Measure measure;
  const LongLines<S> lines(signal, sets, measure.stream());
  std::int64_t covered = 0;
  bool launchable = true, tables = true;
  lines.each_slab([&](const Slab& slab) {
    covered += slab.items * slab.channels;
    for (const Plan& plan : {lines.rows(slab).plan, lines.columns(signal, slab).plan}) {
      for (int s = 0; s < plan.stages; ++s) tables = tables && (sizeof(T) != 4 || plan.stage[s].twiddles >= 0);
    }
    for (const Grid& grid : {lines.grid_of_rows(slab), lines.grid_of_columns(signal, slab)}) {
      launchable = launchable && grid.shared_bytes <= kSmallest && grid.threads >= 1 &&
                   grid.threads <= spectrans::cuda::kRowThreads<T> &&
                   grid.threads <= spectrans::cuda::kColumnThreads<T>;
    }
  });
  report.check("tables of all twiddles", n, tables ? 0 : 1, 0);
  report.check("slabs cover every line once", n, covered == 70 * 33 ? 0 : 1, 0);
  report.check("blocks that the smallest device can run", n, launchable ? 0 : 1, 0);
  // Half of the second-level cache, or one group of channels where that is more.
  const double group = static_cast<double>(sets * n) * sizeof(T) * (channels_first ? 1.2 : 16 * 1.1);
  const double room = emulation::limits().l2_bytes / 2.0;
  report.check("memory", n, static_cast<double>(measure.bytes), std::max(room, group + 65536));
}

template <class S>
void check_lengths(oracle::Report& report) {
  for (std::int64_t n = 4; n <= kLongest; ++n) {
    if (!smooth(n) || !has_split(n)) continue;
    for (const int sets : {1, 2}) {
      for (const bool channels_first : {false, true}) check_launches<S>(report, n, sets, channels_first);
    }
  }
}

}  // namespace

int main() {
  oracle::Report report;
  for (std::int64_t n = 1; n <= kLongest; ++n) {
    const bool prime = n == 1 || n == 2 || n == 3 || n == 5 || n == 7;
    if (smooth(n) || n < 1000) report.check("has_split", n, has_split(n) == (smooth(n) && !prime) ? 0 : 1, 0);
  }
  report.check("has_split", 2 * kLongest, has_split(2 * kLongest) ? 1 : 0, 0);
  const Limited device(kSmallest, 6 << 20);
  check_lengths<float>(report);
  check_lengths<double>(report);
  check_lengths<__nv_bfloat16>(report);
  return report.finish();
}
