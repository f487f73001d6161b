// Kernels against their definitions in wider types, at the instruction set SPECTRANS_CPU names.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>

#include "fft/plan.h"
#include "oracle.h"

namespace {

using oracle::Complex;
using oracle::WiderThan;

template <class T>
constexpr spectrans::Element kElement =
    std::is_same_v<T, double> ? spectrans::Element::float64 : spectrans::Element::float32;

// Roundings grow like the number of stages.
template <class T>
double tolerance(std::int64_t n) {
  return 4 * std::numeric_limits<T>::epsilon() * std::log2(2.0 + static_cast<double>(n));
}

template <class T>
std::vector<T> draw(std::int64_t count, unsigned seed) {
  const std::vector<double> values = oracle::noise(count, seed);
  return {values.begin(), values.end()};
}

// Of so few bits that products of four and sums of many of them are exact in double.
template <class T>
std::vector<T> draw_coarse(std::int64_t count, unsigned seed) {
  std::vector<T> values = draw<T>(count, seed);
  for (T& value : values) value = std::round(value * 128) / 128;
  return values;
}

template <class T>
std::vector<Complex<WiderThan<T>>> line(const std::vector<T>& x, std::int64_t start, std::int64_t stride,
                                        std::int64_t n) {
  std::vector<Complex<WiderThan<T>>> result(n);
  for (std::int64_t j = 0; j < n; ++j) result[j] = {x[start + j * stride], 0};
  return result;
}

template <class T>
void mixing(oracle::Report& report, std::int64_t n, std::int64_t d, bool both, bool hartley) {
  if (!report.takes()) return;
  using Wide = WiderThan<T>;
  const std::int64_t batch = 3;
  std::vector<T> x = draw<T>(batch * n * d, 1), y(x.size(), std::numeric_limits<T>::quiet_NaN());
  const std::vector<T> before = x;
  const spectrans::Mixing call{
      kElement<T>, oracle::signal(x.data(), batch, n, d), oracle::signal(y.data(), batch, n, d), true, both, hartley,
      1.0};
  spectrans::mixing(call, oracle::pool(2));
  std::vector<Wide> expected(x.size());
  for (std::int64_t b = 0; b < batch; ++b) {
    std::vector<std::vector<Complex<Wide>>> columns(d);
    for (std::int64_t c = 0; c < d; ++c) columns[c] = oracle::dft(line(x, b * n * d + c, d, n), -1);
    for (std::int64_t j = 0; j < n; ++j) {
      std::vector<Complex<Wide>> row(d);
      for (std::int64_t c = 0; c < d; ++c) row[c] = columns[c][j];
      if (both) row = oracle::dft(row, -1);
      for (std::int64_t c = 0; c < d; ++c) expected[(b * n + j) * d + c] = row[c].re - (hartley ? row[c].im : 0);
    }
  }
  report.check(hartley ? "hartley" : "fourier", n, oracle::relative_error(y, expected), tolerance<T>(both ? n * d : n));
  report.check("input unchanged", n, x == before ? 0 : 1, 0);
}

template <class T>
void filter(oracle::Report& report, std::int64_t n, std::int64_t d, bool adjoint) {
  if (!report.takes()) return;
  using Wide = WiderThan<T>;
  const std::int64_t batch = 3, bins = n / 2 + 1;
  std::vector<T> x = draw<T>(batch * n * d, 2), g = draw<T>(batch * n * d, 3), h = draw<T>(bins * d * 2, 4);
  std::vector<T> y(x.size()), gradient(h.size());
  spectrans::Filter call{};
  call.element = kElement<T>;
  call.x = oracle::signal(g.data(), batch, n, d);
  call.with = oracle::signal(x.data(), batch, n, d);
  call.y = oracle::signal(y.data(), batch, n, d);
  call.response = h.data();
  call.bin_stride = 2 * d;
  call.channel_stride = 2;
  call.response_grad = gradient.data();
  call.adjoint = adjoint;
  spectrans::filter(call, oracle::pool(1));

  std::vector<Wide> expected(x.size()), expected_gradient(h.size(), 0);
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < d; ++c) {
      std::vector<Complex<Wide>> spectrum = oracle::dft(line(g, b * n * d + c, d, n), -1);
      const std::vector<Complex<Wide>> with = oracle::dft(line(x, b * n * d + c, d, n), -1);
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t bin = 2 * k <= n ? k : n - k;
        const bool alone = 2 * k % n == 0;
        const Wide re = h[2 * (bin * d + c)], im = alone ? 0 : h[2 * (bin * d + c) + 1];
        if (2 * k <= n) {
          const Complex<Wide> product = spectrans::times_conj(spectrum[k], with[k].re, with[k].im);
          expected_gradient[2 * (k * d + c)] += (alone ? 1 : 2) * product.re / n;
          expected_gradient[2 * (k * d + c) + 1] += alone ? 0 : 2 * product.im / n;
        }
        spectrum[k] = spectrans::times(spectrum[k], re, ((2 * k <= n) != adjoint) ? im : -im);
      }
      const std::vector<Complex<Wide>> back = oracle::dft(spectrum, 1);
      for (std::int64_t j = 0; j < n; ++j) expected[(b * n + j) * d + c] = back[j].re / n;
    }
  }
  report.check("filter", n, oracle::relative_error(y, expected), tolerance<T>(n));
  report.check("response gradient", n, oracle::relative_error(gradient, expected_gradient), tolerance<T>(n));
}

