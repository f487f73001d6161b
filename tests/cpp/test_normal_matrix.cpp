// A^H A against its definition in a wider type, at the instruction set that this is compiled for. spectral_norm proves
// what it returns, and would find another way if A^H A were wrong: its tests cannot tell.
#include <cstring>
#include <limits>

#include "cpu/norms/normal_matrix.h"
#include "oracle.h"

namespace {

using spectrans::Complex;

#define SPECTRANS_NAME_OF(set) #set
#define SPECTRANS_NAME(set) SPECTRANS_NAME_OF(set)

bool is_available(const char* wanted) {
  for (const char* const* set = spectrans::available_instruction_sets(); *set != nullptr; ++set) {
    if (std::strcmp(*set, wanted) == 0) return true;
  }
  return false;
}

template <class T>
void normal_matrix(oracle::Report& report, std::int64_t m, std::int64_t n, int parts, std::int64_t gap, int threads) {
  using W = oracle::WiderThan<T>;
  const std::int64_t row_stride = n * parts + gap, length = n * parts, padded = length + 5;
  const std::vector<double> values = oracle::noise(m * row_stride, 6);
  const std::vector<T> a(values.begin(), values.end());
  const auto at = [&](std::int64_t row, std::int64_t column) {
    const T* pair = a.data() + row * row_stride + column * parts;
    return Complex<W>{pair[0], parts == 2 ? pair[1] : T{0}};
  };
  std::vector<W> expected(length * padded, 0);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) {
      Complex<W> sum{0, 0};
      for (std::int64_t row = 0; row < m; ++row) {
        const Complex<W> x = at(row, i), y = at(row, j);
        if (parts == 1) {
          sum.re += x.re * y.re;
        } else {
          sum = sum + spectrans::times_conj(y, x.re, x.im);
        }
      }
      for (int row = 0; row < parts; ++row) {
        for (int column = 0; column < parts; ++column) {
          const W value = row == column ? sum.re : row == 1 ? sum.im : -sum.im;
          expected[(i * parts + row) * padded + j * parts + column] = value;
          expected[(j * parts + column) * padded + i * parts + row] = value;
        }
      }
    }
  }
  const spectrans::NormalMatrix<T> normal(m, n, row_stride, parts);
  const double unset = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> scratch(normal.doubles() + 8, unset), matrix(length * padded, unset);
  auto* aligned = reinterpret_cast<double*>((reinterpret_cast<std::uintptr_t>(scratch.data()) + 63) / 64 * 64);
  normal.fill(a.data(), oracle::pool(threads), aligned, matrix.data(), padded);
  // At most 128 products are added in a row.
  report.check("normal matrix", m * n, oracle::relative_error(matrix, expected),
               4 * static_cast<double>(std::numeric_limits<T>::epsilon()));
}

template <class T>
void all(oracle::Report& report) {
  for (const int parts : {1, 2}) {
    for (const std::int64_t n : {1, 2, 3, 7, 8, 16, 23, 24, 25, 49, 100}) {
      for (const std::int64_t m : {1, 64, 127, 128, 129, 900}) {
        normal_matrix<T>(report, m, n, parts, 0, 1);
        normal_matrix<T>(report, m, n, parts, 3, 2);
      }
    }
  }
  normal_matrix<T>(report, 20000, 5, 1, 0, 2);
}

}  // namespace

int main() {
  if (!is_available(SPECTRANS_NAME(SPECTRANS_ISA))) {
    std::printf("skipped: this CPU has no %s\n", SPECTRANS_NAME(SPECTRANS_ISA));
    return 77;
  }
  oracle::Report report;
  all<float>(report);
  all<double>(report);
  return report.finish();
}
