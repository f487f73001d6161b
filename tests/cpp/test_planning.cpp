// Plans are made once, whatever threads ask for them, and in processes that were forked while one was being made; and
// those that nobody needs go.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "fft/decimation.h"
#include "fft/direct.h"
#include "fft/plan.h"
#include "fft/plan_cache.h"
#include "fft/right_angle.h"
#include "fft/split.h"
#include "oracle.h"

namespace {

using namespace spectrans;

constexpr std::int64_t kPrime = 4999;  // its plans take long, and are made of others

// Plans of every kind, of a length that nobody has asked for; whether they are of it.
bool plan_all(std::int64_t n) {
  bool right = real_plan<float>(n).n == n && real_plan<double>(n).n == n && dense_real_plan<float>(n).n == n;
  right = right && complex_plan<double>(n).n == n && block_plan<float>(n, 3).n == n;
  right = right && decimation<float>(n, 5).n == n && !is_direct_faster<float>(n, n / 2, false);
  return right && direct_modes_plan<float>(n, 3, false, 0).n == n && right_angle_plan<double>(n).length >= n;
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

// What of a plan is read.
template <class T>
std::vector<T> tables(const RealPlan<T>& plan) {
  std::vector<T> values;
  const auto add = [&](const auto* table, std::int64_t count) {
    if (table != nullptr) values.insert(values.end(), table, table + count);
  };
  add(plan.slot, plan.n);
  add(plan.re, plan.n / 2 + 1);
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    const RealStage<T>& stage = plan.stage[s];
    add(stage.twiddles, 2 * stage.m * stage.pairs);
    for (std::int64_t c = 0; c < stage.child->stages; ++c) {
      const ComplexStage<T>& child = stage.child->stage[c];
      add(child.twiddles, 2 * child.m * (child.radix - 1));
    }
    if (stage.prime != nullptr) add(stage.prime->response, stage.prime->convolution->slots);
    if (stage.wide != nullptr) add(stage.wide->response, stage.wide->convolution->slots);
  }
  return values;
}

// As many calls as are remembered, so that none of what was asked for before them need stay.
void let_calls_pass() {
  for (int call = 0; call < 64; ++call) const PlanningCall passing;
}

void check_room(oracle::Report& report) {
  const std::int64_t most = 1 << 20, before = limit_plan_bytes(most);
  let_calls_pass();
  report.check("old plans go", 0, plan_bytes() <= most ? 0 : 1, 0);

  // Lengths without end, of each of the last 64 calls at most.
  std::int64_t peak = 0, of_calls = 0;
  for (std::int64_t n = 1000; n < 1400; ++n) {
    const std::int64_t bytes = plan_bytes();
    {
      const PlanningCall call;
      report.check("plans", n, plan_all(n) ? 0 : 1, 0);
      of_calls = std::max(of_calls, plan_bytes() - bytes);
    }
    peak = std::max(peak, plan_bytes());
  }
  report.check("room", of_calls, peak <= most + 64 * of_calls ? 0 : 1, 0);

  // The last calls find their plans again, whatever the limit; and those before them do not.
  limit_plan_bytes(0);
  let_calls_pass();
  report.check("nothing", 0, static_cast<double>(plan_bytes()), 0);
  const auto planned = [](std::int64_t n) {
    const PlanningCall call;
    const std::int64_t bytes = plan_bytes();
    (void)dense_real_plan<float>(n);  // of which no other plan is made
    return plan_bytes() > bytes;
  };
  for (std::int64_t n = 100; n < 164; ++n) report.check("new", n, planned(n) ? 0 : 1, 0);
  for (std::int64_t n = 100; n < 164; ++n) report.check("kept", n, planned(n) ? 1 : 0, 0);
  for (std::int64_t n = 100; n < 165; ++n) (void)planned(n + 100);
  for (std::int64_t n = 100; n < 164; ++n) report.check("gone", n, planned(n) ? 0 : 1, 0);

  // A call finds what it has asked for until it ends, however many others end before.
  {
    const PlanningCall call;
    for (const std::int64_t n : {std::int64_t{360}, kPrime, 3 * kPrime}) {
      const RealPlan<float>&plan = real_plan<float>(n), &wide = real_plan<float>(n, true);
      const std::vector<float> values = tables(plan), wide_values = tables(wide);
      for (std::int64_t other = 0; other < 200; ++other) {
        const PlanningCall passing;
        (void)real_plan<float>(500 + other, true);
      }
      report.check("in use", n, values == tables(plan) && wide_values == tables(wide) ? 0 : 1, 0);
      report.check("the same", n, &plan == &real_plan<float>(n) && &wide == &real_plan<float>(n, true) ? 0 : 1, 0);
    }
  }
  let_calls_pass();
  report.check("all gone", 0, static_cast<double>(plan_bytes()), 0);

  // Threads whose calls begin and end as they like.
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t thread = 0; thread < wrong.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (std::int64_t turn = 0; turn < 400; ++turn) {
        const PlanningCall call;
        const std::int64_t n = 200 + (turn * static_cast<std::int64_t>(7 + thread)) % 150;
        const RealPlan<float>& plan = real_plan<float>(n);
        const std::vector<float> values = tables(plan);
        (void)split_plan<float>(2 * n, 2, 8);
        wrong[thread] += plan.n != n || values != tables(plan) || &plan != &real_plan<float>(n);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) report.check("threads", 0, count, 0);
  let_calls_pass();
  report.check("all gone after threads", 0, static_cast<double>(plan_bytes()), 0);
  limit_plan_bytes(before);
}

}  // namespace

int main() {
  oracle::Report report;
  check_threads(report);
  check_children(report);
  check_room(report);
  return report.finish();
}
