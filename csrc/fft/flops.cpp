// What plans cost: real additions and multiplications.
#include <stdexcept>

#include "plan.h"

namespace spectrans {
namespace {

// Real additions and multiplications of one butterfly of radix r, as butterflies.h writes them.
double complex_butterfly_flops(std::int64_t r) {
  switch (r) {
    case 2: return 4;
    case 4: return 16;
    case 8: return 56;
    default: return 4.0 * (r / 2) + 2.0 * (r / 2) + 4.0 * (r / 2) * (2 * (r / 2)) + 4.0 * (r / 2);
  }
}

double real_butterfly_flops(std::int64_t r) {
  switch (r) {
    case 4: return 6;
    case 8: return 22;
    default: return 3.0 * (r / 2) + 4.0 * (r / 2) * (r / 2);
  }
}

double real_flops(const RealPlan<double>& plan);

double prime_flops(const PrimePlan<double>& prime) {  // forward, product, inverse, and the two sums
  return 2 * real_flops(*prime.convolution) + 3.0 * prime.convolution->n + 2.0 * prime.p;
}

double direct_flops(std::int64_t n) {
  const double pairs = static_cast<double>(n / 2);
  return 2 * pairs + 4 * pairs * (pairs + 1);
}

template <class Stage>
bool has_butterfly(const Stage& stage) {
  return stage.radix <= kLargestButterfly;
}

// One real transform of a prime length without a butterfly.
template <class Stage>
double prime_flops(const Stage& stage) {
  if (stage.direct != nullptr) return direct_flops(stage.radix);
  return prime_flops(*stage.prime) + 2.0 * static_cast<double>(stage.radix);
}

double complex_flops(const ComplexPlan<double>& plan) {
  double flops = 0;
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    const ComplexStage<double>& stage = plan.stage[s];
    const double butterfly =
        has_butterfly(stage) ? complex_butterfly_flops(stage.radix) : 2 * prime_flops(stage) + 2.0 * stage.radix;
    flops += plan.n / stage.radix * (butterfly + (stage.m > 1 ? 6.0 * (stage.radix - 1) : 0));
  }
  return flops;
}

double real_flops(const RealPlan<double>& plan) {
  double flops = plan.n % 2 == 0 ? 2 : 0;
  for (std::int64_t s = 0; s < plan.stages; ++s) {
    const RealStage<double>& stage = plan.stage[s];
    const double butterfly = has_butterfly(stage) ? real_butterfly_flops(stage.radix) : prime_flops(stage);
    flops += stage.m * (butterfly + (stage.m > 1 ? 6.0 * stage.pairs : 0)) + stage.pairs * complex_flops(*stage.child);
  }
  return flops;
}

}  // namespace

double plan_flops(std::int64_t n) {
  if (n < 1) throw std::invalid_argument("n must be at least 1");
  return real_flops(real_plan<double>(n));
}

}  // namespace spectrans
