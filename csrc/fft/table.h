// Tables of plans: aligned to cache lines, so that each vector that is read of them lies in one, and counted.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace spectrans {

// Of all tables that there are.
inline std::atomic<std::int64_t> table_bytes = 0;

template <class T>
struct TableAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  TableAllocator() = default;
  template <class U>
  TableAllocator(const TableAllocator<U>&) {}

  T* allocate(std::size_t count) {
    void* data = ::operator new(count * sizeof(T), kAlignment);
    table_bytes += static_cast<std::int64_t>(count * sizeof(T));
    return static_cast<T*>(data);
  }
  void deallocate(T* data, std::size_t count) {
    table_bytes -= static_cast<std::int64_t>(count * sizeof(T));
    ::operator delete(data, kAlignment);
  }
  friend bool operator==(const TableAllocator&, const TableAllocator&) { return true; }
};

template <class T>
using Table = std::vector<T, TableAllocator<T>>;

}  // namespace spectrans
