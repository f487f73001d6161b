// The CPU kernels: pointers and strides in and out; no Tensor, no allocation beyond per-thread scratch.
#pragma once

#include <cstdint>

#include "../fft/export.h"

namespace spectrans {

enum class Element { float32, float64, bfloat16, float16 };

constexpr int kMaxBatchAxes = 62;

// A tensor [batch axes ..., n, d], strides in elements, any of them zero or negative where it is only read.
struct Signal {
  void* data;
  std::int64_t n, d, n_stride, d_stride;
  std::int64_t batch;  // product of the batch axes
  int axes;
  std::int64_t size[kMaxBatchAxes], stride[kMaxBatchAxes];
};

// The caller's thread pool: calls body(begin, end, context) on disjoint ranges that cover 0 .. count.
struct ThreadPool {
  void (*run)(std::int64_t count, std::int64_t grain, void (*body)(std::int64_t, std::int64_t, void*), void* context);
  int threads;
};

// y = scale Re(DFT x), or scale (Re - Im)(DFT x) when hartley, over the sequence and / or the hidden axis.
struct Mixing {
  Element element;
  Signal x, y;
  bool sequence, hidden, hartley;
  double scale;
};

// Fixed response:  y = irfft(rfft(x) H)        response [n / 2 + 1, d, 2], contiguous, float or (float64) double
// adjoint:         the same with conj(H)
// Response gradient: response_grad[k] = c_k / n sum over the batch of conj(rfft(with)) rfft(x), c = 1 at DC and
// Nyquist, else 2. Either of (response, y) and (with, response_grad) may be absent (null data): what is there is
// computed in one pass over x, so that {x: grad, adjoint, with: input} is the whole backward.
struct Filter {
  Element element;
  Signal x, y, with;
  const void* response;
  void* response_grad;
  bool adjoint;
};

// The first bins of a half spectrum:  bins[k] = w_k sum_j x[j] exp(-2 pi i j k / n),  k < bins.n <= n / 2 + 1
// inverse, from them alone:           x[j] = sum_k w_k Re(bins[k] exp(2 pi i j k / n))
// w_k = n^(-norm / 2), where mirrored times the number of bins that k stands for: 1 at DC and Nyquist, else 2.
// The imaginary part at DC and Nyquist is zero, and not read.
struct Modes {
  Element element;  // of x
  Signal x;
  Signal bins;  // [batch, modes, d] pairs (re, im) of floats or (float64) doubles, strides in floats
  bool inverse, mirrored;
  int norm;  // 0, 1, 2
};

SPECTRANS_API void mixing(const Mixing& call, const ThreadPool& pool);
SPECTRANS_API void filter(const Filter& call, const ThreadPool& pool);
SPECTRANS_API void modes(const Modes& call, const ThreadPool& pool);

// The instruction set in use (chosen once, from the CPU and the variable SPECTRANS_CPU), and those this CPU could
// run, best first, ending in a null pointer.
SPECTRANS_API const char* instruction_set();
SPECTRANS_API const char* const* available_instruction_sets();

}  // namespace spectrans
