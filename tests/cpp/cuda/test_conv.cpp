// The CUDA kernels of conv, emulated, against their definition in long double: sums over taps and samples.
#include <cstring>
#include <string>

#include "../oracle.h"
#include "queue.h"

namespace {

using namespace emulated;
using oracle::Wide;

struct Case {
  std::int64_t n, taps, batch, d;
  bool channels_first = false, causal = true, adjoint = false, pre = false, post = false, skip = false;
};

// The operands of a case, as doubles: what the storage type made of them.
template <class S>
class Operands {
  using T = typename spectrans::cuda::Arithmetic<S>::type;

 public:
  explicit Operands(const Case& c)
      : of(c), u(oracle::noise(count(), 1)), pre(oracle::noise(count(), 2)), post(oracle::noise(count(), 3)),
        grad(oracle::noise(count(), 4)), k(oracle::noise(c.taps * c.d, 5)), skip(oracle::noise(c.d, 6)),
        y(unwritten(count())), grad_u(unwritten(count())), grad_pre(unwritten(count())), grad_post(unwritten(count())),
        grad_k(unwritten(c.taps * c.d)) {}

  [[nodiscard]] std::int64_t count() const { return of.n * of.batch * of.d; }
  [[nodiscard]] std::int64_t at(std::int64_t item, std::int64_t channel, std::int64_t t) const {
    return of.channels_first ? (item * of.d + channel) * of.n + t : (item * of.n + t) * of.d + channel;
  }

  [[nodiscard]] spectrans::Conv call() {
    spectrans::Conv call{};
    call.element = element<S>();
    call.u = signal_of(u);
    call.k = signal(k, 1, of.taps, of.d);
    if (of.pre) call.pre = signal_of(pre);
    if (of.post) call.post = signal_of(post);
    if (of.skip) call.skip = skip.data();
    call.causal = of.causal;
    call.adjoint = of.adjoint;
    return call;
  }
  void forward() {
    spectrans::Conv asked = call();
    asked.y = signal_of(y);
    Queue queue;
    spectrans::cuda::conv(asked, queue.stream());
  }
  void backward() {
    spectrans::Conv asked = call();
    asked.grad = signal_of(grad);
    asked.grad_u = signal_of(grad_u);
    asked.grad_k = signal(grad_k, 1, of.taps, of.d);
    if (of.pre) asked.grad_pre = signal_of(grad_pre);
    if (of.post) asked.grad_post = signal_of(grad_post);
    Queue queue;
    spectrans::cuda::conv(asked, queue.stream());
  }

  const Case of;
  Buffer<S> u, pre, post, grad;
  Buffer<T> k, skip;
  Buffer<S> y, grad_u, grad_pre, grad_post;
  Buffer<T> grad_k;

 private:
  static std::vector<double> unwritten(std::int64_t count) { return std::vector<double>(count, NAN); }
  spectrans::Signal signal_of(Buffer<S>& buffer) { return signal(buffer, of.batch, of.n, of.d, of.channels_first); }
};

// The sum over s of k[s] v[t - (s - offset)] + skip v[t]; v[t + (s - offset)] where adjoint.
std::vector<Wide> convolved(const std::vector<Wide>& v, const std::vector<Wide>& k, Wide skip, std::int64_t offset,
                            bool adjoint) {
  const auto n = static_cast<std::int64_t>(v.size()), taps = static_cast<std::int64_t>(k.size());
  std::vector<Wide> sums(n);
  for (std::int64_t t = 0; t < n; ++t) {
    sums[t] = skip * v[t];
    for (std::int64_t s = 0; s < taps; ++s) {
      const std::int64_t from = adjoint ? t + s - offset : t - s + offset;
      if (from >= 0 && from < n) sums[t] += k[s] * v[from];
    }
  }
  return sums;
}

std::vector<Wide> correlated(const std::vector<Wide>& p, const std::vector<Wide>& v, std::int64_t taps,
                             std::int64_t offset) {
  const auto n = static_cast<std::int64_t>(v.size());
  std::vector<Wide> sums(taps);
  for (std::int64_t s = 0; s < taps; ++s) {
    for (std::int64_t t = 0; t < n; ++t) {
      const std::int64_t from = t - s + offset;
      if (from >= 0 && from < n) sums[s] += p[t] * v[from];
    }
  }
  return sums;
}

// Collects what was computed and what was expected, and checks it as a whole.
struct Comparison {
  std::vector<double> actual;
  std::vector<Wide> expected;
  void add(double got, Wide wanted) {
    actual.push_back(got);
    expected.push_back(wanted);
  }
  void check(oracle::Report& report, const std::string& what, std::int64_t n, double tolerance) const {
    report.check(what.c_str(), n, oracle::relative_error(actual, expected), tolerance);
  }
};

std::string name(const char* what, const Case& c) {
  return std::string(what) + " taps=" + std::to_string(c.taps) + " batch=" + std::to_string(c.batch) +
         " d=" + std::to_string(c.d) + (c.channels_first ? " channels first" : "") + (c.causal ? " causal" : "") +
         (c.adjoint ? " adjoint" : "") + (c.pre ? " pre" : "") + (c.post ? " post" : "") + (c.skip ? " skip" : "");
}

// Rows of one channel of an item.
template <class S>
std::vector<Wide> line(const Operands<S>& o, const Buffer<S>& x, std::int64_t item, std::int64_t channel) {
  std::vector<Wide> values(o.of.n);
  for (std::int64_t t = 0; t < o.of.n; ++t) values[t] = x[o.at(item, channel, t)];
  return values;
}

void multiply(std::vector<Wide>& values, const std::vector<Wide>& by) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= by[i];
}

