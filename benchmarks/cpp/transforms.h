// Real transforms of one tile, as an instruction set compiles them, without the memory traffic of a kernel; and a
// kernel's memory traffic without the transforms.
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
  // Past the caches; `to` is aligned as vectors are, `count` a multiple of lanes.
  void (*copy)(const float* from, float* to, std::int64_t count);
};

// Defined once per instruction set, in the namespace of that name.
#define SPECTRANS_DECLARE_TRANSFORMS(set) \
  namespace set {                         \
  extern const Transforms transforms;     \
  }
SPECTRANS_SETS(SPECTRANS_DECLARE_TRANSFORMS)
#undef SPECTRANS_DECLARE_TRANSFORMS

}  // namespace spectrans