// x [h, w] with steps of stride from start -> its two-dimensional transform [h, w]
template <class T>
std::vector<Complex<WiderThan<T>>> grid_dft(const std::vector<T>& x, std::int64_t start, std::int64_t stride,
                                            std::int64_t h, std::int64_t w) {
  return oracle::dft2(line(x, start, stride, h * w), h, w, -1);
}

template <class T>
void filter2d(oracle::Report& report, std::int64_t h, std::int64_t w, std::int64_t d, bool adjoint) {
  if (!report.takes()) return;
  using Wide = WiderThan<T>;
  const std::int64_t batch = 3, n = h * w, half = w / 2 + 1;
  std::vector<T> x = draw<T>(batch * n * d, 2), g = draw<T>(batch * n * d, 3), response = draw<T>(h * half * d * 2, 4);
  std::vector<T> y(x.size()), gradient(response.size());
  spectrans::Filter2d call{};
  call.element = kElement<T>;
  call.x = oracle::signal(g.data(), batch, n, d);
  call.with = oracle::signal(x.data(), batch, n, d);
  call.y = oracle::signal(y.data(), batch, n, d);
  call.response = response.data();
  call.bin_stride = 2 * d;
  call.channel_stride = 2;
  call.response_grad = gradient.data();
  call.adjoint = adjoint;
  call.h = h;
  spectrans::filter2d(call, oracle::pool(1));

  std::vector<Wide> expected(x.size()), expected_gradient(response.size(), 0);
  const auto at = [&](std::int64_t kh, std::int64_t kw, std::int64_t c) {
    const std::size_t i = 2 * ((kh % h * half + kw) * d + c);
    return Complex<Wide>{response[i], response[i + 1]};
  };
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < d; ++c) {
      std::vector<Complex<Wide>> spectrum = grid_dft(g, b * n * d + c, d, h, w);
      const std::vector<Complex<Wide>> with = grid_dft(x, b * n * d + c, d, h, w);
      for (std::int64_t kh = 0; kh < h; ++kh) {
        for (std::int64_t kw = 0; kw < w; ++kw) {
          Complex<Wide>& bin = spectrum[kh * w + kw];
          const bool both = 2 * kw % w == 0;  // the half spectrum holds the mirror image, too
          if (kw < half) {
            const Complex<Wide> partner = with[kh * w + kw];
            const Complex<Wide> product = spectrans::times_conj(bin, partner.re, partner.im);
            const std::size_t i = 2 * ((kh * half + kw) * d + c);
            expected_gradient[i] += (both ? 1 : 2) * product.re / n;
            expected_gradient[i + 1] += (both ? 1 : 2) * product.im / n;
          }
          const Complex<Wide> own = at(kh, kw < half ? kw : w - kw, c);
          const Complex<Wide> image = at(h - kh, kw < half ? kw : w - kw, c);
          Complex<Wide> acting = kw < half ? own : Complex<Wide>{image.re, -image.im};
          if (both) acting = {(own.re + image.re) / 2, (own.im - image.im) / 2};
          bin = spectrans::times(bin, acting.re, adjoint ? -acting.im : acting.im);
        }
      }
      const std::vector<Complex<Wide>> back = oracle::dft2(spectrum, h, w, 1);
      for (std::int64_t j = 0; j < n; ++j) expected[(b * n + j) * d + c] = back[j].re / n;
    }
  }
  report.check("filter2d", n, oracle::relative_error(y, expected), tolerance<T>(n));
  report.check("grid response gradient", n, oracle::relative_error(gradient, expected_gradient), tolerance<T>(n));
}

