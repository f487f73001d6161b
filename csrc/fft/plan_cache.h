// Plans are made when they are first asked for, whatever threads ask, and kept in one cache, with one lock, as they are
// made of each other.
//
// Lengths may come without end. So when a call of a kernel ends and the tables of all plans take more than 256 MiB,
// those go that have not been asked for longest; but none that is part of another, that a call under way may be using,
// or that one of the last 64 calls has asked for: a model whose calls take turns finds its plans again, however large.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "export.h"

namespace spectrans {

// A call of a kernel, for as long as it lives: plans that were asked for since it began stay.
class SPECTRANS_API PlanningCall {
 public:
  PlanningCall();
  ~PlanningCall();
  PlanningCall(const PlanningCall&) = delete;
  PlanningCall& operator=(const PlanningCall&) = delete;

 private:
  friend struct PlanCache;
  std::int64_t number_;
  PlanningCall *before_, *after_ = nullptr;  // that began and are still under way
};

// Bytes of the tables of all plans; and the most that are kept for later calls, set to `bytes`: what it was before.
[[nodiscard]] SPECTRANS_API std::int64_t plan_bytes();
SPECTRANS_API std::int64_t limit_plan_bytes(std::int64_t bytes);

// Held while plans are looked up or made. A process that forks waits until no other thread holds it: the child has all
// that was kept, whole, and may go on planning. A thread may hold several.
class PlanningLock {
 public:
  PlanningLock();
  ~PlanningLock();
  PlanningLock(const PlanningLock&) = delete;
  PlanningLock& operator=(const PlanningLock&) = delete;
};

// A plan in the cache. Who does anything with it holds the lock.
class CachedPlan {
 public:
  CachedPlan(const CachedPlan&) = delete;
  CachedPlan& operator=(const CachedPlan&) = delete;

  // By a call, or for the plan that is being made.
  void ask_for();

 protected:
  // From the one until the other it is being made.
  CachedPlan();
  void end_making();
  virtual ~CachedPlan();

 private:
  friend struct PlanCache;

  virtual void erase() = 0;  // ends its life

  CachedPlan* outer_;                   // which was being made when it was asked for
  std::vector<CachedPlan*> parts_;      // that it is made of
  std::int64_t wholes_ = 0;             // times that it is part of others
  std::int64_t last_call_ = 0;          // that had begun when it was asked for
  std::list<CachedPlan*> aside_{this};  // its place while it is part of another
  const std::list<CachedPlan*>::iterator place_ = aside_.begin();
};

// Value(key...), made once; it stays as the calls under way, or what is being made of it, need it.
template <class Value, class... Key>
const Value& planned(Key... key) {
  struct Entry final : CachedPlan {
    using Entries = std::map<std::tuple<Key...>, std::unique_ptr<Entry>>;

    std::tuple<Key...> key;
    Value value;

    explicit Entry(Key... of) : key(of...), value(of...) { end_making(); }
    static Entries& all() {
      static auto* const only = new Entries;  // outlives every thread
      return *only;
    }
    void erase() override { all().erase(key); }
  };

  const PlanningLock lock;
  auto found = Entry::all().find({key...});
  if (found == Entry::all().end()) {
    auto entry = std::make_unique<Entry>(key...);
    found = Entry::all().emplace(entry->key, std::move(entry)).first;
  }
  found->second->ask_for();
  return found->second->value;
}

}  // namespace spectrans
