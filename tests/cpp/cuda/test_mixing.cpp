// The CUDA kernels of mixing, emulated, against their definition in long double.
#include <string>

#include "../oracle.h"
#include "cuda/kernels.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Complex;
using oracle::Wide;
using spectrans::Mixing;
using spectrans::Signal;

struct Kind {
  bool sequence, hidden, hartley;
};
constexpr Kind kKinds[] = {{true, false, false}, {false, true, false}, {true, true, false},
                           {true, false, true},  {false, true, true},  {true, true, true}};

// How a tensor [batch, n, d] lies in memory.
enum class Order {
  contiguous,
  transposed,  // [batch, d, n]
  gaps,        // every third element along d, of rows with some space behind them
  batch_last,  // [n, d, batch]
  two_axes,    // the batch is [3, batch / 3], and was [batch / 3, 3]
};

struct View {
  Signal signal;
  std::int64_t elements;

  View(Order order, std::int64_t batch, std::int64_t n, std::int64_t d) : signal{}, elements(batch * n * d) {
    signal.n = n;
    signal.d = d;
    signal.batch = batch;
    signal.axes = 1;
    signal.size[0] = batch;
    signal.stride[0] = n * d;
    signal.n_stride = d;
    signal.d_stride = 1;
    switch (order) {
      case Order::contiguous: break;
      case Order::transposed:
        signal.n_stride = 1;
        signal.d_stride = n;
        break;
      case Order::gaps:
        signal.d_stride = 3;
        signal.n_stride = 3 * d + 2;
        signal.stride[0] = n * signal.n_stride + 1;
        elements = batch * signal.stride[0];
        break;
      case Order::batch_last:
        signal.n_stride = d * batch;
        signal.d_stride = batch;
        signal.stride[0] = 1;
        break;
      case Order::two_axes:
        signal.axes = 2;
        signal.size[0] = 3;
        signal.size[1] = batch / 3;
        signal.stride[0] = n * d;
        signal.stride[1] = 3 * n * d;
        break;
    }
  }

  [[nodiscard]] std::int64_t at(std::int64_t item, std::int64_t j, std::int64_t l) const {
    std::int64_t place = j * signal.n_stride + l * signal.d_stride;
    for (int axis = signal.axes - 1; axis >= 0; --axis) {
      place += item % signal.size[axis] * signal.stride[axis];
      item /= signal.size[axis];
    }
    return place;
  }
};

struct Shape {
  std::int64_t batch, n, d;
};

// What mixing makes of values in a given order, of the storage type; NaN in the places of y that are none of its own.
template <class S>
std::vector<double> mixed(const Kind& kind, double scale, const View& of_x, const View& of_y,
                          const std::vector<double>& values, std::vector<double>* rounded = nullptr) {
  Buffer<S> x(values), y(std::vector<double>(of_y.elements, NAN));
  Mixing call{element<S>(), of_x.signal, of_y.signal, kind.sequence, kind.hidden, kind.hartley, scale};
  call.x.data = x.data();
  call.y.data = y.data();
  Queue queue;
  spectrans::cuda::mixing(call, queue.stream());
  std::vector<double> result(of_y.elements);
  for (std::int64_t i = 0; i < of_y.elements; ++i) result[i] = y[i];
  if (rounded != nullptr) {
    for (std::int64_t i = 0; i < of_x.elements; ++i) rounded->push_back(x[i]);
  }
  return result;
}

