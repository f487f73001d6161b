// How a length is split into radices, and the order of samples and bins that this leaves.
#pragma once

#include <cstdint>
#include <vector>

#include "table.h"

namespace spectrans {

// Of the stages, the first one first.
[[nodiscard]] std::vector<std::int64_t> complex_radices(std::int64_t n);
[[nodiscard]] std::vector<std::int64_t> real_radices(std::int64_t n);  // an even one, r, leaves a transform of 2 n / r

// Whether a stage has no twiddles; that of length m = 1 has none.
[[nodiscard]] bool is_coprime(std::int64_t radix, std::int64_t m);

// Output bin of butterfly q and bin k of the transform of length m that follows it.
[[nodiscard]] std::int64_t joined_bin(std::int64_t radix, std::int64_t m, std::int64_t q, std::int64_t k);

// Slot of each sample: those of the first stage, then those of the transforms that follow it.
[[nodiscard]] Table<std::int32_t> sample_slots(std::int64_t n);

// Bin of each slot of a complex transform.
[[nodiscard]] std::vector<std::int64_t> bins_in_place(std::int64_t n);

}  // namespace spectrans
