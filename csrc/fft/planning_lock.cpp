// The lock, and what keeps it whole in the children of a process.
#include "planning_lock.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include <mutex>
#include <new>

namespace spectrans {
namespace {

std::recursive_mutex& mutex() {
  static std::recursive_mutex& only = *[] {
#if defined(__unix__) || defined(__APPLE__)
    // In a child, whose one thread is another than the one that locked, a lock is no longer to be unlocked.
    pthread_atfork([] { mutex().lock(); }, [] { mutex().unlock(); }, [] { new (&mutex()) std::recursive_mutex; });
#endif
    return new std::recursive_mutex;  // outlives every thread
  }();
  return only;
}

// Before there is a second thread: none forks while another makes it.
[[maybe_unused]] std::recursive_mutex& made = mutex();

}  // namespace

PlanningLock::PlanningLock() { mutex().lock(); }
PlanningLock::~PlanningLock() { mutex().unlock(); }

}  // namespace spectrans
