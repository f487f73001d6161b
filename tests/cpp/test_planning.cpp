// Plans are made once, whatever threads ask for them, and in processes that were forked while one was being made.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "fft/decimation.h"
#include "fft/direct.h"
#include "fft/plan.h"
#include "oracle.h"

namespace {

using namespace spectrans;

constexpr std::int64_t kPrime = 4999;  // its plans take long, and are made of others

// Plans of every kind, of a length that nobody has asked for; whether they are of it.
bool plan_all(std::int64_t n) {
  bool right = real_plan<float>(n).n == n && real_plan<double>(n).n == n && dense_real_plan<float>(n).n == n;
  right = right && complex_plan<double>(n).n == n && block_plan<float>(n, 3).n == n;
  right = right && decimation<float>(n, 5).n == n && !is_direct_faster<float>(n, n / 2, false);
  with_direct_plan<float>(
      {n, 3, false, 0},
      [](const DirectPlan<float>& plan, const void* length) {
        if (plan.n != *static_cast<const std::int64_t*>(length)) std::abort();
      },
      &n);
  return right;
}

void check_threads(oracle::Report& report) {
  for (const std::int64_t n : {kPrime, std::int64_t{360}, std::int64_t{1001}}) {
    std::vector<const void*> plans(4);
    std::vector<std::thread> threads;
    for (const void*& plan : plans) threads.emplace_back([&plan, n] { plan = &real_plan<float>(n); });
    for (std::thread& thread : threads) thread.join();
    report.check("one plan", n, std::set<const void*>(plans.begin(), plans.end()).size() == 1 ? 0 : 1, 0);
  }
}

void check_children(oracle::Report& report) {
  std::atomic<bool> enough = false;
  std::thread planner([&] {
    for (std::int64_t n = 2 * kPrime; !enough; ++n) plan_all(n);
  });
  for (std::int64_t child = 0; child < 25; ++child) {
    const pid_t id = fork();
    if (id == 0) {
      alarm(30);  // ends a child that waits for ever
      _exit(plan_all(kPrime + 1 + child) && plan_all(2 * kPrime + child) ? 0 : 1);
    }
    int status = -1;
    waitpid(id, &status, 0);
    report.check("child", child, status, 0);
    if (status != 0) break;
  }
  enough = true;
  planner.join();
  report.check("after children", kPrime, plan_all(kPrime) ? 0 : 1, 0);
}

}  // namespace

int main() {
  oracle::Report report;
  check_threads(report);
  check_children(report);
  return report.finish();
}
