// The CUDA kernels of filter_plane, emulated, against their definition in long double.
#include <string>

#include "../oracle.h"
#include "cuda/geometry.h"
#include "cuda/kernels.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Complex;
using oracle::Wide;
using spectrans::FilterPlane;

struct Shape {
  std::int64_t batch, n, d;

  [[nodiscard]] std::int64_t size() const { return n * d; }
  [[nodiscard]] std::int64_t mirrored(std::int64_t i) const { return (n - i / d) % n * d + (d - i % d) % d; }
};

std::string name(const char* what, const Shape& shape) {
  return std::string(what) + " [" + std::to_string(shape.batch) + ", " + std::to_string(shape.n) + ", " +
         std::to_string(shape.d) + "]";
}

// Operands of a call, and what it makes of them.
template <class S>
struct Operands {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  Shape shape;
  bool transposed;  // [batch, d, n] in memory
  Buffer<S> x, with, y;
  Buffer<T> response, gradient;

  // not_a_number: where in x there is one
  Operands(const Shape& shape_, bool transposed_, std::int64_t not_a_number = -1)
      : shape(shape_), transposed(transposed_), x(noise_but(not_a_number, shape.batch * shape.size())),
        with(oracle::noise(shape.batch * shape.size(), 2)), y(std::vector<double>(shape.batch * shape.size(), NAN)),
        response(oracle::noise(2 * shape.size(), 3)), gradient(std::vector<double>(2 * shape.size(), NAN)) {}

  [[nodiscard]] FilterPlane call(bool filters, bool sums, bool adjoint) {
    const auto of = [&](Buffer<S>& buffer) { return signal(buffer, shape.batch, shape.n, shape.d, transposed); };
    FilterPlane result{};
    result.element = element<S>();
    result.x = of(x);
    result.adjoint = adjoint;
    if (filters) {
      result.y = of(y);
      result.response = response.data();
    }
    if (sums) {
      result.with = of(with);
      result.response_grad = gradient.data();
    }
    return result;
  }

  void run(bool filters, bool sums, bool adjoint) {
    Queue queue;
    spectrans::cuda::filter_plane(call(filters, sums, adjoint), queue.stream());
  }

  static std::vector<double> noise_but(std::int64_t not_a_number, std::int64_t count) {
    std::vector<double> values = oracle::noise(count, 1);
    if (not_a_number >= 0) values[not_a_number] = NAN;
    return values;
  }

  // In the order of [n, d].
  [[nodiscard]] std::vector<double> plane(const Buffer<S>& of, std::int64_t item) const {
    std::vector<double> result(shape.size());
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      const std::int64_t j = i / shape.d, l = i % shape.d;
      result[i] = of[item * shape.size() + (transposed ? l * shape.n + j : i)];
    }
    return result;
  }

  [[nodiscard]] std::vector<Complex<Wide>> spectrum(const Buffer<S>& of, std::int64_t item) const {
    const std::vector<double> values = plane(of, item);
    std::vector<Complex<Wide>> z(shape.size());
    for (std::int64_t i = 0; i < shape.size(); ++i) z[i] = {values[i], 0};
    return oracle::dft2(z, shape.n, shape.d, -1);
  }
};

template <class S>
void check(oracle::Report& report, const Shape& shape, bool transposed, bool filters, bool sums, bool adjoint) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  Operands<S> of(shape, transposed);
  of.run(filters, sums, adjoint);
  const std::int64_t size = shape.size();
  std::vector<Wide> expected, expected_gradient(2 * size);
  std::vector<double> actual, gradient(2 * size);
  for (std::int64_t item = 0; item < shape.batch; ++item) {
    std::vector<Complex<Wide>> z = of.spectrum(of.x, item);
    const std::vector<Complex<Wide>> with = of.spectrum(of.with, item);
    for (std::int64_t i = 0; i < size; ++i) {
      const Complex<Wide> product = spectrans::times_conj(z[i], with[i].re, with[i].im);
      expected_gradient[2 * i] += product.re / Wide(size);
      expected_gradient[2 * i + 1] += product.im / Wide(size);
      const std::int64_t image = shape.mirrored(i);
      const Wide re = (Wide(of.response[2 * i]) + of.response[2 * image]) / 2;
      const Wide im = (Wide(of.response[2 * i + 1]) - of.response[2 * image + 1]) / 2;
      z[i] = spectrans::times(z[i], re, adjoint ? -im : im);
    }
    z = oracle::dft2(z, shape.n, shape.d, 1);
    for (const Complex<Wide>& value : z) expected.push_back(value.re / Wide(size));
    const std::vector<double> y = of.plane(of.y, item);
    actual.insert(actual.end(), y.begin(), y.end());
  }
  if (filters) {
    report.check(name("filter_plane", shape).c_str(), size, oracle::relative_error(actual, expected),
                 tolerance<S>(size));
  }
  if (!sums) return;
  int wrong = 0;  // mirror images have the same bits, and bins that are their own are real
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t image = shape.mirrored(i);
    gradient[2 * i] = of.gradient[2 * i];
    gradient[2 * i + 1] = of.gradient[2 * i + 1];
    wrong += of.gradient[2 * i] != of.gradient[2 * image] || of.gradient[2 * i + 1] != -of.gradient[2 * image + 1];
  }
  report.check(name("gradient", shape).c_str(), size, oracle::relative_error(gradient, expected_gradient),
               tolerance<T>(size) * static_cast<double>(shape.batch));
  report.check(name("mirror images", shape).c_str(), size, wrong, 0);
}

template <class S>
void check_all(oracle::Report& report, const Shape& shape, bool transposed = false) {
  check<S>(report, shape, transposed, true, false, false);
  check<S>(report, shape, transposed, true, true, true);
}

