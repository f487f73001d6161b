// Long convolution of few channels: parts of each line in the lanes (parts/split.h), padded with zeros, so that what
// wraps round meets nothing.
#pragma once

#include "../../fft/length.h"
#include "../memory/storage.h"
#include "ways.h"

namespace spectrans {
namespace {

template <class T>
class SplitConv {
 public:
  SplitConv(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : SplitConv(call, storage, pool, whole_length(call), 0) {}

  // Of a segment: the window that is transformed is of u or, backward, of grad; what is made, and backward u, may be of
  // fewer rows, those from its row `first` on. In lines of `length` samples: no fewer than these and all that they
  // could reach.
  SplitConv(const Conv& call, const Storage<T>& storage, const ThreadPool& pool, std::int64_t length,
            std::int64_t first)
      : call_(call), storage_(storage), pool_(pool), length_(length), d_(call.u.d), first_(first),
        taps_(max(call.u.n, call.grad.n), call.k.n, call.causal), wide_(length_, d_, 1),
        lines_(length_, d_, call.u.batch), size_(lines_.spectrum_size()), packs_(lines_.packs()) {}

  // Of whole signals, where less is to be done than with one line a lane.
  static double cost(const Conv& call) {
    const std::int64_t length = whole_length(call);
    return SplitLines<T>::suits(length, call.u.d, call.u.batch) ? cost(call, length, 1) : kImpossible;
  }
  // Of so many segments, in lines of n samples, and their kernel: as measured.
  static double cost(const Conv& call, std::int64_t n, std::int64_t segments) {
    const std::int64_t near = (is_backward(call) ? 64 : 128) * 1024;  // samples
    const std::int64_t d = call.u.d, batch = call.u.batch * segments;
    const std::int64_t slots = SplitLines<T>::slots(n, SplitLines<T>::parts(n, d, batch), d, batch);
    const double each = n * d <= near ? 33 : n * d <= 2 * near ? 80 : n * d <= 4 * near ? 110 : 190;
    return each * static_cast<double>(slots) + 25 * static_cast<double>(n * d) / kLanes<T>;
  }

  // Samples of a line that is not cut.
  static std::int64_t whole_length(const Conv& call) {
    const Reach reach(ActingTaps(call.u.n, call.k.n, call.causal), call.adjoint);
    return padded_length(call.u.n + max(reach.before, reach.after));
  }

  void forward() const {
    T* kernel = static_cast<T*>(scratch(ScratchRoom::shared, d_ * size_ * sizeof(T)));
    arrange_kernel(kernel);
    parallel(pool_, packs_, lines_.tile_slots() * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const auto space = lines_.workspace(2);
      Vector<T>*v = space.tiles, *other = v + lines_.tile_slots();
      for (std::int64_t pack = begin; pack < end; ++pack) {
        gated(call_.u, call_.pre, pack, space.tile, other);
        keep(space.tile, v);
        lines_.forward(pack, space, space.spectra);
        lines_.for_each_line(pack, space, [&](std::int64_t, std::int64_t channel, const Spectrum<T>& line) {
          line.multiply(Spectrum<T>(kernel + channel * size_, length_), call_.adjoint);
        });
        lines_.inverse(pack, space, space.spectra);
        add_skip(call_.u, call_.pre, pack, v, space.tile, other);
        gate(call_.post, pack, space.tile, other);
        storage_.scatter_parts(lines_, call_.y, pack, space.tile);
      }
    });
  }

  void backward() const {
    const std::int64_t parts = min(packs_, kTasks), all = d_ * size_;
    T* kernel = static_cast<T*>(scratch(ScratchRoom::shared, (1 + 2 * parts) * all * sizeof(T)));
    T* totals = kernel + all;
    arrange_kernel(kernel);
    const std::int64_t items = ceil_div(call_.u.batch, parts);
    const std::int64_t packs_per_sum = max(1, items_per_sum(items) * d_ / lines_.lines());
    parallel(pool_, parts, lines_.tile_slots() * kVectorBytes * ceil_div(packs_, parts),
             [&](std::int64_t begin, std::int64_t end) {
               const auto space = lines_.workspace(3, 1);
               for (std::int64_t part = begin; part < end; ++part) {
                 T *total = totals + 2 * part * all, *sum = total + all;
                 const std::int64_t first = part * packs_ / parts, last = (part + 1) * packs_ / parts;
                 for (std::int64_t i = 0; i < 2 * all; ++i) total[i] = 0;
                 for (std::int64_t pack = first; pack < last; ++pack) {
                   pack_backward(pack, kernel, sum, space);
                   if ((pack - first) % packs_per_sum < packs_per_sum - 1 && pack + 1 < last) continue;
                   for (std::int64_t i = 0; i < all; ++i) {
                     total[i] += sum[i];
                     sum[i] = 0;
                   }
                 }
               }
             });
    add_parts(pool_, all, parts - 1, totals + 2 * all, 2 * all, totals);
    write_kernel_gradient(totals);
  }