template <class T>
void filter_plane(oracle::Report& report, std::int64_t n, std::int64_t d, bool adjoint) {
  if (!report.takes()) return;
  using Wide = WiderThan<T>;
  const std::int64_t batch = 3, size = n * d;
  std::vector<T> x = draw<T>(batch * size, 2), g = draw<T>(batch * size, 3), response = draw<T>(2 * size, 4);
  std::vector<T> y(x.size()), gradient(response.size());
  spectrans::FilterPlane call{};
  call.element = kElement<T>;
  call.x = oracle::signal(g.data(), batch, n, d);
  call.with = oracle::signal(x.data(), batch, n, d);
  call.y = oracle::signal(y.data(), batch, n, d);
  call.response = response.data();
  call.response_grad = gradient.data();
  call.adjoint = adjoint;
  spectrans::filter_plane(call, oracle::pool(1));

  std::vector<Wide> expected(x.size()), expected_gradient(response.size(), 0);
  for (std::int64_t b = 0; b < batch; ++b) {
    std::vector<Complex<Wide>> spectrum = grid_dft(g, b * size, 1, n, d);
    const std::vector<Complex<Wide>> with = grid_dft(x, b * size, 1, n, d);
    for (std::int64_t k = 0; k < n; ++k) {
      for (std::int64_t l = 0; l < d; ++l) {
        const std::int64_t i = k * d + l, image = (n - k) % n * d + (d - l) % d;
        const Complex<Wide> product = spectrans::times_conj(spectrum[i], with[i].re, with[i].im);
        expected_gradient[2 * i] += product.re / size;
        expected_gradient[2 * i + 1] += product.im / size;
        const Wide re = (Wide(response[2 * i]) + response[2 * image]) / 2;
        const Wide im = (Wide(response[2 * i + 1]) - response[2 * image + 1]) / 2;
        spectrum[i] = spectrans::times(spectrum[i], re, adjoint ? -im : im);
      }
    }
    const std::vector<Complex<Wide>> back = oracle::dft2(spectrum, n, d, 1);
    for (std::int64_t j = 0; j < size; ++j) expected[b * size + j] = back[j].re / size;
  }
  report.check("filter_plane", size, oracle::relative_error(y, expected), tolerance<T>(size));
  report.check("plane response gradient", size, oracle::relative_error(gradient, expected_gradient),
               tolerance<T>(size));
}

