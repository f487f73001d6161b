// Fixed-radix discrete Fourier transforms of values held in registers: plain maths, shared by every backend.
//
// Products are written next to the addition that takes them, so that a compiler can fuse the two; doubling is exact.
// A value V is anything with + - * (a float, a vector of lanes). Complex butterflies transform R complex
// values in natural order; real butterflies transform R reals into the part of their spectrum that is not
// redundant, and back. Constants are evaluated at compile time in long double and rounded once.
#pragma once

#include <cstdint>

#if defined(SPECTRANS_EMULATION)  // nothing is gained there, and compiling takes several times as long
#define SPECTRANS_INLINE inline
#define SPECTRANS_INLINE_LAMBDA
#else
#if defined(__CUDACC__)
#define SPECTRANS_INLINE __host__ __device__ __forceinline__
#else
#define SPECTRANS_INLINE inline __attribute__((always_inline))
#endif
// Between a lambda's parameters and its body. Left to itself, a compiler keeps some as functions: slow, and symbols of
// one instruction set that another could be linked to.
#define SPECTRANS_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace spectrans {

template <class V>
struct Complex {
  V re, im;
};

template <class V>
SPECTRANS_INLINE Complex<V> operator+(Complex<V> a, Complex<V> b) {
  return {a.re + b.re, a.im + b.im};
}

template <class V>
SPECTRANS_INLINE Complex<V> operator-(Complex<V> a, Complex<V> b) {
  return {a.re - b.re, a.im - b.im};
}

// a * (wr + i wi); S is the scalar type of the twiddle.
template <class V, class S>
SPECTRANS_INLINE Complex<V> times(Complex<V> a, S wr, S wi) {
  return {a.re * wr - a.im * wi, a.re * wi + a.im * wr};
}

// a * (wr - i wi)
template <class V, class S>
SPECTRANS_INLINE Complex<V> times_conj(Complex<V> a, S wr, S wi) {
  return {a.re * wr + a.im * wi, a.im * wr - a.re * wi};
}

// a * (Sign * i)
template <int Sign, class V>
SPECTRANS_INLINE Complex<V> rotate(Complex<V> a) {
  if constexpr (Sign > 0) {
    return {-a.im, a.re};
  } else {
    return {a.im, -a.re};
  }
}

namespace trig {

constexpr long double kPi = 3.141592653589793238462643383279502884L;

// Taylor series on |x| <= pi/4: (-x^2)^i / (2 i + first)!, with as many terms as long double (64 or 113 bits) can see.
constexpr int kTerms = __LDBL_MANT_DIG__ > 64 ? 15 : 14;
struct Series {
  long double coefficient[kTerms];
};

constexpr Series taylor(int first) {
  Series series{};
  long double c = 1;
  for (int i = 0; i < kTerms; ++i) {
    series.coefficient[i] = c;
    c = -c / ((2 * i + 1 + first) * (2 * i + 2 + first));
  }
  return series;
}

inline constexpr Series kCosSeries = taylor(0), kSinSeries = taylor(1);

constexpr long double evaluate(const Series& series, long double square) {
  long double sum = 0;
  for (int i = kTerms - 1; i >= 0; --i) sum = sum * square + series.coefficient[i];
  return sum;
}

struct Point {
  long double cos, sin;
};

// (cos, sin) of 2 pi k / n, exact symmetries included: the angle is first folded into one octant.
constexpr Point unit_root(std::int64_t k, std::int64_t n) {
  k %= n;
  if (k < 0) k += n;
  const bool lower = 2 * k > n;  // angle in (pi, 2 pi): mirror at the real axis
  if (lower) k = n - k;
  const bool left = 4 * k > n;  // angle in (pi/2, pi]: mirror at the imaginary axis; 2k/2n keeps integers
  std::int64_t num = left ? n - 2 * k : 2 * k, den = 2 * n;
  const bool steep = 8 * num > den;  // above pi/4: exchange cos and sin
  if (steep) {
    num = den - 4 * num;  // pi/2 - angle, in units of 2 pi / (4 den)
    den *= 4;
  }
  const long double angle = 2 * kPi * static_cast<long double>(num) / static_cast<long double>(den);
  long double c = evaluate(kCosSeries, angle * angle), s = angle * evaluate(kSinSeries, angle * angle);
  if (steep) {
    const long double t = c;
    c = s;
    s = t;
  }
  return {left ? -c : c, lower ? -s : s};
}

template <class S, int K, int N>
inline constexpr S kCos = static_cast<S>(unit_root(K, N).cos);
template <class S, int K, int N>
inline constexpr S kSin = static_cast<S>(unit_root(K, N).sin);

// Of j = 1 .. n / 2, the one that comes at a place, 0 for the first, while |cos(2 pi j k / n)| rises and |sin| falls.
constexpr int rising_cos(int place, int k, int n) {
  const auto from_quarter = [&](int j) {  // of a turn
    const int turn = 4 * (j * k % n > n / 2 ? n - j * k % n : j * k % n) - n;
    return turn < 0 ? -turn : turn;
  };
  for (int j = 1; j <= n / 2; ++j) {
    int before = 0;
    for (int i = 1; i <= n / 2; ++i) {
      if (from_quarter(i) < from_quarter(j) || (from_quarter(i) == from_quarter(j) && i < j)) ++before;
    }
    if (before == place) return j;
  }
  return 0;
}

}  // namespace trig