// The transform of the kernel is one more than those that the tolerance is for.
template <class S>
void check(oracle::Report& report, const Case& c, bool backward) {
  Operands<S> o(c);
  if (const char* why = spectrans::cuda::why_not(o.call())) {
    report.check(why, c.n, 1, 0);
    return;
  }
  if (backward) {
    o.backward();
  } else {
    o.forward();
  }
  const std::int64_t offset = c.causal ? 0 : (c.taps - 1) / 2;
  Comparison y, grad_u, grad_pre, grad_post, grad_k;
  for (std::int64_t channel = 0; channel < c.d; ++channel) {
    std::vector<Wide> k(c.taps), of_k(c.taps);
    for (std::int64_t s = 0; s < c.taps; ++s) k[s] = o.k[s * c.d + channel];
    const Wide skip = c.skip ? static_cast<Wide>(o.skip[channel]) : 0;
    for (std::int64_t item = 0; item < c.batch; ++item) {
      const std::vector<Wide> u = line(o, o.u, item, channel), pre = line(o, o.pre, item, channel),
                              post = line(o, o.post, item, channel), grad = line(o, o.grad, item, channel);
      std::vector<Wide> v = u, p = grad;
      if (c.pre) multiply(v, pre);
      if (c.post) multiply(p, post);
      const std::vector<Wide> h = convolved(v, k, skip, offset, c.adjoint);
      const std::vector<Wide> r = backward ? convolved(p, k, skip, offset, true) : h;
      const std::vector<Wide> lags = backward ? correlated(p, v, c.taps, offset) : of_k;
      for (std::int64_t s = 0; s < c.taps; ++s) of_k[s] += lags[s];
      for (std::int64_t t = 0; t < c.n; ++t) {
        const std::int64_t at = o.at(item, channel, t);
        y.add(o.y[at], c.post ? h[t] * post[t] : h[t]);
        grad_u.add(o.grad_u[at], c.pre ? r[t] * pre[t] : r[t]);
        grad_pre.add(o.grad_pre[at], r[t] * u[t]);
        grad_post.add(o.grad_post[at], h[t] * grad[t]);
      }
    }
    for (std::int64_t s = 0; s < c.taps; ++s) grad_k.add(o.grad_k[s * c.d + channel], of_k[s]);
  }
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  if (!backward) {
    y.check(report, name("conv", c), c.n, tolerance<S>(c.n));
    return;
  }
  grad_u.check(report, name("grad_u", c), c.n, tolerance<S>(c.n));
  grad_k.check(report, name("grad_k", c), c.n, tolerance<T>(c.n));
  if (c.pre) grad_pre.check(report, name("grad_pre", c), c.n, tolerance<S>(c.n));
  if (c.post) grad_post.check(report, name("grad_post", c), c.n, tolerance<S>(c.n));
}

// ---- which cases ----------------------------------------------------------------------------------------------------

template <class S>
void lengths(oracle::Report& report, bool backward) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 16, 17, 26, 60, 64, 97, 128, 200, 500}) {
    for (const std::int64_t taps : {std::int64_t{1}, n / 2, n, n + 3, 2 * n + 5}) {
      if (taps == 0) continue;
      for (const bool causal : {true, false}) {
        check<S>(report, {n, taps, 2, 3, taps % 2 == 0, causal}, backward);
        if (!backward) check<S>(report, {n, taps, 1, 2, taps % 2 == 1, causal, true}, backward);
      }
    }
  }
}

template <class S>
void options(oracle::Report& report, bool backward) {
  for (int bits = 0; bits < 64; ++bits) {
    const auto bit = [&](int i) { return (bits >> i) % 2 == 1; };
    if (backward && bit(5)) continue;
    check<S>(report, {12, 12, 3, 9, bit(0), bit(1), bit(5), bit(2), bit(3), bit(4)}, backward);
  }
}

template <class S>
void everything(oracle::Report& report, bool backward) {
  lengths<S>(report, backward);
  options<S>(report, backward);
}

