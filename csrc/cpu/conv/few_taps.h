// Convolution with few taps, by definition: fewer operations than those of transforms, and each sample is rounded by
// itself. Segments of signals stay in the nearer caches, and those of few channels fill the lanes.
#pragma once

#include "../memory/storage.h"
#include "segments.h"
#include "ways.h"

namespace spectrans {
namespace {

template <class T>
class FewTaps {
  static constexpr std::int64_t kRows = 256;  // of a segment, at least
  // Taps whose products are added before their sum is, and rows, of which the sums are added in double.
  static constexpr std::int64_t kTermsPerSum = 32, kPiece = 128;

 public:
  FewTaps(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), n_(call.u.n), d_(call.u.d), taps_(call.k.n),
        reach_(ActingTaps(n_, taps_, call.causal), call.adjoint) {}

  static double cost(const Conv& call) {
    constexpr std::int64_t kMost = 128;
    if (call.k.n > min(kMost, call.u.n) || !can_be_cut(call.u)) return kImpossible;
    const std::int64_t rows = call.u.batch * call.u.n, d = call.u.d;
    const std::int64_t tiles = d < kLanes<T> ? ceil_div(rows * d, kLanes<T>) : rows * ceil_div(d, kLanes<T>);
    const auto taps = static_cast<double>(call.k.n);  // (where vectors are not whole lines: as on a Zen 3)
    return (kVectorBytes == kLine ? 11 + 0.35 * taps : 0.53 * taps) * static_cast<double>(tiles);
  }

  void forward() const {
    const bool streaming = can_stream_all(call_, storage_);
    for_each_part([&](const Segments& part) {
      const Signal u = part.around(call_.u, reach_), pre = part.around(call_.pre, reach_), y = part.of(call_.y),
                   post = part.of(call_.post);
      const StagedRows<T> in = staged(part, reach_), out = results(part);
      const std::int64_t packs = groups_of(u).packs(u.batch);
      const Groups<T> groups = shared(groups_of(u), packs);
      const std::int64_t tiles = groups.tiles_per_group, rows = in.slots(tiles);
      parallel(pool_, packs * groups.count, rows * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
        Space<Vector<T>> space = worker_space<T>(rows + tiles * taps_ + out.work());
        Vector<T>*from = space.take(rows), *factors = space.take(tiles * taps_), *work = space.take(out.work());
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t pack = task / groups.count;
          const Group group = groups[task % groups.count];
          if (task == begin || groups.count > 1) arrange(group, !call_.adjoint, factors);
          storage_.read_staged(in, u, pre, pack, group, from);
          for (std::int64_t k = 0; k < group.tiles; ++k) {
            convolve(factors + k * taps_, skip_of<T>(call_, group, k), reach_.before, part.rows, in.tile(from, k));
          }
          storage_.write_staged(out, y, post, pack, group, streaming, from, work);
        }
        if (streaming) fence_streams();
      });
    });
  }

  // Shares of the batch leave their sums for the gradient of the taps.
  void backward() const {
    std::int64_t shares = 1;
    for_each_part([&](const Segments& part) { shares = max(shares, shares_of(part.around(call_.u, reach_))); });
    const std::int64_t of_share = taps_ * d_;
    auto* totals = static_cast<double*>(scratch(ScratchRoom::shared, shares * of_share * sizeof(double)));
    for (std::int64_t i = 0; i < shares * of_share; ++i) totals[i] = 0;
    for_each_part([&](const Segments& part) { backward(part, totals); });
    write_gradient(totals, shares);
  }

