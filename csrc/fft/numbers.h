// Number theory that plans are made with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace spectrans {

inline std::vector<std::int64_t> prime_factors(std::int64_t n) {  // descending
  std::vector<std::int64_t> factors;
  for (std::int64_t p = 2; p * p <= n; ++p) {
    for (; n % p == 0; n /= p) factors.push_back(p);
  }
  if (n > 1) factors.push_back(n);
  std::reverse(factors.begin(), factors.end());
  return factors;
}

inline bool is_smooth(std::int64_t n) {
  for (std::int64_t p : {2, 3, 5, 7, 11, 13}) {
    while (n % p == 0) n /= p;
  }
  return n == 1;
}

// 1 / a modulo m, which have no common factor.
inline std::int64_t inverse_mod(std::int64_t a, std::int64_t m) {
  std::int64_t left = m, right = a % m, of_left = 0, of_right = 1;  // times a, modulo m, they are left and right
  while (right != 0) {
    const std::int64_t quotient = left / right;
    left = std::exchange(right, left - quotient * right);
    of_left = std::exchange(of_right, of_left - quotient * of_right);
  }
  return (of_left % m + m) % m;
}

inline std::int64_t power_mod(std::int64_t base, std::int64_t exponent, std::int64_t p) {
  std::int64_t result = 1;
  for (base %= p; exponent > 0; exponent /= 2, base = base * base % p) {
    if (exponent % 2 != 0) result = result * base % p;
  }
  return result;
}

inline std::int64_t generator(std::int64_t p) {
  const std::vector<std::int64_t> factors = prime_factors(p - 1);
  for (std::int64_t g = 2;; ++g) {
    if (std::all_of(factors.begin(), factors.end(),
                    [&](std::int64_t f) { return power_mod(g, (p - 1) / f, p) != 1; })) {
      return g;
    }
  }
}

}  // namespace spectrans
