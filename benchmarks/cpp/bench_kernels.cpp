// The kernels at the shapes that have targets, the bare transforms over n, and what these are made of: float32, one
// thread, at the instruction set that SPECTRANS_CPU names.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "transforms.h"

namespace spectrans {

namespace {

const Transforms& transforms() {
#define SPECTRANS_IF_IN_USE(set) \
  if (std::strcmp(instruction_set(), #set) == 0) return set::transforms;
  SPECTRANS_SETS(SPECTRANS_IF_IN_USE)
#undef SPECTRANS_IF_IN_USE
  std::abort();  // the list is the kernels' own
}

const ThreadPool kOneThread{[](std::int64_t count, std::int64_t, void (*body)(std::int64_t, std::int64_t, void*),
                               void* context) { body(0, count, context); },
                            1};

// Aligned as torch's tensors are: kernels write past the caches what is.
template <class T>
struct Aligned {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), alignment)); }
  void deallocate(T* memory, std::size_t) { ::operator delete(memory, alignment); }
  bool operator==(const Aligned&) const = default;
};

using Floats = std::vector<float, Aligned<float>>;

Floats noise(std::int64_t count, unsigned seed) {
  std::minstd_rand generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Floats values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

// x [batch, n, d], contiguous; kSame: every item is the same memory, which a cache then has.
enum Items { kApart, kSame };

struct Shape {
  std::int64_t batch, n, d;
  Items items;

  explicit Shape(const benchmark::State& state, Items items_ = kApart)
      : batch(state.range(0)), n(state.range(1)), d(state.range(2)), items(items_) {}
  std::int64_t values() const { return batch * n * d; }
  std::int64_t response_values() const { return (n / 2 + 1) * d * 2; }

  Signal signal(Floats& data) const {
    Signal result{};
    result.data = data.data();
    result.n = n;
    result.d = d;
    result.n_stride = d;
    result.d_stride = 1;
    result.batch = batch;
    result.axes = 1;
    result.size[0] = batch;
    result.stride[0] = items == kSame ? 0 : n * d;
    return result;
  }
};

void count(benchmark::State& state, std::int64_t items, std::int64_t floats_moved) {
  state.SetItemsProcessed(state.iterations() * items);
  state.SetBytesProcessed(state.iterations() * floats_moved * static_cast<std::int64_t>(sizeof(float)));
}

void mixing_kernel(benchmark::State& state, bool hidden, bool hartley) {
  const Shape shape(state);
  Floats x = noise(shape.values(), 1), y(x.size());
  const Mixing call{Element::float32, shape.signal(x), shape.signal(y), true, hidden, hartley, 1.0};
  for (auto _ : state) mixing(call, kOneThread);
  count(state, shape.values(), 2 * shape.values());
}

void fourier_mixing(benchmark::State& state) { mixing_kernel(state, true, false); }
void fourier_mixing_1d(benchmark::State& state) { mixing_kernel(state, false, false); }
void hartley_mixing(benchmark::State& state) { mixing_kernel(state, true, true); }

void filter_forward_kernel(benchmark::State& state, Items items) {
  const Shape shape(state, items);
  Floats x = noise(shape.values(), 1), response = noise(shape.response_values(), 2), y(x.size());
  Filter call{};
  call.element = Element::float32;
  call.x = shape.signal(x);
  call.y = shape.signal(y);
  call.response = response.data();
  call.bin_stride = 2 * shape.d;
  call.channel_stride = 2;
  for (auto _ : state) filter(call, kOneThread);
  count(state, shape.values(), 2 * shape.values() + shape.response_values());
}

void filter_backward_kernel(benchmark::State& state, Items items) {
  const Shape shape(state, items);
  Floats grad = noise(shape.values(), 1), x = noise(shape.values(), 2);
  Floats response = noise(shape.response_values(), 3), grad_x(x.size()), grad_response(response.size());
  Filter call{};
  call.element = Element::float32;
  call.x = shape.signal(grad);
  call.y = shape.signal(grad_x);
  call.with = shape.signal(x);
  call.response = response.data();
  call.bin_stride = 2 * shape.d;
  call.channel_stride = 2;
  call.response_grad = grad_response.data();
  call.adjoint = true;
  for (auto _ : state) filter(call, kOneThread);
  count(state, shape.values(), 3 * shape.values() + 2 * shape.response_values());
}

void filter_forward(benchmark::State& state) { filter_forward_kernel(state, kApart); }
void filter_backward(benchmark::State& state) { filter_backward_kernel(state, kApart); }
void filter_forward_in_cache(benchmark::State& state) { filter_forward_kernel(state, kSame); }
void filter_backward_in_cache(benchmark::State& state) { filter_backward_kernel(state, kSame); }

// What the memory alone costs: non-temporal stores of what is read, as the kernels' own.
void copy(benchmark::State& state) {
  const Shape shape(state);
  Floats x = noise(shape.values(), 1), y(x.size());
  for (auto _ : state) transforms().copy(x.data(), y.data(), shape.values());
  count(state, shape.values(), 2 * shape.values());
}

// How much of a row is written at once decides what that costs.
void write_in_pieces(benchmark::State& state) {
  constexpr std::int64_t rows = 4096, width = 768;
  const std::int64_t piece = state.range(0) / std::int64_t(sizeof(float));
  if (piece < transforms().lanes) return state.SkipWithError("less than a vector");
  Floats y(rows * width);
  for (auto _ : state) transforms().write_in_pieces(y.data(), rows, width, piece);
  count(state, rows * width, rows * width);
}

void energy_kernel(benchmark::State& state) {
  const Shape shape(state);
  Floats x = noise(shape.values(), 1);
  std::vector<double> result(shape.batch);
  const Energy call{Element::float32,       x.data(),     1, 1, {shape.batch, shape.n * shape.d},
                    {shape.n * shape.d, 1}, result.data()};
  for (auto _ : state) energy({{call, call}, 1}, kOneThread);
  count(state, shape.values(), shape.values());
}

void orthogonality_kernel(benchmark::State& state) {
  const Shape shape(state);
  Floats t = noise(shape.values(), 1);
  std::vector<double> error(shape.batch);
  for (auto _ : state) orthogonality({Element::float32, false, shape.signal(t), error.data()}, kOneThread);
  count(state, shape.values(), shape.values());
}

void spectral_norm_kernel(benchmark::State& state) {
  const Shape shape(state);
  Floats x = noise(shape.values(), 1), value(shape.batch), u(shape.batch * shape.n), v(shape.batch * shape.d);
  const SpectralNorm call{Element::float32, false, shape.signal(x), value.data(), u.data(), v.data()};
  for (auto _ : state) spectral_norm(call, kOneThread);
  count(state, shape.values(), shape.values());
}

// One tile, again and again, of zeros: a transform takes as long for any values, and others would overflow.
void transform(benchmark::State& state, void (*run)(const RealPlan<float>&, void*, void*)) {
  const RealPlan<float>& plan = real_plan<float>(state.range(0));
  const int lanes = transforms().lanes;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  const auto zeros = [&](std::int64_t slots) {
    const std::size_t bytes = (slots * lanes * sizeof(float) + 63) / 64 * 64;
    std::unique_ptr<void, Free> memory(std::aligned_alloc(64, bytes));
    if (memory == nullptr) std::abort();
    std::memset(memory.get(), 0, bytes);
    return memory;
  };
  const auto tile = zeros(plan.slots), work = zeros(plan.work + 1);
  for (auto _ : state) {
    run(plan, tile.get(), work.get());
    benchmark::ClobberMemory();
  }
  count(state, plan.n * lanes, 2 * plan.n * lanes);
  state.counters["flops"] =
      benchmark::Counter(plan_flops(plan.n) * lanes, benchmark::Counter::kIsIterationInvariantRate);
}

void real_forward(benchmark::State& state) { transform(state, transforms().forward); }
void real_inverse(benchmark::State& state) { transform(state, transforms().inverse); }

// In a near cache: a stage takes as long as its instructions of any one kind, at least.
void run_part(benchmark::State& state, const Part& part, std::int64_t vectors) {
  Floats memory(kTables + 2 * vectors * transforms().lanes);
  for (auto _ : state) {
    part.run(memory.data(), vectors);
    benchmark::ClobberMemory();
  }
  state.counters["vectors"] =
      benchmark::Counter(static_cast<double>(vectors), benchmark::Counter::kIsIterationInvariantRate);
}

void register_parts(const char* kind, const Part* parts, std::int64_t vectors) {
  for (; parts->name != nullptr; ++parts) {
    benchmark::RegisterBenchmark((std::string(kind) + "/" + parts->name).c_str(), run_part, *parts, vectors);
  }
}

void target_shapes(benchmark::internal::Benchmark* kernel) {
  kernel->ArgNames({"batch", "n", "d"})->Unit(benchmark::kMillisecond);
  kernel->Args({8, 128, 256})->Args({8, 512, 768})->Args({32, 512, 768})->Args({4, 4096, 768})->Args({8, 1000, 512});
}

// An item alone is in the third-level cache.
void shapes_and_one(benchmark::internal::Benchmark* kernel) {
  target_shapes(kernel);
  kernel->Args({1, 512, 768});
}

// Some items, of 64 channels: input and output of all together stay below what is written past the caches.
void cached_shapes(benchmark::internal::Benchmark* kernel) {
  kernel->ArgNames({"batch", "n", "d"})->Unit(benchmark::kMillisecond)->Args({64, 128, 64})->Args({16, 512, 64});
  kernel->Args({8, 1000, 64});
}

void matrices(benchmark::internal::Benchmark* kernel) {
  kernel->ArgNames({"batch", "n", "d"})->Unit(benchmark::kMillisecond)->Args({64, 64, 64});
}

void lengths(benchmark::internal::Benchmark* bare) {
  bare->ArgName("n")->Unit(benchmark::kMicrosecond);
  for (const int n : {16, 64, 128, 196, 256, 512, 768, 1000, 1021, 1024, 2048, 4096}) bare->Arg(n);
}

BENCHMARK(fourier_mixing)->Apply(shapes_and_one);
BENCHMARK(fourier_mixing_1d)->Apply(target_shapes);
BENCHMARK(hartley_mixing)->Apply(target_shapes);
BENCHMARK(filter_forward)->Apply(target_shapes);
BENCHMARK(filter_backward)->Apply(target_shapes);
BENCHMARK(filter_forward_in_cache)->Apply(cached_shapes);
BENCHMARK(filter_backward_in_cache)->Apply(cached_shapes);
BENCHMARK(copy)->Apply(target_shapes);
BENCHMARK(write_in_pieces)->ArgName("bytes")->RangeMultiplier(2)->Range(16, 1024)->Unit(benchmark::kMillisecond);
BENCHMARK(energy_kernel)->Apply(target_shapes);
BENCHMARK(orthogonality_kernel)->Apply(matrices)->Args({1, 768, 768});
BENCHMARK(spectral_norm_kernel)->Apply(matrices)->Args({1, 4096, 768})->Args({1, 16384, 256});
BENCHMARK(real_forward)->Apply(lengths);
BENCHMARK(real_inverse)->Apply(lengths);

}  // namespace
}  // namespace spectrans

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("instruction set", spectrans::instruction_set());
  constexpr std::int64_t near = 128, tiles = 4 * 512;
  spectrans::register_parts("instruction", spectrans::transforms().instructions, near);
  spectrans::register_parts("stage", spectrans::transforms().stages, near);
  spectrans::register_parts("rows", spectrans::transforms().rows, tiles);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
