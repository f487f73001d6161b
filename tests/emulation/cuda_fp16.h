// CUDA's float16, for the emulation.
#pragma once

#include <cmath>
#include <cstdint>

struct __half {
  std::uint16_t bits;
};

inline float __half2float(__half value) {
  const int exponent = (value.bits >> 10) & 31, mantissa = value.bits & 1023;
  const float sign = (value.bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

inline __half __float2half_rn(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (value != value) return {0x7fff};
  const float size = std::fabs(value);
  if (size >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7c00)};
  if (size < 6.103515625e-05f) {  // 2^-14: the spacing is 2^-24 from here down
    return {static_cast<std::uint16_t>(sign | static_cast<int>(std::nearbyint(std::ldexp(size, 24))))};
  }
  int exponent;
  const float fraction = std::frexp(size, &exponent);                               // in [1/2, 1)
  const int mantissa = static_cast<int>(std::nearbyint(std::ldexp(fraction, 11)));  // 1024 .. 2048
  return {static_cast<std::uint16_t>(sign | (((exponent + 13) << 10) + mantissa))};
}