// Calls f with the compile-time integers Begin, ..., End - 1.
template <int Begin, int End, class F>
SPECTRANS_INLINE void unroll(F&& f) {
  if constexpr (Begin < End) {
    f.template operator()<Begin>();
    unroll<Begin + 1, End>(f);
  }
}

// even += scale sum_j cos(2 pi j k / R) a(j), odd = scale sum_j sin(2 pi j k / R) b(j), j = 1 .. R / 2. Small terms
// come first: a sum rounds least that grows last.
template <int R, int k, int kScale, class S, class V, class A, class B>
SPECTRANS_INLINE void pair_sums(V& even, V& odd, const A& a, const B& b) {
  constexpr int H = R / 2;
  unroll<0, H>([&]<int place>() SPECTRANS_INLINE_LAMBDA {
    constexpr int j = trig::rising_cos(place, k, R), i = trig::rising_cos(H - 1 - place, k, R);
    constexpr S c = kScale * trig::kCos<S, (j * k) % R, R>, s = kScale * trig::kSin<S, (i * k) % R, R>;
    even = even + a(j) * c;
    if constexpr (place == 0) {
      odd = b(i) * s;
    } else {
      odd = odd + b(i) * s;
    }
  });
}

// ---- complex: v[k] <- sum_j v[j] exp(Sign 2 pi i j k / R), in place, natural order ----------------------

template <int R, int Sign, class S, class V>
struct Dft {
  static_assert(R % 2 == 1, "even radices are specialised below");
  // Odd R: pair j with R - j, so that every product is real times complex.
  static SPECTRANS_INLINE void run(Complex<V>* v) {
    constexpr int H = R / 2;
    Complex<V> sum[H + 1], dif[H + 1];
    unroll<1, H + 1>([&]<int j>() SPECTRANS_INLINE_LAMBDA {
      sum[j] = v[j] + v[R - j];
      dif[j] = rotate<Sign>(v[j] - v[R - j]);
    });
    Complex<V> out0 = v[0];
    unroll<1, H + 1>([&]<int j>() SPECTRANS_INLINE_LAMBDA { out0 = out0 + sum[j]; });
    unroll<1, H + 1>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      Complex<V> even = v[0], odd;
      pair_sums<R, k, 1, S>(
          even.re, odd.re, [&](int j) SPECTRANS_INLINE_LAMBDA { return sum[j].re; },
          [&](int j) SPECTRANS_INLINE_LAMBDA { return dif[j].re; });
      pair_sums<R, k, 1, S>(
          even.im, odd.im, [&](int j) SPECTRANS_INLINE_LAMBDA { return sum[j].im; },
          [&](int j) SPECTRANS_INLINE_LAMBDA { return dif[j].im; });
      v[k] = even + odd;
      v[R - k] = even - odd;
    });
    v[0] = out0;
  }
};

template <int Sign, class S, class V>
struct Dft<1, Sign, S, V> {
  static SPECTRANS_INLINE void run(Complex<V>*) {}
};

template <int Sign, class S, class V>
struct Dft<2, Sign, S, V> {
  static SPECTRANS_INLINE void run(Complex<V>* v) {
    const Complex<V> a = v[0];
    v[0] = a + v[1];
    v[1] = a - v[1];
  }
};

template <int Sign, class S, class V>
struct Dft<4, Sign, S, V> {
  static SPECTRANS_INLINE void run(Complex<V>* v) {
    const Complex<V> a = v[0] + v[2], b = v[0] - v[2], c = v[1] + v[3], d = rotate<Sign>(v[1] - v[3]);
    v[0] = a + c;
    v[1] = b + d;
    v[2] = a - c;
    v[3] = b - d;
  }
};

