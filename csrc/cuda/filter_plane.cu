// spectrans::filter_plane: no kernel yet. Calls run on torch.fft.
#include <stdexcept>

#include "kernels.h"

namespace spectrans::cuda {

const char* why_not(const FilterPlane&) { return "there is no CUDA kernel for filters of both axes yet"; }

void filter_plane(const FilterPlane& call, const Stream&) { throw std::logic_error(why_not(call)); }

}  // namespace spectrans::cuda