// Every gate and the skip, forward and backward, from the definition: as many sums as there are pairs of samples and
// taps, of numbers that need no wider type.
template <class T>
void conv(oracle::Report& report, std::int64_t n, std::int64_t m, std::int64_t d, bool causal) {
  if (!report.takes()) return;
  const std::int64_t batch = 3, zero = causal ? 0 : (m - 1) / 2, size = batch * n * d;
  std::vector<T> u = draw_coarse<T>(size, 5), pre = draw_coarse<T>(size, 6), post = draw_coarse<T>(size, 7),
                 g = draw_coarse<T>(size, 8);
  std::vector<T> k = draw_coarse<T>(m * d, 9), skip = draw_coarse<T>(d, 10), y(size), of_u(size), of_pre(size),
                 of_post(size);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> of_k(m * d, nan);
  spectrans::Conv call{};
  call.element = kElement<T>;
  call.u = oracle::signal(u.data(), batch, n, d);
  call.k = oracle::signal(k.data(), 1, m, d);
  call.pre = oracle::signal(pre.data(), batch, n, d);
  call.post = oracle::signal(post.data(), batch, n, d);
  call.skip = skip.data();
  call.causal = causal;
  call.y = oracle::signal(y.data(), batch, n, d);
  spectrans::conv(call, oracle::pool(2));
  call.grad = oracle::signal(g.data(), batch, n, d);
  call.grad_u = oracle::signal(of_u.data(), batch, n, d);
  call.grad_k = oracle::signal(of_k.data(), 1, m, d);
  call.grad_pre = oracle::signal(of_pre.data(), batch, n, d);
  call.grad_post = oracle::signal(of_post.data(), batch, n, d);
  spectrans::conv(call, oracle::pool(2));

  const auto times = [&](const auto& values, const std::vector<T>& gate) {
    std::vector<double> product(size);
    for (std::int64_t i = 0; i < size; ++i) product[i] = double{values[i]} * gate[i];
    return product;
  };
  const std::vector<double> v = times(pre, u), p = times(post, g);
  std::vector<double> h(size, 0), r(size, 0), expected_k(m * d, 0);  // before the gates; r is the adjoint's
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t t = 0; t < n; ++t) {
      const std::int64_t to = (b * n + t) * d;
      for (std::int64_t c = 0; c < d; ++c) {
        h[to + c] += skip[c] * v[to + c];
        r[to + c] += skip[c] * p[to + c];
      }
      for (std::int64_t s = std::max(std::int64_t{0}, t + zero - (n - 1)); s < std::min(m, t + zero + 1); ++s) {
        const std::int64_t from = to + (zero - s) * d;
        for (std::int64_t c = 0; c < d; ++c) {
          h[to + c] += k[s * d + c] * v[from + c];
          r[from + c] += k[s * d + c] * p[to + c];
          expected_k[s * d + c] += p[to + c] * v[from + c];
        }
      }
    }
  }
  const char* name = causal ? "causal convolution" : "centred convolution";
  const double bound = tolerance<T>(2 * n);
  report.check(name, n, oracle::relative_error(y, times(h, post)), bound);
  report.check("gradient of the input", n, oracle::relative_error(of_u, times(r, pre)), bound);
  report.check("gradient of the first gate", n, oracle::relative_error(of_pre, times(r, u)), bound);
  report.check("gradient of the second gate", n, oracle::relative_error(of_post, times(h, g)), bound);
  report.check("gradient of the kernel", n, oracle::relative_error(of_k, expected_k), bound);
}

// Weights 1 / n, for interior bins twice that: what irfft has; forward too, as its adjoint has. rows: channels first.
template <class T>
void modes(oracle::Report& report, std::int64_t n, std::int64_t count, std::int64_t d, bool rows = false,
           std::int64_t batch = 3) {
  if (!report.takes()) return;
  using Wide = WiderThan<T>;
  std::vector<T> x = draw<T>(batch * n * d, 5), z = draw<T>(batch * count * d * 2, 6);
  std::vector<T> y(x.size()), bins(z.size());
  const auto signal = [&](T* data, std::int64_t length, std::int64_t size) {
    spectrans::Signal result = oracle::signal(data, batch, length, d);
    if (rows) result.n_stride = 1, result.d_stride = length;
    for (std::int64_t* stride : {&result.n_stride, &result.d_stride, &result.stride[0]}) *stride *= size;
    return result;
  };
  const auto at = [&](std::int64_t b, std::int64_t j, std::int64_t length, std::int64_t c) {
    return rows ? (b * d + c) * length + j : (b * length + j) * d + c;
  };
  const spectrans::Element element = kElement<T>;
  spectrans::modes({element, signal(x.data(), n, 1), signal(bins.data(), count, 2), false, true, 2}, oracle::pool(2));
  spectrans::modes({element, signal(y.data(), n, 1), signal(z.data(), count, 2), true, true, 2}, oracle::pool(2));

  std::vector<Wide> expected(x.size()), expected_bins(z.size());
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < d; ++c) {
      const std::vector<Complex<Wide>> spectrum = oracle::dft(line(x, at(b, 0, n, c), rows ? 1 : d, n), -1);
      std::vector<Complex<Wide>> padded(n, {0, 0});
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t pair = 2 * at(b, k, count, c);
        const bool alone = 2 * k % n == 0;
        expected_bins[pair] = (alone ? 1 : 2) * spectrum[k].re / n;
        expected_bins[pair + 1] = alone ? 0 : 2 * spectrum[k].im / n;
        padded[k] = {(alone ? 1 : 2) * Wide(z[pair]), alone ? 0 : 2 * Wide(z[pair + 1])};
      }
      const std::vector<Complex<Wide>> back = oracle::dft(padded, 1);
      for (std::int64_t j = 0; j < n; ++j) expected[at(b, j, n, c)] = back[j].re / n;
    }
  }
  report.check("modes", n, oracle::relative_error(bins, expected_bins), tolerance<T>(n));
  report.check("modes, inverse", n, oracle::relative_error(y, expected), tolerance<T>(n));
}