std::vector<Wide> expected_item(const Kind& kind, double scale, std::int64_t n, std::int64_t d,
                                const std::vector<Wide>& x) {
  std::vector<Complex<Wide>> z(n * d);
  for (std::int64_t i = 0; i < n * d; ++i) z[i] = {x[i], 0};
  const auto over = [&](std::int64_t lines, std::int64_t step, std::int64_t length, std::int64_t stride) {
    for (std::int64_t i = 0; i < lines; ++i) {
      std::vector<Complex<Wide>> line(length);
      for (std::int64_t j = 0; j < length; ++j) line[j] = z[i * step + j * stride];
      line = oracle::dft(line, -1);
      for (std::int64_t j = 0; j < length; ++j) z[i * step + j * stride] = line[j];
    }
  };
  if (kind.hidden) over(n, d, d, 1);
  if (kind.sequence) over(d, 1, n, d);
  std::vector<Wide> y(n * d);
  for (std::int64_t i = 0; i < n * d; ++i) y[i] = (z[i].re - (kind.hartley ? z[i].im : 0)) * scale;
  return y;
}

std::string name(const char* what, const Kind& kind, const Shape& shape) {
  return std::string(what) + (kind.hartley ? " Hartley" : " Re") + (kind.sequence ? " sequence" : "") +
         (kind.hidden ? " hidden" : "") + " [" + std::to_string(shape.batch) + ", " + std::to_string(shape.n) + ", " +
         std::to_string(shape.d) + "]";
}

template <class S>
void check(oracle::Report& report, const Kind& kind, const Shape& shape, Order x_order = Order::contiguous,
           Order y_order = Order::contiguous) {
  const auto& [batch, n, d] = shape;
  const View of_x(x_order, batch, n, d), of_y(y_order, batch, n, d);
  const double scale = 0.375;
  std::vector<double> x;
  const std::vector<double> y = mixed<S>(kind, scale, of_x, of_y, oracle::noise(of_x.elements, 1), &x);
  std::vector<Wide> expected;
  std::vector<double> actual;
  for (std::int64_t item = 0; item < batch; ++item) {
    std::vector<Wide> values;
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t l = 0; l < d; ++l) {
        values.push_back(x[of_x.at(item, j, l)]);
        actual.push_back(y[of_y.at(item, j, l)]);
      }
    }
    const std::vector<Wide> of_item = expected_item(kind, scale, n, d, values);
    expected.insert(expected.end(), of_item.begin(), of_item.end());
  }
  const std::string what = name("mixing", kind, shape);
  const std::int64_t length = (kind.sequence ? n : 1) * (kind.hidden ? d : 1);
  report.check(what.c_str(), length, oracle::relative_error(actual, expected), tolerance<S>(length));
  std::int64_t untouched = 0;
  for (const double value : y) untouched += std::isnan(value) ? 1 : 0;
  report.check((what + ": elements between those of y").c_str(), length,
               static_cast<double>(untouched - (of_y.elements - batch * n * d)), 0);
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// A NaN reaches the item it is in or, over one axis, the line it is in; everything else keeps its bits.
template <class S>
void check_isolation(oracle::Report& report, const Kind& kind, const Shape& shape) {
  const auto& [batch, n, d] = shape;
  const View view(Order::contiguous, batch, n, d);
  std::vector<double> values = oracle::noise(view.elements, 3);
  const std::vector<double> before = mixed<S>(kind, 1, view, view, values);
  const std::int64_t item = batch / 2, row = n / 2, channel = d / 3;
  values[view.at(item, row, channel)] = NAN;
  const std::vector<double> after = mixed<S>(kind, 1, view, view, values);
  int wrong = 0;
  for (std::int64_t i = 0; i < batch; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t l = 0; l < d; ++l) {
        const bool reached = i == item && (kind.sequence || j == row) && (kind.hidden || l == channel);
        const double was = before[view.at(i, j, l)], is = after[view.at(i, j, l)];
        wrong += reached ? !std::isnan(is) : !same(was, is);
      }
    }
  }
  report.check(name("NaN", kind, shape).c_str(), n, wrong, 0);
}

