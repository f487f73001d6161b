// That the emulation's shuffles bring what other lanes give, and that it finds those that would wait for ever.
#include <stdexcept>
#include <vector>

#include "../oracle.h"
#include "cuda/device.h"

namespace {

constexpr int kThreads = 40;  // a warp and a part of one

// Groups of eight lanes exchange halves, some of them more often than others.
void check_values(oracle::Report& report) {
  std::vector<double> taken(kThreads);
  emulation::launch({}, kThreads, 0, [&] {
    const int thread = static_cast<int>(threadIdx.x), group = thread / 8;
    const unsigned lanes = 0xffu << (thread % 32 & ~7);
    double value = thread;
    for (int times = 0; times < 2 * group + 1; ++times) value = __shfl_xor_sync(lanes, value + 100, 4);
    __syncthreads();
    taken[thread] = value;
  });
  for (int thread = 0; thread < kThreads; ++thread) {
    const int times = 2 * (thread / 8) + 1;
    report.check("shuffle", thread, std::fabs(taken[thread] - (thread ^ 4) - 100 * times), 0);
  }
}

bool found(const std::function<void()>& kernel) {
  try {
    emulation::launch({}, kThreads, 0, kernel);
  } catch (const std::runtime_error&) {
    return true;
  }
  return false;
}

void check_findings(oracle::Report& report) {
  const bool missing = found([] {
    if (threadIdx.x != 3) __shfl_xor_sync(0xffu << (threadIdx.x % 32 & ~7), 1.0f, 4);
  });
  report.check("a lane that does not come", 3, missing ? 0 : 1, 0);
  const bool beyond = found([] { __shfl_xor_sync(~0u, 1.0f, 1); });
  report.check("lanes beyond the block", kThreads, beyond ? 0 : 1, 0);
  const bool outside = found([] { __shfl_xor_sync(0xfu << (threadIdx.x % 32 & ~3), 1.0f, 4); });
  report.check("a lane outside the mask", 4, outside ? 0 : 1, 0);
}

}  // namespace

int main() {
  oracle::Report report;
  check_values(report);
  check_findings(report);
  return report.finish();
}
