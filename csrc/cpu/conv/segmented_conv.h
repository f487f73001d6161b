// Signals of few channels, much longer than the taps: as segments, which, with the rows around them that taps reach,
// have the length of a transform that stays in the nearer caches, if there are not too many taps. Each line of a
// segment is in parts.
#pragma once

#include "segments.h"
#include "split_conv.h"

namespace spectrans {
namespace {

template <class T>
class SegmentedConv {
 public:
  SegmentedConv(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), reach_(ActingTaps(call.u.n, call.k.n, call.causal), call.adjoint),
        cut_(best_cut(call)) {}

  static double cost(const Conv& call) {
    return 2 * call.u.d <= kLanes<T> && can_be_cut(call.u) ? best_cut(call).cost : kImpossible;
  }

  void forward() const {
    for_each([&](const Segments& part) {
      Conv of = call_;
      of.u = part.around(call_.u, reach_);
      of.pre = part.around(call_.pre, reach_);
      of.post = part.of(call_.post);
      of.y = part.of(call_.y);
      convolve(of, part, part.before(reach_));
    });
  }

  // Samples of a segment meet the gradients of all results that they have a part in.
  void backward() const {
    const Reach back = reach_.reversed();
    const std::int64_t taps = call_.k.n * call_.u.d;
    auto* const gradient = static_cast<T*>(call_.grad_k.data);
    auto* const others = static_cast<T*>(scratch(ScratchRoom::caller, (kParts - 1) * taps * sizeof(T)));
    std::int64_t done = 0;
    for_each([&](const Segments& part) {
      Conv of = call_;
      of.u = part.of(call_.u);
      of.pre = part.of(call_.pre);
      of.grad = part.around(call_.grad, back);
      of.post = part.around(call_.post, back);
      of.grad_u = part.of(call_.grad_u);
      of.grad_pre = part.of(call_.grad_pre);
      of.grad_post = {};
      of.grad_k.data = done == 0 ? gradient : others + (done - 1) * taps;
      convolve(of, part, part.before(back));
      ++done;
    });
    add_parts(pool_, taps, done - 1, others, taps, gradient);
    if (call_.post.data == nullptr) return;
    Conv of = call_;
    of.grad = {};
    of.y = call_.grad_post;
    of.post = call_.grad;
    SegmentedConv(of, storage_, pool_).forward();
  }

 private:
  static constexpr std::int64_t kParts = 3;  // that for_each_segments has, at most

  // Samples of a transform, and rows that a segment has of its own.
  struct Cut {
    std::int64_t length, rows;
    double cost;
  };

  // What a segment needs, the last one, which may be longer, too.
  static std::int64_t enough(std::int64_t needed, std::int64_t length) {
    return needed <= length ? length : 2 * needed <= 3 * length ? 3 * length / 2 : 2 * length;
  }

  static Cut best_cut(const Conv& call) {
    std::int64_t length = 1024;
    while (length < 2 * call.k.n) length *= 2;
    const Cut less = cut(call, length), more = cut(call, 2 * length);
    return less.cost < more.cost ? less : more;
  }
  // The first and the last segment are calls of their own.
  static Cut cut(const Conv& call, std::int64_t length) {
    const std::int64_t others = call.k.n - 1, rows = length - others, n = call.u.n, count = n / rows;
    if (count < 3) return {length, rows, kImpossible};
    const std::int64_t last = n - (count - 1) * rows + others;
    return {length, rows,
            SplitConv<T>::cost(call, length, 1) + SplitConv<T>::cost(call, length, count - 2) +
                SplitConv<T>::cost(call, enough(last, length), 1)};
  }

  // first: of a segment's own rows, in its window.
  void convolve(const Conv& call, const Segments& part, std::int64_t first) const {
    run(call, SplitConv<T>(call, storage_, pool_, enough(part.rows + call_.k.n - 1, cut_.length), first));
  }

  template <class F>
  void for_each(const F& f) const {
    for_each_segments(call_.u.n, cut_.rows, storage_.size, f);
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const Reach reach_;
  const Cut cut_;
};

}  // namespace
}  // namespace spectrans
