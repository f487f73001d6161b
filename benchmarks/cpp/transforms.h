// What kernels are made of, as an instruction set compiles it: real transforms of one tile, the stages of transforms,
// the instructions of stages, and a kernel's memory traffic alone.
#pragma once

#include <cstdint>

#include "cpu/instruction_set.h"
#include "fft/plan.h"

namespace spectrans {

// What one runs over: vectors of lanes, a multiple of 128 of them. memory is aligned as vectors are.
struct Part {
  const char* name;
  void (*run)(float* memory, std::int64_t vectors);
};

struct Transforms {
  int lanes;
  // tile: [plan.slots][lanes]; work: [plan.work][lanes]; both aligned as vectors are.
  void (*forward)(const RealPlan<float>& plan, void* tile, void* work);
  void (*inverse)(const RealPlan<float>& plan, void* tile, void* work);
  // Past the caches; `to` is aligned as vectors are, `count` a multiple of lanes.
  void (*copy)(const float* from, float* to, std::int64_t count);
  // Likewise, to rows of `width` floats, `piece` floats of each before the next of any: as tiles are written.
  void (*write_in_pieces)(float* to, std::int64_t rows, std::int64_t width, std::int64_t piece);
  // Lists that end with a part that has no name.
  const Part* instructions;  // one a vector
  const Part* stages;        // in place: memory holds twiddles, the vectors, and as many of a response
  const Part* rows;          // between rows of four tiles and these: memory holds both
};

// Floats that the twiddles of a stage have room for, before its vectors; and the gaps of tiles.
constexpr std::int64_t kTables = 4096;

// Defined once per instruction set, in the namespace of that name.
#define SPECTRANS_DECLARE_TRANSFORMS(set) \
  namespace set {                         \
  extern const Transforms transforms;     \
  }
SPECTRANS_SETS(SPECTRANS_DECLARE_TRANSFORMS)
#undef SPECTRANS_DECLARE_TRANSFORMS

}  // namespace spectrans
