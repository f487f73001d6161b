// Memory of large results on the CPU, kept for the next ones.
#include "kept.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace spectrans::torch_ops {

#if defined(__linux__)

namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
// Of a result. Smaller ones the C library keeps: its own threshold rises to this, and no further.
constexpr std::size_t kLeast = std::size_t{32} << 20;

constexpr std::size_t kUsualMiB = 1024, kMostMiB = std::size_t{1} << 40;  // of all that is kept

struct Block {
  char* data;
  std::size_t bytes;
};

std::size_t whole(std::size_t bytes) { return (bytes + kHuge - 1) / kHuge * kHuge; }

std::size_t limit() noexcept {
  static const std::size_t mib = [] {
    const char* asked = std::getenv("SPECTRANS_KEEP_MIB");
    if (asked == nullptr || *asked == '\0') return kUsualMiB;
    if (std::strspn(asked, "0123456789") == std::strlen(asked)) {
      return std::min(std::size_t{std::strtoul(asked, nullptr, 10)}, kMostMiB);
    }
    std::fprintf(stderr, "spectrans: SPECTRANS_KEEP_MIB must be a number of MiB, got '%s'; keeping %zu\n", asked,
                 kUsualMiB);
    return kUsualMiB;
  }();
  return mib << 20;
}

// From the system: more than is needed, less what is around. Small pages at the end: no more is used than is asked for.
char* map(std::size_t bytes) noexcept {
  void* mapped = mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const from = static_cast<char*>(mapped);
  char* const data = from + (kHuge - reinterpret_cast<std::uintptr_t>(from) % kHuge) % kHuge;
  if (data != from) munmap(from, data - from);
  if (const std::size_t after = from + kHuge - data; after > 0) munmap(data + bytes, after);
  return data;
}

// Blocks that nobody uses, the oldest first.
class Kept {
 public:
  // The youngest of the size.
  char* take(std::size_t bytes) {
    for (std::size_t i = count_; i-- > 0;) {
      if (blocks_[i].bytes == bytes) return remove(i).data;
    }
    return nullptr;
  }

  void clear() {
    while (count_ > 0) release(remove(count_ - 1));
  }

  void give(Block block) {
    if (block.bytes > limit()) return release(block);
    while (count_ == blocks_.size() || bytes_ + block.bytes > limit()) release(remove(0));
    blocks_[count_++] = block;
    bytes_ += block.bytes;
  }

  static void release(Block block) { munmap(block.data, block.bytes); }

 private:
  Block remove(std::size_t i) {
    const Block block = blocks_[i];
    std::copy(blocks_.begin() + i + 1, blocks_.begin() + count_, blocks_.begin() + i);
    --count_;
    bytes_ -= block.bytes;
    return block;
  }

  std::array<Block, 256> blocks_;
  std::size_t count_ = 0, bytes_ = 0;
};

Kept kept;
std::mutex mutex;  // never waited for: in a forked process it may have stayed locked

}  // namespace

void* take_kept(std::size_t bytes) noexcept {
  if (bytes < kLeast || bytes > limit()) return nullptr;
  const std::size_t all = whole(bytes);
  if (const std::unique_lock lock(mutex, std::try_to_lock); lock.owns_lock()) {
    if (char* data = kept.take(all); data != nullptr) return data;
  }
  char* data = map(all);
  if (data == nullptr) {  // where a process may have so much memory and no more, what is kept counts
    if (const std::unique_lock lock(mutex, std::try_to_lock); lock.owns_lock()) kept.clear();
    data = map(all);
  }
  if (data != nullptr) madvise(data, bytes / kHuge * kHuge, MADV_HUGEPAGE);  // advice: failing is fine
  return data;
}

void give_kept(void* data, std::size_t bytes) noexcept {
  const Block block{static_cast<char*>(data), whole(bytes)};
  madvise(block.data, block.bytes, MADV_FREE);
  if (const std::unique_lock lock(mutex, std::try_to_lock); lock.owns_lock()) return kept.give(block);
  Kept::release(block);
}

#else

void* take_kept(std::size_t) noexcept { return nullptr; }
void give_kept(void*, std::size_t) noexcept {}

#endif

}  // namespace spectrans::torch_ops
