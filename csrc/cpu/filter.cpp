// Filtering along the sequence: transform, product with the response, transform back.
#include "filter_pass.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

template <class T>
struct LineTransform {
  const RealPlan<T>& first;
  std::int64_t n, slots, bins, work;
  const std::int32_t* slot;

  explicit LineTransform(std::int64_t n_)
      : first(real_plan<T>(n_)), n(n_), slots(first.slots), bins(n_ / 2 + 1), work(first.work), slot(first.slot) {}

  void forward(Vector<T>* tile, Vector<T>* scratch, Outer outer) const { real_forward(first, tile, scratch, outer); }

  template <class Middle>
  void convolve(Vector<T>* tile, Vector<T>* scratch, const Middle& middle, Outer outer) const {
    real_convolve(first, tile, scratch, middle, outer);
  }

  // Only DC and Nyquist are their own mirror images: the imaginary part of H is ignored there.
  template <class F>
  void for_each_bin(const F& f) const {
    for (std::int64_t k = 0; k < bins; ++k) {
      f(Bin<T>{k, first.im[k] < 0 ? k : -1, first.re[k], first.im[k], first.sign[k]});
    }
  }
};

}  // namespace

void filter(const Filter& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) { filter_pass<IO>(call, LineTransform<Compute<IO>>(call.x.n), pool); });
}

}  // namespace spectrans::SPECTRANS_ISA