// An item's result does not depend on how the batch is cut into chunks, nor on its size.
template <class S>
void check_chunks(oracle::Report& report, const Kind& kind, const Shape& shape) {
  const auto& [batch, n, d] = shape;
  const View view(Order::contiguous, batch, n, d);
  const std::vector<double> values = oracle::noise(view.elements, 4);
  const std::vector<double> whole = mixed<S>(kind, 1, view, view, values);
  const int l2_bytes = emulation::limits().l2_bytes;
  for (const int items : {0, 1, 2, 3}) {
    emulation::limits().l2_bytes = static_cast<int>(2 * items * n * (d / 2 + 4) * 2 * sizeof(double));
    const std::vector<double> cut = mixed<S>(kind, 1, view, view, values);
    report.check(name("chunks", kind, shape).c_str(), items, cut == whole ? 0 : 1, 0);
  }
  emulation::limits().l2_bytes = l2_bytes;
  const View alone(Order::contiguous, 1, n, d);
  const std::vector<double> first(values.begin(), values.begin() + n * d);
  const std::vector<double> item = mixed<S>(kind, 1, alone, alone, first);
  report.check(name("alone", kind, shape).c_str(), n, std::equal(item.begin(), item.end(), whole.begin()) ? 0 : 1, 0);
}

// A grid has fewer blocks along y than this batch has items: some blocks take two, one after the other.
void check_second_items(oracle::Report& report, const Kind& kind) {
  const std::int64_t batch = 65537, n = kind.sequence ? 40 : 2, d = kind.sequence ? 2 : 40;
  const View view(Order::contiguous, batch, n, d), alone(Order::contiguous, 1, n, d);
  const std::vector<double> values = oracle::noise(view.elements, 6);
  const int l2_bytes = emulation::limits().l2_bytes;
  emulation::limits().l2_bytes = 1 << 30;  // one chunk
  const std::vector<double> whole = mixed<float>(kind, 1, view, view, values);
  emulation::limits().l2_bytes = l2_bytes;
  for (const std::int64_t item : {std::int64_t{0}, batch - 2, batch - 1}) {
    const auto begin = values.begin() + item * n * d;
    const std::vector<double> y = mixed<float>(kind, 1, alone, alone, {begin, begin + n * d});
    const bool same_bits = std::equal(y.begin(), y.end(), whole.begin() + item * n * d);
    report.check(name("item", kind, {batch, n, d}).c_str(), item, same_bits ? 0 : 1, 0);
  }
}

// Sums that float16 cannot hold, of results that it can.
void check_scale(oracle::Report& report, const Kind& kind, const Shape& shape) {
  const auto& [batch, n, d] = shape;
  const View view(Order::contiguous, batch, n, d);
  const double length = static_cast<double>((kind.sequence ? n : 1) * (kind.hidden ? d : 1));
  const std::vector<double> y =
      mixed<__half>(kind, 1 / length, view, view, std::vector<double>(view.elements, 60000.0));
  report.check(name("float16 range", kind, shape).c_str(), n, std::fabs(y[0] / 60000.0 - 1), tolerance<__half>(n * d));
}

void check_counts(oracle::Report& report, const Kind& kind, const Shape& shape, double sectors) {
  const auto& [batch, n, d] = shape;
  const View view(Order::contiguous, batch, n, d);
  emulation::start_counting();
  mixed<float>(kind, 1, view, view, oracle::noise(view.elements, 5));
  const emulation::Counts counts = emulation::stop_counting();
  std::printf("%s: sectors %.0f (%.2f of the ideal), bank passes %.0f (%.2f)\n", name("counts", kind, shape).c_str(),
              counts.global_sectors, counts.global_sectors / counts.global_ideal, counts.shared_passes,
              counts.shared_passes / counts.shared_ideal);
  report.check(name("sectors", kind, shape).c_str(), n, counts.global_sectors / counts.global_ideal, sectors);
  if (kind.sequence && kind.hidden) return;
  const double once = 2.0 * static_cast<double>(view.elements) * sizeof(float) / 32;  // x read, y written
  report.check(name("sectors in all", kind, shape).c_str(), n, counts.global_sectors / once, sectors);
}

bool refused(spectrans::Element of, const Kind& kind, const Shape& shape) {
  const Signal x = View(Order::contiguous, shape.batch, shape.n, shape.d).signal;
  return spectrans::cuda::why_not(Mixing{of, x, x, kind.sequence, kind.hidden, kind.hartley, 1}) != nullptr;
}