// A 16-bit format with so many bits of fraction, and the exponent of its smallest normal number.
struct Half {
  spectrans::Element element;
  int fraction, lowest;

  double value(std::uint16_t bits) const {
    const int exponent = (bits & 0x7fff) >> fraction, tail = bits & ((1 << fraction) - 1);
    double magnitude =
        std::ldexp(tail + (exponent > 0 ? 1 << fraction : 0), std::max(exponent, 1) - 1 + lowest - fraction);
    if (exponent == 0x7fff >> fraction) magnitude = tail == 0 ? HUGE_VAL : NAN;
    return bits & 0x8000 ? -magnitude : magnitude;
  }
  double rounded(double x) const {
    if (x == 0 || !std::isfinite(x)) return x;
    const int last = std::max(std::ilogb(x), lowest) - fraction;  // place
    const double result = std::ldexp(std::nearbyint(std::ldexp(x, -last)), last);
    return std::fabs(result) >= std::ldexp(1, 2 - lowest) ? std::copysign(HUGE_VAL, x) : result;
  }
};

// A transform of length 1 is a conversion, a product in float32, and a conversion back: every value there is.
void halves(oracle::Report& report) {
  std::vector<std::uint16_t> x(1 << 16), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(i);
  const std::int64_t d = static_cast<std::int64_t>(x.size());
  for (const Half& half : {Half{spectrans::Element::float16, 10, -14}, Half{spectrans::Element::bfloat16, 7, -126}}) {
    for (const double scale : {1.0, 1.0 / 3, 3.0}) {
      const spectrans::Mixing call{
          half.element, oracle::signal(x.data(), 1, 1, d), oracle::signal(y.data(), 1, 1, d), true, false, false,
          scale};
      spectrans::mixing(call, oracle::pool(1));
      int wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double actual = half.value(y[i]);
        const double expected = half.rounded(static_cast<float>(half.value(x[i])) * static_cast<float>(scale));
        wrong += std::isnan(expected) ? !std::isnan(actual) : actual != expected;
      }
      report.check("conversions of halves", half.fraction, wrong, 0);
    }
  }
}