 private:
  // Totals [share, taps, d] += the sums of a part, by shares.
  void backward(const Segments& part, double* totals) const {
    const bool streaming = can_stream_all(call_, storage_);
    const bool has_pre = call_.pre.data != nullptr, has_post = call_.post.data != nullptr;
    const Reach back = reach_.reversed();
    const Signal u = part.around(call_.u, reach_), pre = part.around(call_.pre, reach_);
    const Signal grad = part.around(call_.grad, back), post = part.around(call_.post, back);
    const Signal own_u = part.of(call_.u), own_pre = part.of(call_.pre), own_grad = part.of(call_.grad);
    const Signal grad_u = part.of(call_.grad_u), grad_pre = part.of(call_.grad_pre),
                 grad_post = part.of(call_.grad_post);
    const StagedRows<T> in = staged(part, reach_), in_back = staged(part, back), out = results(part);
    const std::int64_t packs = groups_of(u).packs(u.batch), shares = shares_of(u);
    const Groups<T> groups = shared(groups_of(u), shares);
    const std::int64_t tiles = groups.tiles_per_group, rows = in.slots(tiles), sums = tiles * taps_ * kParts<T>;
    const auto run = [&](std::int64_t begin, std::int64_t end) {
      Space<Vector<T>> space = worker_space<T>(2 * (rows + tiles * taps_) + sums + out.work());
      Vector<T>*v = space.take(rows), *p = space.take(rows), *work = space.take(out.work());
      Vector<T>*factors = space.take(tiles * taps_), *turned = space.take(tiles * taps_);
      auto* sum = reinterpret_cast<Vector<double>*>(space.take(sums));
      const auto write = [&](const Signal& to, const Signal& gate, std::int64_t pack, const Group& group,
                             Vector<T>* from) {
        storage_.write_staged(out, to, gate, pack, group, streaming, from, work);
      };
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t index = task / shares, share = task % shares;
        const Group group = groups[index];
        arrange(group, true, factors);
        arrange(group, false, turned);
        for (std::int64_t i = 0; i < sums; ++i) sum[i] = Vector<double>{};
        for (std::int64_t pack = share * packs / shares; pack < (share + 1) * packs / shares; ++pack) {
          storage_.read_staged(in, u, pre, pack, group, v);
          storage_.read_staged(in_back, grad, post, pack, group, p);
          for (std::int64_t k = 0; k < group.tiles; ++k) {
            const std::int64_t of_tile = k * taps_;
            Vector<T>*of_v = in.tile(v, k), *of_p = in.tile(p, k);
            correlate(of_p + back.before, of_v, part.rows, sum + of_tile * kParts<T>);
            if (has_post) convolve(factors + of_tile, skip_of<T>(call_, group, k), reach_.before, part.rows, of_v);
            convolve(turned + of_tile, skip_of<T>(call_, group, k), back.before, part.rows, of_p);
          }
          if (has_pre) write(grad_pre, own_u, pack, group, p);
          write(grad_u, own_pre, pack, group, p);
          if (has_post) write(grad_post, own_grad, pack, group, v);
        }
        add_sums(group, index * tiles, sum, totals + share * taps_ * d_);
      }
      if (streaming) fence_streams();
    };
    parallel(pool_, groups.count * shares, rows * kVectorBytes * ceil_div(packs, shares), run);
  }

  template <class F>
  void for_each_part(const F& f) const {
    for_each_segments(n_, max(kRows, taps_), storage_.size, f);
  }

  // The rows of a segment and those around it, and zeros where there are none. Results begin where these do.
  StagedRows<T> staged(const Segments& part, const Reach& reach) const {
    const std::int64_t before = part.before(reach);
    return {before + part.rows + part.after(reach), part.rows + taps_ - 1, 1, reach.before - before};
  }
  StagedRows<T> results(const Segments& part) const { return {part.rows, part.rows + taps_ - 1, 1}; }

  // Of the items of a part: as many as tasks are wanted, whatever the threads.
  static std::int64_t shares_of(const Signal& signal) {
    const Groups<T> groups = groups_of(signal);
    return max(1, min(groups.packs(signal.batch), kTasks / groups.count));
  }

  static Groups<T> groups_of(const Signal& signal) {
    return {signal.n, signal.d, signal.batch, channels_first(signal) ? 1 : kMaxTiles};
  }
  Groups<T> shared(const Groups<T>& groups, std::int64_t tasks) const {
    return groups.shared(tasks, pool_.threads, storage_.tiles_of_line);
  }

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

  // rows[t] <- skip rows[t + before] + sum of factors[i] rows[t + i], in place: no later result needs row t.
  void convolve(const Vector<T>* factors, const Vector<T>& skip, std::int64_t before, std::int64_t count,
                Vector<T>* rows) const {
    constexpr int kTogether = 8;
    const auto some = [&, own = skip, taps = taps_]<int kCount>(Vector<T>* at) SPECTRANS_INLINE_LAMBDA {
      Vector<T> total[kCount];
      unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { total[q] = own * at[before + q]; });
      for (std::int64_t end = taps; end > 0; end -= kTermsPerSum) {
        Vector<T> sum[kCount] = {};
        for (std::int64_t i = end - 1; i >= max(0, end - kTermsPerSum); --i) {
          const Vector<T> factor = factors[i];
          unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { sum[q] += factor * at[i + q]; });
        }
        unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { total[q] += sum[q]; });
      }
      unroll<0, kCount>([&]<int q>() SPECTRANS_INLINE_LAMBDA { at[q] = total[q]; });
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

  void write_gradient(const double* totals, std::int64_t shares) const {
    const Lines<T> to = lines<T>(call_.grad_k, 0, 0);
    parallel(pool_, taps_, shares * d_ * std::int64_t(sizeof(double)), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t tap = begin; tap < end; ++tap) {
        const double* row = totals + (taps_ - 1 - tap) * d_;
        for (std::int64_t c = 0; c < d_; ++c) {
          to.data[tap * to.n_stride + c * to.d_stride] = static_cast<T>(sum_of_parts(row + c, shares, taps_ * d_));
        }
      }
    });
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const std::int64_t n_, d_, taps_;
  const Reach reach_;
};

}  // namespace
}  // namespace spectrans
