// What the kernels mind of this CPU's caches.
#pragma once

namespace spectrans {

// Whether lines that were asked for from memory leave a core free to take others from its second-level cache: as
// measured. (Intel's cores seem to hold a buffer of the first level for each of them, and what this level lacks to wait
// for one.)
bool requests_wait_apart();

// Whether what another core has just written is read sooner than it could be calculated again: as measured, with two
// threads of a Zen 3, where it is, and of a Xeon.
bool cores_pass_lines();

}  // namespace spectrans
