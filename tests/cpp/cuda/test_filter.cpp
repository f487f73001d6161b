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

// The whole backward pass, or the response's gradient alone.
template <class S>
void check_backward(oracle::Report& report, std::int64_t h, std::int64_t w, std::int64_t batch, std::int64_t d,
                    bool channels_first, bool filters) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const std::int64_t n = h * w, half = w / 2 + 1;
  Buffer<S> grad(oracle::noise(batch * n * d, 3)), x(oracle::noise(batch * n * d, 1));
  Buffer<S> y(std::vector<double>(batch * n * d, NAN)), again(std::vector<double>(batch * n * d, NAN));
  Buffer<T> response(oracle::noise(2 * h * half * d, 2)), sums(std::vector<double>(2 * h * half * d, NAN));
  spectrans::Filter2d call{};
  call.element = element<S>();
  call.x = signal(grad, batch, n, d, channels_first);
  call.with = signal(x, batch, n, d, channels_first);
  call.response_grad = sums.data();
  call.adjoint = true;
  call.h = h;
  if (filters) {
    call.y = signal(y, batch, n, d, channels_first);
    call.response = response.data();
    call.bin_stride = 2 * d;
    call.channel_stride = 2;
  }
  const auto run = [](const spectrans::Filter2d& of) {
    Queue queue;
    if (of.h == 1) {
      spectrans::cuda::filter(of, queue.stream());
    } else {
      spectrans::cuda::filter2d(of, queue.stream());
    }
  };
  run(call);
  std::vector<Wide> expected(2 * h * half * d);
  std::vector<double> actual(expected.size());
  for (std::int64_t c = 0; c < d; ++c) {
    for (std::int64_t item = 0; item < batch; ++item) {
      std::vector<Complex<Wide>> of_grad(n), of_x(n);
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t at = channels_first ? (item * d + c) * n + j : (item * n + j) * d + c;
        of_grad[j] = {grad[at], 0};
        of_x[j] = {x[at], 0};
      }
      of_grad = oracle::dft2(of_grad, h, w, -1);
      of_x = oracle::dft2(of_x, h, w, -1);
      for (std::int64_t bin = 0; bin < h * half; ++bin) {
        const std::int64_t row = bin / half, k = bin % half;
        const Wide weight = Wide(2 * k % w == 0 ? 1 : 2) / Wide(n);
        const Complex<Wide> from = of_x[row * w + k];
        const Complex<Wide> product = spectrans::times_conj(of_grad[row * w + k], from.re, from.im);
        expected[2 * (bin * d + c)] += weight * product.re;
        expected[2 * (bin * d + c) + 1] += weight * product.im;
      }
    }
  }
  for (std::size_t i = 0; i < actual.size(); ++i) actual[i] = sums[static_cast<std::int64_t>(i)];
  // Sums are not rounded to the storage type; one over the batch rounds so many times more.
  report.check(h == 1 ? "filter response_grad" : "filter2d response_grad", n, oracle::relative_error(actual, expected),
               tolerance<T>(n) * static_cast<double>(batch));
  for (std::int64_t row = 0; row < h; ++row) {
    for (std::int64_t k = 0; k < half; ++k) {
      if (2 * k % w != 0 || (h - row) % h != row) continue;
      for (std::int64_t c = 0; c < d; ++c) {
        report.check("imaginary part of a real bin", n, std::fabs(sums[2 * ((row * half + k) * d + c) + 1]), 0);
      }
    }
  }
  if (!filters) return;
  spectrans::Filter2d alone = call;  // the same filter by itself
  alone.response_grad = nullptr;
  alone.with = {};
  alone.y = signal(again, batch, n, d, channels_first);
  run(alone);
  std::vector<Wide> filtered_alone(batch * n * d);
  std::vector<double> filtered_both(batch * n * d);
  for (std::int64_t i = 0; i < batch * n * d; ++i) {
    filtered_alone[i] = again[i];
    filtered_both[i] = y[i];
  }
  report.check(h == 1 ? "filter backward" : "filter2d backward", n,
               oracle::relative_error(filtered_both, filtered_alone), 2 * tolerance<S>(n));
}