void check_refusals(oracle::Report& report) {
  using spectrans::Element;
  const auto expect = [&](const char* what, std::int64_t n, bool holds) { report.check(what, n, holds ? 0 : 1, 0); };
  for (const Kind& kind : kKinds) {
    expect("taken", 512, !refused(Element::float32, kind, {2, 512, 768}));
    expect("taken", 1, !refused(Element::float64, kind, {2, 1, 1}));
    expect("prime", 11, refused(Element::float16, kind, {2, 11, 22}));
  }
  const Kind sequence{true, false, false}, both{true, true, false};
  expect("prime of the other axis", 8, !refused(Element::float32, sequence, {2, 8, 11}));
  expect("prime of the other axis", 8, refused(Element::float32, both, {2, 8, 11}));
  expect("long", 16384, !refused(Element::bfloat16, sequence, {2, 16384, 1}));
  expect("long", 1 << 20, !refused(Element::float64, sequence, {2, 1 << 20, 4}));
  expect("longer", 1 << 21, refused(Element::float32, sequence, {2, 1 << 21, 4}));
  expect("longer", 32768, refused(Element::float32, both, {2, 4, 32768}));
  View view(Order::contiguous, 1, 4, 4);
  view.signal.axes = 7;
  for (int axis = 0; axis < 7; ++axis) view.signal.size[axis] = view.signal.stride[axis] = 1;
  expect("axes", 7,
         spectrans::cuda::why_not(Mixing{Element::float32, view.signal, view.signal, true, true, false, 1}) != nullptr);
}

// Lines that a block has no room for, on a device whose blocks have little.
template <class S>
void long_lines(oracle::Report& report) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  for (const std::int64_t n : {96, 105, 243, 343, 512, 1000, 1575, 4096}) {
    const Limited device(static_cast<int>(n * sizeof(T)), 1 << 16);
    for (const bool hartley : {false, true}) {
      check<S>(report, {true, false, hartley}, {3, n, 5});
      check<S>(report, {true, false, hartley}, {2, n, 3}, Order::transposed, Order::contiguous);
      check<S>(report, {false, true, hartley}, {2, 3, n});
      check<S>(report, {true, false, hartley}, {4, n, 1});
      check<S>(report, {true, false, hartley}, {2, n, 19}, Order::gaps, Order::batch_last);
    }
  }
}

// The longest lines taken, even and odd, fit a block of the device that has the least shared memory for one.
template <class S>
void check_longest(oracle::Report& report, const Kind& kind, std::int64_t at_least) {
  const int shared_bytes = emulation::limits().shared_bytes;
  emulation::limits().shared_bytes = 99 * 1024;
  for (const std::int64_t odd : {0, 1}) {
    std::int64_t n = 32768 - odd;
    while (n > 1 && refused(element<S>(), kind, {1, n, 2})) n -= 2;
    report.check(name("longest", kind, {1, n, 2}).c_str(), n, n >= at_least >> odd ? 0 : 1, 0);
    check<S>(report, kind, {1, n, 2});
  }
  emulation::limits().shared_bytes = shared_bytes;
}

// Re X over both axes: threads of two rows exchange halves of what they store, but for the last of an odd number.
template <class S>
void exchanges(oracle::Report& report) {
  const Kind both{true, true, false};
  for (const std::int64_t n : {45, 98, 105, 135, 343, 350, 512, 1029}) {
    for (const std::int64_t d : {6, 15, 64}) check<S>(report, both, {1, n, d});
    check<S>(report, both, {3, n, 21}, Order::contiguous, Order::gaps);
    check<S>(report, both, {2, n, 40}, Order::batch_last, Order::transposed);
  }
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  for (const int columns : {1, 2, 4, 8}) {  // what there is room for, beside the tables
    const Limited device((columns * 520 + 640) * 2 * static_cast<int>(sizeof(T)));
    for (const std::int64_t n : {375, 448}) check<S>(report, both, {2, n, 30});
  }
}

