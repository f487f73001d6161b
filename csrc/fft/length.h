// Lengths of transforms that may be longer than what is transformed.
#pragma once

#include <cstdint>

#include "export.h"

namespace spectrans {

// One from `least` >= 1 on that takes little time and few roundings.
[[nodiscard]] SPECTRANS_API std::int64_t padded_length(std::int64_t least);

}  // namespace spectrans
