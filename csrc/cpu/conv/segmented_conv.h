// Signals much longer than the taps: as segments, which, with the rows around them that taps reach, have the length of
// a transform that stays in the nearer caches, if there are not too many taps.
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
      : call_(call), storage_(storage), pool_(pool), reach_(call.k.n, call.causal, call.adjoint) {}

  // Whether those take less time, as measured: by the slots of all tiles, of which the first and the last segments take
  // some two for each item.
  static bool suits(const Conv& call) {
    constexpr std::int64_t kFarLength = 16384;
    if (call.u.n < 4 * length(call) || !can_be_cut(call.u)) return false;
    const std::int64_t n = call.u.n, d = call.u.d, batch = call.u.batch, between = n / rows(call) - 2;
    const auto tiles = [&](std::int64_t items) {
      return static_cast<double>(ceil_div(items, max(1, kLanes<T> / d)) * ceil_div(d, kLanes<T>));
    };
    const double far = n > kFarLength ? 2.5 : 1.3;  // what a slot of a long tile takes
    const double whole =
        SplitConv<T>::suits(call) ? 2.0 * static_cast<double>(batch * d) / kLanes<T> : far * tiles(batch);
    return static_cast<double>(length(call)) * (tiles(batch * between) + 2 * tiles(batch)) <
           static_cast<double>(n) * whole;
  }

  void forward() const {
    for_each([&](const Segments& part) {
      Conv of = call_;
      of.u = part.around(call_.u, reach_);
      of.pre = part.around(call_.pre, reach_);
      of.post = part.of(call_.post);
      of.y = part.of(call_.y);
      by_right_angle(of, storage_, pool_, part.before(reach_));
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
      by_right_angle(of, storage_, pool_, part.before(back));
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

  static std::int64_t length(const Conv& call) {
    std::int64_t length = 1024;
    while (length < 4 * call.k.n) length *= 2;
    return length;
  }
  static std::int64_t rows(const Conv& call) { return length(call) - (call.k.n - 1); }

  template <class F>
  void for_each(const F& f) const {
    for_each_segments(call_.u.n, rows(call_), storage_.size, f);
  }

  const Conv& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const Reach reach_;
};

}  // namespace
}  // namespace spectrans
