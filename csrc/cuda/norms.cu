// Norm checks: energies (energy.h), distance from orthogonality (gram.h), largest singular value (singular_value.h),
// largest modulus (modulus.h).
#include "energy.h"
#include "gram.h"
#include "kernels.h"
#include "modulus.h"
#include "singular_value.h"

namespace spectrans::cuda {

const char* why_not(const Energies&) { return nullptr; }
const char* why_not(const Orthogonality&) { return nullptr; }
const char* why_not(const SpectralNorm& call) {
  if (std::min(call.x.n, call.x.d) * (call.pairs ? 2 : 1) <= kMaxRows) return nullptr;
  return "of matrices with more than 4096 rows and columns (2048 if complex), a complete decomposition is torch's";
}
const char* why_not(const LargestModulus&) { return nullptr; }

void energy(const Energies& call, const Stream& stream) { energies(call, stream); }
void orthogonality(const Orthogonality& call, const Stream& stream) { gram_errors(call, stream); }
void spectral_norm(const SpectralNorm& call, const Stream& stream) { LargestSingularValue(call, stream).run(); }
void largest_modulus(const LargestModulus& call, const Stream& stream) { largest_moduli(call, stream); }

}  // namespace spectrans::cuda
