// Real transforms of one tile, as an instruction set compiles them; without the memory traffic of a kernel.
#pragma once

#include <cstdint>

#include "fft/plan.h"

namespace spectrans {

// tile: [n][lanes] in slot order; work: [plan.work][lanes]; both aligned as vectors are.
struct Transforms {
  int lanes;
  void (*forward)(const RealPlan<float>& plan, void* tile, void* work);
  void (*inverse)(const RealPlan<float>& plan, void* tile, void* work);
};

// Defined once per instruction set, in the namespace of that name. SPECTRANS_SETS: X(baseline)X(avx2) ...
#define SPECTRANS_TRANSFORMS(isa)     \
  namespace isa {                     \
  extern const Transforms transforms; \
  }

}  // namespace spectrans
