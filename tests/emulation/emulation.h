// A block of CUDA threads as fibres of one host thread: every access to memory is checked, and may be counted.
//
// What it finds, a GPU would not tell: reads of shared memory that nobody has written, accesses outside an allocation,
// two threads on one place of shared memory between two barriers, barriers that not all threads reach, and shuffles
// that not all of their lanes do. The first such finding makes launch() throw std::runtime_error when the grid has run.
// Fibres take turns at barriers and shuffles only, in an order that changes from one barrier to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulation {

struct Dim3 {
  unsigned x, y, z;
  Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

Dim3 thread_index();
Dim3 block_index();
Dim3 block_size();
Dim3 grid_size();

// What the emulated device says of itself.
struct Limits {
  int shared_bytes = 227 * 1024;  // of a block
  int multiprocessors = 4;
  int l2_bytes = 50 << 20;
};
Limits& limits();

void launch(Dim3 grid, int threads, int shared_bytes, const std::function<void()>& kernel);

// -- called by kernels -----------------------------------------------------------------------------------------------

void barrier(int site);
// What the lane `from` of this warp gives, of the lanes in `mask`, all of which come here.
std::uint64_t shuffle(unsigned mask, std::uint64_t value, int from, int site);
unsigned char* shared_memory();
// Whether the access may be made; sites tell instructions apart.
bool reads_global(const void* at, int bytes, int site);
bool writes_global(void* at, int bytes, int site);
bool reads_shared(const void* at, int bytes, int site);
bool writes_shared(void* at, int bytes, int site);

// -- global memory ---------------------------------------------------------------------------------------------------

// Global memory that kernels may use while this lives. Without any, every global access is let through.
class Registered {
 public:
  Registered(const void* begin, std::size_t bytes);
  ~Registered();
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;

 private:
  const unsigned char* begin_;
};

// -- counts ----------------------------------------------------------------------------------------------------------

// Of the launches while counting; requests are those of whole warps.
struct Counts {
  // Sectors of 32 bytes that global requests touch, one request at a time, and how many would hold the bytes asked for.
  double global_sectors = 0, global_ideal = 0;
  double global_bytes = 0;  // of all sectors that a block touches, each counted once between two barriers
  // Passes over the banks that shared requests take, and how few it could be.
  double shared_passes = 0, shared_ideal = 0;
  double barriers = 0;  // of all blocks
};

void start_counting();
Counts stop_counting();

}  // namespace emulation
