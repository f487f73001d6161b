// Convolution by right angles: weighted transform, product with the kernel's spectrum, transform back, tile by tile
// (fft/right_angle.h). Rows are staged for a group of tiles, and gates applied on the way there and back.
#pragma once

#include "taps.h"

namespace spectrans {
namespace {

// ---- between forward and inverse ------------------------------------------------------------------------------------

// Spectra are N real parts and, `imag` slots on, N imaginary parts.
template <class T>
struct Product {
  const Vector<T>* tile;    // the spectrum being transformed
  const Vector<T>* kernel;  // divided by N
  std::int64_t imag;
  PiecesAhead ahead;  // rows that are read next, of as many slots as there are pairs

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>*, std::int64_t k, Vector<T>& a, Vector<T>& b) const {
    const std::int64_t i = (re - tile) + k;
    if (k % 2 == 0) ahead.ask();
    const Vector<T> kr = once(kernel[i]), ki = once(kernel[imag + i]), product = a * kr - b * ki;
    b = a * ki + b * kr;
    a = product;
  }
};

// tile <- conj(kernel) tile, sum += conj(with) tile, with <- kernel with
template <class T, bool kPost>
struct BackwardProduct {
  const Vector<T>* tile;
  const Vector<T>* kernel;
  Vector<T>* with;
  Vector<T>* sum;
  std::int64_t imag;
  PiecesAhead ahead, with_ahead;

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>*, std::int64_t k, Vector<T>& a, Vector<T>& b) const {
    const std::int64_t i = (re - tile) + k;
    if (k % 2 == 0) {
      ahead.ask();
      with_ahead.ask();
    }
    const Vector<T> kr = once(kernel[i]), ki = once(kernel[imag + i]), wr = once(with[i]), wi = once(with[imag + i]);
    sum[i] += wr * a + wi * b;
    sum[imag + i] += wr * b - wi * a;
    if constexpr (kPost) {
      with[i] = wr * kr - wi * ki;
      with[imag + i] = wr * ki + wi * kr;
    }
    const Vector<T> product = a * kr + b * ki;
    b = b * kr - a * ki;
    a = product;
  }
};

// ---- passes over the data -------------------------------------------------------------------------------------------

template <class T, int R>
class ConvPass {
 public:
  ConvPass(const Conv& call, const Storage<T>& storage, const ThreadPool& pool, const RightAnglePlan<T>& plan)
      : call_(call), storage_(storage), pool_(pool), plan_(plan), d_(call.u.d),
        taps_(plan, call.u.n, call.k.n, call.causal), rows_(call.u.n, plan.m, R), imag_(taps_.imag()),
        spectrum_(taps_.spectrum()), packs_(wide_groups().packs(call.u.batch)), parts_(parts(wide_groups())),
        groups_(wide_groups().shared(parts_, pool.threads, storage.tiles_of_line)),
        slots_(groups_.tiles_per_group * spectrum_), staged_(rows_.slots(groups_.tiles_per_group)),
        asks_(asks_beside(spectrum_ * kVectorBytes)) {}