template <int Sign, class S, class V>
struct Dft<8, Sign, S, V> {
  // The odd half is a transform of four with inputs exp(Sign i pi/4) d1 = h r1 and exp(Sign 3 i pi/4) d3 = h r3; its
  // products with h are put off until they can be fused with an addition.
  static SPECTRANS_INLINE void run(Complex<V>* v) {
    constexpr S h = trig::kCos<S, 1, 8>;
    Complex<V> even[4] = {v[0] + v[4], v[1] + v[5], v[2] + v[6], v[3] + v[7]};
    const Complex<V> d0 = v[0] - v[4], d1 = v[1] - v[5], d2 = rotate<Sign>(v[2] - v[6]), d3 = v[3] - v[7];
    const Complex<V> r1 = d1 + rotate<Sign>(d1), r3 = rotate<Sign>(d3) - d3;
    const Complex<V> a = d0 + d2, b = d0 - d2, c = r1 + r3, d = rotate<Sign>(r1 - r3);
    Dft<4, Sign, S, V>::run(even);
    unroll<0, 4>([&]<int k>() SPECTRANS_INLINE_LAMBDA { v[2 * k] = even[k]; });
    v[1] = {a.re + c.re * h, a.im + c.im * h};
    v[3] = {b.re + d.re * h, b.im + d.im * h};
    v[5] = {a.re - c.re * h, a.im - c.im * h};
    v[7] = {b.re - d.re * h, b.im - d.im * h};
  }
};

// A x B values: v[B j + t] -> transforms of length A over j, twiddles, transforms of length B over t.
template <int A, int B, int Sign, class S, class V>
struct CompositeDft {
  static SPECTRANS_INLINE void run(Complex<V>* v) {
    Complex<V> of[A][B];
    unroll<0, B>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
      Complex<V> u[A];
      unroll<0, A>([&]<int j>() SPECTRANS_INLINE_LAMBDA { u[j] = v[B * j + t]; });
      Dft<A, Sign, S, V>::run(u);
      unroll<0, A>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
        if constexpr (t * k == 0) {
          of[k][t] = u[k];
        } else if constexpr (4 * t * k == A * B) {
          of[k][t] = rotate<Sign>(u[k]);
        } else {
          of[k][t] = times(u[k], trig::kCos<S, t * k, A * B>, Sign * trig::kSin<S, t * k, A * B>);
        }
      });
    });
    unroll<0, A>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      Dft<B, Sign, S, V>::run(of[k]);
      unroll<0, B>([&]<int q>() SPECTRANS_INLINE_LAMBDA { v[k + A * q] = of[k][q]; });
    });
  }
};

template <int Sign, class S, class V>
struct Dft<6, Sign, S, V> : CompositeDft<2, 3, Sign, S, V> {};
template <int Sign, class S, class V>
struct Dft<10, Sign, S, V> : CompositeDft<2, 5, Sign, S, V> {};
template <int Sign, class S, class V>
struct Dft<12, Sign, S, V> : CompositeDft<4, 3, Sign, S, V> {};
template <int Sign, class S, class V>
struct Dft<14, Sign, S, V> : CompositeDft<2, 7, Sign, S, V> {};
template <int Sign, class S, class V>
struct Dft<15, Sign, S, V> : CompositeDft<3, 5, Sign, S, V> {};
template <int Sign, class S, class V>
struct Dft<16, Sign, S, V> : CompositeDft<4, 4, Sign, S, V> {};

// ---- real: R reals x[t] <-> the independent part of their spectrum --------------------------------------
//
// Forward, odd R:  low[0] = X[0], pair[q - 1] = X[q] for q = 1 .. (R - 1) / 2.
// Forward, even R: low[0] + low[1] = X[0] and low[0] - low[1] = X[R / 2] (left unadded: the next stage,
//                  a transform of twice the length, does it), pair[q - 1] = X[q] for q = 1 .. R / 2 - 1.
// Inverse: the same, backwards: x[t] = low part + sum_q 2 Re(pair[q - 1] exp(2 pi i q t / R)), where pairs come as they
// are, or doubled.

template <int R>
inline constexpr int kRealLow = R % 2 == 0 ? 2 : 1;
template <int R>
inline constexpr int kRealPairs = (R - 1) / 2;