template <class T>
void all(oracle::Report& report) {
  for (const std::int64_t n :
       {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 18, 23, 24, 30, 34, 36, 45, 64, 97, 100, 119, 128, 289}) {
    for (const std::int64_t d : {1, 3, 19}) {
      for (const bool flag : {false, true}) {
        mixing<T>(report, n, d, false, flag);
        mixing<T>(report, n, d, true, flag);
        filter<T>(report, n, d, flag);
        for (const std::int64_t m : {std::int64_t{1}, n / 2 + 1, n, 2 * n + 3}) conv<T>(report, n, m, d, flag);
      }
      for (const std::int64_t count : {n / 16 + 1, n / 2 + 1}) modes<T>(report, n, count, d);
    }
  }
  for (const std::int64_t h : {1, 2, 3, 4, 7, 8, 14, 17, 36}) {
    for (const std::int64_t w : {1, 2, 3, 4, 6, 7, 14, 16, 18, 23, 36}) {
      for (const bool adjoint : {false, true}) filter2d<T>(report, h, w, adjoint ? 3 : 19, adjoint);
    }
  }
  for (const std::int64_t n : {192, 320, 512}) {  // with gaps between the columns of the first stage
    for (const bool flag : {false, true}) {
      mixing<T>(report, n, 19, false, flag);
      mixing<T>(report, 5, n, true, flag);
      filter<T>(report, n, 67, flag);
    }
    modes<T>(report, n, n / 3, 19);
    filter2d<T>(report, 3, n, 19, true);
    for (const std::int64_t w : {1, 3, 4}) filter2d<T>(report, n, w, w == 3 ? 19 : 2, w == 1);
  }
  filter2d<T>(report, 64, 64, 2, true);
  for (const std::int64_t n : {1, 2, 3, 8, 17}) {
    for (const std::int64_t d : {1, 2, 3, 8, 19, 36}) filter_plane<T>(report, n, d, (n + d) % 2 == 0);
    for (const std::int64_t d : {12, 16, 40, 64, 144, 256}) filter_plane<T>(report, n, d, n % 2 == 0);  // half spectra
  }
  for (const std::int64_t d : {16, 32, 80, 128, 144, 208, 256}) {  // rows of whole vectors, of some instruction set
    for (const bool hartley : {false, true}) {
      for (const std::int64_t n : {7, 60}) mixing<T>(report, n, d, true, hartley);
    }
  }
  mixing<T>(report, 20, 80, true, false);
  mixing<T>(report, 33, 81, true, true);
  filter<T>(report, 1024, 2, true);
  conv<T>(report, 1000, 1000, 2, true);
  conv<T>(report, 1024, 700, 2, false);
  conv<T>(report, 530, 9, 20, false);  // segments of rows
  conv<T>(report, 800, 32, 1, true);
  for (const std::int64_t n : {257, 262, 264, 270, 300, 308, 315, 390, 448, 512}) {  // parts of a line in the lanes
    for (const std::int64_t d : {1, 2, 3, 5}) {
      for (const bool flag : {false, true}) {
        mixing<T>(report, n, d, false, flag);
        mixing<T>(report, n, d, true, flag);
        mixing<T>(report, d, n, true, flag);
        filter<T>(report, n, d, flag);
      }
      modes<T>(report, n, n / 3, d);
      modes<T>(report, n, n / 2 + 1, d);
      conv<T>(report, n / 2, n / 2, d, d % 2 == 0);
    }
  }
  for (const std::int64_t d : {1, 2}) filter2d<T>(report, 26, 35, d, d == 1);
  for (const std::int64_t n : {1031, 2062}) {  // parts of Rader's convolutions
    filter<T>(report, n, 1, true);
    modes<T>(report, n, n / 3, 1);
  }
  for (const std::int64_t n :
       {1, 2, 3, 4, 5, 6, 8, 12, 18, 32}) {  // a line or two, too short for that or just long enough
    for (const std::int64_t batch : {1, 2}) {
      for (const std::int64_t count : {std::int64_t{1}, n / 2 + 1}) modes<T>(report, n, count, 1, true, batch);
    }
  }
  // Rows with samples in the lanes: done by twos, in units that overlap, of whole units, long ones.
  for (const std::int64_t n : {16, 48, 64, 96, 256, 288, 448, 512, 768}) {
    for (const std::int64_t batch : {1, 2, 3}) {
      for (const std::int64_t count : {n / 3, n / 2 + 1}) modes<T>(report, n, count, 1, true, batch);
    }
  }
  for (const std::int64_t count : {257, 513}) modes<T>(report, 1024, count, 19, true, 1);
  for (const std::int64_t n : {2048, 2310}) {  // decimated
    for (const std::int64_t count : {n / 50, n / 16, n / 4}) modes<T>(report, n, count, 2);
  }
}

}  // namespace

// Of the dtype that is named, or of all; and of its cases one in so many: "float64 1/3", 2/3 and 3/3 take equally long,
// and can run side by side.
int main(int argc, char** argv) {
  const char* wanted = std::getenv("SPECTRANS_CPU");
  if (wanted != nullptr && std::strcmp(wanted, spectrans::instruction_set()) != 0) {
    std::printf("skipped: this CPU has no %s\n", wanted);
    return 77;
  }
  oracle::Report report;
  if (argc > 2 && (std::sscanf(argv[2], "%d/%d", &report.part, &report.parts) != 2 || report.part > report.parts)) {
    std::printf("expected a part such as 1/2, got %s\n", argv[2]);
    return 1;
  }
  const auto asked = [&](const char* dtype) { return argc < 2 || std::strcmp(argv[1], dtype) == 0; };
  if (asked("float32")) all<float>(report);
  if (asked("float64")) all<double>(report);
  if (asked("float16")) halves(report);
  return report.finish();
}
