// Per-thread scratch memory: grows to what a call needs, and is given back after calls of unusual size.
#include "scratch.h"

#include <algorithm>
#include <new>

namespace spectrans {
namespace {

constexpr std::size_t kAlignment = 4096;
// A larger buffer is not kept once one of this size will do, or of a quarter of its own.
constexpr std::size_t kKeep = std::size_t{8} << 20;

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  void* at_least(std::size_t bytes) {
    if (bytes > size_ || (size_ > kKeep && bytes <= std::max(kKeep, size_ / 4))) {
      release();
      data_ = ::operator new(bytes, std::align_val_t{kAlignment});
      size_ = bytes;
    }
    return data_;
  }

 private:
  void release() {
    ::operator delete(data_, std::align_val_t{kAlignment});
    data_ = nullptr;
    size_ = 0;
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
};

thread_local Buffer buffers[3];

}  // namespace

void* scratch(ScratchRoom room, std::size_t bytes) { return buffers[static_cast<int>(room)].at_least(bytes); }

}  // namespace spectrans
