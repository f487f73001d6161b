// The kernels that every instruction set provides.
#pragma once

#include "kernels.h"

namespace spectrans {

// X(name, arguments): csrc/cpu/<name>.cpp defines void name(const arguments&, const ThreadPool&).
#define SPECTRANS_KERNELS(X) \
  X(mixing, Mixing)          \
  X(filter, Filter)          \
  X(filter2d, Filter2d)      \
  X(conv, Conv)

// Defined once per instruction set, in the namespace of that name.
#define SPECTRANS_DECLARE(name, Arguments) void name(const Arguments& call, const ThreadPool& pool);
namespace baseline {
SPECTRANS_KERNELS(SPECTRANS_DECLARE)
}
namespace avx2 {
SPECTRANS_KERNELS(SPECTRANS_DECLARE)
}
namespace avx512 {
SPECTRANS_KERNELS(SPECTRANS_DECLARE)
}
#undef SPECTRANS_DECLARE

}  // namespace spectrans
