// Lanes: the vector type of the instruction set being compiled, half conversions, and in-register transposes.
//
// Included only by files that are compiled once per instruction set. Everything sits in an anonymous namespace,
// so that the linker never takes one set's code for another's, and nothing of the standard library is used.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "../fft/butterflies.h"

namespace spectrans {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T, int N>
struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
template <class T>
using Vector = typename VectorOf<T, kLanes<T>>::type;

// Storage-only element types.
struct BFloat16 {
  std::uint16_t bits;
};
struct Float16 {
  std::uint16_t bits;
};

// The type arithmetic is done in.
template <class IO>
using Compute = std::conditional_t<std::is_same_v<std::remove_const_t<IO>, double>, double, float>;

template <class To, class From>
SPECTRANS_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

using Words = VectorOf<std::uint32_t, kLanes<float>>::type;
using Halves = VectorOf<std::uint16_t, kLanes<float>>::type;

// Words with these upper halves, and zeros below; the upper halves of words. (Compilers go a long way round: they
// extend halves in two parts, and pack words whose lower halves they first mask.)
#if defined(__AVX512F__)
SPECTRANS_INLINE Words from_upper(Halves upper) {
  return bit_cast<Words>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bit_cast<__m256i>(upper)), 16));
}
SPECTRANS_INLINE Halves upper_of(Words words) {
  return bit_cast<Halves>(_mm512_cvtepi32_epi16(_mm512_srli_epi32(bit_cast<__m512i>(words), 16)));
}
#elif defined(__AVX2__)
SPECTRANS_INLINE Words from_upper(Halves upper) {
  return bit_cast<Words>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bit_cast<__m128i>(upper)), 16));
}
SPECTRANS_INLINE Halves upper_of(Words words) {
  const __m256i upper = _mm256_srli_epi32(bit_cast<__m256i>(words), 16);
  return bit_cast<Halves>(_mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1)));
}
#elif defined(__SSE2__) && !defined(__AVX__)
SPECTRANS_INLINE Words from_upper(Halves upper) {
  const __m128i bits = _mm_set_epi64x(0, bit_cast<long long>(upper));
  return bit_cast<Words>(_mm_unpacklo_epi16(_mm_setzero_si128(), bits));
}
SPECTRANS_INLINE Halves upper_of(Words words) {
  const __m128i upper = _mm_srai_epi32(bit_cast<__m128i>(words), 16);
  return bit_cast<Halves>(_mm_cvtsi128_si64(_mm_packs_epi32(upper, upper)));
}
#else
SPECTRANS_INLINE Words from_upper(Halves upper) { return __builtin_convertvector(upper, Words) << 16; }
SPECTRANS_INLINE Halves upper_of(Words words) { return __builtin_convertvector(words >> 16, Halves); }
#endif

SPECTRANS_INLINE Vector<float> widen(Halves bits, BFloat16) { return bit_cast<Vector<float>>(from_upper(bits)); }

// To the nearest, to even of two; a NaN stays one.
SPECTRANS_INLINE Halves narrow(Vector<float> value, BFloat16) {
  const Words bits = bit_cast<Words>(value), rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return upper_of(value == value ? rounded : bits | 0x400000u);
}

