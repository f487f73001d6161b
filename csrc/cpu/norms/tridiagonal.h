// The largest eigenvalue of a symmetric tridiagonal matrix, and its vector.
#pragma once

#include <cstdint>

namespace spectrans {
namespace {

// Whether an eigenvalue of the symmetric tridiagonal matrix T (alpha on its diagonal, beta beside it) exceeds x: then a
// pivot of T - x is positive (Sylvester).
inline bool exceeded(const double* alpha, const double* beta, std::int64_t k, double x) {
  double pivot = alpha[0] - x;
  for (std::int64_t i = 1; i < k && pivot < 0; ++i) pivot = alpha[i] - x - beta[i - 1] * beta[i - 1] / pivot;
  return pivot >= 0;
}

// The largest eigenvalue, between bounds: upwards in growing steps, then by bisection.
inline double eigenvalue(const double* alpha, const double* beta, std::int64_t k, double least, double most) {
  double low = least, step = 1e-9 * most, high = low + step < most ? low + step : most;
  while (high < most && exceeded(alpha, beta, k, high)) {
    low = high;
    step *= 8;
    high = low + step < most ? low + step : most;
  }
  while (high - low > 1e-15 * most) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (exceeded(alpha, beta, k, middle) ? low : high) = middle;
  }
  return high;
}

// The unit eigenvector of an eigenvalue, from the factorisations of T - theta from both ends, joined where they meet
// best. room: 2 k.
inline void eigenvector(const double* alpha, const double* beta, std::int64_t k, double theta, double* y,
                        double* room) {
  double *down = room, *up = room + k;
  const auto nonzero = [](double pivot) { return pivot == 0 ? 0x1p-1000 : pivot; };
  down[0] = nonzero(alpha[0] - theta);
  for (std::int64_t i = 1; i < k; ++i) down[i] = nonzero(alpha[i] - theta - beta[i - 1] * beta[i - 1] / down[i - 1]);
  up[k - 1] = nonzero(alpha[k - 1] - theta);
  for (std::int64_t i = k - 2; i >= 0; --i) up[i] = nonzero(alpha[i] - theta - beta[i] * beta[i] / up[i + 1]);
  std::int64_t joint = 0;
  double least = -1;
  for (std::int64_t i = 0; i < k; ++i) {
    const double twist = __builtin_fabs(down[i] + up[i] - (alpha[i] - theta));
    if (least < 0 || twist < least) {
      least = twist;
      joint = i;
    }
  }
  y[joint] = 1;
  for (std::int64_t i = joint - 1; i >= 0; --i) y[i] = -beta[i] / down[i] * y[i + 1];
  for (std::int64_t i = joint + 1; i < k; ++i) y[i] = -beta[i - 1] / up[i] * y[i - 1];
  double norm = 0;
  for (std::int64_t i = 0; i < k; ++i) norm += y[i] * y[i];
  for (std::int64_t i = 0; i < k; ++i) y[i] /= __builtin_sqrt(norm);
}

}  // namespace
}  // namespace spectrans
