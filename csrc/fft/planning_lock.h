// Held while plans and tables are looked up or made: one lock for all of them, as plans are made of others.
#pragma once

namespace spectrans {

// A process that forks waits until no other thread holds it: the child has all that was kept, whole, and may go on
// planning. A thread may hold several.
class PlanningLock {
 public:
  PlanningLock();
  ~PlanningLock();
  PlanningLock(const PlanningLock&) = delete;
  PlanningLock& operator=(const PlanningLock&) = delete;
};

}  // namespace spectrans