#if defined(__AVX512F__)
SPECTRANS_INLINE Vector<float> widen(Halves bits, Float16) {
  return bit_cast<Vector<float>>(_mm512_cvtph_ps(bit_cast<__m256i>(bits)));
}
SPECTRANS_INLINE Halves narrow(Vector<float> value, Float16) {
  return bit_cast<Halves>(_mm512_cvtps_ph(bit_cast<__m512>(value), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif defined(__F16C__)
SPECTRANS_INLINE Vector<float> widen(Halves bits, Float16) {
  return bit_cast<Vector<float>>(_mm256_cvtph_ps(bit_cast<__m128i>(bits)));
}
SPECTRANS_INLINE Halves narrow(Vector<float> value, Float16) {
  return bit_cast<Halves>(_mm256_cvtps_ph(bit_cast<__m256>(value), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__ARM_NEON)
SPECTRANS_INLINE Vector<float> widen(Halves bits, Float16) {
  return bit_cast<Vector<float>>(vcvt_f32_f16(bit_cast<float16x4_t>(bits)));
}
SPECTRANS_INLINE Halves narrow(Vector<float> value, Float16) {
  return bit_cast<Halves>(vcvt_f16_f32(bit_cast<float32x4_t>(value)));
}
#else
SPECTRANS_INLINE Words select(Words mask, Words yes, Words no) { return (mask & yes) | (~mask & no); }

// 2^112 rescales the exponent, subnormals included; what overflows 2^16 was infinite or NaN.
SPECTRANS_INLINE Vector<float> widen(Halves bits, Float16) {
  const Words wide = __builtin_convertvector(bits, Words);
  const Vector<float> scaled = bit_cast<Vector<float>>((wide & 0x7fffu) << 13) * 0x1p112f;
  const auto special = bit_cast<Words>(scaled >= 0x1p16f);
  return bit_cast<Vector<float>>(bit_cast<Words>(scaled) | (special & 0x7f800000u) | ((wide & 0x8000u) << 16));
}

// Adding a constant whose last place is the half's last place lets the float adder do the rounding.
SPECTRANS_INLINE Halves narrow(Vector<float> value, Float16) {
  const Words bits = bit_cast<Words>(value), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  const Words subnormal = bit_cast<Words>(bit_cast<Vector<float>>(magnitude) + 0.5f) - 0x3f000000u;
  const Words normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  Words result = select(bit_cast<Words>(magnitude < 0x38800000u), subnormal, normal);
  result = select(bit_cast<Words>(magnitude >= 0x477ff000u), Words{} + 0x7c00u, result);
  result = select(bit_cast<Words>(magnitude > 0x7f800000u), Words{} + 0x7e00u, result);
  return __builtin_convertvector(result | sign, Halves);
}
#endif

// Lanes of T as vectors of double: one for double, two halves for float.
template <class T>
constexpr int kParts = sizeof(double) / sizeof(T);

template <class T>
SPECTRANS_INLINE Vector<double> widen_part(const Vector<T>& value, int part) {
  using Part = typename VectorOf<T, kLanes<double>>::type;
  Part lanes;
  std::memcpy(&lanes, reinterpret_cast<const char*>(&value) + part * sizeof lanes, sizeof lanes);
  return __builtin_convertvector(lanes, Vector<double>);
}

template <class T>
SPECTRANS_INLINE void narrow_part(const Vector<double>& value, int part, Vector<T>& to) {
  using Part = typename VectorOf<T, kLanes<double>>::type;
  const Part lanes = __builtin_convertvector(value, Part);
  std::memcpy(reinterpret_cast<char*>(&to) + part * sizeof lanes, &lanes, sizeof lanes);
}

// What is read, in a register. Left to itself, a compiler reads it again for every operation, as an operand in memory:
// a butterfly uses each value twice, and of whole cache lines a core reads one a cycle.
template <class V>
SPECTRANS_INLINE V once(V value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#endif
  return value;
}

// A vector as it is in memory.
template <class IO>
using Raw = std::conditional_t<sizeof(IO) == 2, Halves, Vector<Compute<IO>>>;

template <class IO>
SPECTRANS_INLINE Vector<Compute<IO>> from_raw(const Raw<IO>& raw) {
  if constexpr (sizeof(IO) == 2) {
    return widen(raw, IO{});
  } else {
    return raw;
  }
}
template <class IO>
SPECTRANS_INLINE Raw<IO> to_raw(const Vector<Compute<IO>>& value) {
  if constexpr (sizeof(IO) == 2) {
    return narrow(value, IO{});
  } else {
    return value;
  }
}

template <class IO>
SPECTRANS_INLINE Vector<Compute<IO>> load(const IO* from) {
  Raw<IO> raw;
  std::memcpy(&raw, from, sizeof raw);
  return from_raw<IO>(raw);
}

template <class IO>
SPECTRANS_INLINE void store(IO* to, Vector<Compute<IO>> value) {
  const Raw<IO> raw = to_raw<IO>(value);
  std::memcpy(to, &raw, sizeof raw);
}

// Past the caches: memory is not read before it is written, and nothing is evicted for it. `to` must be aligned to the
// size of the value; fence_streams() before another thread reads.
template <class V>
SPECTRANS_INLINE void stream_vector([[maybe_unused]] void* to, V value) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) return _mm512_stream_si512(static_cast<__m512i*>(to), bit_cast<__m512i>(value));
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32) return _mm256_stream_si256(static_cast<__m256i*>(to), bit_cast<__m256i>(value));
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16) return _mm_stream_si128(static_cast<__m128i*>(to), bit_cast<__m128i>(value));
#endif
  std::memcpy(to, &value, sizeof value);
}

SPECTRANS_INLINE void fence_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <class IO>
SPECTRANS_INLINE void stream(IO* to, Vector<Compute<IO>> value) {
  stream_vector(to, to_raw<IO>(value));
}

// Whether some lanes can be read and written, of memory that need not be there for the others: bit l for lane l.
#if defined(__AVX512F__)
constexpr bool kMasks = true;
template <class IO>
SPECTRANS_INLINE Raw<IO> load_masked(const IO* from, std::uint32_t mask, Raw<IO> others) {
  if constexpr (sizeof(IO) == 2) {
    return bit_cast<Halves>(_mm256_mask_loadu_epi16(bit_cast<__m256i>(others), static_cast<__mmask16>(mask), from));
  } else if constexpr (sizeof(IO) == 4) {
    return bit_cast<Raw<IO>>(_mm512_mask_loadu_ps(bit_cast<__m512>(others), static_cast<__mmask16>(mask), from));
  } else {
    return bit_cast<Raw<IO>>(_mm512_mask_loadu_pd(bit_cast<__m512d>(others), static_cast<__mmask8>(mask), from));
  }
}
template <class IO>
SPECTRANS_INLINE void store_masked(IO* to, std::uint32_t mask, Raw<IO> value) {
  if constexpr (sizeof(IO) == 2) {
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>(mask), bit_cast<__m256i>(value));
  } else if constexpr (sizeof(IO) == 4) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>(mask), bit_cast<__m512>(value));
  } else {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>(mask), bit_cast<__m512d>(value));
  }
}
#else
constexpr bool kMasks = false;
#endif

