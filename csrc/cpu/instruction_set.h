// The kernels that every instruction set provides.
#pragma once

#include "kernels.h"

namespace spectrans {

// X(name, arguments): void name(const arguments&, const ThreadPool&), in the file of its room.
#define SPECTRANS_KERNELS(X)       \
  X(mixing, Mixing)                \
  X(filter, Filter)                \
  X(filter2d, Filter2d)            \
  X(filter_plane, FilterPlane)     \
  X(hermitian_half, HermitianHalf) \
  X(conv, Conv)                    \
  X(modes, Modes)                  \
  X(energy, Energies)              \
  X(orthogonality, Orthogonality)  \
  X(spectral_norm, SpectralNorm)   \
  X(largest_modulus, LargestModulus)

// X(set): those this architecture is compiled for (CMakeLists.txt), best first; every CPU has the last.
#if defined(__x86_64__)
#define SPECTRANS_SETS(X) X(avx512) X(avx2) X(baseline)
#elif defined(__aarch64__)
#define SPECTRANS_SETS(X) X(neon)
#else
#define SPECTRANS_SETS(X) X(baseline)
#endif

// Defined once per instruction set, in the namespace of that name.
#define SPECTRANS_DECLARE(name, Arguments) void name(const Arguments& call, const ThreadPool& pool);
#define SPECTRANS_DECLARE_SET(set)     \
  namespace set {                      \
  SPECTRANS_KERNELS(SPECTRANS_DECLARE) \
  }
SPECTRANS_SETS(SPECTRANS_DECLARE_SET)
#undef SPECTRANS_DECLARE_SET
#undef SPECTRANS_DECLARE

}  // namespace spectrans
