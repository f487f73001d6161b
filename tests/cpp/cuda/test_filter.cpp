// The CUDA kernels of filter and filter2d, emulated, against their definition in long double.
#include "../oracle.h"
#include "cuda/kernels.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Complex;
using oracle::Wide;

// irfft2(rfft2(x) H) of one line of h rows, by the definition: the full spectrum times the Hermitian part of H.
std::vector<Wide> filtered(const std::vector<Wide>& x, const std::vector<Complex<Wide>>& response, std::int64_t h,
                           bool adjoint) {
  const std::int64_t n = static_cast<std::int64_t>(x.size()), w = n / h, half = w / 2 + 1;
  std::vector<Complex<Wide>> z(n);
  for (std::int64_t j = 0; j < n; ++j) z[j] = {x[j], 0};
  z = oracle::dft2(z, h, w, -1);
  const auto stored = [&](std::int64_t row, std::int64_t k) {
    const bool mirrored = k >= half;
    const Complex<Wide> value = response[(mirrored ? (h - row) % h : row) * half + (mirrored ? w - k : k)];
    return Complex<Wide>{value.re, mirrored ? -value.im : value.im};
  };
  for (std::int64_t row = 0; row < h; ++row) {
    for (std::int64_t k = 0; k < w; ++k) {
      Complex<Wide> value = stored(row, k);
      if (2 * k % w == 0) {
        const Complex<Wide> other = stored((h - row) % h, k);
        value = {(value.re + other.re) / 2, (value.im - other.im) / 2};
      }
      z[row * w + k] = spectrans::times(z[row * w + k], value.re, adjoint ? -value.im : value.im);
    }
  }
  z = oracle::dft2(z, h, w, 1);
  std::vector<Wide> y(n);
  for (std::int64_t j = 0; j < n; ++j) y[j] = z[j].re / Wide(n);
  return y;
}

// Every storage type, items and channels apart, both layouts.
template <class S>
void check(oracle::Report& report, std::int64_t h, std::int64_t w, std::int64_t batch, std::int64_t d,
           bool channels_first, bool adjoint) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const std::int64_t n = h * w, half = w / 2 + 1;
  Buffer<S> x(oracle::noise(batch * n * d, 1)), y(std::vector<double>(batch * n * d, NAN));
  Buffer<T> response(oracle::noise(2 * h * half * d, 2));
  spectrans::Filter2d call{};
  call.element = element<S>();
  call.x = signal(x, batch, n, d, channels_first);
  call.y = signal(y, batch, n, d, channels_first);
  call.response = response.data();
  call.bin_stride = 2 * d;
  call.channel_stride = 2;
  call.adjoint = adjoint;
  call.h = h;
  Queue queue;
  if (h == 1) {
    spectrans::cuda::filter(call, queue.stream());
  } else {
    spectrans::cuda::filter2d(call, queue.stream());
  }
  std::vector<Wide> expected(batch * n * d);
  std::vector<double> actual(batch * n * d);
  for (std::int64_t item = 0; item < batch; ++item) {
    for (std::int64_t c = 0; c < d; ++c) {
      const auto at = [&](std::int64_t j) { return channels_first ? (item * d + c) * n + j : (item * n + j) * d + c; };
      std::vector<Wide> line(n);
      std::vector<Complex<Wide>> of_channel(h * half);
      for (std::int64_t j = 0; j < n; ++j) line[j] = x[at(j)];
      for (std::int64_t k = 0; k < h * half; ++k) {
        of_channel[k] = {response[2 * (k * d + c)], response[2 * (k * d + c) + 1]};
      }
      line = filtered(line, of_channel, h, adjoint);
      for (std::int64_t j = 0; j < n; ++j) {
        expected[at(j)] = line[j];
        actual[at(j)] = y[at(j)];
      }
    }
  }
  report.check(h == 1 ? "filter" : "filter2d", n, oracle::relative_error(actual, expected), tolerance<S>(n));
}

template <class S>
void lengths(oracle::Report& report) {
  for (const std::int64_t n :
       {1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  12,  14,  15,  16,   18,   20,  21, 24,
        25,  27,  28,  32,  35,  40,  48,  49,  56,  60,  63,  64,  70,  75,   80,   96,  98, 105,
        112, 120, 128, 196, 210, 225, 243, 256, 343, 384, 512, 640, 768, 1000, 1024, 2048}) {
    check<S>(report, 1, n, 2, 3, false, false);
  }
  for (const std::int64_t n : {8, 12, 15, 64, 98, 512}) check<S>(report, 1, n, 3, 5, true, true);
}

}  // namespace

int main() {
  oracle::Report report;
  lengths<float>(report);
  lengths<double>(report);
  for (const std::int64_t n : {6, 15, 64, 196}) {
    check<__half>(report, 1, n, 2, 21, false, false);
    check<__nv_bfloat16>(report, 1, n, 2, 21, false, true);
    check<__half>(report, 1, n, 2, 3, true, false);
  }
  for (const auto& [h, w] : {std::pair<int, int>{14, 14},
                             {7, 7},
                             {2, 2},
                             {3, 4},
                             {4, 3},
                             {1, 6},
                             {5, 1},
                             {32, 32},
                             {16, 12},
                             {9, 10},
                             {8, 2},
                             {2, 16},
                             {6, 8},
                             {5, 16}}) {
    check<float>(report, h, w, 2, 5, false, false);
    check<double>(report, h, w, 1, 3, false, true);
  }
  check<float>(report, 1, 4096, 1, 9, false, false);
  check<double>(report, 1, 4096, 1, 5, false, false);
  check<float>(report, 1, 16384, 1, 1, true, false);
  return report.finish();
}
