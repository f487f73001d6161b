// Per-thread scratch memory: grows to what a call needs, and is given back after calls of unusual size.
#include "scratch.h"

#include <new>

namespace spectrans {
namespace {

constexpr std::size_t kAlignment = 4096;
constexpr std::size_t kKeep = std::size_t{8} << 20;  // larger buffers are not kept once a smaller one will do

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  void* at_least(std::size_t bytes) {
    if (bytes > size_ || (size_ > kKeep && bytes <= kKeep)) {
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
