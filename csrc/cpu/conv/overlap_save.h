// Convolution by overlap-save: windows of signals, each some rows and those around them that taps reach, go through
// cyclic transforms of real numbers. What wraps round comes out in rows that are not a window's own, and stays there.
// Or one window is all of a signal, and zeros beside it for what taps reach.
#pragma once

#include "../../fft/length.h"
#include "../filter/product.h"
#include "../memory/storage.h"
#include "ways.h"

namespace spectrans {
namespace {

// The product with a kernel whose spectrum is kept as its conjugate.
template <class T>
struct ConjugateProduct {
  const Vector<T>* tile;    // the slots being transformed
  const Vector<T>* kernel;  // in the same slots
  PiecesAhead ahead;

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>* im, std::int64_t k, Vector<T>& a,
                            Vector<T>& b) const {
    ahead.ask();
    const Vector<T> hr = once(kernel[(re - tile) + k]), hi = once(kernel[(im - tile) + k]), product = a * hr + b * hi;
    b = b * hr - a * hi;
    a = product;
  }
  SPECTRANS_INLINE void real_bin(const Vector<T>* at, Vector<T>& a) const { a = a * kernel[at - tile]; }
};

template <class T>
class OverlapSave {
 public:
  OverlapSave(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), taps_(call.u.n, call.k.n, call.causal),
        reach_(taps_, call.adjoint != is_backward(call)), cut_(best_cut(call, taps_)), plan_(real_plan<T>(cut_.length)),
        wide_plan_(real_plan<double>(cut_.length)), of_item_(ceil_div(call.u.n, cut_.rows)),
        pitch_(padded(plan_.slots)), windows_(wide_groups().packs(call.u.batch) * of_item_),
        parts_(parts(wide_groups())), groups_(wide_groups().shared(parts_, pool.threads, storage.tiles_of_line)),
        slots_(groups_.tiles_per_group * pitch_), asks_(asks_beside(pitch_ * kVectorBytes)) {}

  static double cost(const Conv& call) {
    return cost_of_tiles<T>(call, best_cut(call, ActingTaps(call.u.n, call.k.n, call.causal)).cost);
  }

  void forward() const {
    const Blocks blocks(groups_.count, windows_, slots_ * kVectorBytes, pool_.threads);
    const bool streaming = can_stream_all(call_, storage_);
    parallel(pool_, blocks.count(), blocks.size * slots_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const Workspace all = workspace(blocks.size, false);
      for_each_group(blocks, groups_, begin, end,
                     [&](std::int64_t part, const Group& group, std::int64_t g, bool is_new, std::int64_t next,
                         const Group& after) {
                       Workspace of = all;
                       of.kernel += g * slots_;
                       if (is_new) arrange(group, call_.adjoint, of.kernel, of.tile);
                       convolve(window(part), group, window(next), after, streaming, of);
                     });
      if (streaming) fence_streams();
    });
  }

