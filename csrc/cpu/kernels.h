// The CPU kernels: pointers and strides in and out; no Tensor, no allocation beyond per-thread scratch.
#pragma once

#include "../calls.h"
#include "../fft/export.h"

namespace spectrans {

// The caller's thread pool: calls body(begin, end, context) on disjoint ranges that cover 0 .. count.
struct ThreadPool {
  void (*run)(std::int64_t count, std::int64_t grain, void (*body)(std::int64_t, std::int64_t, void*), void* context);
  int threads;
};

SPECTRANS_API void mixing(const Mixing& call, const ThreadPool& pool);
SPECTRANS_API void filter(const Filter& call, const ThreadPool& pool);
SPECTRANS_API void filter2d(const Filter2d& call, const ThreadPool& pool);
SPECTRANS_API void filter_plane(const FilterPlane& call, const ThreadPool& pool);
SPECTRANS_API void hermitian_half(const HermitianHalf& call, const ThreadPool& pool);
SPECTRANS_API void conv(const Conv& call, const ThreadPool& pool);
SPECTRANS_API void modes(const Modes& call, const ThreadPool& pool);
SPECTRANS_API void energy(const Energies& call, const ThreadPool& pool);
SPECTRANS_API void orthogonality(const Orthogonality& call, const ThreadPool& pool);
SPECTRANS_API void spectral_norm(const SpectralNorm& call, const ThreadPool& pool);
SPECTRANS_API void largest_modulus(const LargestModulus& call, const ThreadPool& pool);

// The instruction set in use (chosen once, from the CPU and the variable SPECTRANS_CPU), and those this CPU could
// run, best first, ending in a null pointer.
SPECTRANS_API const char* instruction_set();
SPECTRANS_API const char* const* available_instruction_sets();

}  // namespace spectrans