// Items and channels never touch: a NaN in u spoils its own line of what depends on u, and its own channel of grad_k.
void check_isolation(oracle::Report& report, bool channels_first) {
  const Case c{20, 20, 3, 9, channels_first, false, false, true, true, true};
  Operands<float> clean(c), spoilt(c);
  static_cast<float*>(spoilt.u.data())[spoilt.at(1, 4, 7)] = NAN;
  for (Operands<float>* o : {&clean, &spoilt}) {
    o->forward();
    o->backward();
  }
  int wrong = 0;
  for (std::int64_t item = 0; item < c.batch; ++item) {
    for (std::int64_t channel = 0; channel < c.d; ++channel) {
      for (std::int64_t t = 0; t < c.n; ++t) {
        const std::int64_t at = clean.at(item, channel, t);
        const bool spoils = item == 1 && channel == 4;
        wrong += spoils ? !std::isnan(spoilt.y[at]) : spoilt.y[at] != clean.y[at];
        wrong += spoils ? !std::isnan(spoilt.grad_post[at]) : spoilt.grad_post[at] != clean.grad_post[at];
        wrong += spoils && t == 7 ? !std::isnan(spoilt.grad_pre[at]) : spoilt.grad_pre[at] != clean.grad_pre[at];
        wrong += spoilt.grad_u[at] != clean.grad_u[at];
      }
    }
  }
  for (std::int64_t i = 0; i < c.taps * c.d; ++i) {
    wrong += i % c.d == 4 ? !std::isnan(spoilt.grad_k[i]) : spoilt.grad_k[i] != clean.grad_k[i];
  }
  report.check("a NaN stays in its item and channel", c.n, wrong, 0);
}

// Two batch axes that no one stride walks, a gate that is the same for all items, taps side by side: as contiguous.
void check_strides(oracle::Report& report) {
  const Case c{12, 15, 6, 5, false, false, false, true, false, true};
  Operands<float> plain(c), strided(c);
  const std::int64_t line = c.n * c.d;
  for (std::int64_t item = 0; item < c.batch; ++item) {
    for (std::int64_t i = 0; i < line; ++i) {
      auto* const pre = static_cast<float*>(plain.pre.data());
      pre[item * line + i] = pre[i];
      // Items (a, b) of 2 x 3 lie at b * 2 + a.
      static_cast<float*>(strided.u.data())[(item % 3 * 2 + item / 3) * line + i] =
          static_cast<float*>(plain.u.data())[item * line + i];
    }
  }
  for (std::int64_t s = 0; s < c.taps; ++s) {
    for (std::int64_t channel = 0; channel < c.d; ++channel) {
      static_cast<float*>(strided.k.data())[channel * c.taps + s] =
          static_cast<float*>(plain.k.data())[s * c.d + channel];
    }
  }
  plain.forward();
  plain.backward();
  spectrans::Conv call = strided.call();
  call.u.axes = 2;
  call.u.size[0] = 2;
  call.u.size[1] = 3;
  call.u.stride[0] = line;
  call.u.stride[1] = 2 * line;
  call.pre.stride[0] = 0;
  call.k.n_stride = 1;
  call.k.d_stride = c.taps;
  Queue queue;
  call.y = signal(strided.y, c.batch, c.n, c.d);
  spectrans::cuda::conv(call, queue.stream());
  call.y = {};
  call.grad = signal(strided.grad, c.batch, c.n, c.d);
  call.grad_u = signal(strided.grad_u, c.batch, c.n, c.d);
  call.grad_pre = signal(strided.grad_pre, c.batch, c.n, c.d);
  call.grad_k = signal(strided.grad_k, 1, c.taps, c.d);
  spectrans::cuda::conv(call, queue.stream());
  int wrong = 0;
  for (std::int64_t i = 0; i < plain.count(); ++i) {
    wrong +=
        strided.y[i] != plain.y[i] || strided.grad_u[i] != plain.grad_u[i] || strided.grad_pre[i] != plain.grad_pre[i];
  }
  for (std::int64_t i = 0; i < c.taps * c.d; ++i) wrong += strided.grad_k[i] != plain.grad_k[i];
  report.check("strides do not change a bit", c.n, wrong, 0);
}

void check_limits(oracle::Report& report) {
  const auto handed_back = [&](std::int64_t n, std::int64_t taps, int axes) {
    spectrans::Conv call{};
    call.element = spectrans::Element::float32;
    call.causal = true;
    call.u.n = n;
    call.u.d = 1;
    call.u.n_stride = 1;
    call.k.n = taps;
    call.u.axes = axes;
    return spectrans::cuda::why_not(call) != nullptr;
  };
  constexpr std::int64_t half = 1 << 19;
  report.check("the longest length", half, handed_back(half, half, 1) ? 1 : 0, 0);
  report.check("a longer one", half + 2, handed_back(half + 2, half, 1) ? 0 : 1, 0);
  report.check("batch axes", 8, handed_back(8, 8, 6) || !handed_back(8, 8, 7) ? 1 : 0, 0);
}