template <class S>
void shapes(oracle::Report& report) {
  for (const Kind& kind : kKinds) {
    for (const std::int64_t n :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 21, 25, 28, 30, 32, 36, 49, 50, 64, 96, 105, 128}) {
      if (kind.sequence) check<S>(report, kind, {2, n, kind.hidden ? 6 : 3});
      if (kind.hidden) check<S>(report, kind, {2, kind.sequence ? 5 : 3, n});
    }
    for (const Shape& shape :
         {Shape{3, 1, 1}, {2, 1, 12}, {2, 12, 1}, {1, 7, 9}, {2, 8, 10}, {2, 10, 14}, {5, 4, 70}}) {
      check<S>(report, kind, shape);
    }
  }
}

template <class S>
void orders(oracle::Report& report) {
  for (const Kind& kind : kKinds) {
    for (const Order order : {Order::contiguous, Order::transposed, Order::gaps, Order::batch_last, Order::two_axes}) {
      for (const Shape& shape : {Shape{6, 12, 10}, {6, 15, 16}, {3, 1, 20}, {3, 20, 1}, {9, 7, 1}, {6, 1, 9}}) {
        check<S>(report, kind, shape, order, order);
        check<S>(report, kind, shape, order, Order::contiguous);
        check<S>(report, kind, shape, Order::contiguous, order);
      }
    }
  }
}

}  // namespace

int main() {
  oracle::Report report;
  check_refusals(report);
  shapes<float>(report);
  shapes<double>(report);
  shapes<__half>(report);
  shapes<__nv_bfloat16>(report);
  orders<float>(report);
  orders<double>(report);
  orders<__half>(report);
  orders<__nv_bfloat16>(report);
  for (const Kind& kind : kKinds) {
    for (const Shape& shape : {Shape{3, 8, 10}, {3, 9, 15}, {4, 64, 48}, {3, 7, 1}, {3, 1, 8}}) {
      check_isolation<float>(report, kind, shape);
      check_isolation<__nv_bfloat16>(report, kind, shape);
      check_chunks<float>(report, kind, shape);
      check_chunks<double>(report, kind, shape);
      check_scale(report, kind, shape);
    }
    // Tails of tiles, in the batch and along both axes.
    check<float>(report, kind, {3, 48, 140});
    check<__half>(report, kind, {2, 126, 98});
    check<float>(report, kind, {1, 512, 80});
    check<float>(report, kind, {1, 60, 768});
    check<double>(report, kind, {1, 256, 100});
    check_counts(report, kind, {2, 128, 96}, 1.1);
    if (!kind.sequence || !kind.hidden) check_counts(report, kind, {1, 512, 96}, 1.1);
  }
  exchanges<float>(report);
  exchanges<double>(report);
  exchanges<__nv_bfloat16>(report);
  // The mirror image of a block's columns takes part of one more sector: of few columns, the larger part.
  check_counts(report, {true, true, false}, {1, 512, 256}, 1.1);
  check_counts(report, {true, true, false}, {1, 1024, 256}, 1.15);
  check_counts(report, {true, true, false}, {1, 4096, 256}, 1.25);
  for (const Kind& kind : kKinds) check_second_items(report, kind);
  long_lines<float>(report);
  long_lines<double>(report);
  long_lines<__half>(report);
  check_longest<float>(report, {true, false, false}, 16384);
  check_longest<double>(report, {true, false, true}, 4096);
  check_longest<__half>(report, {true, true, false}, 8192);
  check_longest<double>(report, {true, true, true}, 2048);
  check<float>(report, {true, false, false}, {1, 4096, 9});
  check<float>(report, {false, true, true}, {1, 3, 4096});
  check<float>(report, {true, true, false}, {1, 2048, 12});
  check<double>(report, {true, true, true}, {1, 6, 2048});
  return report.finish();
}
