// Real transforms of one tile, as an instruction set compiles them; without the memory traffic of a kernel.
#pragma once

#include <cstdint>

#include "cpu/instruction_set.h"
#include "fft/plan.h"

namespace spectrans {

// tile: [n][lanes] in slot order; work: [plan.work][lanes]; both aligned as vectors are.
struct Transforms {
  int lanes;
  void (*forward)(const RealPlan<float>& plan, void* tile, void* work);
  void (*inverse)(const RealPlan<float>& plan, void* tile, void* work);
};

// Defined once per instruction set, in the namespace of that name.
#define SPECTRANS_DECLARE_TRANSFORMS(set) \
  namespace set {                         \
  extern const Transforms transforms;     \
  }
SPECTRANS_SETS(SPECTRANS_DECLARE_TRANSFORMS)
#undef SPECTRANS_DECLARE_TRANSFORMS

}  // namespace spectrans
