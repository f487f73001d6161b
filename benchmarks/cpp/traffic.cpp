// What the CUDA kernels ask of a GPU's memory, counted by the emulation: no GPU, no clock, the same figures everywhere.
//
// Sectors are 32 bytes. `bytes` are those of all sectors that blocks touch, each once between two barriers, per byte of
// the operands. Requests are those of warps: how many sectors they touch, and how many passes over the banks of shared
// memory they take, beside the fewest that could serve them.
#include <cstdio>
#include <functional>
#include <string>

#include "cuda/kernels.h"
#include "queue.h"

namespace {

using namespace emulated;

std::vector<double> wave(std::int64_t count) {
  std::vector<double> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = std::sin(0.7 * static_cast<double>(i));
  return values;
}

void row(const std::string& what, const std::string& shape, double operand_bytes,
         const std::function<void(const spectrans::cuda::Stream&)>& call) {
  Queue queue;
  emulation::start_counting();
  call(queue.stream());
  const emulation::Counts counts = emulation::stop_counting();
  std::printf("%-34s %-22s %6.2f %9.3f %9.3f\n", what.c_str(), shape.c_str(), counts.global_bytes / operand_bytes,
              counts.global_sectors / counts.global_ideal,
              counts.shared_ideal > 0 ? counts.shared_passes / counts.shared_ideal : 1.0);
}

std::string shape_of(std::int64_t batch, std::int64_t n, std::int64_t d, bool channels_first) {
  const auto text = [](std::int64_t i) { return std::to_string(i); };
  return "[" + text(batch) + ", " + (channels_first ? text(d) + ", " + text(n) : text(n) + ", " + text(d)) + "]";
}

template <class S>
void filters(const char* type, std::int64_t batch, std::int64_t h, std::int64_t w, std::int64_t d) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const std::int64_t n = h * w, bins = h * (w / 2 + 1), count = batch * n * d;
  Buffer<S> x(wave(count)), grad(wave(count)), y(wave(count));
  Buffer<T> response(wave(2 * bins * d)), sums(wave(2 * bins * d));
  spectrans::Filter2d call{};
  call.element = element<S>();
  call.x = signal(x, batch, n, d);
  call.y = signal(y, batch, n, d);
  call.response = response.data();
  call.bin_stride = 2 * d;
  call.channel_stride = 2;
  call.h = h;
  const std::string grid = h > 1 ? "filter2d " : "filter ";
  const double bytes = static_cast<double>(x.bytes());
  row(grid + type, shape_of(batch, n, d, false), 2 * bytes + response.bytes(),
      [&](const auto& stream) { spectrans::cuda::filter2d(call, stream); });
  call.x = signal(grad, batch, n, d);
  call.with = signal(x, batch, n, d);
  call.response_grad = sums.data();
  call.adjoint = true;
  row(grid + "backward " + type, shape_of(batch, n, d, false), 3 * bytes + 2.0 * response.bytes(),
      [&](const auto& stream) { spectrans::cuda::filter2d(call, stream); });
}

template <class S>
void planes(const char* type, std::int64_t batch, std::int64_t n, std::int64_t d) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const std::int64_t count = batch * n * d;
  Buffer<S> x(wave(count)), grad(wave(count)), y(wave(count));
  Buffer<T> response(wave(2 * n * d)), sums(wave(2 * n * d));
  spectrans::FilterPlane call{};
  call.element = element<S>();
  call.x = signal(x, batch, n, d);
  call.y = signal(y, batch, n, d);
  call.response = response.data();
  const double bytes = static_cast<double>(x.bytes());
  row(std::string("filter_plane ") + type, shape_of(batch, n, d, false), 2 * bytes + response.bytes(),
      [&](const auto& stream) { spectrans::cuda::filter_plane(call, stream); });
  call.x = signal(grad, batch, n, d);
  call.with = signal(x, batch, n, d);
  call.response_grad = sums.data();
  call.adjoint = true;
  row(std::string("filter_plane backward ") + type, shape_of(batch, n, d, false), 3 * bytes + 2.0 * response.bytes(),
      [&](const auto& stream) { spectrans::cuda::filter_plane(call, stream); });
}

