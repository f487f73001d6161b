// The Hermitian part of a response, at the frequencies of a half spectrum, and the adjoint of taking it.
#include "groups.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Row k of the half and rows k and -k of the whole.
template <class T>
class HermitianRows {
 public:
  explicit HermitianRows(const HermitianHalf& call)
      : real_(static_cast<T*>(call.real)), imag_(static_cast<T*>(call.imag)), half_(static_cast<T*>(call.half)),
        n_(call.n), d_(call.d) {}

  void fold(std::int64_t k) const {
    const T *re = real_ + k * d_, *re_image = real_ + image(k) * d_;
    const T *im = imag_ + k * d_, *im_image = imag_ + image(k) * d_;
    T* half = half_ + 2 * k * d_;
    std::int64_t l = 0;
    for (; l + kLanes<T> <= d_; l += kLanes<T>) {
      store_pairs(half + 2 * l, kLanes<T>, (load(re + l) + load(re_image + l)) / T(2),
                  (load(im + l) - load(im_image + l)) / T(2));
    }
    for (; l < d_; ++l) {
      half[2 * l] = (re[l] + re_image[l]) / 2;
      half[2 * l + 1] = (im[l] - im_image[l]) / 2;
    }
  }

  void unfold(std::int64_t k) const {
    T *re = real_ + k * d_, *re_image = real_ + image(k) * d_;
    T *im = imag_ + k * d_, *im_image = imag_ + image(k) * d_;
    const T* half = half_ + 2 * k * d_;
    const bool own = image(k) == k;
    const T real_weight = own ? 1 : T(0.5), imag_weight = own ? 0 : T(0.5);
    std::int64_t l = 0;
    for (; l + kLanes<T> <= d_; l += kLanes<T>) {
      const Complex<Vector<T>> z = load_pairs(half + 2 * l, kLanes<T>);
      store(re_image + l, z.re * real_weight);
      store(im_image + l, -z.im * imag_weight);
      store(re + l, z.re * real_weight);
      store(im + l, z.im * imag_weight);
    }
    for (; l < d_; ++l) {
      re[l] = re_image[l] = half[2 * l] * real_weight;
      im_image[l] = -half[2 * l + 1] * imag_weight;
      im[l] = half[2 * l + 1] * imag_weight;
    }
  }

 private:
  std::int64_t image(std::int64_t k) const { return k == 0 ? 0 : n_ - k; }

  T *real_, *imag_, *half_;
  std::int64_t n_, d_;
};

template <class T>
void fold_or_unfold(const HermitianHalf& call, const ThreadPool& pool) {
  const HermitianRows<T> rows(call);
  parallel(pool, call.n / 2 + 1, 6 * call.d * std::int64_t(sizeof(T)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) call.adjoint ? rows.unfold(k) : rows.fold(k);
  });
}

}  // namespace

void hermitian_half(const HermitianHalf& call, const ThreadPool& pool) {
  call.element == Element::float64 ? fold_or_unfold<double>(call, pool) : fold_or_unfold<float>(call, pool);
}

}  // namespace spectrans::SPECTRANS_ISA
