// The bare transforms of the instruction set this file is compiled for, and their parts.
#include "transforms.h"

#include "cpu/transform.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

using V = Vector<float>;
constexpr int kAtOnce = 8;  // independent of one another: more than an instruction's latency

// What the compiler has to have in a register, and knows nothing of.
SPECTRANS_INLINE void keep(V& value) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(value));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(value));
#else
  asm volatile("" : "+w"(value));
#endif
}

// f(i, v) for i in 0 .. vectors, v one of kAtOnce values.
template <class F>
SPECTRANS_INLINE void each(std::int64_t vectors, const F& f) {
  V v[kAtOnce]{};
  unroll<0, kAtOnce>([&]<int k>() SPECTRANS_INLINE_LAMBDA { keep(v[k]); });
  for (std::int64_t i = 0; i < vectors; i += kAtOnce) {
    unroll<0, kAtOnce>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      f(i + k, v[k]);
      keep(v[k]);
    });
  }
}

void additions(float*, std::int64_t vectors) {
  each(vectors, [](std::int64_t, V& v) SPECTRANS_INLINE_LAMBDA { v = v + v; });
}

void products(float*, std::int64_t vectors) {
  each(vectors, [](std::int64_t, V& v) SPECTRANS_INLINE_LAMBDA { v = v * v + v; });
}

void loads(float* memory, std::int64_t vectors) {
  const V* from = reinterpret_cast<const V*>(memory);
  each(vectors, [from](std::int64_t i, V& v) SPECTRANS_INLINE_LAMBDA { v = from[i]; });
}

void stores(float* memory, std::int64_t vectors) {
  V* to = reinterpret_cast<V*>(memory);
  each(vectors, [to](std::int64_t i, V& v) SPECTRANS_INLINE_LAMBDA { to[i] = v; });
}

constinit const Part instructions[] = {
    {"additions", additions}, {"products", products}, {"loads", loads}, {"stores", stores}, {nullptr, nullptr}};

// The product of a filter.
struct TimesResponse {
  const V *tile, *response;

  SPECTRANS_INLINE void bin(const V* re, const V* im, V& a, V& b) const {
    const V hr = once(response[re - tile]), hi = once(response[im - tile]), product = a * hr - b * hi;
    b = a * hi + b * hr;
    a = product;
  }
};

// A transform of `vectors` real, or half as many complex values.
template <int R, bool kInverse>
void real_stage(float* memory, std::int64_t vectors) {
  const RealStage<float> stage{.radix = R,
                               .m = vectors / R,
                               .low = 2 * vectors / R,
                               .gap = 0,
                               .pairs = kRealPairs<R>,
                               .twiddles = memory,
                               .doubled = memory,
                               .child = nullptr};
  V* tile = reinterpret_cast<V*>(memory + kTables);
  if constexpr (kInverse) {
    real_inverse_stage<R, true>(stage, tile);
  } else {
    real_forward_stage<R, true>(stage, tile);
  }
}

template <int R, bool kInverse>
void complex_stage(float* memory, std::int64_t vectors) {
  V* re = reinterpret_cast<V*>(memory + kTables);
  if constexpr (kInverse) {
    complex_inverse_stage<R, true>(re, re + vectors / 2, 1, vectors / 2 / R, memory);
  } else {
    complex_forward_stage<R, true>(re, re + vectors / 2, 1, vectors / 2 / R, memory);
  }
}

template <int R>
void middle_stage(float* memory, std::int64_t vectors) {
  V* re = reinterpret_cast<V*>(memory + kTables);
  complex_middle_stage<R, float>(re, re + vectors / 2, vectors / 2 / R, TimesResponse{re, re + vectors});
}

constinit const Part stages[] = {{"real_8", real_stage<8, false>},
                                 {"real_8_inverse", real_stage<8, true>},
                                 {"complex_8", complex_stage<8, false>},
                                 {"complex_8_inverse", complex_stage<8, true>},
                                 {"middle_8", middle_stage<8>},
                                 {"complex_4", complex_stage<4, false>},
                                 {"complex_4_inverse", complex_stage<4, true>},
                                 {"middle_4", middle_stage<4>},
                                 {nullptr, nullptr}};

}  // namespace

constinit const Transforms transforms{
    kLanes<float>,
    [](const RealPlan<float>& plan, void* tile, void* work) {
      real_forward(plan, static_cast<V*>(tile), static_cast<V*>(work));
    },
    [](const RealPlan<float>& plan, void* tile, void* work) {
      real_inverse(plan, static_cast<V*>(tile), static_cast<V*>(work));
    },
    [](const float* from, float* to, std::int64_t count) {
      for (std::int64_t i = 0; i < count; i += kLanes<float>) stream(to + i, load(from + i));
      fence_streams();
    },
    instructions,
    stages,
};

}  // namespace spectrans::SPECTRANS_ISA
