// The bare transforms of the instruction set this file is compiled for.
#include "transforms.h"

#include "cpu/transform.h"

namespace spectrans::SPECTRANS_ISA {

constinit const Transforms transforms{
    kLanes<float>,
    [](const RealPlan<float>& plan, void* tile, void* work) {
      real_forward(plan, static_cast<Vector<float>*>(tile), static_cast<Vector<float>*>(work));
    },
    [](const RealPlan<float>& plan, void* tile, void* work) {
      real_inverse(plan, static_cast<Vector<float>*>(tile), static_cast<Vector<float>*>(work));
    },
    [](const float* from, float* to, std::int64_t count) {
      for (std::int64_t i = 0; i < count; i += kLanes<float>) stream(to + i, load(from + i));
      fence_streams();
    },
};

}  // namespace spectrans::SPECTRANS_ISA
