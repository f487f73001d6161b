// Per-thread scratch memory, the only memory a kernel uses beyond its arguments.
#pragma once

#include <cstddef>

#include "../fft/export.h"

namespace spectrans {

// At least `bytes` bytes, aligned to a page, contents undefined; valid until the thread's next call with the same
// room. Two rooms, because a thread that waits for others in the pool also works for them; and one for a kernel that
// calls another.
enum class ScratchRoom { shared, worker, caller };
void* scratch(ScratchRoom room, std::size_t bytes);

}  // namespace spectrans
