// Signals much longer than the taps: as segments, which, with the rows around them that taps reach, have the length of
// a transform that stays in the nearer caches, if there are not too many taps. Segments are convolved as signals are:
// side by side in the lanes, or, few of them, in parts.
#pragma once

#include "right_angle_conv.h"
#include "segments.h"
#include "split_conv.h"

namespace spectrans {
namespace {

template <class T>
class SegmentedConv {
 public:
  SegmentedConv(const Conv& call, const Storage<T>& storage, const ThreadPool& pool)
      : call_(call), storage_(storage), pool_(pool), reach_(call.k.n, call.causal, call.adjoint), cut_(best_cut(call)) {
  }

  // Whether those take less time.
  static bool suits(const Conv& call) { return can_be_cut(call.u) && best_cut(call).cost < cost_of_whole(call); }

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

  static bool in_parts(const Conv& call) { return 2 * call.u.d <= kLanes<T>; }

  // What a segment needs, the last one, which may be longer, too.
  static std::int64_t enough(std::int64_t needed, std::int64_t length) {
    return needed <= length ? length : 2 * needed <= 3 * length ? 3 * length / 2 : 2 * length;
  }

  // -- about how long they take, as measured: nanoseconds of a Zen 4, of which only ratios are used --

  // Signals or segments of n rows, side by side.
  static double right_angle_cost(std::int64_t n, std::int64_t d, std::int64_t batch) {
    constexpr std::int64_t kFar = 16384;
    const std::int64_t tiles = ceil_div(batch, max(1, kLanes<T> / d)) * ceil_div(d, kLanes<T>);
    return (n < kFar ? 32.0 : n == kFar ? 45.0 : 80.0) * static_cast<double>(n * tiles);
  }
  // Lines of n samples in parts, and their kernel.
  static double split_cost(std::int64_t n, std::int64_t d, std::int64_t batch) {
    constexpr std::int64_t kNear = 128 * 1024;  // samples
    const std::int64_t slots = SplitLines<T>::slots(n, SplitLines<T>::parts(n, d, batch), d, batch);
    const double each = n * d <= kNear ? 33 : n * d <= 2 * kNear ? 80 : n * d <= 4 * kNear ? 110 : 190;
    return each * static_cast<double>(slots) + 25 * static_cast<double>(n * d) / kLanes<T>;
  }

  static double cost_of_whole(const Conv& call) {
    const std::int64_t n = call.u.n, d = call.u.d, batch = call.u.batch;
    return SplitConv<T>::suits(call) ? split_cost(2 * n, d, batch) : 1.3 * right_angle_cost(n, d, batch);
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
    if (count < 3) return {length, rows, __builtin_inf()};
    const auto cost = [&, of = in_parts(call) ? split_cost : right_angle_cost](std::int64_t samples,
                                                                               std::int64_t segments) {
      return of(samples, call.u.d, call.u.batch * segments);
    };
    const std::int64_t last = n - (count - 1) * rows + others;
    return {length, rows, cost(length, 1) + cost(length, count - 2) + cost(enough(last, length), 1)};
  }

  // first: of a segment's own rows, in its window.
  void convolve(const Conv& call, const Segments& part, std::int64_t first) const {
    if (!in_parts(call)) return by_right_angle(call, storage_, pool_, first);
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
