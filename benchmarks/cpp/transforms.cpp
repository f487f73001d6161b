// The bare transforms of the instruction set this file is compiled for, and their parts.
#include "transforms.h"

#include "cpu/memory/outer_stage.h"

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

  SPECTRANS_INLINE void bin(const V* re, const V* im, std::int64_t k, V& a, V& b) const {
    const Complex<V> z = times(Complex<V>{a, b}, once(response[(re - tile) + k]), once(response[(im - tile) + k]));
    a = z.re;
    b = z.im;
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

// Four tiles, and the contiguous rows that go into them.
struct Rows {
  const RealPlan<float>& plan;
  const Tiles<float> tiles;
  float* data;
  const std::int64_t stride = 4 * kLanes<float>;
  const std::int64_t channel[kMaxTiles] = {0, kLanes<float>, 2 * kLanes<float>, 3 * kLanes<float>};

  Rows(float* memory, std::int64_t vectors)
      : plan(real_plan<float>(vectors / 4)), tiles{reinterpret_cast<V*>(memory), padded(plan.slots), 4},
        data(memory + 4 * tiles.pitch * kLanes<float>) {}

  // f(vector of a row, vector of a tile)
  template <class F>
  SPECTRANS_INLINE void each(const F& f) const {
    for (std::int64_t j = 0; j < plan.n; ++j) {
      for (std::int64_t k = 0; k < 4; ++k) f(data + j * stride + channel[k], tiles[k][plan.slot[j]]);
    }
  }
};

void copy_rows(float* memory, std::int64_t vectors) {
  Rows(memory, vectors).each([](const float* row, V& slot) SPECTRANS_INLINE_LAMBDA { slot = load(row); });
}

void copy_rows_back(float* memory, std::int64_t vectors) {
  Rows(memory, vectors).each([](float* row, const V& slot) SPECTRANS_INLINE_LAMBDA { store(row, slot); });
}

void outer_stage(float* memory, std::int64_t vectors) {
  const Rows rows(memory, vectors);
  outer_forward(rows.plan.stage[0], rows.plan.sample, rows.tiles,
                RowsFrom<float>{rows.data, rows.stride, rows.channel});
}

void outer_stage_back(float* memory, std::int64_t vectors) {
  const Rows rows(memory, vectors);
  outer_inverse(rows.plan.stage[0], rows.plan.sample, rows.tiles,
                RowsTo<float>{rows.data, rows.stride, rows.channel, false});
}

constinit const Part rows[] = {{"copy", copy_rows},
                               {"copy_back", copy_rows_back},
                               {"outer", outer_stage},
                               {"outer_back", outer_stage_back},
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
    [](float* to, std::int64_t rows, std::int64_t width, std::int64_t piece) {
      for (std::int64_t l = 0; l < width; l += piece) {
        for (std::int64_t j = 0; j < rows; ++j) {
          for (std::int64_t i = 0; i < piece; i += kLanes<float>) stream(to + j * width + l + i, V{});
        }
      }
      fence_streams();
    },
    instructions,
    stages,
    rows,
};

}  // namespace spectrans::SPECTRANS_ISA