// Lines that a block has no room for, on a device whose blocks have little.
template <class S>
void long_lengths(oracle::Report& report, bool backward) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  for (const std::int64_t n : {60, 97, 150, 500}) {
    const Limited device(static_cast<int>(2 * n * sizeof(T)), 1 << 15);
    for (const std::int64_t taps : {std::int64_t{1}, n / 3, n, 2 * n + 5}) {
      for (const bool causal : {true, false}) {
        check<S>(report, {n, taps, 3, 5, taps % 2 == 0, causal, false, true, true, causal}, backward);
        check<S>(report, {n, taps, 2, 3, taps % 2 == 1, causal, !backward, causal, !causal, true}, backward);
      }
    }
  }
}

template <class S>
bool same_bits(Buffer<S>& a, Buffer<S>& b) {
  return std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// Also on a device with so little shared memory that V and the sums are kept in scratch.
void check_bits(oracle::Report& report, std::int64_t n, std::int64_t batch, std::int64_t d, int little) {
  const Case c{n, n, batch, d, false, false, false, true, true, true};
  Operands<float> once(c), again(c), elsewhere(c);
  once.backward();
  again.backward();
  const emulation::Limits usual = emulation::limits();
  emulation::limits() = {little, 7};
  elsewhere.backward();
  emulation::limits() = usual;
  for (Operands<float>* other : {&again, &elsewhere}) {
    const bool same = same_bits(once.grad_u, other->grad_u) && same_bits(once.grad_k, other->grad_k) &&
                      same_bits(once.grad_pre, other->grad_pre) && same_bits(once.grad_post, other->grad_post);
    report.check("gradients have the same bits every time", n, same ? 0 : 1, 0);
  }
}

void check_sectors(oracle::Report& report, const Case& c, bool backward) {
  Operands<float> o(c);
  emulation::start_counting();
  if (backward) {
    o.backward();
  } else {
    o.forward();
  }
  const emulation::Counts counts = emulation::stop_counting();
  std::printf("%-60s n=%-5lld sectors %.3f, bank passes %.2f of ideal\n",
              name(backward ? "backward" : "forward", c).c_str(), static_cast<long long>(c.n),
              counts.global_sectors / counts.global_ideal, counts.shared_passes / counts.shared_ideal);
  report.check("sectors, of ideal", c.n, counts.global_sectors / counts.global_ideal, 1.1);
}

}  // namespace

int main() {
  oracle::Report report;
  for (const bool backward : {false, true}) {
    everything<float>(report, backward);
    everything<double>(report, backward);
    options<__half>(report, backward);
    options<__nv_bfloat16>(report, backward);
    check<__half>(report, {60, 77, 3, 21, false, true, false, true, true, true}, backward);
    check<__nv_bfloat16>(report, {60, 77, 3, 21, true, false, false, true, true, true}, backward);
    check<float>(report, {1024, 1024, 1, 9, false, false, false, true, true, true}, backward);
    check<float>(report, {1000, 300, 2, 3, true}, backward);
    check<float>(report, {4096, 4096, 1, 1, true, true, false, false, true}, backward);
    check<double>(report, {2048, 4095, 1, 1, true, false, false, true}, backward);
    check<float>(report, {16384, 100, 1, 1, true, false, false, false, false, true}, backward);
    check<double>(report, {8192, 100, 1, 1, true, true, false, true, true}, backward);
    long_lengths<float>(report, backward);
    long_lengths<double>(report, backward);
    check<float>(report, {20000, 200, 1, 1, true, true, false, true, true, true}, backward);
    {
      const Limited device(2 * 150 * sizeof(float), 1 << 14);
      check<__half>(report, {150, 77, 3, 21, false, false, false, true, true, true}, backward);
      check<__nv_bfloat16>(report, {150, 150, 3, 5, true, true, false, true, true}, backward);
    }
    check<double>(report, {4, 4, 1030, 1, true, true, false, true}, backward);
    check_sectors(report, {4096, 4096, 2, 1, true, true, false, true, true, true}, backward);
    for (const bool channels_first : {false, true}) {
      for (const std::int64_t n : {64, 512}) {
        check_sectors(report, {n, n, 3, 16, channels_first, true, false, true, true, true}, backward);
      }
    }
  }
  check_isolation(report, false);
  check_isolation(report, true);
  check_strides(report);
  check_limits(report);
  check_bits(report, 64, 37, 5, 10 << 10);
  check_bits(report, 10, 70, 1, 1 << 9);
  return report.finish();
}