template <int R, class S, class V>
struct RealDft {
  static_assert(R % 2 == 1, "even radices are specialised below");
  static SPECTRANS_INLINE void forward(const V* x, V* low, Complex<V>* pair) {
    constexpr int H = R / 2;
    V sum[H + 1], dif[H + 1];
    low[0] = x[0];
    unroll<1, H + 1>([&]<int j>() SPECTRANS_INLINE_LAMBDA {
      sum[j] = x[j] + x[R - j];
      dif[j] = x[R - j] - x[j];
      low[0] = low[0] + sum[j];
    });
    unroll<1, H + 1>([&]<int k>() SPECTRANS_INLINE_LAMBDA {
      V even = x[0], odd;
      pair_sums<R, k, 1, S>(
          even, odd, [&](int j) SPECTRANS_INLINE_LAMBDA { return sum[j]; },
          [&](int j) SPECTRANS_INLINE_LAMBDA { return dif[j]; });
      pair[k - 1] = {even, odd};
    });
  }

  template <bool kDoubled>
  static SPECTRANS_INLINE void inverse(const V* low, const Complex<V>* pair, V* x) {
    constexpr int H = R / 2;
    constexpr int twice = kDoubled ? 1 : 2;
    x[0] = low[0];
    unroll<1, H + 1>([&]<int k>() SPECTRANS_INLINE_LAMBDA { x[0] = x[0] + pair[k - 1].re * S(twice); });
    unroll<1, H + 1>([&]<int t>() SPECTRANS_INLINE_LAMBDA {
      V even = low[0], odd;
      pair_sums<R, t, twice, S>(
          even, odd, [&](int k) SPECTRANS_INLINE_LAMBDA { return pair[k - 1].re; },
          [&](int k) SPECTRANS_INLINE_LAMBDA { return pair[k - 1].im; });
      x[t] = even - odd;
      x[R - t] = even + odd;
    });
  }
};

template <class S, class V>
struct RealDft<4, S, V> {
  static SPECTRANS_INLINE void forward(const V* x, V* low, Complex<V>* pair) {
    low[0] = x[0] + x[2];
    low[1] = x[1] + x[3];
    pair[0] = {x[0] - x[2], x[3] - x[1]};
  }

  template <bool kDoubled>
  static SPECTRANS_INLINE void inverse(const V* low, const Complex<V>* pair, V* x) {
    constexpr S twice = kDoubled ? 1 : 2;
    x[0] = low[0] + pair[0].re * twice;
    x[1] = low[1] - pair[0].im * twice;
    x[2] = low[0] - pair[0].re * twice;
    x[3] = low[1] + pair[0].im * twice;
  }
};

template <class S, class V>
struct RealDft<8, S, V> {
  static SPECTRANS_INLINE void forward(const V* x, V* low, Complex<V>* pair) {
    constexpr S h = trig::kCos<S, 1, 8>;
    const V s0 = x[0] + x[4], s1 = x[1] + x[5], s2 = x[2] + x[6], s3 = x[3] + x[7];
    const V d0 = x[0] - x[4], d1 = x[1] - x[5], d2 = x[2] - x[6], d3 = x[3] - x[7];
    low[0] = s0 + s2;
    low[1] = s1 + s3;
    pair[1] = {s0 - s2, s3 - s1};
    const V a = (d1 - d3) * h, b = (d1 + d3) * h;
    pair[0] = {d0 + a, -d2 - b};
    pair[2] = {d0 - a, d2 - b};
  }

  template <bool kDoubled>
  static SPECTRANS_INLINE void inverse(const V* low, const Complex<V>* pair, V* x) {
    constexpr S twice = kDoubled ? 1 : 2, h = twice * trig::kCos<S, 1, 8>;
    const V s0 = low[0] + pair[1].re * twice, s2 = low[0] - pair[1].re * twice;
    const V s1 = low[1] - pair[1].im * twice, s3 = low[1] + pair[1].im * twice;
    // Odd bins: x[t] - x[t + 4] = 4 Re(X1 w^t + X3 w^3t); sums and differences of the two bins first.
    const V rs = pair[0].re + pair[2].re, rd = pair[0].re - pair[2].re;
    const V is = pair[0].im + pair[2].im, id = pair[0].im - pair[2].im;
    const V d1 = rd - is, d3 = rd + is;
    x[0] = s0 + rs * twice;
    x[4] = s0 - rs * twice;
    x[1] = s1 + d1 * h;
    x[5] = s1 - d1 * h;
    x[2] = s2 - id * twice;
    x[6] = s2 + id * twice;
    x[3] = s3 - d3 * h;
    x[7] = s3 + d3 * h;
  }
};

}  // namespace spectrans