 private:
  using Workspace = typename SplitLines<T>::Workspace;

  // What a skip takes later: rows of a window, where its own are the first.
  void keep(const Vector<T>* from, Vector<T>* to) const {
    if (call_.skip != nullptr && first_ == 0) copy(from, to);
  }
  void copy(const Vector<T>* from, Vector<T>* to) const {
    for (std::int64_t i = 0; i < lines_.tile_slots(); ++i) to[i] = from[i];
  }

  // tile *= gate, where there is one
  void gate(const Signal& gate, std::int64_t pack, Vector<T>* tile, Vector<T>* other) const {
    if (gate.data == nullptr) return;
    storage_.gather_parts(lines_, gate, pack, other);
    for (std::int64_t i = 0; i < lines_.tile_slots(); ++i) tile[i] = tile[i] * other[i];
  }

  void gated(const Signal& x, const Signal& by, std::int64_t pack, Vector<T>* tile, Vector<T>* other) const {
    storage_.gather_parts(lines_, x, pack, tile);
    gate(by, pack, tile, other);
  }

  // The own rows of a window.
  Signal own(const Signal& window) const {
    if (window.data == nullptr) return window;
    return storage_.rows(window, first_, is_backward(call_) ? call_.u.n : call_.y.n);
  }

  // tile += skip v, where v has been kept of `x by`, or is read again.
  void add_skip(const Signal& x, const Signal& by, std::int64_t pack, Vector<T>* v, Vector<T>* tile,
                Vector<T>* other) const {
    if (call_.skip == nullptr) return;
    if (first_ > 0) gated(own(x), own(by), pack, v, other);
    T each[kLanes<T>] = {};
    const auto* skip = static_cast<const T*>(call_.skip);
    for (std::int64_t lane = 0; lane < lines_.used_lanes(pack); ++lane) each[lane] = skip[lane % d_];
    const Vector<T> factor = load(each);
    for (std::int64_t i = 0; i < lines_.tile_slots(); ++i) tile[i] = tile[i] + factor * v[i];
  }

  // The kernel's spectra, divided by the length: in double, they add no error of their own.
  void arrange_kernel(T* spectra) const {
    const auto space = wide_.workspace(samples_tiles());
    auto* samples = reinterpret_cast<double*>(space.tiles);
    for (std::int64_t i = 0; i < length_ * d_; ++i) samples[i] = 0;
    for_each_tap([&](std::int64_t tap, std::int64_t at) {
      const Lines<const T> from = lines<const T>(call_.k, 0, 0);
      for (std::int64_t c = 0; c < d_; ++c) {
        samples[at * d_ + c] = static_cast<double>(from.data[tap * from.n_stride + c * from.d_stride]);
      }
    });
    own_storage<double>().gather_parts(wide_, samples_signal(samples), 0, space.tile);
    wide_.forward(0, space, space.spectra);
    wide_.for_each_line(0, space, [&](std::int64_t, std::int64_t channel, const Spectrum<double>& line) {
      const Spectrum<T> to(spectra + channel * size_, length_);
      for (std::int64_t k = 0; k <= length_ / 2; ++k) {
        to.re[k] = static_cast<T>(line.re[k] / static_cast<double>(length_));
        to.im[k] = static_cast<T>(line.im[k] / static_cast<double>(length_));
      }
    });
  }

