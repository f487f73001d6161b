// The CUDA kernels: device pointers and strides in and out; nothing waits, nothing is kept from one call to the next.
#pragma once

#include <cstddef>

#include "../calls.h"
#include "../fft/export.h"

namespace spectrans::cuda {

// The caller's stream on the current device, and memory that stays valid until what is queued on it has run. Room for
// `bytes` bytes, aligned to 256; it is given back by the caller, in the stream's order.
struct Stream {
  void* stream;  // cudaStream_t
  void* (*allocate)(std::size_t bytes, void* context);
  void* context;
};

// Why no kernel here takes a call, or null: one does. Depends on dtypes, shapes, strides, which operands are there, and
// how much shared memory the current device has; never on values.
[[nodiscard]] SPECTRANS_API const char* why_not(const Mixing& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Filter& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Filter2d& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const FilterPlane& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const HermitianHalf& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Conv& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Modes& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Energies& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const Orthogonality& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const SpectralNorm& call);
[[nodiscard]] SPECTRANS_API const char* why_not(const LargestModulus& call);

// Why the current device runs none of the kernels, or null.
[[nodiscard]] SPECTRANS_API const char* why_none_here();

// Queue a call that `why_not` has nothing against; no operand is empty. A launch that fails throws
// std::runtime_error with CUDA's message.
SPECTRANS_API void mixing(const Mixing& call, const Stream& stream);
SPECTRANS_API void filter(const Filter& call, const Stream& stream);
SPECTRANS_API void filter2d(const Filter2d& call, const Stream& stream);
SPECTRANS_API void filter_plane(const FilterPlane& call, const Stream& stream);
SPECTRANS_API void hermitian_half(const HermitianHalf& call, const Stream& stream);
SPECTRANS_API void conv(const Conv& call, const Stream& stream);
SPECTRANS_API void modes(const Modes& call, const Stream& stream);
SPECTRANS_API void energy(const Energies& call, const Stream& stream);
SPECTRANS_API void orthogonality(const Orthogonality& call, const Stream& stream);
SPECTRANS_API void spectral_norm(const SpectralNorm& call, const Stream& stream);
SPECTRANS_API void largest_modulus(const LargestModulus& call, const Stream& stream);

}  // namespace spectrans::cuda
