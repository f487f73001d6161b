// What a kernel is asked to do, on any device: pointers, sizes and strides, no Tensor.
#pragma once

#include <cstdint>

namespace spectrans {

enum class Element { float32, float64, bfloat16, float16 };

constexpr int kMaxBatchAxes = 62, kMaxAxes = 65;  // but for those of size 1

// A tensor [batch axes ..., n, d], strides in elements, any of them zero or negative where it is only read.
struct Signal {
  void* data;
  std::int64_t n, d, n_stride, d_stride;
  std::int64_t batch;  // product of the batch axes
  int axes;
  std::int64_t size[kMaxBatchAxes], stride[kMaxBatchAxes];
};

// y = scale Re(DFT x), or scale (Re - Im)(DFT x) when hartley, over the sequence and / or the hidden axis.
struct Mixing {
  Element element;
  Signal x, y;
  bool sequence, hidden, hartley;
  double scale;
};

// Fixed response:  y = irfft(rfft(x) H)        response [n / 2 + 1, d, 2], float or (float64) double, its pairs
//                                              contiguous and one of its strides 2
// adjoint:         the same with conj(H)
// Response gradient: response_grad[k] = c_k / n sum over the batch of conj(rfft(with)) rfft(x), c = 1 at DC and
// Nyquist, else 2. Either of (response, y) and (with, response_grad) may be absent (null data): what is there is
// computed in one pass over x, so that {x: grad, adjoint, with: input} is the whole backward.
struct Filter {
  Element element;
  Signal x, y, with;
  const void* response;
  std::int64_t bin_stride, channel_stride;  // of the response
  void* response_grad;                      // contiguous
  bool adjoint;
};

// The same over a grid of tokens, n = h w in row-major order:
// y = irfft2(rfft2(x) H)        response [h, w / 2 + 1, d, 2], its channels side by side
// In the columns 0 and (even w) w / 2 of the half spectrum only (H[kh] + conj H[-kh]) / 2 acts; the response gradient
// is 1 / n sum conj(rfft2(with)) rfft2(x) there, twice that elsewhere.
struct Filter2d : Filter {
  std::int64_t h;
};

// Over both axes, sequence and channels:
// y = Re ifft2(fft2(x) H)       response [n, d, 2], contiguous, of which (H[k] + conj H[-k]) / 2 acts
// Its gradient is that part of 1 / (n d) sum conj(fft2(with)) fft2(x).
struct FilterPlane : Filter {};

// What of a response at all frequencies, H = real + i imag, a real signal sees, at those of a half spectrum:
//   half[k] = (H[k] + conj H[-k]) / 2                 real, imag [n, d], half [n / 2 + 1, d, 2], contiguous
// adjoint: real and imag from half instead, a gradient: half of it at k, the conjugate of that at -k; where these are
// one, its real part.
struct HermitianHalf {
  Element element;  // float32 or float64
  std::int64_t n, d;
  void *real, *imag, *half;
  bool adjoint;
};

// Linear convolution along the sequence, with v = pre u and lags from -(n - 1) to n - 1:
//   y[t] = post[t] (sum_s k[s] v[t - s + offset] + skip v[t])      offset 0 where causal, else (k.n - 1) / 2
//   adjoint: k[s] v[t + s - offset] instead
// k [taps, d] and skip [d], contiguous, are float or (float64) double; pre, post and skip may be absent (null data).
// Backward, where grad has data, y is not computed; with h the sum above, p = post grad and r the adjoint of p:
//   grad_u = pre r, grad_pre = u r, grad_post = grad h (the latter two where pre and post are),
//   grad_k[s] = sum over the batch and t of p[t] v[t - s + offset]; where skip is, h and r include its product.
struct Conv {
  Element element;
  Signal u, k, pre, post;
  const void* skip;
  bool causal, adjoint;
  Signal y;
  Signal grad, grad_u, grad_k, grad_pre, grad_post;
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

// Sums of squares:  energy[i] = sum over the reduced axes of x^2, i over the kept axes in row-major order.
struct Energy {
  Element element;
  const void* x;
  int kept, reduced;                              // numbers of axes
  std::int64_t size[kMaxAxes], stride[kMaxAxes];  // of the kept axes, then of the reduced ones
  double* energy;
};

// One tensor, or two whose energies have as many elements, in one go.
struct Energies {
  Energy of[2];
  int count;
};

// error[i] = ||T T^H - I||_F of each matrix T of the batch; pairs: T is complex, (re, im) side by side, strides in
// real numbers.
struct Orthogonality {
  Element element;
  bool pairs;
  Signal t;  // [batch, m, n]
  double* error;
};

// The largest singular value of each matrix of the batch, x v = value u and x^H u = value v. Rows or columns are
// contiguous: d_stride or n_stride is 1 (pairs: 2). value, u, v are contiguous, float or (float64) double; zero
// vectors for a zero matrix; NaN, and zero vectors, for one that is not finite.
struct SpectralNorm {
  // Real numbers of the shorter side up to which kernels are as quick with either layout; beyond it, they like the
  // shorter side to be contiguous.
  static constexpr std::int64_t kFew = 32;

  Element element;
  bool pairs;
  Signal x;  // [batch, m, d]
  void *value, *u, *v;
};

// Where re^2 + im^2 is largest in each row of pairs [batch, count, 2], contiguous, count > 0: the first such place, or
// the first NaN.
struct LargestModulus {
  Element element;  // float32 or float64
  const void* pairs;
  std::int64_t batch, count;
  std::int64_t* index;
};

}  // namespace spectrans
