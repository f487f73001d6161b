// The table of kernels that each instruction set provides.
#pragma once

#include "kernels.h"

namespace spectrans {

using MixingKernel = void (*)(const Mixing&, const ThreadPool&);
using FilterKernel = void (*)(const Filter&, const ThreadPool&);

// Defined once per instruction set: kernels named after SPECTRANS_ISA.
#define SPECTRANS_DECLARE_KERNELS(isa)                \
  namespace isa {                                     \
  void mixing(const Mixing& call, const ThreadPool&); \
  void filter(const Filter& call, const ThreadPool&); \
  }

SPECTRANS_DECLARE_KERNELS(baseline)
SPECTRANS_DECLARE_KERNELS(avx2)
SPECTRANS_DECLARE_KERNELS(avx512)

}  // namespace spectrans
