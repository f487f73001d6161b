// The CUDA kernels of modes and its inverse, emulated, against their definition in long double.
#include "../oracle.h"
#include "cuda/kernels.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Complex;
using oracle::Wide;

struct Case {
  std::int64_t n, modes, batch, d;
  bool channels_first, mirrored;
  int norm;
};

Wide weight(const Case& of, std::int64_t k) {
  const Wide n = of.n, norm = of.norm == 0 ? 1 : of.norm == 1 ? 1 / std::sqrt(n) : 1 / n;
  return norm * (of.mirrored && 2 * k % of.n != 0 ? 2 : 1);
}

std::vector<Complex<Wide>> forward(const Case& of, std::vector<Complex<Wide>> x) {
  x = oracle::dft(x, -1);
  x.resize(of.modes);
  for (std::int64_t k = 0; k < of.modes; ++k) x[k] = {x[k].re * weight(of, k), x[k].im * weight(of, k)};
  return x;
}

std::vector<Complex<Wide>> inverse(const Case& of, std::vector<Complex<Wide>> bins) {
  bins.resize(of.n, {0, 0});
  for (std::int64_t k = 0; k < of.modes; ++k) {
    bins[k] = {bins[k].re * weight(of, k), 2 * k % of.n == 0 ? Wide(0) : bins[k].im * weight(of, k)};
  }
  return oracle::dft(bins, 1);
}

// Where sample j (bin k, in pairs) of an item's channel lies, contiguous.
std::int64_t place(const Case& of, std::int64_t length, std::int64_t item, std::int64_t j, std::int64_t c) {
  return of.channels_first ? (item * of.d + c) * length + j : (item * length + j) * of.d + c;
}

template <class T>
spectrans::Signal bins_signal(Buffer<T>& bins, const Case& of) {
  spectrans::Signal result = signal(bins, of.batch, of.modes, of.d, of.channels_first);
  result.n_stride *= 2;
  result.d_stride *= 2;
  result.stride[0] *= 2;
  return result;
}

template <class S>
spectrans::Modes call_of(const Case& of, bool inverse) {
  spectrans::Modes call{};
  call.element = element<S>();
  call.inverse = inverse;
  call.mirrored = of.mirrored;
  call.norm = of.norm;
  return call;
}

template <class S>
void check_forward(oracle::Report& report, const Case& of) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  Buffer<S> x(oracle::noise(of.batch * of.n * of.d, 1));
  Buffer<T> bins(std::vector<double>(2 * of.batch * of.modes * of.d, NAN));
  spectrans::Modes call = call_of<S>(of, false);
  call.x = signal(x, of.batch, of.n, of.d, of.channels_first);
  call.bins = bins_signal(bins, of);
  report.check("modes: why not", of.n, spectrans::cuda::why_not(call) == nullptr ? 0 : 1, 0);
  Queue queue;
  spectrans::cuda::modes(call, queue.stream());
  std::vector<Wide> expected(2 * of.batch * of.modes * of.d);
  std::vector<double> actual(expected.size());
  bool edges = true;
  for (std::int64_t item = 0; item < of.batch; ++item) {
    for (std::int64_t c = 0; c < of.d; ++c) {
      std::vector<Complex<Wide>> line(of.n);
      for (std::int64_t j = 0; j < of.n; ++j) line[j] = {x[place(of, of.n, item, j, c)], 0};
      line = forward(of, line);
      for (std::int64_t k = 0; k < of.modes; ++k) {
        const std::int64_t at = 2 * place(of, of.modes, item, k, c);
        expected[at] = line[k].re;
        expected[at + 1] = 2 * k % of.n == 0 ? Wide(0) : line[k].im;
        actual[at] = bins[at];
        actual[at + 1] = bins[at + 1];
        edges = edges && (2 * k % of.n != 0 || bins[at + 1] == 0);
      }
    }
  }
  report.check("modes", of.n, oracle::relative_error(actual, expected), tolerance<T>(of.n));
  report.check("modes: the imaginary part at DC and Nyquist is zero", of.n, edges ? 0 : 1, 0);
}

