// What the ways to convolve have in common: which taps act, and on which rows; how channels are grouped; and what each
// costs, by which one is chosen: nanoseconds, about, of a Zen 4, of which only ratios are used.
#pragma once

#include "../memory/storage.h"

namespace spectrans {
namespace {

// Those that act, whose lag is from -(n - 1) to n - 1, of the taps of n samples.
struct ActingTaps {
  std::int64_t first, count, offset;  // offset: of lag 0, from the first

  ActingTaps(std::int64_t n, std::int64_t taps, bool causal) {
    const std::int64_t zero = causal ? 0 : (taps - 1) / 2;
    first = max(0, zero - (n - 1));
    count = min(taps, zero + n) - first;
    offset = zero - first;
  }
  std::int64_t last() const { return first + count; }
};

// Rows that a result needs before its own, and after it.
struct Reach {
  std::int64_t before, after;

  Reach(const ActingTaps& taps, bool adjoint) : before(taps.count - 1 - taps.offset), after(taps.offset) {
    if (adjoint) *this = reversed();
  }
  Reach(std::int64_t before_, std::int64_t after_) : before(before_), after(after_) {}
  Reach reversed() const { return {after, before}; }
};

inline bool is_backward(const Conv& call) { return call.grad.data != nullptr; }

// The gradient of taps that do not act.
template <class T>
void clear_idle(const Conv& call, const ActingTaps& acting, const ThreadPool& pool) {
  if (acting.count == call.k.n) return;
  const Lines<T> to = lines<T>(call.grad_k, 0, 0);
  parallel(pool, call.k.n, call.k.d * sizeof(T), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tap = begin; tap < end; ++tap) {
      if (acting.first <= tap && tap < acting.last()) continue;
      for (std::int64_t c = 0; c < call.k.d; ++c) to.data[tap * to.n_stride + c * to.d_stride] = T(0);
    }
  });
}

// The channels of a group, of which taps have one item.
inline Group of_taps(Group group) {
  group.items = 1;
  return group;
}

// The factors of a skip for tile k of a group; zeros without one.
template <class T>
Vector<T> skip_of(const Conv& call, const Group& group, std::int64_t k) {
  const auto* factors = static_cast<const T*>(call.skip);
  if (factors == nullptr) return Vector<T>{};
  return ItemLanes<T>(group).repeat(load_some(factors + group.channel[k], 1, group.lanes));
}

template <class T>
Space<Vector<T>> worker_space(std::int64_t slots) {
  return Space<Vector<T>>(scratch(ScratchRoom::worker, slots * kVectorBytes));
}

// Groups of a cache line of a row side by side, at least, and of more where there is room for spectra of so many bytes
// of each tile and of its kernel, and tasks are left for threads to share. For the gradient of a kernel, whose sums are
// kept, too, two lines do. windows: of an item.
template <class T>
Groups<T> groups_beside(const Conv& call, const Storage<T>& storage, std::int64_t spectrum, std::int64_t windows) {
  constexpr std::int64_t room = 1024 * 1024;
  const std::int64_t kept = (is_backward(call) ? 4 : 2) * spectrum;
  Groups<T> groups(call.u.n, call.u.d, call.u.batch);
  const std::int64_t tiles = ceil_div(call.u.d, kLanes<T>), tasks = groups.packs(call.u.batch) * windows;
  std::int64_t most = is_backward(call) ? min(kFewTiles, 2 * storage.tiles_of_line) : kMaxTiles;
  const auto too_many = [&] { return most * kept > room || tasks * ceil_div(tiles, most) < kTasks; };
  while (most > storage.tiles_of_line && too_many()) most /= 2;
  groups.tiles_per_group = min(tiles, most);
  groups.count = ceil_div(tiles, groups.tiles_per_group);
  return groups;
}

// Calls f(part, group, its place in a block, whether that block is new, the next part, the next group) for all groups
// of blocks begin .. end; no tiles: there is none next.
template <class T, class F>
void for_each_group(const Blocks& blocks, const Groups<T>& groups, std::int64_t begin, std::int64_t end, const F& f) {
  std::int64_t last = -1;
  for (std::int64_t task = begin; task < end; ++task) {
    const Blocks::Block block = blocks[task];
    for (std::int64_t g = 0; g < block.groups; ++g) {
      const bool more = g + 1 < block.groups, there = more || task + 1 < end;
      const Blocks::Block next = more ? block : blocks[min(task + 1, end - 1)];
      f(block.part, groups[block.first + g], g, block.first != last, next.part,
        there ? groups[more ? block.first + g + 1 : next.first] : Group{});
    }
    last = block.first;
  }
}

// Whether all results of a call can be written past the caches.
template <class T>
bool can_stream_all(const Conv& call, const Storage<T>& storage) {
  const auto can = [&](const Signal& to) { return to.data == nullptr || storage.can_stream(to); };
  return can(call.y) && can(call.grad_u) && can(call.grad_pre) && can(call.grad_post);
}

constexpr double kImpossible = __builtin_inf();

// A sample of a tile, through a transform of so many, a product and back, with what it takes from memory: as measured.
inline double cost_of_sample(std::int64_t length) {
  if (length < 1024) return length < 512 ? 8 : 10.5;
  if (length < 8192) return length < 4096 ? 11 : 13.5;
  if (length < 32768) return length < 16384 ? 15 : 18;
  return length < 65536 ? 22 : 28;
}

// All of a call's tiles where one takes so long. An item is to be convolved in the same way whatever the batch, if its
// channels fill the lanes: so taps, which are transformed once, count as if for each.
template <class T>
double cost_of_tiles(const Conv& call, double each) {
  const Groups<T> groups(call.u.n, call.u.d, call.u.batch);
  return each * static_cast<double>(groups.packs(call.u.batch) * ceil_div(call.u.d, kLanes<T>));
}

// Runs one of the ways.
template <class Way>
void run(const Conv& call, const Way& way) {
  if (is_backward(call)) {
    way.backward();
  } else {
    way.forward();
  }
}

}  // namespace
}  // namespace spectrans