// Of one call, what it moves beside what it has to.
void traffic(oracle::Report& report, std::int64_t n, std::int64_t d, bool channels_first, bool is_long = false) {
  Buffer<float> x(oracle::noise(2 * n * d, 1)), y(std::vector<double>(2 * n * d, NAN));
  Buffer<float> response(oracle::noise(2 * (n / 2 + 1) * d, 2));
  spectrans::Filter call{};
  call.element = spectrans::Element::float32;
  call.x = signal(x, 2, n, d, channels_first);
  call.y = signal(y, 2, n, d, channels_first);
  call.response = response.data();
  call.bin_stride = channels_first ? 2 : 2 * d;
  call.channel_stride = channels_first ? 2 * (n / 2 + 1) : 2;
  Queue queue;
  emulation::start_counting();
  spectrans::cuda::filter(call, queue.stream());
  const emulation::Counts counts = emulation::stop_counting();
  std::printf("filter %s n=%lld: sectors %.3f of ideal, bank passes %.3f of ideal (%.2f per real value), %g barriers\n",
              channels_first ? "[d, n]" : "[n, d]", static_cast<long long>(n),
              counts.global_sectors / counts.global_ideal, counts.shared_passes / counts.shared_ideal,
              counts.shared_passes / (2.0 * static_cast<double>(n * d)), counts.barriers);
  if (is_long) {
    // Samples once, rows four times; and the response, which here every item reads for itself, channels first in pieces
    // of four bins that begin anywhere in a sector.
    const double pieces = channels_first ? 2 : 1;
    const double least =
        static_cast<double>(x.bytes() + y.bytes()) * 3 + 2 * pieces * static_cast<double>(response.bytes());
    std::printf("  %.1f bytes a sample, at least %.1f\n", counts.global_bytes / static_cast<double>(2 * n * d),
                least / static_cast<double>(2 * n * d));
    report.check("bytes of long lines", n, counts.global_bytes / least, 1.1);
  }
  // Rows of a response [d, n / 2 + 1] begin anywhere in a sector, which tells where they are short; pieces of long
  // lines may, too.
  if (!channels_first || (n >= 1024 && !is_long))
    report.check("sectors", n, counts.global_sectors / counts.global_ideal, 1.1);
}

// A device whose blocks have room for `tiles` lines of n samples, and none for tables.
template <class S>
Limited too_little(std::int64_t n, int tiles = 1) {
  return Limited(static_cast<int>(tiles * n * sizeof(typename spectrans::cuda::Arithmetic<S>::type)));
}

template <class S>
void long_lengths(oracle::Report& report) {
  for (const std::int64_t n : {96, 100, 105, 135, 200, 243, 256, 343, 441, 512, 840, 1000, 1024, 1575, 2401, 4096}) {
    {
      const Limited device = too_little<S>(n);
      check<S>(report, 1, n, 2, 3, false, false);
      check<S>(report, 1, n, 1, 3, true, true);
    }
    const Limited device = too_little<S>(n, 2);
    check_backward<S>(report, 1, n, 2, 3, false, true);
    check_backward<S>(report, 1, n, 1, 3, true, false);
  }
  // Several slabs: of items, and of an item's channels.
  for (const std::int64_t n : {1000, 1575}) {
    for (const int l2_bytes : {1 << 18, 1 << 15}) {
      const Limited device(16 << 10, l2_bytes);
      check<S>(report, 1, 4 * n, 3, 37, false, false);
      check_backward<S>(report, 1, 4 * n, 3, 5, true, true);
    }
  }
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
  check<float>(report, 1, 9604, 1, 1, true, false);  // two stages make their twiddles from roots
  for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 30, 49, 60, 64, 98, 196, 225, 512}) {
    for (const bool filters : {false, true}) {
      check_backward<float>(report, 1, n, 3, 3, false, filters);
      check_backward<double>(report, 1, n, 20, 1, true, filters);
    }
    check_backward<__half>(report, 1, n, 1, 5, true, true);
  }
  for (const auto& [h, w] : {std::pair<int, int>{14, 14},
                             {7, 7},
                             {2, 2},
                             {3, 4},
                             {4, 3},
                             {1, 6},
                             {5, 1},
                             {16, 12},
                             {9, 10},
                             {8, 2},
                             {2, 16},
                             {5, 16}}) {
    check_backward<float>(report, h, w, 2, 3, false, true);
    check_backward<__nv_bfloat16>(report, h, w, 2, 3, false, true);
    check_backward<double>(report, h, w, 18, 1, false, false);
  }
  for (const std::int64_t n : {128, 196, 256, 512, 768, 1024, 2048, 4096}) {
    traffic(report, n, 32, false);
    traffic(report, n, 4, true);
  }
  {
    const Limited device(24 << 10);
    for (const std::int64_t n : {8192, 12000}) {
      traffic(report, n, 32, false, true);
      traffic(report, n, 4, true, true);
    }
  }
  long_lengths<float>(report);
  long_lengths<double>(report);
  for (const std::int64_t n : {96, 735, 1024}) {
    {
      const Limited device = too_little<float>(n);
      check<__half>(report, 1, n, 2, 37, false, false);
      check<__nv_bfloat16>(report, 1, n, 2, 5, true, true);
    }
    const Limited device = too_little<float>(n, 2);
    check_backward<__half>(report, 1, n, 2, 21, false, true);
  }
  // Chunks of two items, some of them in two slabs.
  check_backward<float>(report, 1, 12, 1031, 1, false, true);
  {
    const Limited device(2 * 96 * sizeof(float), 96 * sizeof(float) * 37);
    check_backward<float>(report, 1, 96, 1031, 1, false, true);
  }
  check<float>(report, 1, 65536, 1, 3, false, false);
  check<float>(report, 1, 1 << 20, 1, 1, true, false);
  return report.finish();
}