// The imaginary parts at DC and Nyquist are NaN: they must not be read.
template <class S>
void check_inverse(oracle::Report& report, const Case& of) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  std::vector<double> values = oracle::noise(2 * of.batch * of.modes * of.d, 2);
  for (std::int64_t item = 0; item < of.batch; ++item) {
    for (std::int64_t c = 0; c < of.d; ++c) {
      for (std::int64_t k = 0; k < of.modes; ++k) {
        if (2 * k % of.n == 0) values[2 * place(of, of.modes, item, k, c) + 1] = NAN;
      }
    }
  }
  Buffer<T> bins(values);
  Buffer<S> x(std::vector<double>(of.batch * of.n * of.d, NAN));
  spectrans::Modes call = call_of<S>(of, true);
  call.x = signal(x, of.batch, of.n, of.d, of.channels_first);
  call.bins = bins_signal(bins, of);
  Queue queue;
  spectrans::cuda::modes(call, queue.stream());
  std::vector<Wide> expected(of.batch * of.n * of.d);
  std::vector<double> actual(expected.size());
  for (std::int64_t item = 0; item < of.batch; ++item) {
    for (std::int64_t c = 0; c < of.d; ++c) {
      std::vector<Complex<Wide>> line(of.modes);
      for (std::int64_t k = 0; k < of.modes; ++k) {
        const std::int64_t at = 2 * place(of, of.modes, item, k, c);
        line[k] = {bins[at], bins[at + 1]};
      }
      line = inverse(of, line);
      for (std::int64_t j = 0; j < of.n; ++j) {
        const std::int64_t at = place(of, of.n, item, j, c);
        expected[at] = line[j].re;
        actual[at] = x[at];
      }
    }
  }
  report.check("modes, inverse", of.n, oracle::relative_error(actual, expected), tolerance<S>(of.n));
}

template <class S>
void check(oracle::Report& report, const Case& of) {
  check_forward<S>(report, of);
  check_inverse<S>(report, of);
}

template <class S>
void lengths(oracle::Report& report) {
  int turn = 0;  // of layouts, weights and counts of modes: all combinations come up
  for (const std::int64_t n : {1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  12,  14,  15,  16,  18,   20,  21,
                               24,  25,  27,  28,  32,  35,  36,  40,  48,  49,  63,  64,  70,  75,  80,   96,  98,
                               105, 112, 120, 128, 196, 210, 225, 243, 256, 343, 384, 512, 640, 768, 1000, 1024}) {
    const std::int64_t half = n / 2 + 1;
    std::vector<std::int64_t> counts = {1, half};
    for (const std::int64_t count : {half - 1, half / 2, half / 16, std::int64_t{2}}) {
      if (count >= 1 && count <= half) counts.push_back(count);
    }
    for (const std::int64_t modes : counts) {
      check<S>(report, {n, modes, 2, 3, turn % 2 == 1, turn % 4 >= 2, turn % 3});
      ++turn;
    }
  }
}

// Lines that a block has no room for: on a device whose blocks have little, and long ones.
template <class S>
void long_lengths(oracle::Report& report) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  int turn = 0;
  for (const std::int64_t n : {96, 105, 243, 343, 512, 1000, 1575, 4096}) {
    const Limited device(static_cast<int>(n * sizeof(T)));
    for (const std::int64_t modes : {std::int64_t{1}, n / 3, n / 2 + 1}) {
      for (const bool channels_first : {false, true}) {
        check<S>(report, {n, modes, 2, 5, channels_first, turn % 2 == 1, turn % 3});
        ++turn;
      }
    }
  }
  const Limited device(16 << 10, 1 << 16);  // several slabs
  check<S>(report, {6300, 1000, 3, 37, false, true, 2});
  check<S>(report, {6300, 3151, 3, 5, true, false, 1});
}

// Bins that are not aligned as pairs, samples back to front, one channel for all: strides of every kind.
void check_strides(oracle::Report& report) {
  const Case of{24, 7, 2, 3, false, true, 1};
  for (const bool aligned : {true, false}) {
    const std::int64_t pitch = aligned ? 8 : 7, first = aligned ? 0 : 1;
    Buffer<float> bins(oracle::noise(first + of.batch * of.modes * pitch, 3));
    Buffer<float> x(std::vector<double>(of.batch * of.n * of.d, NAN));
    spectrans::Modes call = call_of<float>(of, true);
    call.x = signal(x, of.batch, of.n, of.d);
    call.x.data = static_cast<float*>(x.data()) + (of.n - 1) * of.d;
    call.x.n_stride = -of.d;
    call.bins = bins_signal(bins, of);
    call.bins.data = static_cast<float*>(bins.data()) + first;
    call.bins.n_stride = pitch;
    call.bins.d_stride = 0;
    call.bins.stride[0] = of.modes * pitch;
    Queue queue;
    spectrans::cuda::modes(call, queue.stream());
    std::vector<Wide> expected(of.batch * of.n * of.d);
    std::vector<double> actual(expected.size());
    for (std::int64_t item = 0; item < of.batch; ++item) {
      std::vector<Complex<Wide>> line(of.modes);
      for (std::int64_t k = 0; k < of.modes; ++k) {
        const std::int64_t at = first + (item * of.modes + k) * pitch;
        line[k] = {bins[at], bins[at + 1]};
      }
      line = inverse(of, line);
      for (std::int64_t i = 0; i < of.n * of.d; ++i) {
        expected[item * of.n * of.d + i] = line[of.n - 1 - i / of.d].re;
        actual[item * of.n * of.d + i] = x[item * of.n * of.d + i];
      }
    }
    report.check("modes, inverse, strides", of.n, oracle::relative_error(actual, expected), tolerance<float>(of.n));

    Buffer<float> one(oracle::noise(of.batch * of.n, 4)), out(std::vector<double>(first + 2 * 42, NAN));
    call.inverse = false;
    call.x = signal(one, of.batch, of.n, 1);
    call.x.d = of.d;
    call.x.d_stride = 0;
    call.bins = bins_signal(out, of);
    call.bins.data = static_cast<float*>(out.data()) + first;
    spectrans::cuda::modes(call, queue.stream());
    expected.resize(2 * 42);
    actual.resize(2 * 42);
    for (std::int64_t item = 0; item < of.batch; ++item) {
      std::vector<Complex<Wide>> line(of.n);
      for (std::int64_t j = 0; j < of.n; ++j) line[j] = {one[item * of.n + j], 0};
      line = forward(of, line);
      for (std::int64_t i = 0; i < of.modes * of.d; ++i) {
        const std::int64_t at = 2 * (item * of.modes * of.d + i);
        expected[at] = line[i / of.d].re;
        expected[at + 1] = line[i / of.d].im;
        actual[at] = out[first + at];
        actual[at + 1] = out[first + at + 1];
      }
    }
    report.check("modes, strides", of.n, oracle::relative_error(actual, expected), tolerance<float>(of.n));
  }
}

