#include "length.h"

#include <bit>
#include <initializer_list>

namespace spectrans {

std::int64_t padded_length(std::int64_t least) {
  std::int64_t best = 0;
  for (const std::int64_t odd : {1, 3, 5, 9, 15}) {
    const auto times = static_cast<std::uint64_t>((least + odd - 1) / odd);
    const std::int64_t length = odd * static_cast<std::int64_t>(std::bit_ceil(times));
    if (best == 0 || length < best) best = length;
  }
  return best;
}

}  // namespace spectrans