SPECTRANS_INLINE constexpr std::uint32_t first_lanes(std::int64_t count) { return count > 0 ? (1u << count) - 1 : 0; }

// The first `count` lanes, at a distance of `stride` elements; the others are zero.
template <class IO>
Vector<Compute<IO>> load_some(const IO* from, std::int64_t stride, int count) {
  if constexpr (kMasks) {
    if (stride == 1) return from_raw<IO>(load_masked(from, first_lanes(count), Raw<IO>{}));
  }
  IO some[kLanes<Compute<IO>>] = {};
  for (int i = 0; i < count; ++i) some[i] = from[i * stride];
  return load(some);
}

template <class IO>
void store_some(IO* to, std::int64_t stride, int count, Vector<Compute<IO>> value) {
  if constexpr (kMasks) {
    if (stride == 1) return store_masked(to, first_lanes(count), to_raw<IO>(value));
  }
  IO some[kLanes<Compute<IO>>];
  store(some, value);
  for (int i = 0; i < count; ++i) to[i * stride] = some[i];
}

// Shuffles take lane numbers of a followed by b.
template <int... Lane, class V>
SPECTRANS_INLINE V shuffle(V a, V b) {
#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(a, b, Lane...);
#else
  using Index = typename VectorOf<std::conditional_t<sizeof(a[0]) == 8, std::int64_t, std::int32_t>,
                                  static_cast<int>(sizeof...(Lane))>::type;
  return __builtin_shuffle(a, b, Index{Lane...});
#endif
}

template <class Sequence>
struct Shuffles;

template <int... I>
struct Shuffles<std::integer_sequence<int, I...>> {
  static constexpr int n = sizeof...(I);
  template <class V>
  static SPECTRANS_INLINE V reverse(V a) {
    return shuffle<(n - 1 - I)...>(a, a);
  }
  // The pair of lane blocks of length Block at a[2 i], b[2 i] (Half 0) or a[2 i + 1], b[2 i + 1] (Half 1).
  template <int Block, int Half, class V>
  static SPECTRANS_INLINE V interleave(V a, V b) {
    return shuffle<((I / Block) % 2 == 0 ? I + Half * Block : n + I - Block + Half * Block)...>(a, b);
  }
  // Of each part of Part lanes its first (Half 0) or second half: blocks of a and of b in turns.
  template <int Block, int Part, int Half, class V>
  static SPECTRANS_INLINE V zip_parts(V a, V b) {
    return shuffle<(I / Block % 2 * n + I / Part * Part + Half * Part / 2 + I % Part / (2 * Block) * Block +
                    I % Block)...>(a, b);
  }
  // Every other block, from the first (Half 0) or the second on.
  template <int Block, int Half, class V>
  static SPECTRANS_INLINE V unzip(V a, V b) {
    return shuffle<((2 * (I / Block) + Half) * Block + I % Block)...>(a, b);
  }
  // [a0, b0, a1, b1, ...], first (Half 0) or second half; kBackwards: of the half's last pair first.
  template <int Half, bool kBackwards = false, class V>
  static SPECTRANS_INLINE V zip_half(V a, V b) {
    return shuffle<(I % 2 * n + Half * n / 2 + (kBackwards ? n / 2 - 1 - I / 2 : I / 2))...>(a, b);
  }
  // The first (even) or the second (odd) of each pair of a, then those of b; kBackwards: the last of each come first.
  template <bool kBackwards = false, class V>
  static SPECTRANS_INLINE V even(V a, V b) {
    return shuffle<(I / (n / 2) * n + 2 * (kBackwards ? n / 2 - 1 - I % (n / 2) : I % (n / 2)))...>(a, b);
  }
  template <bool kBackwards = false, class V>
  static SPECTRANS_INLINE V odd(V a, V b) {
    return shuffle<(I / (n / 2) * n + 2 * (kBackwards ? n / 2 - 1 - I % (n / 2) : I % (n / 2)) + 1)...>(a, b);
  }
  // [first 0, a n-1, a n-2, ... a 1]: all but the first lane backwards
  template <class V>
  static SPECTRANS_INLINE V turned(V first, V a) {
    const V backwards = shuffle<((n - I) % n)...>(a, a);
    return shuffle<(I == 0 ? 0 : n + I)...>(first, backwards);
  }
};

