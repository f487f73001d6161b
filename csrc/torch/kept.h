// Memory of large results on the CPU, kept for the next ones.
//
// The C library asks the system for large memory at every call, 32 MB or more of it whatever has been freed before, and
// gives it back at once. The system clears it first, which takes several times as long as a transform takes to write
// it. So what large results leave is kept here, up to a limit. To the system it is free: it takes back as much as it
// wants (MADV_FREE), without asking.
#pragma once

#include <cstddef>

namespace spectrans::torch_ops {

// Memory for a result of so many bytes, contents undefined, aligned to a huge page; null where the result is small,
// where nothing is to be kept (SPECTRANS_KEEP_MIB=0), or where memory is not had that way. Never waits.
void* take_kept(std::size_t bytes) noexcept;
// What take_kept gave for so many bytes.
void give_kept(void* block, std::size_t bytes) noexcept;

}  // namespace spectrans::torch_ops
