// What is made once for its arguments and kept for the life of the process, whatever threads ask.
#pragma once

#include <map>
#include <tuple>

#include "planning_lock.h"

namespace spectrans {

template <class Value, class... Key>
const Value& made_once(Key... key) {
  const PlanningLock lock;
  static auto* const known = new std::map<std::tuple<Key...>, Value>;  // outlives every thread
  return known->try_emplace({key...}, key...).first->second;
}

}  // namespace spectrans
