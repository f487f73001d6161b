// What the emulated kernels' tests share: memory of every element type that accesses are checked against, and a stream.
#pragma once

#include <cmath>
#include <memory>
#include <new>
#include <vector>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace emulated {

// As cudaMalloc aligns.
template <class S>
struct Allocator {
  using value_type = S;
  Allocator() = default;
  template <class Other>
  explicit Allocator(const Allocator<Other>&) {}
  S* allocate(std::size_t count) { return static_cast<S*>(::operator new(count * sizeof(S), std::align_val_t{256})); }
  void deallocate(S* at, std::size_t) { ::operator delete(at, std::align_val_t{256}); }
  bool operator==(const Allocator&) const { return true; }
};

// Memory of a storage type, filled with rounded values; reads of it are doubles.
template <class S>
class Buffer {
 public:
  explicit Buffer(const std::vector<double>& values) : memory_(values.size()), known_(memory_.data(), bytes()) {
    using T = typename spectrans::cuda::Arithmetic<S>::type;
    for (std::size_t i = 0; i < values.size(); ++i) {
      memory_[i] = spectrans::cuda::narrow<S>(static_cast<T>(values[i]));
    }
  }
  [[nodiscard]] double operator[](std::int64_t i) const { return spectrans::cuda::widen(memory_[i]); }
  [[nodiscard]] void* data() { return memory_.data(); }
  [[nodiscard]] std::size_t bytes() const { return memory_.size() * sizeof(S); }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(memory_.size()); }

 private:
  std::vector<S, Allocator<S>> memory_;
  emulation::Registered known_;
};

// [batch, n, d], or [batch, d, n] seen as such.
template <class S>
spectrans::Signal signal(Buffer<S>& buffer, std::int64_t batch, std::int64_t n, std::int64_t d,
                         bool channels_first = false) {
  spectrans::Signal result{};
  result.data = buffer.data();
  result.n = n;
  result.d = d;
  result.n_stride = channels_first ? 1 : d;
  result.d_stride = channels_first ? n : 1;
  result.batch = batch;
  result.axes = 1;
  result.size[0] = batch;
  result.stride[0] = n * d;
  return result;
}

template <class S>
spectrans::Element element();
template <>
inline spectrans::Element element<float>() {
  return spectrans::Element::float32;
}
template <>
inline spectrans::Element element<double>() {
  return spectrans::Element::float64;
}
template <>
inline spectrans::Element element<__half>() {
  return spectrans::Element::float16;
}
template <>
inline spectrans::Element element<__nv_bfloat16>() {
  return spectrans::Element::bfloat16;
}

// Of a few transforms of length n, and one rounding to the storage type.
template <class S>
double tolerance(std::int64_t n) {
  using T = typename spectrans::cuda::Arithmetic<S>::type;
  const double storage = sizeof(S) >= 4 ? 0 : element<S>() == spectrans::Element::float16 ? 0x1p-11 : 0x1p-8;
  const double arithmetic = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
  return storage + 2 * arithmetic * (1 + std::log2(static_cast<double>(n)));
}

// A stream whose scratch is filled with NaN and given back at the end.
class Queue {
 public:
  [[nodiscard]] spectrans::cuda::Stream stream() {
    return {nullptr,
            [](std::size_t bytes, void* context) -> void* {
              auto& of = static_cast<Queue*>(context)->scratch_;
              of.push_back(std::make_unique<Buffer<double>>(std::vector<double>((bytes + 7) / 8, NAN)));
              return of.back()->data();
            },
            this};
  }

 private:
  std::vector<std::unique_ptr<Buffer<double>>> scratch_;
};

// A device with less memory of either kind, while this lives.
class Limited {
 public:
  explicit Limited(int shared_bytes, int l2_bytes = emulation::Limits{}.l2_bytes) {
    emulation::limits().shared_bytes = shared_bytes;
    emulation::limits().l2_bytes = l2_bytes;
  }
  ~Limited() { emulation::limits() = before_; }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;

 private:
  emulation::Limits before_ = emulation::limits();
};

}  // namespace emulated
