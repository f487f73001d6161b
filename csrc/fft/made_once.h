// What is made once for its arguments and kept for the life of the process, whatever threads ask.
#pragma once

#include <map>
#include <mutex>
#include <tuple>

namespace spectrans {

template <class Value, class... Key>
const Value& made_once(Key... key) {
  static std::mutex mutex;
  static auto* const known = new std::map<std::tuple<Key...>, Value>;  // outlives every thread
  const std::lock_guard lock(mutex);
  return known->try_emplace({key...}, key...).first->second;
}

}  // namespace spectrans