  void forward() const {
    const Blocks blocks(groups_.count, packs_, slots_ * kVectorBytes, pool_.threads);
    const bool streaming = can_stream_all(call_, storage_);
    parallel(pool_, blocks.count(), blocks.size * slots_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t high = taps_.has_high() ? staged_ : 0;
      Space<Vector<T>> space = worker_space<T>(blocks.size * slots_ + spectrum_ + staged_ + high + rows_.work());
      Vector<T>*kernels = space.take(blocks.size * slots_), *tile = space.take(spectrum_), *rows = space.take(staged_);
      Vector<T>*high_rows = space.take(high), *work = space.take(rows_.work());
      for_each_group(blocks, groups_, begin, end,
                     [&](std::int64_t part, const Group& group, std::int64_t g, bool is_new, std::int64_t next,
                         const Group& after) {
                       Vector<T>* kernel = kernels + g * slots_;
                       if (is_new) arrange(group, call_.adjoint ? -1 : 1, kernel, {rows, high_rows}, tile);
                       storage_.read_staged(rows_, call_.u, call_.pre, part, group, rows);
                       for (std::int64_t k = 0; k < group.tiles; ++k) {
                         Vector<T>* line = rows_.tile(rows, k);
                         load(line, tile);
                         complex_convolve(
                             *plan_.child, 0, tile, tile + imag_, R, static_cast<Vector<T>*>(nullptr),
                             Product<T>{tile, kernel + k * spectrum_, imag_, pieces(call_.u, next, after, k)});
                         unload(tile, skip_of<T>(call_, group, k), line);
                       }
                       storage_.write_staged(rows_, call_.y, call_.post, part, group, streaming, rows, work);
                     });
      if (streaming) fence_streams();
    });
  }

  // Parts of the batch leave sums of spectra, of which one transform makes the gradient of taps.
  void backward() const {
    const std::int64_t sums = parts_ == 1 ? 0 : groups_.count * parts_ * slots_;
    auto* shared = sums == 0 ? nullptr : static_cast<Vector<T>*>(scratch(ScratchRoom::shared, sums * kVectorBytes));
    const std::int64_t pieces = ceil_div(packs_, parts_) > kItemsPerSum ? 2 : 1;
    const bool streaming = can_stream_all(call_, storage_);
    parallel(pool_, groups_.count * parts_, slots_ * kVectorBytes * ceil_div(packs_, parts_),
             [&](std::int64_t begin, std::int64_t end) {
               Space<Vector<T>> space =
                   worker_space<T>((1 + pieces) * slots_ + 2 * (spectrum_ + staged_) + rows_.work());
               Workspace of{};
               of.kernel = space.take(slots_);
               of.sum = of.total = space.take(slots_);
               if (pieces > 1) of.total = space.take(slots_);
               of.tile = space.take(spectrum_);
               of.with = space.take(spectrum_);
               of.u = space.take(staged_);
               of.grad = space.take(staged_);
               of.work = space.take(rows_.work());
               std::int64_t arranged = -1;
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t index = task / parts_, part = task % parts_;
                 const Group group = groups_[index];
                 if (index != arranged) arrange(group, 1, of.kernel, {of.u, of.grad}, of.tile);
                 arranged = index;
                 if (sums > 0) of.total = shared + task * slots_;
                 if (sums > 0 && pieces == 1) of.sum = of.total;
                 items(group, part * packs_ / parts_, (part + 1) * packs_ / parts_, streaming, of);
                 if (sums == 0) write_gradient(group, of.total, of);
               }
               if (streaming) fence_streams();
             });
    if (sums > 0) write_gradients(shared);
    clear_idle<T>(call_, taps_.that_act(), pool_);
  }

 private:
  // Of a thread: u and grad hold the rows of a group, and results that take their place.
  struct Workspace {
    Vector<T>*kernel, *sum, *total, *tile, *with, *u, *grad, *work;
  };

  Groups<T> wide_groups() const { return groups_beside<T>(call_, storage_, plan_.length * kVectorBytes, 1); }

  // Of the batch: tasks of a group, by the groups there are whatever the threads. A part's sum takes as much memory as
  // a pack does, twice: two packs at least, unless hardly any tasks were left.
  std::int64_t parts(const Groups<T>& groups) const {
    constexpr std::int64_t kFewPacks = 4;
    const std::int64_t most = groups.items > 1 || packs_ > kFewPacks ? ceil_div(packs_, 2) : packs_;
    return !is_backward(call_) ? packs_ : max(1, min(most, kTasks / groups.count));
  }

  // What tile k asks for, of an item that comes next.
  PiecesAhead pieces(const Signal& signal, std::int64_t item, const Group& group, std::int64_t k) const {
    return asks_ ? storage_.pieces(signal, item, group, k) : PiecesAhead{};
  }

  // Rows -> their spectrum, but for the stages of the child plan.
  void load(Vector<T>* rows, Vector<T>* tile) const {
    weighted_forward<R, false>(plan_, tile, tile + imag_,
                               [&](int t, std::int64_t j) SPECTRANS_INLINE_LAMBDA { return rows_.at(rows, t, j); });
  }

  // And back: rows <- N times the samples of a spectrum + skip rows.
  void unload(const Vector<T>* tile, const Vector<T>& skip, Vector<T>* rows) const {
    weighted_inverse<R, false>(plan_, tile, tile + imag_,
                               [&, skip](int t, std::int64_t j, const Vector<T>& value) SPECTRANS_INLINE_LAMBDA {
                                 Vector<T>& row = rows_.at(rows, t, j);
                                 row = value + skip * row;
                               });
  }

  // The kernel's spectra, of the tiles of a group.
  void arrange(const Group& group, double imag_sign, Vector<T>* spectra, const typename ConvTaps<T, R>::Rows& rows,
               Vector<T>* tile) const {
    const ItemLanes<T> items(group);
    taps_.read(call_.k, of_taps(group), rows);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      taps_.transform(rows, k, imag_sign, spectra + k * spectrum_, tile);
    }
    for (std::int64_t i = 0; items.several() && i < spectrum_; ++i) spectra[i] = items.repeat(spectra[i]);
  }

  // The gradient of the taps of some tiles, from those of the sums that the parts of the batch have left.
  void write_gradient(const Group& group, const Vector<T>* sums, const Workspace& of) const {
    const ItemLanes<T> items(group);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      for (std::int64_t i = 0; i < spectrum_; ++i) {
        const Vector<T> sum = sum_of_parts(sums + k * spectrum_ + i, parts_, slots_);
        of.with[i] = items.several() ? items.sum(sum) : sum;
      }
      taps_.invert(of.with, k, {of.u, of.grad}, of.tile);
    }
    taps_.write({of.u, of.grad}, of_taps(group), taps_.acting(call_.grad_k), of.work);
  }

  // Those of all groups, a cache line of a row at a time.
  void write_gradients(const Vector<T>* sums) const {
    const std::int64_t tiles = min(storage_.tiles_of_line, groups_.tiles_per_group), rows = rows_.slots(tiles);
    const std::int64_t of_group = ceil_div(groups_.tiles_per_group, tiles);
    parallel(pool_, groups_.count * of_group, parts_ * tiles * spectrum_ * kVectorBytes,
             [&](std::int64_t begin, std::int64_t end) {
               Space<Vector<T>> space = worker_space<T>(2 * (spectrum_ + rows) + rows_.work());
               Workspace of{};
               of.tile = space.take(spectrum_);
               of.with = space.take(spectrum_);
               of.u = space.take(rows);
               of.grad = space.take(rows);
               of.work = space.take(rows_.work());
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t index = task / of_group, first = task % of_group * tiles;
                 write_gradient(some_tiles(groups_[index], first, tiles),
                                sums + index * parts_ * slots_ + first * spectrum_, of);
               }
             });
  }

  // Items first .. last of the batch: their gradients, and of.total <- the spectra of that of the kernel.
  void items(const Group& group, std::int64_t first, std::int64_t last, bool streaming, const Workspace& of) const {
    const std::int64_t slots = group.tiles * spectrum_, piece = items_per_sum(last - first);
    for (std::int64_t i = 0; i < slots; ++i) of.sum[i] = of.total[i] = Vector<T>{};
    for (std::int64_t item = first; item < last; ++item) {
      storage_.read_staged(rows_, call_.u, call_.pre, item, group, of.u);
      storage_.read_staged(rows_, call_.grad, call_.post, item, group, of.grad);
      const Group after = item + 1 < last ? group : Group{};
      for (std::int64_t k = 0; k < group.tiles; ++k) {
        tile_backward(k, skip_of<T>(call_, group, k), pieces(call_.grad, item + 1, after, k),
                      pieces(call_.u, item + 1, after, k), of);
      }
      const auto write = [&](const Signal& to, const Signal& gate, Vector<T>* rows) {
        storage_.write_staged(rows_, to, gate, item, group, streaming, rows, of.work);
      };
      if (call_.pre.data != nullptr) write(call_.grad_pre, call_.u, of.grad);
      write(call_.grad_u, call_.pre, of.grad);
      if (call_.grad_post.data != nullptr) write(call_.grad_post, call_.grad, of.u);
      const bool full = (item - first) % piece == piece - 1 || item + 1 == last;
      for (std::int64_t i = 0; full && of.sum != of.total && i < slots; ++i) {
        of.total[i] += of.sum[i];
        of.sum[i] = Vector<T>{};
      }
    }
  }

  // Rows of grad <- what flows to those of u; those of u, where the gradient of a gate after them is asked for, <- what
  // that is given.
  void tile_backward(std::int64_t k, const Vector<T>& skip, const PiecesAhead& grad_ahead, const PiecesAhead& u_ahead,
                     const Workspace& of) const {
    Vector<T>*re = of.tile, *with = of.with, *u = rows_.tile(of.u, k), *grad = rows_.tile(of.grad, k), *none = nullptr;
    load(u, with);
    complex_forward(*plan_.child, 0, with, with + imag_, R, none);
    load(grad, re);
    const bool has_post = call_.grad_post.data != nullptr;
    const auto multiply = [&]<bool kPost>() {
      complex_convolve(*plan_.child, 0, re, re + imag_, R, none,
                       BackwardProduct<T, kPost>{re, of.kernel + k * spectrum_, with, of.sum + k * spectrum_, imag_,
                                                 grad_ahead, u_ahead});
    };
    if (has_post) {
      multiply.template operator()<true>();
    } else {
      multiply.template operator()<false>();
    }
    unload(re, skip, grad);
    if (!has_post) return;
    complex_inverse(*plan_.child, 0, with, with + imag_, R, none);
    unload(with, skip, u);
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const RightAnglePlan<T>& plan_;
  const std::int64_t d_;
  const ConvTaps<T, R> taps_;
  const StagedRows<T> rows_;
  const std::int64_t imag_, spectrum_;  // slots from real to imaginary parts, and of both
  const std::int64_t packs_;            // of items side by side
  const std::int64_t parts_;
  const Groups<T> groups_;
  const std::int64_t slots_, staged_;  // of the spectra and of the rows of a group
  const bool asks_;                    // for rows to come
};

// Twice as long a line, of which one half is zero. Where taps are fewer, overlap-save does with less; but gates take it
// longer, as its rows are not staged.
template <class T>
double right_angle_cost(const Conv& call) {
  const bool gated = call.pre.data != nullptr || call.post.data != nullptr;
  const std::int64_t length = 2 * right_angle_length(call.u.n);
  return cost_of_tiles<T>(call, (gated ? 0.67 : 0.9) * cost_of_sample(length) * static_cast<double>(2 * length));
}

template <class T>
void by_right_angle(const Conv& call, const Storage<T>& storage, const ThreadPool& pool) {
  const RightAnglePlan<T>& plan = right_angle_plan<T>(call.u.n);
  switch (plan.radix) {
    case 4: return run(call, ConvPass<T, 4>(call, storage, pool, plan));
    case 8: return run(call, ConvPass<T, 8>(call, storage, pool, plan));
    default: __builtin_unreachable();
  }
}

}  // namespace
}  // namespace spectrans
