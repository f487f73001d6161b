// Convolution with few taps, by definition: fewer operations than those of transforms, and each sample is rounded by
// itself. Signals are cut into segments of rows, which are items of a batch: with the rows around them that taps reach,
// they stay in the nearer caches, and those of few channels fill the lanes.
#pragma once

#include "../memory/storage.h"

namespace spectrans {
namespace {

template <class T>
class FewTaps {
  static constexpr std::int64_t kRows = 256;   // of a segment, at least
  static constexpr std::int64_t kPiece = 128;  // rows whose products are added in T; those sums in double

 public:
  FewTaps(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), n_(call.u.n), d_(call.u.d), taps_(call.k.n),
        after_(call.causal ? 0 : (taps_ - 1) / 2), before_(taps_ - 1 - after_) {}

  // Whether that is faster than transforms, which take the longer for a sample the more there are: as measured.
  static bool suits(const Conv& call) {
    const std::int64_t n = call.u.n, most = n < 1024 ? 32 : n < 8192 ? 64 : n < 65536 ? 128 : 384;
    return call.k.n <= min(most, n) && call.u.axes < kMaxBatchAxes;
  }

  void forward() const {
    const bool streaming = can_stream(call_.y);
    for_each_part([&](const Part& part) {
      const Sides sides = call_.adjoint ? Sides{after_, before_} : Sides{before_, after_};
      const Signal u = around(call_.u, part, sides), pre = around(call_.pre, part, sides), y = at(call_.y, part),
                   post = at(call_.post, part);
      const StagedRows<T> in = staged(part, sides), out = results(part);
      const std::int64_t packs = groups_of(u).packs(u.batch);
      const Groups<T> groups = shared(groups_of(u), packs);
      const std::int64_t tiles = groups.tiles_per_group, rows = in.slots(tiles);
      parallel(pool_, packs * groups.count, rows * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
        Space<Vector<T>> space = worker_space(rows + tiles * taps_ + out.work());
        Vector<T>*from = space.take(rows), *factors = space.take(tiles * taps_), *work = space.take(out.work());
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t pack = task / groups.count;
          const Group group = groups[task % groups.count];
          if (task == begin || groups.count > 1) arrange(group, !call_.adjoint, factors);
          storage_.read_staged(in, u, pre, pack, group, from);
          for (std::int64_t k = 0; k < group.tiles; ++k) {
            convolve(factors + k * taps_, skip(group, k), sides.before, part.rows, in.tile(from, k));
          }
          storage_.write_staged(out, y, post, pack, group, streaming, from, work);
        }
        if (streaming) fence_streams();
      });
    });
  }