// A NaN reaches all of its item, and nothing else.
template <class S>
void check_isolation(oracle::Report& report, const Shape& shape) {
  const std::int64_t item = shape.batch / 2;
  Operands<S> clean(shape, false), spoilt(shape, false, item * shape.size() + shape.size() / 3);
  clean.run(true, false, false);
  spoilt.run(true, false, false);
  int wrong = 0;
  for (std::int64_t i = 0; i < shape.batch * shape.size(); ++i) {
    wrong += i / shape.size() == item ? !std::isnan(spoilt.y[i]) : spoilt.y[i] != clean.y[i];
  }
  report.check(name("NaN", shape).c_str(), shape.size(), wrong, 0);
}

// No bit depends on how many items' half spectra are in memory at a time.
template <class S>
void check_chunks(oracle::Report& report, const Shape& shape) {
  const auto bits = [&] {
    Operands<S> of(shape, false);
    of.run(true, true, true);
    std::vector<double> result;
    for (std::int64_t i = 0; i < of.y.size(); ++i) result.push_back(of.y[i]);
    for (std::int64_t i = 0; i < of.gradient.size(); ++i) result.push_back(of.gradient[i]);
    return result;
  };
  const std::vector<double> whole = bits();
  for (const std::int64_t items : {0, 1, 3, 10}) {
    const Limited device(emulation::limits().shared_bytes,
                         static_cast<int>(2 * items * 2 * shape.n * (shape.d / 2 + 4) * 2 * sizeof(double)));
    report.check(name("chunks", shape).c_str(), items, bits() == whole ? 0 : 1, 0);
  }
}

// A grid has fewer blocks along y than this batch has items.
void check_second_items(oracle::Report& report) {
  const Shape shape{65537, 2, 3};
  const Limited device(emulation::limits().shared_bytes, 1 << 30);  // one chunk
  check<float>(report, shape, false, true, false, false);
}

void check_traffic(oracle::Report& report, const Shape& shape) {
  Operands<float> of(shape, false);
  emulation::start_counting();
  of.run(true, false, false);
  const emulation::Counts counts = emulation::stop_counting();
  std::printf("%s: sectors %.0f (%.2f of the ideal), bank passes %.0f (%.2f)\n", name("counts", shape).c_str(),
              counts.global_sectors, counts.global_sectors / counts.global_ideal, counts.shared_passes,
              counts.shared_passes / counts.shared_ideal);
  report.check(name("sectors", shape).c_str(), shape.n, counts.global_sectors / counts.global_ideal, 1.1);
}

// Of a call that has no memory.
const char* why_not(spectrans::Element element, const Shape& shape, bool sums) {
  FilterPlane call{};
  call.element = element;
  call.x.n = shape.n;
  call.x.d = call.x.n_stride = shape.d;
  call.x.d_stride = 1;
  float result;
  if (sums) call.response_grad = &result;
  return spectrans::cuda::why_not(call);
}

void check_refusals(oracle::Report& report) {
  const auto expect = [&](const char* what, const Shape& shape, bool sums, bool taken) {
    const bool is_taken = why_not(spectrans::Element::float32, shape, sums) == nullptr;
    report.check(what, shape.n, is_taken == taken ? 0 : 1, 0);
  };
  expect("taken", {2, 512, 768}, true, true);
  expect("taken", {2, 1, 1}, true, true);
  expect("prime", {2, 22, 16}, false, false);
  expect("prime", {2, 16, 22}, false, false);
  expect("longest", {1, 8192, 8192}, false, true);
  expect("longer", {1, 8192, 8192}, true, false);  // two tiles
  expect("longer", {1, 32768, 8}, false, false);
}

// What is taken fits into a block of the device that has the least shared memory for one.
template <class S>
void check_longest(oracle::Report& report, bool sums, std::int64_t at_least) {
  const Limited device(spectrans::cuda::kLeastSharedLimit);
  std::int64_t n = 16384;
  while (why_not(element<S>(), {1, n, 2}, sums) != nullptr) --n;
  report.check(name("longest", {1, n, 2}).c_str(), n, n >= at_least ? 0 : 1, 0);
  check<S>(report, {1, n, 2}, false, true, sums, false);
}

template <class S>
void shapes(oracle::Report& report) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 30, 49, 64}) {
    for (const std::int64_t d : {1, 2, 3, 8, 15, 20}) check_all<S>(report, {2, n, d}, (n + d) % 3 == 0);
  }
  check_all<S>(report, {3, 48, 140});
  check_all<S>(report, {2, 126, 98}, true);
  check<S>(report, {17, 6, 10}, false, false, true, false);
}

}  // namespace

int main() {
  oracle::Report report;
  check_refusals(report);
  shapes<float>(report);
  shapes<double>(report);
  shapes<__half>(report);
  shapes<__nv_bfloat16>(report);
  for (const Shape& shape : {Shape{3, 8, 10}, {3, 9, 15}, {4, 64, 48}}) {
    check_isolation<float>(report, shape);
    check_isolation<__nv_bfloat16>(report, shape);
  }
  // Items that are added up two at a time, and more; and one by one.
  check<float>(report, {70, 12, 250}, false, true, true, true);
  check<double>(report, {70, 12, 250}, true, true, true, false);
  check<float>(report, {600, 3, 14}, false, false, true, false);
  for (const Shape& shape : {Shape{70, 12, 250}, {5, 9, 15}}) {
    check_chunks<float>(report, shape);
    check_chunks<double>(report, shape);
  }
  check_second_items(report);
  check_longest<float>(report, false, 8192);
  check_longest<float>(report, true, 4096);
  check_longest<double>(report, false, 3840);
  check_longest<double>(report, true, 1024);
  check_traffic(report, {2, 128, 96});
  check_traffic(report, {1, 512, 256});
  return report.finish();
}
