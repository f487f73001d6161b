// Filtering along the sequence: transform, product with the response, transform back.
#include "filter/pass.h"
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

// Few channels: parts of each line in the lanes.
template <class T>
class SplitPass {
 public:
  SplitPass(const Filter& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), split_(call.x.n, call.x.d, call.x.batch), n_(call.x.n),
        d_(call.x.d), bins_(n_ / 2 + 1), size_(split_.spectrum_size()), packs_(split_.packs()),
        parts_(gradient() ? min(packs_, kTasks) : packs_), all_(d_ * size_),
        step_((ceil_div(call.x.batch, parts_) > kItemsPerSum ? 2 : 1) * all_) {}

  static bool suits(const Filter& call) { return SplitLines<T>::suits(call.x.n, call.x.d, call.x.batch); }

  void run() const {
    T* shared = static_cast<T*>(
        scratch(ScratchRoom::shared, ((filters() ? all_ : 0) + (gradient() ? parts_ * step_ : 0)) * sizeof(T)));
    T* sums = shared + (filters() ? all_ : 0);
    if (filters()) arrange_response(shared);
    const std::int64_t items = ceil_div(call_.x.batch, parts_);
    const std::int64_t packs_per_sum = max(1, items_per_sum(items) * d_ / split_.lines());
    parallel(pool_, parts_, split_.tile_slots() * kVectorBytes * ceil_div(packs_, parts_),
             [&](std::int64_t begin, std::int64_t end) {
               const auto space = split_.workspace(0, gradient() ? 1 : 0);
               for (std::int64_t part = begin; part < end; ++part) {
                 T *total = sums + part * step_, *sum = total + step_ - all_;
                 for (std::int64_t i = 0; gradient() && i < step_; ++i) total[i] = 0;
                 const std::int64_t first = part * packs_ / parts_, last = (part + 1) * packs_ / parts_;
                 for (std::int64_t pack = first; pack < last; ++pack) {
                   if (gradient()) {
                     storage_.gather_parts(split_, call_.with, pack, space.tile);
                     split_.forward(pack, space, space.more);
                   }
                   storage_.gather_parts(split_, call_.x, pack, space.tile);
                   split_.forward(pack, space, space.spectra);
                   split_.for_each_line(pack, space, [&](std::int64_t, std::int64_t channel, const Spectrum<T>& x) {
                     if (gradient()) {
                       Spectrum<T>(sum + channel * size_, n_).add_product(split_.other(space, x), x);
                     }
                     if (filters()) x.multiply(Spectrum<T>(shared + channel * size_, n_));
                   });
                   const bool full = (pack - first) % packs_per_sum == packs_per_sum - 1 || pack + 1 == last;
                   for (std::int64_t i = 0; gradient() && sum != total && full && i < all_; ++i) {
                     total[i] += sum[i];
                     sum[i] = 0;
                   }
                   if (!filters()) continue;
                   split_.inverse(pack, space, space.spectra);
                   storage_.scatter_parts(split_, call_.y, pack, space.tile);
                 }
               }
             });
    if (gradient()) write_gradient(sums);
  }

 private:
  bool filters() const { return call_.response != nullptr; }
  bool gradient() const { return call_.response_grad != nullptr; }

  // Spectra of the channels, divided by n.
  void arrange_response(T* spectra) const {
    const Divisor<T> n(n_);
    const T sign = call_.adjoint ? T(-1) : T(1);
    for (std::int64_t c = 0; c < d_; ++c) {
      const Spectrum<T> to(spectra + c * size_, n_);
      const T* response = static_cast<const T*>(call_.response) + c * call_.channel_stride;
      for (std::int64_t k = 0; k < bins_; k += kLanes<T>) {
        const Complex<Vector<T>> h = load_complex_line(response + k * call_.bin_stride, call_.bin_stride, block(k));
        store(to.re + k, n.divide(h.re, T(1)));
        store(to.im + k, n.divide(h.im, sign));
      }
      to.finish();  // the imaginary part of DC and Nyquist is without effect
    }
  }

  int block(std::int64_t k) const { return static_cast<int>(min(kLanes<T>, bins_ - k)); }

  void write_gradient(T* sums) const {
    const Divisor<T> n(n_);
    add_parts(pool_, all_, parts_ - 1, sums + step_, step_, sums);
    for (std::int64_t c = 0; c < d_; ++c) {
      const Spectrum<T> sum(sums + c * size_, n_);
      sum.finish();
      sum.re[0] /= 2;  // the others stand for their conjugates, too
      if (n_ % 2 == 0) sum.re[n_ / 2] /= 2;
      T* gradient = static_cast<T*>(call_.response_grad) + 2 * c;
      for (std::int64_t k = 0; k < bins_; k += kLanes<T>) {
        store_complex_line(gradient + 2 * k * d_, 2 * d_, block(k), n.divide(load(sum.re + k), T(2)),
                           n.divide(load(sum.im + k), T(2)));
      }
    }
  }

  const Filter& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const SplitLines<T> split_;
  const std::int64_t n_, d_, bins_;
  const std::int64_t size_;           // of a spectrum
  const std::int64_t packs_, parts_;  // of the batch
  const std::int64_t all_, step_;     // values of all channels' spectra, and of the sums of a part
};

}  // namespace

void filter(const Filter& call, const ThreadPool& pool) {
  with_storage(call.element, [&]<class T>(const Storage<T>& storage) {
    if (SplitPass<T>::suits(call)) {
      SplitPass<T>(call, storage, pool).run();
    } else {
      filter_pass(call, LineTransform<T>(call.x.n), storage, pool);
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