  // Each part of the batch leaves its sums for the gradient of the taps.
  void backward() const {
    const std::int64_t of_part = taps_ * d_;
    auto* totals = static_cast<double*>(scratch(ScratchRoom::shared, kTasks * of_part * sizeof(double)));
    for (std::int64_t i = 0; i < kTasks * of_part; ++i) totals[i] = 0;
    const bool streaming = can_stream(call_.grad_u) && can_stream(call_.grad_pre) && can_stream(call_.grad_post);
    for_each_part([&](const Part& part) {
      const Sides sides{before_, after_}, back{after_, before_};
      const Signal u = around(call_.u, part, sides), pre = around(call_.pre, part, sides),
                   grad = around(call_.grad, part, back), post = around(call_.post, part, back);
      const Signal own_u = at(call_.u, part), own_pre = at(call_.pre, part), own_grad = at(call_.grad, part),
                   grad_u = at(call_.grad_u, part), grad_pre = at(call_.grad_pre, part),
                   grad_post = at(call_.grad_post, part);
      const StagedRows<T> in = staged(part, sides), in_back = staged(part, back), out = results(part);
      const std::int64_t packs = groups_of(u).packs(u.batch), parts = max(1, min(packs, kTasks / groups_of(u).count));
      const Groups<T> groups = shared(groups_of(u), parts);
      const std::int64_t tiles = groups.tiles_per_group, rows = in.slots(tiles), sums = tiles * taps_ * kParts<T>;
      parallel(pool_, groups.count * parts, rows * kVectorBytes * ceil_div(packs, parts),
               [&](std::int64_t begin, std::int64_t end) {
                 Space<Vector<T>> space = worker_space(2 * rows + (2 + kParts<T>)*tiles * taps_ + out.work());
                 Vector<T>*v = space.take(rows), *p = space.take(rows), *factors = space.take(tiles * taps_),
                 *turned = space.take(tiles * taps_), *work = space.take(out.work());
                 auto* sum = reinterpret_cast<Vector<double>*>(space.take(sums));
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t index = task / parts, of = task % parts;
                   const Group group = groups[index];
                   arrange(group, true, factors);
                   arrange(group, false, turned);
                   for (std::int64_t i = 0; i < sums; ++i) sum[i] = Vector<double>{};
                   for (std::int64_t pack = of * packs / parts; pack < (of + 1) * packs / parts; ++pack) {
                     storage_.read_staged(in, u, pre, pack, group, v);
                     storage_.read_staged(in_back, grad, post, pack, group, p);
                     for (std::int64_t k = 0; k < group.tiles; ++k) {
                       Vector<T>*of_v = in.tile(v, k), *of_p = in.tile(p, k);
                       correlate(of_p + back.before, of_v, part.rows, sum + k * taps_ * kParts<T>);
                       if (call_.post.data != nullptr) {
                         convolve(factors + k * taps_, skip(group, k), sides.before, part.rows, of_v);
                       }
                       convolve(turned + k * taps_, skip(group, k), back.before, part.rows, of_p);
                     }
                     const auto write = [&](const Signal& to, const Signal& gate, Vector<T>* from) {
                       storage_.write_staged(out, to, gate, pack, group, streaming, from, work);
                     };
                     if (call_.pre.data != nullptr) write(grad_pre, own_u, p);
                     write(grad_u, own_pre, p);
                     if (call_.post.data != nullptr) write(grad_post, own_grad, v);
                   }
                   add_sums(group, index * tiles, sum, totals + of * of_part);
                 }
                 if (streaming) fence_streams();
               });
    });
    write_gradient(totals);
  }

 private:
  // Segments side by side: `segments` times `rows` rows, from `first` on.
  struct Part {
    std::int64_t first, rows, segments;
  };
  // Rows that are needed before a result's, and after it.
  struct Sides {
    std::int64_t before, after;
  };

  // Calls f with the first segment, those in between, which have all the rows around them that taps reach, and the
  // last.
  template <class F>
  void for_each_part(const F& f) const {
    const std::int64_t rows = max(kRows, taps_), segments = max(1, n_ / rows);
    if (segments == 1) return f(Part{0, n_, 1});
    f(Part{0, rows, 1});
    if (segments > 2) f(Part{rows, rows, segments - 2});
    f(Part{(segments - 1) * rows, n_ - (segments - 1) * rows, 1});
  }

  // Rows first .. first + count of the segments of a part, as items of a batch.
  Signal segments(const Signal& signal, const Part& part, std::int64_t first, std::int64_t count) const {
    if (signal.data == nullptr) return signal;
    Signal result = signal;
    result.data = static_cast<char*>(signal.data) + (part.first + first) * signal.n_stride * storage_.size;
    result.n = count;
    if (part.segments > 1) {
      result.size[result.axes] = part.segments;
      result.stride[result.axes++] = part.rows * signal.n_stride;
      result.batch *= part.segments;
    }
    return result;
  }
  Signal at(const Signal& signal, const Part& part) const { return segments(signal, part, 0, part.rows); }

  // With the rows around them, as far as there are any.
  std::int64_t there_before(const Part& part, const Sides& sides) const { return min(part.first, sides.before); }
  std::int64_t there_after(const Part& part, const Sides& sides) const {
    return min(n_ - part.first - part.segments * part.rows, sides.after);
  }
  Signal around(const Signal& signal, const Part& part, const Sides& sides) const {
    const std::int64_t before = there_before(part, sides);
    return segments(signal, part, -before, before + part.rows + there_after(part, sides));
  }

  // Those, and zeros where there are none. Results begin where these do.
  StagedRows<T> staged(const Part& part, const Sides& sides) const {
    const std::int64_t before = there_before(part, sides);
    return {before + part.rows + there_after(part, sides), part.rows + taps_ - 1, 1, sides.before - before};
  }
  StagedRows<T> results(const Part& part) const { return {part.rows, part.rows + taps_ - 1, 1}; }

  static Groups<T> groups_of(const Signal& signal) {
    return {signal.n, signal.d, signal.batch, channels_first(signal) ? 1 : kMaxTiles};
  }
  Groups<T> shared(const Groups<T>& groups, std::int64_t tasks) const {
    return groups.shared(tasks, pool_.threads, storage_.tiles_of_line);
  }

  static Space<Vector<T>> worker_space(std::int64_t slots) {
    return Space<Vector<T>>(scratch(ScratchRoom::worker, slots * kVectorBytes));
  }

  bool can_stream(const Signal& to) const { return to.data == nullptr || storage_.can_stream(to); }

  // Taps of the tiles of a group, in the order of the rows that they meet.
  void arrange(const Group& group, bool turned, Vector<T>* factors) const {
    const ItemLanes<T> items(group);
    const Lines<const T> taps = lines<const T>(call_.k, 0, 0);
    for (std::int64_t k = 0; k < group.tiles; ++k, factors += taps_) {
      const T* channel = taps.data + group.channel[k] * taps.d_stride;
      for (std::int64_t i = 0; i < taps_; ++i) {
        const T* row = channel + (turned ? taps_ - 1 - i : i) * taps.n_stride;
        factors[i] = items.repeat(load_some(row, taps.d_stride, group.lanes));
      }
    }
  }

  Vector<T> skip(const Group& group, std::int64_t k) const {
    const auto* skips = static_cast<const T*>(call_.skip);
    if (skips == nullptr) return Vector<T>{};
    return ItemLanes<T>(group).repeat(load_some(skips + group.channel[k], 1, group.lanes));
  }

  // rows[t] <- skip rows[t + before] + sum of factors[i] rows[t + i], in place: no later result needs row t.
  void convolve(const Vector<T>* factors, const Vector<T>& skip, std::int64_t before, std::int64_t count,
                Vector<T>* rows) const {
    constexpr int kTogether = 8;
    const auto some = [&, own = skip, taps = taps_]<int kCount>(Vector<T>* at) SPECTRANS_INLINE_LAMBDA {
      Vector<T> sum[kCount];
      unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[q] = own * at[before + q]; });
      for (std::int64_t i = 0; i < taps; ++i) {
        const Vector<T> factor = factors[i];
        unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[q] += factor * at[i + q]; });
      }
      unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { at[q] = sum[q]; });
    };
    std::int64_t t = 0;
    for (; t + kTogether <= count; t += kTogether) some.template operator()<kTogether>(rows + t);
    for (; t < count; ++t) some.template operator()<1>(rows + t);
  }

  // sums[i] += sum of p[t] v[t + i]
  void correlate(const Vector<T>* p, const Vector<T>* v, std::int64_t count, Vector<double>* sums) const {
    constexpr int kTogether = 8;
    const auto some = [&]<int kCount>(std::int64_t i, std::int64_t begin, std::int64_t end) SPECTRANS_INLINE_LAMBDA {
      Vector<T> sum[kCount] = {};
      for (std::int64_t t = begin; t < end; ++t) {
        const Vector<T> factor = once(p[t]);
        unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[q] += factor * v[t + i + q]; });
      }
      unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA {
        for (int part = 0; part < kParts<T>; ++part) sums[(i + q) * kParts<T> + part] += widen_part<T>(sum[q], part);
      });
    };
    for (std::int64_t begin = 0; begin < count; begin += kPiece) {
      const std::int64_t end = min(count, begin + kPiece);
      std::int64_t i = 0;
      for (; i + kTogether <= taps_; i += kTogether) some.template operator()<kTogether>(i, begin, end);
      if (i + 4 <= taps_) some.template operator()<4>(i, begin, end), i += 4;
      for (; i < taps_; ++i) some.template operator()<1>(i, begin, end);
    }
  }

  // totals [taps, d] += the sums of a group, whose first tile is that of all; items side by side in its lanes.
  void add_sums(const Group& group, std::int64_t first_tile, const Vector<double>* sums, double* totals) const {
    constexpr std::int64_t lanes = kLanes<T>;
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      for (std::int64_t i = 0; i < taps_; ++i, sums += kParts<T>) {
        double each[lanes];
        for (int part = 0; part < kParts<T>; ++part) store(each + part * kLanes<double>, sums[part]);
        for (std::int64_t l = 0; l < group.lanes; ++l) {
          const std::int64_t channel = group.channel[k] + l;
          if (channel < (first_tile + k) * lanes) continue;  // of the tile before, too
          for (int item = 0; item < group.items; ++item) totals[i * d_ + channel] += each[item * group.lanes + l];
        }
      }
    }
  }

  void write_gradient(const double* totals) const {
    const Lines<T> to = lines<T>(call_.grad_k, 0, 0);
    parallel(pool_, taps_, kTasks * d_ * std::int64_t(sizeof(double)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t tap = begin; tap < end; ++tap) {
        const double* row = totals + (taps_ - 1 - tap) * d_;
        for (std::int64_t c = 0; c < d_; ++c) {
          to.data[tap * to.n_stride + c * to.d_stride] = static_cast<T>(sum_of_parts(row + c, kTasks, taps_ * d_));
        }
      }
    });
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const std::int64_t n_, d_, taps_;
  const std::int64_t after_, before_;  // rows that a result needs, after and before its own
};

}  // namespace
}  // namespace spectrans