// Memory moves little more than it must, and bins that are cut off cost no work.
void check_traffic(oracle::Report& report) {
  for (const bool channels_first : {false, true}) {
    for (const std::int64_t modes : {16, 64, 129}) {
      for (const bool inverse : {false, true}) {
        const Case of{256, modes, 2, 64, channels_first, false, 0};
        Buffer<float> x(oracle::noise(of.batch * of.n * of.d, 5)), bins(oracle::noise(2 * of.batch * modes * of.d, 6));
        spectrans::Modes call = call_of<float>(of, inverse);
        call.x = signal(x, of.batch, of.n, of.d, channels_first);
        call.bins = bins_signal(bins, of);
        Queue queue;
        const auto counted = [&] {
          emulation::start_counting();
          spectrans::cuda::modes(call, queue.stream());
          return emulation::stop_counting();
        };
        const emulation::Counts counts = counted();
        const double least = static_cast<double>(x.bytes() + bins.bytes());
        report.check("modes: bytes moved", of.n, counts.global_bytes / least - 1, 0.1);
        // Channels first, bins lie where a line's begin: sectors that two requests share come from the first cache.
        if (!channels_first)
          report.check("modes: sectors requested", of.n, counts.global_sectors / counts.global_ideal - 1, 0.1);
        if (inverse || modes < 129) continue;
        call.bins.n = 1;
        report.check("modes: work left out", of.n, counted().shared_ideal / counts.shared_ideal, 0.9);
      }
    }
  }
}

void check_why_not(oracle::Report& report) {
  const auto refused = [](std::int64_t n, int axes) {
    spectrans::Modes call{};
    call.element = spectrans::Element::float32;
    call.x.n = n;
    call.x.d = 1;
    call.bins.n = 1;
    call.x.axes = axes;
    return spectrans::cuda::why_not(call) != nullptr;
  };
  report.check("modes: why not", 1024, refused(1024, 1) ? 1 : 0, 0);
  report.check("modes: why not, long", 1 << 20, refused(1 << 20, 1) ? 1 : 0, 0);
  report.check("modes: why not, too long", 1 << 21, refused(1 << 21, 1) ? 0 : 1, 0);
  report.check("modes: why not, prime", 1022, refused(1022, 1) ? 0 : 1, 0);
  report.check("modes: why not, axes", 1024, refused(1024, 7) ? 0 : 1, 0);
}

}  // namespace

int main() {
  oracle::Report report;
  lengths<float>(report);
  lengths<double>(report);
  for (const std::int64_t n : {6, 15, 64, 196}) {
    for (const std::int64_t modes : {std::int64_t{3}, n / 2 + 1}) {
      for (const bool channels_first : {false, true}) {
        check<__half>(report, {n, modes, 2, 21, channels_first, true, 2});
        check<__nv_bfloat16>(report, {n, modes, 3, 21, channels_first, false, 1});
      }
    }
  }
  check<float>(report, {4096, 65, 1, 9, false, true, 2});
  check<double>(report, {4096, 2049, 1, 3, true, false, 1});
  check<float>(report, {16384, 5000, 1, 1, true, false, 0});
  long_lengths<float>(report);
  long_lengths<double>(report);
  {
    const Limited device(735 * sizeof(float));
    check<__half>(report, {735, 99, 2, 37, false, true, 0});
    check<__nv_bfloat16>(report, {735, 368, 2, 3, true, false, 1});
  }
  check<float>(report, {65536, 513, 1, 2, true, false, 2});
  check_strides(report);
  check_traffic(report);
  check_why_not(report);
  return report.finish();
}
