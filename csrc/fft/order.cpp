// The radices of lengths; slots of samples and bins of slots, stage by stage.
#include "order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "numbers.h"

namespace spectrans {
namespace {

// Odd radices first, so that the last stages, where whole transforms sit in cache, are powers of two. Threes in pairs.
std::vector<std::int64_t> odd_radices(std::int64_t n) {
  std::vector<std::int64_t> radices;
  for (; n % 9 == 0; n /= 9) radices.push_back(9);
  for (const std::int64_t prime : prime_factors(n)) {
    if (prime != 2) radices.push_back(prime);
  }
  std::sort(radices.rbegin(), radices.rend());
  return radices;
}

}  // namespace

std::vector<std::int64_t> complex_radices(std::int64_t n) {
  std::vector<std::int64_t> radices = odd_radices(n);
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  // The columns of a long stage lie a multiple of a page apart and share one set of the first-level cache, where eight
  // real and eight imaginary ones do not fit.
  for (; twos >= 9; twos -= 2) radices.push_back(4);
  if (twos == 1) {
    radices.push_back(2);
  } else {
    const int fours = twos % 3 == 0 ? 0 : (twos % 3 == 1 ? 2 : 1);  // 2^twos = 4^fours 8^eights
    radices.insert(radices.end(), fours, 4);
    radices.insert(radices.end(), (twos - 2 * fours) / 3, 8);
  }
  return radices;
}

std::vector<std::int64_t> real_radices(std::int64_t n) {
  std::vector<std::int64_t> radices = odd_radices(n);
  std::int64_t power = 1;
  while (n % (2 * power) == 0) power *= 2;
  while (power >= 4) {
    const std::int64_t radix = power >= 8 ? 8 : 4;
    radices.push_back(radix);
    power = 2 * power / radix;
  }
  return radices;
}

bool is_coprime(std::int64_t radix, std::int64_t m) { return std::gcd(radix, m) == 1; }

std::int64_t joined_bin(std::int64_t radix, std::int64_t m, std::int64_t q, std::int64_t k) {
  if (!is_coprime(radix, m)) return q + radix * k;
  // That which is q modulo the radix, and k modulo m.
  const std::int64_t apart = ((q - k) % radix + radix) % radix;
  return k + m * (apart * inverse_mod(m, radix) % radix);
}

Table<std::int32_t> sample_slots(std::int64_t n) {
  const std::vector<std::int64_t> odd = odd_radices(n);
  Table<std::int32_t> slots(n);
  if (odd.empty()) {  // powers of two take samples as they come
    std::iota(slots.begin(), slots.end(), 0);
    return slots;
  }
  const std::int64_t radix = odd.front(), m = n / radix;
  const Table<std::int32_t> inner = sample_slots(m);
  for (std::int64_t t = 0; t < radix; ++t) {
    for (std::int64_t j = 0; j < m; ++j) {
      const std::int64_t sample = is_coprime(radix, m) ? (m * t + radix * j) % n : j + m * t;
      slots[sample] = static_cast<std::int32_t>(m * t + inner[j]);
    }
  }
  return slots;
}

std::vector<std::int64_t> bins_in_place(std::int64_t n) {
  std::vector<std::int64_t> bins{0};
  std::vector<std::int64_t> radices = complex_radices(n);
  for (auto radix = radices.rbegin(); radix != radices.rend(); ++radix) {
    const std::int64_t m = static_cast<std::int64_t>(bins.size());
    std::vector<std::int64_t> longer;
    for (std::int64_t q = 0; q < *radix; ++q) {
      for (const std::int64_t bin : bins) longer.push_back(joined_bin(*radix, m, q, bin));
    }
    bins = std::move(longer);
  }
  return bins;
}

}  // namespace spectrans
