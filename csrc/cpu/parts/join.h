// Between transforms of the parts of a line, side by side in the lanes (fft/split.h), and the spectrum of all of it.
#pragma once

#include "../../fft/split.h"
#include "../simd.h"

namespace spectrans::SPECTRANS_ISA {

// Transforms of the parts, in the slots of their plan -> the spectra of lines, one after the other (Spectrum). Part l
// of channel c of item i is in lane (i r + l) channels + c.
void join(const SplitPlan<float>& plan, const Vector<float>* tile, std::int64_t items, std::int64_t channels,
          float* spectra);
void join(const SplitPlan<double>& plan, const Vector<double>* tile, std::int64_t items, std::int64_t channels,
          double* spectra);

// And back, r times.
void spread(const SplitPlan<float>& plan, const float* spectra, std::int64_t items, std::int64_t channels,
            Vector<float>* tile);
void spread(const SplitPlan<double>& plan, const double* spectra, std::int64_t items, std::int64_t channels,
            Vector<double>* tile);

}  // namespace spectrans::SPECTRANS_ISA
