// From stable-ABI tensors to the kernels' pointers and strides.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "../calls.h"
#include "fresh.h"

namespace spectrans::torch_ops {

inline Element element(ScalarType type, const char* name) {
  switch (type) {
    case ScalarType::Float: return Element::float32;
    case ScalarType::Double: return Element::float64;
    case ScalarType::BFloat16: return Element::bfloat16;
    case ScalarType::Half: return Element::float16;
    default: throw std::invalid_argument(std::string(name) + " must be float16, bfloat16, float32 or float64");
  }
}

inline Element element(const Tensor& tensor, const char* name) { return element(tensor.scalar_type(), name); }

// What a kernel computes in.
inline ScalarType compute_type(Element element) {
  return element == Element::float64 ? ScalarType::Double : ScalarType::Float;
}

// Of complex spectra that an op gives or takes.
inline ScalarType complex_type(Element element) {
  return element == Element::float64 ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
}

inline void expect(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

inline void expect_same(const Tensor& tensor, const Tensor& x, const char* message) {
  bool same = tensor.dim() == x.dim() && tensor.scalar_type() == x.scalar_type();
  for (int64_t axis = 0; same && axis < x.dim(); ++axis) same = tensor.size(axis) == x.size(axis);
  expect(same, message);
}

// tensor [..., n, d] and, where its elements are pairs, one more axis; batch axes that can be walked with one stride
// are joined.
inline Signal signal(const Tensor& tensor, const char* name, bool pairs = false) {
  const int64_t dims = tensor.dim() - (pairs ? 1 : 0);
  if (dims < 2) throw std::invalid_argument(std::string(name) + " must have at least 2 dimensions, [..., n, d]");
  Signal result{};
  result.data = tensor.data_ptr();
  result.n = tensor.size(dims - 2);
  result.d = tensor.size(dims - 1);
  result.n_stride = tensor.stride(dims - 2);
  result.d_stride = tensor.stride(dims - 1);
  result.batch = 1;
  for (int64_t axis = 0; axis < dims - 2; ++axis) {
    const int64_t size = tensor.size(axis), stride = tensor.stride(axis);
    result.batch *= size;
    if (size == 1) continue;
    if (result.axes > 0 && result.stride[result.axes - 1] == size * stride) {
      result.size[result.axes - 1] *= size;
      result.stride[result.axes - 1] = stride;
      continue;
    }
    expect(result.axes < kMaxBatchAxes, "too many batch axes");
    result.size[result.axes] = size;
    result.stride[result.axes] = stride;
    ++result.axes;
  }
  return result;
}

inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// Pairs (re, im) that can be moved in one access each, a GPU's accesses being aligned to their size; a copy if need be.
inline Tensor aligned_pairs(const Tensor& pairs) {
  const int64_t last = pairs.dim() - 1;
  const auto begin = reinterpret_cast<std::uintptr_t>(pairs.data_ptr());
  bool aligned = pairs.stride(last) == 1 && begin % (2 * pairs.element_size()) == 0;
  for (int64_t axis = 0; axis < last; ++axis)
    aligned = aligned && (pairs.stride(axis) % 2 == 0 || pairs.size(axis) == 1);
  if (aligned) return pairs;
  Tensor copy = fresh(pairs, pairs.sizes(), pairs.scalar_type());
  return torch::stable::copy_(copy, pairs);
}

}  // namespace spectrans::torch_ops