  // Parts of all windows leave sums of spectra, of which one transform makes the gradient of taps. Samples that are a
  // window's own meet the gradients of all results that they have a part in.
  void backward() const {
    const std::int64_t all = groups_.count * parts_ * slots_;
    auto* shared = static_cast<Vector<T>*>(scratch(ScratchRoom::shared, all * kVectorBytes));
    const bool streaming = can_stream_all(call_, storage_);
    parallel(pool_, groups_.count * parts_, slots_ * kVectorBytes * ceil_div(windows_, parts_),
             [&](std::int64_t begin, std::int64_t end) {
               Workspace of = workspace(1, true);
               std::int64_t arranged = -1;
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t index = task / parts_, part = task % parts_;
                 const Group group = groups_[index];
                 if (index != arranged) arrange(group, true, of.kernel, of.tile);
                 arranged = index;
                 of.total = shared + task * slots_;
                 if (!in_pieces()) of.sum = of.total;
                 windows(group, part * windows_ / parts_, (part + 1) * windows_ / parts_, streaming, of);
               }
               if (streaming) fence_streams();
             });
    write_gradients(shared);
  }

 private:
  // Samples of a transform, and rows that a window has of its own.
  struct Cut {
    std::int64_t length, rows;
    double cost;
  };
  // Rows of an item, or pack of items: its own, and those that are transformed.
  struct Window {
    std::int64_t pack, first, rows, begin, end;
  };
  struct Workspace {
    Vector<T>*kernel, *tile, *with, *own, *sum, *total;
  };

  // An item in as many windows as take the least time. What wraps round must meet no own row: where one window is all
  // rows, nothing else is on one side.
  static Cut best_cut(const Conv& call, const ActingTaps& taps) {
    constexpr std::int64_t kShortest = 512;
    const std::int64_t n = call.u.n, others = taps.count - 1;
    const Reach reach(taps, false);
    Cut best{0, 0, kImpossible};
    for (std::int64_t count = 1;; count += max(1, count / 4)) {
      const std::int64_t rows = ceil_div(n, count);
      const std::int64_t length = padded_length(rows + (count == 1 ? max(reach.before, reach.after) : others));
      if (count > 1 && length < kShortest) return best;
      const double cost = cost_of_sample(length) * static_cast<double>((count + 1) * length);
      if (cost < best.cost) best = {length, count == 1 ? n : length - others, cost};
      if (length <= kShortest || rows < others / 4) return best;
    }
  }

  // -- windows --

  Window window(std::int64_t index, const Reach& reach) const {
    const std::int64_t n = call_.u.n, first = index % of_item_ * cut_.rows, end = min(n, first + cut_.rows);
    return {index / of_item_, first, end - first, max(0, first - reach.before), min(n, end + reach.after)};
  }
  Window window(std::int64_t index) const { return window(index, reach_); }

  // Rows of a signal, those of a gate, where there is one (data not null), and the place of the first in a line.
  struct Rows {
    Signal x, gate;
    std::int64_t at;
  };
  Rows rows(const Signal& x, const Signal& gate, std::int64_t begin, std::int64_t end, std::int64_t at) const {
    const Signal none{};
    return {storage_.rows(x, begin, end - begin), gate.data == nullptr ? none : storage_.rows(gate, begin, end - begin),
            at};
  }
  Rows all_rows(const Window& window, const Signal& x, const Signal& gate) const {
    return rows(x, gate, window.begin, window.end, 0);
  }
  Rows own_rows(const Window& window, const Signal& x, const Signal& gate) const {
    return rows(x, gate, window.first, window.first + window.rows, window.first - window.begin);
  }

  // Zeros in places begin .. end of a line.
  void clear(const Group& group, std::int64_t begin, std::int64_t end, Vector<T>* tile) const {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      for (std::int64_t place = begin; place < end; ++place) tile[k * pitch_ + plan_.slot[place]] = Vector<T>{};
    }
  }

  // Calls f with pieces of rows that are met again while they are near.
  template <class F>
  void for_each_piece(const Rows& rows, const F& f) const {
    constexpr std::int64_t kPiece = 64;
    for (std::int64_t i = 0; i < rows.x.n; i += kPiece) {
      const std::int64_t end = min(i + kPiece, rows.x.n);
      f(this->rows(rows.x, rows.gate, i, end, rows.at + i));
    }
  }

  void gather(const Rows& rows, const Window& window, const Group& group, Vector<T>* tile) const {
    if (rows.gate.data == nullptr) {
      return storage_.gather(rows.x, window.pack, group, plan_.slot + rows.at, tiles(group, tile));
    }
    for_each_piece(rows, [&](const Rows& piece) {
      const std::int32_t* slots = plan_.slot + piece.at;
      storage_.gather(piece.x, window.pack, group, slots, tiles(group, tile));
      storage_.multiply(piece.gate, window.pack, group, slots, tiles(group, tile));
    });
  }

  // A line with zeros around the rows.
  void bring(const Rows& rows, const Window& window, const Group& group, Vector<T>* tile) const {
    gather(rows, window, group, tile);
    clear(group, 0, rows.at, tile);
    clear(group, rows.at + rows.x.n, plan_.n, tile);
  }

  // rows.x <- rows.gate tile, which that changes
  void write(const Rows& rows, const Window& window, const Group& group, bool streaming, Vector<T>* tile) const {
    const auto scatter = [&](const Rows& piece) {
      const std::int32_t* slots = plan_.slot + piece.at;
      storage_.scatter(piece.x, window.pack, group, streaming, SlotRows<T>{tile, pitch_, slots});
    };
    if (rows.gate.data == nullptr) return scatter(rows);
    for_each_piece(rows, [&](const Rows& piece) {
      storage_.multiply(piece.gate, window.pack, group, plan_.slot + piece.at, tiles(group, tile));
      scatter(piece);
    });
  }

  // A window's own rows, one after the other, of each tile; and a line of them, with zeros around them.
  void keep(const Window& window, const Group& group, const Vector<T>* tile, Vector<T>* own) const {
    if (own == nullptr) return;
    const std::int32_t* slots = plan_.slot + window.first - window.begin;
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      for (std::int64_t i = 0; i < window.rows; ++i) own[k * cut_.rows + i] = tile[k * pitch_ + slots[i]];
    }
  }
  void bring_kept(const Window& window, const Group& group, const Vector<T>* own, Vector<T>* tile) const {
    const std::int64_t first = window.first - window.begin, end = first + window.rows;
    clear(group, 0, first, tile);
    clear(group, end, plan_.n, tile);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      for (std::int64_t i = first; i < end; ++i) tile[k * pitch_ + plan_.slot[i]] = own[k * cut_.rows + i - first];
    }
  }

  // tile += skip own
  void add_skip(const Window& window, const Group& group, const Vector<T>* own, Vector<T>* tile) const {
    if (call_.skip == nullptr) return;
    const std::int32_t* slots = plan_.slot + window.first - window.begin;
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const Vector<T> skip = skip_of<T>(call_, group, k);
      for (std::int64_t i = 0; i < window.rows; ++i) tile[k * pitch_ + slots[i]] += skip * own[k * cut_.rows + i];
    }
  }

  Tiles<T> tiles(const Group& group, Vector<T>* slots) const { return {slots, pitch_, group.tiles}; }

  // What tile k asks for, of a window that comes next.
  PiecesAhead pieces(const Signal& signal, const Window& window, const Group& group, std::int64_t k) const {
    if (!asks_ || group.tiles == 0) return {};
    return storage_.pieces(storage_.rows(signal, window.begin, window.end - window.begin), window.pack, group, k);
  }

  void convolve(const Window& window, const Group& group, const Window& next, const Group& after, bool streaming,
                const Workspace& of) const {
    bring(all_rows(window, call_.u, call_.pre), window, group, of.tile);
    keep(window, group, of.tile, of.own);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const std::int64_t at = k * pitch_;
      const FilterProduct<T, true, false> product{
          of.tile + at, of.kernel + at, nullptr, nullptr, pieces(call_.u, next, after, k), {}, 0};
      real_convolve(plan_, of.tile + at, static_cast<Vector<T>*>(nullptr), product);
    }
    add_skip(window, group, of.own, of.tile);
    write(own_rows(window, call_.y, call_.post), window, group, streaming, of.tile);
  }

  // Windows first .. last: their gradients, and of.total <- the spectra of that of the kernel.
  void windows(const Group& group, std::int64_t first, std::int64_t last, bool streaming, const Workspace& of) const {
    const std::int64_t piece = items_per_sum(last - first);
    for (std::int64_t i = 0; i < slots_; ++i) of.sum[i] = of.total[i] = Vector<T>{};
    for (std::int64_t index = first; index < last; ++index) {
      one_backward(index, group, window(min(index + 1, last - 1)), index + 1 < last ? group : Group{}, streaming, of);
      const bool full = (index - first) % piece == piece - 1 || index + 1 == last;
      for (std::int64_t i = 0; full && of.sum != of.total && i < slots_; ++i) {
        of.total[i] += of.sum[i];
        of.sum[i] = Vector<T>{};
      }
    }
  }

  void one_backward(std::int64_t index, const Group& group, const Window& next, const Group& after, bool streaming,
                    const Workspace& of) const {
    auto* none = static_cast<Vector<T>*>(nullptr);
    const Window window = this->window(index);
    if (call_.post.data != nullptr) {
      const Window of_result = this->window(index, reach_.reversed());
      bring(all_rows(of_result, call_.u, call_.pre), of_result, group, of.tile);
      keep(of_result, group, of.tile, of.own);
      for (std::int64_t k = 0; k < group.tiles; ++k) {
        const std::int64_t at = k * pitch_;
        real_convolve(plan_, of.tile + at, none,
                      ConjugateProduct<T>{of.tile + at, of.kernel + at, pieces(call_.grad, window, group, k)});
      }
      add_skip(of_result, group, of.own, of.tile);
      write(own_rows(of_result, call_.grad_post, call_.grad), of_result, group, streaming, of.tile);
      bring_kept(window, group, of.own, of.with);
    } else {
      bring(own_rows(window, call_.u, call_.pre), window, group, of.with);
    }
    for (std::int64_t k = 0; k < group.tiles; ++k) real_forward(plan_, of.with + k * pitch_, none);
    bring(all_rows(window, call_.grad, call_.post), window, group, of.tile);
    keep(window, group, of.tile, of.own);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const std::int64_t at = k * pitch_;
      const FilterProduct<T, true, true> product{of.tile + at,
                                                 of.kernel + at,
                                                 of.with + at,
                                                 of.sum + at,
                                                 pieces(call_.grad, next, after, k),
                                                 pieces(call_.u, next, after, k),
                                                 0};
      real_convolve(plan_, of.tile + at, none, product);
    }
    add_skip(window, group, of.own, of.tile);
    if (call_.pre.data != nullptr) {
      for (std::int64_t i = 0; i < slots_; ++i) of.with[i] = of.tile[i];
      write(own_rows(window, call_.grad_pre, call_.u), window, group, streaming, of.with);
    }
    write(own_rows(window, call_.grad_u, call_.pre), window, group, streaming, of.tile);
  }

  // -- taps --

  // The slot of a tap that acts.
  std::int64_t slot(std::int64_t tap) const {
    const std::int64_t lag = tap - taps_.offset;
    return plan_.slot[lag < 0 ? plan_.n + lag : lag];
  }

  Signal acting(const Signal& taps) const { return own_storage<T>().rows(taps, taps_.first, taps_.count); }

  // The kernel's spectra of the tiles of a group, divided by n, or their conjugates: in double, which adds no error of
  // its own. A tile holds as many vectors of double, whose plan has the same slots.
  void arrange(const Group& group, bool conjugate, Vector<T>* spectra, Vector<T>* tile) const {
    auto* wide = reinterpret_cast<Vector<double>*>(tile);
    const double scale = 1.0 / static_cast<double>(plan_.n);
    own_storage<T>().gather(acting(call_.k), 0, of_taps(group), plan_.slot, tiles(group, spectra));
    const ItemLanes<T> items(group);
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      Vector<T>* spectrum = spectra + k * pitch_;
      for (int part = 0; part < kParts<T>; ++part) {
        for (std::int64_t i = 0; i < plan_.slots; ++i) wide[i] = Vector<double>{};
        for (std::int64_t tap = 0; tap < taps_.count; ++tap) {
          wide[slot(tap)] = widen_part<T>(spectrum[plan_.slot[tap]], part);
        }
        real_forward(wide_plan_, wide, static_cast<Vector<double>*>(nullptr));
        for (std::int64_t i = 0; i < plan_.slots; ++i) narrow_part<T>(wide[i] * scale, part, spectrum[i]);
      }
      for (std::int64_t bin = 0; conjugate && bin <= plan_.n / 2; ++bin) {
        if (plan_.im[bin] >= 0) spectrum[plan_.im[bin]] = -spectrum[plan_.im[bin]];
      }
      for (std::int64_t i = 0; items.several() && i < plan_.slots; ++i) spectrum[i] = items.repeat(spectrum[i]);
    }
  }

  // The gradient of the taps of a tile, from its sums of spectra; taps: to work in.
  void write_gradient(const Group& tile, const Vector<T>* spectrum, Vector<T>* taps, Vector<double>* wide) const {
    const double scale = 1.0 / static_cast<double>(plan_.n);
    for (int part = 0; part < kParts<T>; ++part) {
      for (std::int64_t i = 0; i < plan_.slots; ++i) wide[i] = widen_part<T>(spectrum[i], part) * scale;
      real_inverse(wide_plan_, wide, static_cast<Vector<double>*>(nullptr));
      for (std::int64_t tap = 0; tap < taps_.count; ++tap) {
        narrow_part<T>(wide[slot(tap)], part, taps[plan_.slot[tap]]);
      }
    }
    own_storage<T>().scatter(acting(call_.grad_k), 0, of_taps(tile), false, SlotRows<T>{taps, pitch_, plan_.slot});
  }

  void write_gradients(const Vector<T>* sums) const {
    const std::int64_t tiles = groups_.tiles_per_group;
    clear_idle<T>(call_, taps_, pool_);
    parallel(pool_, groups_.count * tiles, parts_ * pitch_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      Space<Vector<T>> space = worker_space<T>(3 * pitch_);
      Vector<T>*spectrum = space.take(pitch_), *taps = space.take(pitch_);
      auto* wide = reinterpret_cast<Vector<double>*>(space.take(pitch_));
      for (std::int64_t task = begin; task < end; ++task) {
        const Group tile = some_tiles(groups_[task / tiles], task % tiles, 1);
        if (tile.tiles == 0) continue;
        const ItemLanes<T> items(tile);
        const Vector<T>* from = sums + task / tiles * parts_ * slots_ + task % tiles * pitch_;
        for (std::int64_t i = 0; i < plan_.slots; ++i) {
          const Vector<T> sum = sum_of_parts(from + i, parts_, slots_);
          spectrum[i] = items.several() ? items.sum(sum) : sum;
        }
        write_gradient(tile, spectrum, taps, wide);
      }
    });
  }

  // -- how the work is divided --

  Groups<T> wide_groups() const { return groups_beside<T>(call_, storage_, pitch_ * kVectorBytes, of_item_); }

  // Of all windows: tasks of a group, by the groups there are whatever the threads. A part's sum takes as much memory
  // as a window does: two at least.
  std::int64_t parts(const Groups<T>& groups) const {
    return is_backward(call_) ? max(1, min(ceil_div(windows_, 2), kTasks / groups.count)) : windows_;
  }

  // Whether a part of the windows is summed in pieces, likewise.
  bool in_pieces() const { return ceil_div(windows_, parts_) > kItemsPerSum; }

  Workspace workspace(std::int64_t kernels, bool backward) const {
    const bool pieces = backward && in_pieces();
    const bool keeps = call_.skip != nullptr || (backward && call_.post.data != nullptr);
    const std::int64_t own = keeps ? groups_.tiles_per_group * cut_.rows : 0;
    const std::int64_t slots = (kernels + 1 + backward + pieces) * slots_ + own;
    Space<Vector<T>> space = worker_space<T>(slots);
    Workspace of{};
    of.kernel = space.take(kernels * slots_);
    of.tile = space.take(slots_);
    if (keeps) of.own = space.take(own);
    if (backward) of.with = space.take(slots_);
    if (pieces) of.sum = space.take(slots_);
    return of;
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const ActingTaps taps_;
  const Reach reach_;  // of own rows, into what is transformed
  const Cut cut_;
  const RealPlan<T>& plan_;
  const RealPlan<double>& wide_plan_;
  const std::int64_t of_item_;  // windows
  const std::int64_t pitch_;    // slots from a tile to the next
  const std::int64_t windows_;  // of all packs
  const std::int64_t parts_;
  const Groups<T> groups_;
  const std::int64_t slots_;  // of the tiles of a group
  const bool asks_;           // for rows to come
};

}  // namespace
}  // namespace spectrans