// Lane index[l] of v in lane l.
template <class V, class Index>
SPECTRANS_INLINE V permute(V v, Index index) {
#if defined(__has_builtin) && __has_builtin(__builtin_shuffle)
  return __builtin_shuffle(v, index);
#else
  V result{};
  for (int l = 0; l < static_cast<int>(sizeof v / sizeof v[0]); ++l) result[l] = v[index[l]];
  return result;
#endif
}

template <class T>
using ShufflesOf = Shuffles<std::make_integer_sequence<int, kLanes<T>>>;

// rows[i] lane j <-> rows[j] lane i. Within the parts of 16 bytes whose shuffles need no table, then these parts.
template <class T>
SPECTRANS_INLINE void transpose(Vector<T>* rows) {
  constexpr int n = kLanes<T>, part = 16 / sizeof(T), levels = n == 2 ? 1 : n == 4 ? 2 : n == 8 ? 3 : 4;
  unroll<0, levels>([&]<int level>() SPECTRANS_INLINE_LAMBDA {
    constexpr int block = 1 << level;
    unroll<0, n>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      if constexpr ((i & block) == 0) {
        const Vector<T> a = rows[i], b = rows[i + block];
        if constexpr (block < part) {
          rows[i] = ShufflesOf<T>::template zip_parts<block, part, 0>(a, b);
          rows[i + block] = ShufflesOf<T>::template zip_parts<block, part, 1>(a, b);
        } else {
          rows[i] = ShufflesOf<T>::template unzip<part, 0>(a, b);
          rows[i + block] = ShufflesOf<T>::template unzip<part, 1>(a, b);
        }
      }
    });
  });
  if constexpr (part == 4) {  // of four rows, the second and the third have come out in the other's place
    unroll<0, n / 4>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      const Vector<T> second = rows[4 * i + 2];
      rows[4 * i + 2] = rows[4 * i + 1];
      rows[4 * i + 1] = second;
    });
  }
}

// The same of blocks of neighbouring lanes: rows[i] block j <-> rows[j] block i.
template <class T, int kBlock>
SPECTRANS_INLINE void transpose_blocks(Vector<T>* rows) {
  constexpr int n = kLanes<T> / kBlock, levels = n == 1 ? 0 : n == 2 ? 1 : n == 4 ? 2 : 3;
  unroll<0, levels>([&]<int level>() SPECTRANS_INLINE_LAMBDA {
    constexpr int step = 1 << level;
    unroll<0, n>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
      if constexpr ((i & step) == 0) {
        const Vector<T> a = rows[i], b = rows[i + step];
        rows[i] = ShufflesOf<T>::template interleave<step * kBlock, 0>(a, b);
        rows[i + step] = ShufflesOf<T>::template interleave<step * kBlock, 1>(a, b);
      }
    });
  });
}

// `count` lanes of re and of im from neighbouring pairs (re, im), and back.
template <class T>
SPECTRANS_INLINE Complex<Vector<T>> load_pairs(const T* from, int count) {
  constexpr int lanes = kLanes<T>;
  const int more = 2 * count - lanes;  // beyond the first vector
  const Vector<T> low = more >= 0 ? load(from) : load_some(from, 1, 2 * count);
  const Vector<T> high = more == lanes ? load(from + lanes) : load_some(from + lanes, 1, more);
  return {ShufflesOf<T>::even(low, high), ShufflesOf<T>::odd(low, high)};
}

template <class T>
SPECTRANS_INLINE void store_pairs(T* to, int count, Vector<T> re, Vector<T> im) {
  constexpr int lanes = kLanes<T>;
  const Vector<T> low = ShufflesOf<T>::template zip_half<0>(re, im);
  const Vector<T> high = ShufflesOf<T>::template zip_half<1>(re, im);
  if (count == lanes) {
    store(to, low);
    store(to + lanes, high);
  } else {
    store_some(to, 1, 2 * count < lanes ? 2 * count : lanes, low);
    store_some(to + lanes, 1, 2 * count - lanes, high);
  }
}

}  // namespace
}  // namespace spectrans
