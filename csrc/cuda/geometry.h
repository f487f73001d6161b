// How many columns a block takes, how many threads work on each, and how much shared memory that needs.
#pragma once

#include <cstdint>

#include "plan.h"

namespace spectrans::cuda {

constexpr int kMaxThreads = 512;
constexpr int kWarp = 32;
constexpr int kSector = 32;  // bytes that memory moves at least

// What a block has to hold, and how its columns lie in memory.
struct Work {
  std::int64_t channels;
  int tiles;              // of complex values, for every column
  int storage_size;       // of an element in memory
  int size;               // of a real number in arithmetic
  bool columns_first;     // neighbouring channels are neighbours in memory, or not
  bool weighted = false;  // by right angles: room for the weights
  int kept = 0;           // spectra of weighted lines that stay from one transform to the next
  int max_threads = kMaxThreads;
  int segment = kSector;  // bytes of neighbouring channels that a block would like to have, where two such blocks fit
};

struct Geometry {
  Layout layout;
  int shared_bytes;  // 0: not even one column fits
  [[nodiscard]] int threads() const { return layout.columns * layout.workers; }
};

// What a block can have on every device of compute capability 8.0 and up.
constexpr int kLeastSharedLimit = 99 * 1024;

[[nodiscard]] Geometry geometry(const Plan& plan, const Work& work, int shared_limit);

}  // namespace spectrans::cuda