template <class S>
void mixings(const char* type, std::int64_t batch, std::int64_t n, std::int64_t d, bool both_only = false) {
  Buffer<S> x(wave(batch * n * d)), y(wave(batch * n * d));
  spectrans::Mixing call{element<S>(), signal(x, batch, n, d), signal(y, batch, n, d), true, true, false, 1.0};
  for (const auto& [name, sequence, hidden, hartley] : {std::tuple{"mixing ", true, true, false},
                                                        {"mixing, Hartley ", true, true, true},
                                                        {"mixing, sequence ", true, false, false},
                                                        {"mixing, hidden ", false, true, false}}) {
    if (both_only && !(sequence && hidden)) continue;
    call.sequence = sequence;
    call.hidden = hidden;
    call.hartley = hartley;
    row(std::string(name) + type, shape_of(batch, n, d, false), 2.0 * x.bytes(),
        [&](const auto& stream) { spectrans::cuda::mixing(call, stream); });
  }
}

template <class S>
void convs(const char* type, std::int64_t batch, std::int64_t n, std::int64_t d, bool channels_first) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  Buffer<S> u(wave(batch * n * d)), pre(wave(batch * n * d)), post(wave(batch * n * d)), y(wave(batch * n * d));
  Buffer<T> k(wave(n * d));
  spectrans::Conv call{};
  call.element = element<S>();
  call.u = signal(u, batch, n, d, channels_first);
  call.k = signal(k, 1, n, d, channels_first);
  call.k.axes = 0;
  call.pre = signal(pre, batch, n, d, channels_first);
  call.post = signal(post, batch, n, d, channels_first);
  call.y = signal(y, batch, n, d, channels_first);
  call.causal = true;
  row(std::string("conv, gated, causal ") + type, shape_of(batch, n, d, channels_first), 4.0 * u.bytes() + k.bytes(),
      [&](const auto& stream) { spectrans::cuda::conv(call, stream); });
}

void modes(std::int64_t batch, std::int64_t n, std::int64_t d, std::int64_t count) {
  Buffer<float> x(wave(batch * n * d)), bins(wave(2 * batch * count * d));
  spectrans::Modes call{spectrans::Element::float32, signal(x, batch, n, d), {}, false, false, 0};
  call.bins = signal(bins, batch, count, d);
  call.bins.n_stride = 2 * d;
  call.bins.d_stride = 2;
  call.bins.stride[0] = 2 * count * d;
  for (const bool inverse : {false, true}) {
    call.inverse = inverse;
    row(std::string(inverse ? "modes_inverse " : "modes ") + std::to_string(count) + " float32",
        shape_of(batch, n, d, false), static_cast<double>(x.bytes() + bins.bytes()),
        [&](const auto& stream) { spectrans::cuda::modes(call, stream); });
  }
}

void energies(std::int64_t count) {
  Buffer<float> a(wave(count)), b(wave(count));
  Buffer<double> of_a(wave(1)), of_b(wave(1));
  spectrans::Energies call{};
  call.count = 2;
  Buffer<float>* const from[] = {&a, &b};
  Buffer<double>* const to[] = {&of_a, &of_b};
  for (int i = 0; i < 2; ++i) {
    call.of[i].element = spectrans::Element::float32;
    call.of[i].x = from[i]->data();
    call.of[i].reduced = 1;
    call.of[i].size[0] = count;
    call.of[i].stride[0] = 1;
    call.of[i].energy = static_cast<double*>(to[i]->data());
  }
  row("energies float32", "[" + std::to_string(count) + "] twice", 2.0 * a.bytes(),
      [&](const auto& stream) { spectrans::cuda::energy(call, stream); });
}

}  // namespace

int main() {
  std::printf("%-34s %-22s %6s %9s %9s\n", "", "", "bytes", "sectors", "banks");
  for (const std::int64_t n : {128, 512, 1000, 4096}) {
    filters<float>("float32", 4, 1, n, 32);
    filters<__nv_bfloat16>("bfloat16", 4, 1, n, 32);
  }
  filters<float>("float32", 4, 14, 14, 32);
  planes<float>("float32", 4, 128, 256);
  planes<__nv_bfloat16>("bfloat16", 4, 128, 256);
  mixings<float>("float32", 2, 128, 256);
  mixings<__nv_bfloat16>("bfloat16", 2, 128, 256);
  for (const std::int64_t n : {512, 1024, 4096}) {  // the longer, the fewer columns in a block
    mixings<float>("float32", 1, n, 256, true);
    mixings<__nv_bfloat16>("bfloat16", 1, n, 256, true);
  }
  for (const std::int64_t n : {1024, 4096}) {
    convs<float>("float32", 2, n, 16, false);
    convs<__half>("float16", 2, n, 4, true);
  }
  modes(2, 512, 32, 32);
  energies(1 << 18);
}
