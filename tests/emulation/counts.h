// What the accesses of a block between two barriers come to.
#pragma once

#include <cstdint>
#include <vector>

#include "emulation.h"

namespace emulation {

enum class Kind { read_global, write_global, read_shared, write_shared };

struct Access {
  Kind kind;
  int site, bytes;
  std::uintptr_t at;
};

// Adds those of each thread. Accesses of a warp's threads are one request where they are the k-th of their site.
void count_interval(const std::vector<std::vector<Access>>& of_threads, Counts& counts);

}  // namespace emulation
