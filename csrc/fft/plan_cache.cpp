// The cache of plans, its lock, and what keeps both whole in the children of a process.
#include "plan_cache.h"

#include "table.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

namespace spectrans {

struct PlanCache {
  static constexpr std::int64_t kLastCalls = 64;

  std::recursive_mutex mutex;
  std::int64_t limit = std::int64_t{256} << 20;
  std::int64_t calls = 0;                             // that have begun
  PlanningCall *oldest = nullptr, *latest = nullptr;  // under way
  CachedPlan* making = nullptr;
  std::list<CachedPlan*> loose;  // plans that are part of no other, in the order in which they were asked for

  // Among what is part of no other plan: after those that have not been asked for since.
  void place(CachedPlan& plan) {
    auto next = loose.begin();
    while (next != loose.end() && (*next)->last_call_ < plan.last_call_) ++next;
    loose.splice(next, plan.aside_);
  }

  void make_room() {
    std::int64_t unused = calls - kLastCalls;
    if (oldest != nullptr) unused = std::min(unused, oldest->number_ - 1);
    while (table_bytes > limit && !loose.empty() && loose.front()->last_call_ <= unused) {
      CachedPlan& plan = *loose.front();
      loose.pop_front();
      plan.erase();
    }
  }
};

namespace {

// Outlives every thread; and is there before there is a second one, so that none forks while another makes it.
PlanCache& cache = *[] {
#if defined(__unix__) || defined(__APPLE__)
  // In a child, whose one thread is another than the one that locked, a lock is no longer to be unlocked; and the calls
  // of other threads are not there.
  pthread_atfork([] { cache.mutex.lock(); }, [] { cache.mutex.unlock(); },
                 [] {
                   new (&cache.mutex) std::recursive_mutex;
                   cache.oldest = cache.latest = nullptr;
                 });
#endif
  return new PlanCache;
}();

}  // namespace

PlanningLock::PlanningLock() { cache.mutex.lock(); }
PlanningLock::~PlanningLock() { cache.mutex.unlock(); }

PlanningCall::PlanningCall() {
  const PlanningLock lock;
  number_ = ++cache.calls;
  before_ = cache.latest;
  (before_ == nullptr ? cache.oldest : before_->after_) = this;
  cache.latest = this;
}

PlanningCall::~PlanningCall() {
  const PlanningLock lock;
  (before_ == nullptr ? cache.oldest : before_->after_) = after_;
  (after_ == nullptr ? cache.latest : after_->before_) = before_;
  cache.make_room();
}

std::int64_t plan_bytes() { return table_bytes; }

std::int64_t limit_plan_bytes(std::int64_t bytes) {
  const PlanningLock lock;
  return std::exchange(cache.limit, bytes);
}

CachedPlan::CachedPlan() : outer_(std::exchange(cache.making, this)) {}

void CachedPlan::end_making() {
  cache.making = outer_;
  cache.place(*this);
}

CachedPlan::~CachedPlan() {
  if (cache.making == this) cache.making = outer_;  // it was not to be made
  for (CachedPlan* part : parts_) {
    if (--part->wholes_ == 0) cache.place(*part);
  }
}

void CachedPlan::ask_for() {
  if (cache.making != nullptr) {
    cache.making->parts_.push_back(this);
    if (wholes_++ == 0) aside_.splice(aside_.end(), cache.loose, place_);
    return;
  }
  last_call_ = cache.calls;
  if (wholes_ == 0) cache.loose.splice(cache.loose.end(), cache.loose, place_);
}

}  // namespace spectrans
