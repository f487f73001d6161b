// What the kernels mind of this CPU's caches.
#pragma once

namespace spectrans {

// Whether lines that were asked for from memory leave a core free to take others from its second-level cache: as
// measured. (Intel's cores seem to hold a buffer of the first level for each of them, and what this level lacks to wait
// for one.)
bool requests_wait_apart();

}  // namespace spectrans
