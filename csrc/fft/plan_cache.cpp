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

class PlanCache {
 public:
  static PlanCache& instance() {
    static PlanCache& only = *new PlanCache;  // outlives every thread
    return only;
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

  void begin(PlanningCall& call) {
    call.number_ = ++calls_;
    call.before_ = latest_;
    (latest_ == nullptr ? oldest_ : latest_->after_) = &call;
    latest_ = &call;
  }

  void end(PlanningCall& call) {
    (call.before_ == nullptr ? oldest_ : call.before_->after_) = call.after_;
    (call.after_ == nullptr ? latest_ : call.after_->before_) = call.before_;
    make_room();
  }

  std::int64_t limit(std::int64_t bytes) { return std::exchange(limit_, bytes); }

  void begin_making(CachedPlan& plan) { plan.outer_ = std::exchange(making_, &plan); }

  void end_making(CachedPlan& plan) {
    making_ = plan.outer_;
    plan.outer_ = nullptr;
    place(plan);
  }

  void ask_for(CachedPlan& plan) {
    if (making_ != nullptr) {
      making_->parts_.push_back(&plan);
      if (plan.wholes_++ == 0) plan.aside_.splice(plan.aside_.end(), loose_, plan.place_);
      return;
    }
    plan.last_call_ = calls_;
    if (plan.wholes_ == 0) loose_.splice(loose_.end(), loose_, plan.place_);
  }

  // Its parts are no longer parts of it.
  void end(CachedPlan& plan) {
    if (making_ == &plan) making_ = plan.outer_;  // it was not to be made
    for (CachedPlan* part : plan.parts_) {
      if (--part->wholes_ == 0) place(*part);
    }
  }

 private:
  static constexpr std::int64_t kLastCalls = 64;

  PlanCache() {
#if defined(__unix__) || defined(__APPLE__)
    // In a child, whose one thread is another than the one that locked, a lock is no longer to be unlocked; and the
    // calls of other threads are not there.
    pthread_atfork([] { instance().lock(); }, [] { instance().unlock(); },
                   [] {
                     PlanCache& cache = instance();
                     new (&cache.mutex_) std::recursive_mutex;
                     cache.oldest_ = cache.latest_ = nullptr;
                   });
#endif
  }

  // Among what is part of no other plan: after those that have not been asked for since.
  void place(CachedPlan& plan) {
    auto next = loose_.begin();
    while (next != loose_.end() && (*next)->last_call_ < plan.last_call_) ++next;
    loose_.splice(next, plan.aside_);
  }

  void make_room() {
    std::int64_t unused = calls_ - kLastCalls;
    if (oldest_ != nullptr) unused = std::min(unused, oldest_->number_ - 1);
    while (table_bytes > limit_ && !loose_.empty() && loose_.front()->last_call_ <= unused) {
      CachedPlan& plan = *loose_.front();
      loose_.pop_front();
      plan.erase();
    }
  }

  std::recursive_mutex mutex_;
  std::int64_t limit_ = std::int64_t{256} << 20;
  std::int64_t calls_ = 0;                              // that have begun
  PlanningCall *oldest_ = nullptr, *latest_ = nullptr;  // under way
  CachedPlan* making_ = nullptr;
  std::list<CachedPlan*> loose_;  // plans that are part of no other, in the order in which they were asked for
};

namespace {

// Before there is a second thread: none forks while another makes it.
[[maybe_unused]] PlanCache& made = PlanCache::instance();

}  // namespace

PlanningLock::PlanningLock() { PlanCache::instance().lock(); }
PlanningLock::~PlanningLock() { PlanCache::instance().unlock(); }

PlanningCall::PlanningCall() {
  const PlanningLock lock;
  PlanCache::instance().begin(*this);
}

PlanningCall::~PlanningCall() {
  const PlanningLock lock;
  PlanCache::instance().end(*this);
}

std::int64_t plan_bytes() { return table_bytes; }

std::int64_t limit_plan_bytes(std::int64_t bytes) {
  const PlanningLock lock;
  return PlanCache::instance().limit(bytes);
}

CachedPlan::CachedPlan() { PlanCache::instance().begin_making(*this); }
CachedPlan::~CachedPlan() { PlanCache::instance().end(*this); }
void CachedPlan::end_making() { PlanCache::instance().end_making(*this); }
void CachedPlan::ask_for() { PlanCache::instance().ask_for(*this); }

}  // namespace spectrans