  // irfft(conj(V) P), in double, too.
  void write_kernel_gradient(const T* spectra) const {
    const auto space = wide_.workspace(samples_tiles());
    auto* samples = reinterpret_cast<double*>(space.tiles);
    wide_.for_each_line(0, space, [&](std::int64_t, std::int64_t channel, const Spectrum<double>& line) {
      const Spectrum<T> from(const_cast<T*>(spectra) + channel * size_, length_);
      for (std::int64_t k = 0; k <= length_ / 2; ++k) {
        line.re[k] = static_cast<double>(from.re[k]) / static_cast<double>(length_);
        line.im[k] = static_cast<double>(from.im[k]) / static_cast<double>(length_);
      }
    });
    wide_.inverse(0, space, space.spectra);
    own_storage<double>().scatter_parts(wide_, samples_signal(samples), 0, space.tile);
    const Lines<T> to = lines<T>(call_.grad_k, 0, 0);
    for (std::int64_t i = 0; i < call_.k.n; ++i) {
      for (std::int64_t c = 0; c < d_; ++c) to.data[i * to.n_stride + c * to.d_stride] = 0;
    }
    for_each_tap([&](std::int64_t tap, std::int64_t at) {
      for (std::int64_t c = 0; c < d_; ++c) {
        to.data[tap * to.n_stride + c * to.d_stride] = static_cast<T>(samples[at * d_ + c]);
      }
    });
  }

  // Where a lag is in a line. Own rows are to start theirs: what they need from the window comes `first_` rows later.
  std::int64_t place(std::int64_t lag) const {
    const std::int64_t at = call_.adjoint || is_backward(call_) ? lag + first_ : lag - first_;
    return at < 0 ? length_ + at : at;
  }

  // Calls f(tap, where its lag is in a line) for the taps that act.
  template <class F>
  void for_each_tap(const F& f) const {
    for (std::int64_t i = 0; i < taps_.count; ++i) f(taps_.first + i, place(i - taps_.offset));
  }

  // Lines of doubles, in the place of tiles.
  std::int64_t samples_tiles() const { return ceil_div(length_ * d_, wide_.tile_slots() * kLanes<double>); }
  Signal samples_signal(double* samples) const {
    Signal signal{};
    signal.data = samples;
    signal.n = length_;
    signal.d = d_;
    signal.n_stride = d_;
    signal.d_stride = signal.batch = 1;
    return signal;
  }

  // The gradients of a pack; sum += conj(V) P.
  void pack_backward(std::int64_t pack, const T* kernel, T* sum, const Workspace& space) const {
    const std::int64_t slots = lines_.tile_slots();
    Vector<T>*tile = space.tile, *v = space.tiles, *p = v + slots, *other = p + slots;
    gated(call_.u, call_.pre, pack, tile, other);
    keep(tile, v);
    lines_.forward(pack, space, space.more);
    gated(call_.grad, call_.post, pack, tile, other);
    keep(tile, p);
    lines_.forward(pack, space, space.spectra);
    lines_.for_each_line(pack, space, [&](std::int64_t, std::int64_t channel, const Spectrum<T>& line) {
      const Spectrum<T> with = lines_.other(space, line);
      const Spectrum<T> h(const_cast<T*>(kernel) + channel * size_, length_);
      Spectrum<T>(sum + channel * size_, length_).add_product(with, line);
      line.multiply(h, true);
      if (call_.grad_post.data != nullptr) with.multiply(h);
    });
    lines_.inverse(pack, space, space.spectra);
    add_skip(call_.grad, call_.post, pack, p, tile, other);
    if (call_.pre.data != nullptr) {
      copy(tile, p);
      gate(call_.u, pack, tile, other);
      storage_.scatter_parts(lines_, call_.grad_pre, pack, tile);
      copy(p, tile);
      gate(call_.pre, pack, tile, other);
    }
    storage_.scatter_parts(lines_, call_.grad_u, pack, tile);
    if (call_.grad_post.data == nullptr) return;
    lines_.inverse(pack, space, space.more);
    add_skip(call_.u, call_.pre, pack, v, tile, other);
    gate(call_.grad, pack, tile, other);
    storage_.scatter_parts(lines_, call_.grad_post, pack, tile);
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const std::int64_t length_, d_, first_;
  const ActingTaps taps_;
  const SplitLines<double> wide_;  // of the kernel
  const SplitLines<T> lines_;
  const std::int64_t size_;  // of a spectrum
  const std::int64_t packs_;
};

}  // namespace
}  // namespace spectrans
