// Filtering, whatever the transform: forward, product with the response, back, tile by tile; sums over the batch for
// the gradient of the response.
//
// A real transform keeps each sample and channel to itself (two signals packed as one complex number would share
// their rounding errors, and their NaNs), and its half spectrum is exactly what a response multiplies.
#pragma once

#include "../memory/storage.h"
#include "product.h"
#include "response_slots.h"

namespace spectrans {
namespace {

// What is kept of the groups of a block may be in the third-level cache, as it is asked for ahead of its use, where
// that makes all groups of an item one block: the addresses of as many rows are known until the last group is done.
constexpr std::int64_t kFarBytes = 2 * 1024 * 1024;
constexpr std::int64_t kFarRows = 1024;

// Transform, for T, has what ResponseSlots takes, and: work, slots of scratch; slot [n] of each sample; first, the plan
// whose first stage is its own; forward(tile, work, outer); convolve(tile, work, middle, outer), forward and n times
// the inverse.
template <class T, class Transform, bool kFilter, bool kGradient>
class FilterPass {
 public:
  FilterPass(const Filter& call, const Transform& transform, const Storage<T>& storage, const ThreadPool& pool)
      : FilterPass(call, transform, storage, pool,
                   Groups<T>(transform.n, call.x.d, call.x.batch, most_tiles(call, transform, storage))) {}

 private:
  // The batch is split by the groups there are whatever the threads.
  FilterPass(const Filter& call, const Transform& transform, const Storage<T>& storage, const ThreadPool& pool,
             const Groups<T>& groups)
      : call_(call), storage_(storage), pool_(pool), transform_(transform), batch_(groups.packs(call.x.batch)),
        parts_(kGradient ? max(1, min(batch_, kTasks / groups.count)) : max(1, batch_)),
        groups_(groups.shared(parts_, pool.threads, storage.tiles_of_line)), pitch_(padded(transform.slots)),
        slots_(pitch_ * groups_.tiles_per_group), response_(call, transform, pitch_),
        streaming_(kFilter && storage.can_stream(call.y)), outer_(leaves_room() && has_outer_stage(transform.first)),
        asks_(leaves_room() && asks_beside(transform.slots * kVectorBytes) &&
              (outer_ || storage.size_in_bytes(call.x) > kLargeBytes)),
        kept_((kFilter ? 1 : 0) + (kGradient ? ceil_div(batch_, parts_) > kItemsPerSum ? 2 : 1 : 0)),
        blocks_(groups_.count, parts_, kept_ * slots_ * kVectorBytes, pool.threads,
                transform.n <= kFarRows ? kFarBytes : Blocks::kNearBytes, streaming_ && each_by_itself()),
        far_(blocks_.size * kept_ * slots_ * kVectorBytes > Blocks::kNearBytes),
        shared_(shares(groups_.count * slots_ * kVectorBytes) ? groups_.count * slots_ : 0) {}

 public:
  void run() const {
    const std::int64_t sums = in_parts() ? parts_ * groups_.count * slots_ : 0;
    auto* responses = static_cast<Vector<T>*>(scratch(ScratchRoom::shared, (shared_ + sums) * kVectorBytes));
    Vector<T>* totals = responses + shared_;  // [parts][groups]
    if (shared_ > 0) {
      parallel(pool_, groups_.count, slots_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
        arrange_responses(begin, end, responses + begin * slots_);
      });
    }
    parallel(pool_, blocks_.count(), blocks_.size * slots_ * kVectorBytes * max(1, ceil_div(batch_, parts_)),
             [&](std::int64_t begin, std::int64_t end) {
               Workspace space = workspace(blocks_.size);
               const auto start = [&](const Blocks::Block& block) {
                 return Next{groups_[block.first], block.part * batch_ / parts_, 0};
               };
               if (asks_) {
                 const Next beginning = start(blocks_[begin]);
                 storage_.fetch(call_.x, beginning.item, beginning.group);
                 if (kGradient) storage_.fetch(call_.with, beginning.item, beginning.group);
               }
               std::int64_t arranged = -1;
               for (std::int64_t task = begin; task < end; ++task) {
                 const Blocks::Block block = blocks_[task];
                 if (shared_ > 0) {
                   space.response = responses + block.first * slots_;
                 } else if (kFilter && block.first != arranged) {
                   arrange_responses(block.first, block.first + block.groups, space.response);
                   arranged = block.first;
                 }
                 const Next after = task + 1 < end ? start(blocks_[task + 1]) : Next{};
                 const std::int64_t last = (block.part + 1) * batch_ / parts_;
                 if (in_parts()) {
                   space.total = totals + (block.part * groups_.count + block.first) * slots_;
                   if (!in_pieces()) space.sum = space.total;
                 }
                 items(block, start(block).item, last, after, space);
                 for (std::int64_t g = 0; kGradient && !in_parts() && g < block.groups; ++g) {
                   response_.write_gradient(groups_[block.first + g], space.total + g * slots_, gradient());
                 }
               }
               if (streaming_) fence_streams();
             });
    if (in_parts()) write_gradients(totals);
  }

 private:
  // What is to be done after something else; no tiles: nothing.
  struct Next {
    Group group;
    std::int64_t item, kept;
  };
  struct Workspace {
    Vector<T>*tile, *response, *with, *sum, *total, *work;
  };

  T* gradient() const { return static_cast<T*>(call_.response_grad); }

  // The gradient, from sums of parts of the batch, a tile at a time: as slots they are added up, and written once.
  void write_gradients(const Vector<T>* totals) const {
    const std::int64_t tiles = groups_.tiles_per_group, step = groups_.count * slots_;
    parallel(pool_, groups_.count * tiles, parts_ * pitch_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      auto* sum = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, pitch_ * kVectorBytes));
      for (std::int64_t task = begin; task < end; ++task) {
        const Group group = some_tiles(groups_[task / tiles], task % tiles, 1);
        if (group.tiles == 0) continue;
        const Vector<T>* tile = totals + task / tiles * slots_ + task % tiles * pitch_;
        for (std::int64_t i = 0; i < transform_.slots; ++i) sum[i] = sum_of_parts(tile + i, parts_, step);
        response_.write_gradient(group, sum, gradient());
      }
    });
  }

  // Whether parts of the batch have sums of their own, which are summed.
  bool in_parts() const { return kGradient && parts_ > 1; }

  // Whether a part of the batch is summed in pieces, likewise.
  bool in_pieces() const { return sums() > 1; }

  // Of what is kept of a group, all but its response.
  std::int64_t sums() const { return kept_ - (kFilter ? 1 : 0); }

  // Whether threads are to have no responses in common: where another's come late, and a thread has few parts of the
  // batch, so that the wait for them would be much of its work: as measured.
  bool each_by_itself() const {
    constexpr std::int64_t kFewParts = 8;
    return pool_.threads > 1 && !cores_pass_lines() && parts_ <= kFewParts * pool_.threads;
  }

  // Whether threads share the responses of all groups, which are so many bytes: where the parts of the batch are
  // theirs, each would arrange most of them for itself.
  bool shares(std::int64_t bytes) const {
    return kFilter && pool_.threads > 1 && !each_by_itself() && parts_ >= Blocks::kTasksPerThread * pool_.threads &&
           bytes <= kFarBytes;
  }

  Workspace workspace(std::int64_t groups) const {
    const bool own_responses = kFilter && shared_ == 0;
    const std::int64_t own_sums = sums() - (in_parts() ? 1 : 0);
    const std::int64_t pieces = 1 + (kGradient ? 1 : 0) + ((own_responses ? 1 : 0) + own_sums) * groups;
    Space<Vector<T>> space(scratch(ScratchRoom::worker, (pieces * slots_ + transform_.work) * kVectorBytes));
    Workspace of{};
    of.tile = space.take(slots_);
    if (own_responses) of.response = space.take(groups * slots_);
    if (kGradient) of.with = space.take(slots_);
    if (own_sums > 0) of.sum = of.total = space.take(groups * slots_);
    if (own_sums > 1) of.total = space.take(groups * slots_);
    of.work = space.take(transform_.work);
    return of;
  }

  // Whether a group's tiles leave room for rows to come in the second-level cache.
  bool leaves_room() const { return (kGradient ? 2 : 1) * slots_ * kVectorBytes <= kAheadBytes; }

  // Two cache lines of a row side by side, or all that a group takes: fewer pages are met, fewer times. That is where
  // tiles take no more than a second-level cache; for a gradient, which needs as much again, no more than half, and
  // where nothing of the signals stays in any cache: as measured. Where channels come first, tiles have no cache lines
  // in common: each by itself.
  static std::int64_t most_tiles(const Filter& call, const Transform& transform, const Storage<T>& storage) {
    const std::int64_t few = min(kMaxTiles, 2 * storage.tiles_of_line);
    constexpr std::int64_t room = 1024 * 1024;
    if (channels_first(call.x)) return 1;
    const std::int64_t bytes = kMaxTiles * transform.n * kVectorBytes;
    if (!kGradient) return bytes <= room ? kMaxTiles : few;
    const bool large = storage.size_in_bytes(call.x) >= 4 * kLargeBytes;
    return kMaxTiles > kFewTiles && bytes <= room / 4 && large ? kMaxTiles : few;
  }

  Tiles<T> tiles(const Group& group, Vector<T>* slots) const { return {slots, pitch_, group.tiles}; }

  void arrange_responses(std::int64_t begin, std::int64_t end, Vector<T>* slots) const {
    for (std::int64_t g = begin; g < end; ++g, slots += slots_) response_.arrange(groups_[g], slots);
  }

  bool is_outer(const Signal& signal, const Group& group) const {
    return outer_ && takes_rows(group) && whole_vectors<T>(signal, group);
  }

  // An item of a signal -> tiles; whether the butterflies of the first stage are done with it.
  bool bring(const Signal& signal, std::int64_t item, const Group& group, Vector<T>* slots) const {
    if (is_outer(signal, group)) {
      storage_.outer_forward(transform_.first.stage[0], transform_.first.sample, signal, item, group,
                             tiles(group, slots));
      return true;
    }
    storage_.gather(signal, item, group, transform_.slot, tiles(group, slots));
    return false;
  }

  // Tiles -> an item of y; outer: the butterflies of the last inverse stage are left to do.
  void take(std::int64_t item, const Group& group, Vector<T>* slots, bool outer) const {
    const Signal& y = call_.y;
    if (outer) {
      return storage_.outer_inverse(transform_.first.stage[0], transform_.first.sample, y, item, group, streaming_,
                                    tiles(group, slots));
    }
    storage_.scatter(y, item, group, streaming_, SlotRows<T>{slots, pitch_, transform_.slot});
  }

  // What tile k asks for, of what is next.
  PiecesAhead pieces(const Signal& signal, const Next& next, std::int64_t k) const {
    return asks_ ? storage_.pieces(signal, next.item, next.group, k) : PiecesAhead{};
  }

  // Items first .. last, of the groups of a block, to space.total; after: what comes after them.
  void items(const Blocks::Block& block, std::int64_t first, std::int64_t last, const Next& after,
             const Workspace& space) const {
    const std::int64_t used = block.groups * slots_, piece = items_per_sum(last - first);
    if (kGradient) {
      for (std::int64_t i = 0; i < used; ++i) space.sum[i] = space.total[i] = Vector<T>{};
    }
    for (std::int64_t item = first; item < last; ++item) {
      for (std::int64_t g = 0; g < block.groups; ++g) {
        Next next = after;
        if (g + 1 < block.groups) {
          next = {groups_[block.first + g + 1], item, (g + 1) * slots_};
        } else if (item + 1 < last) {
          next = {groups_[block.first], item + 1, 0};
        }
        one(groups_[block.first + g], item, next, space, g * slots_);
      }
      if (kGradient && in_pieces() && ((item - first) % piece == piece - 1 || item + 1 == last)) {
        for (std::int64_t i = 0; i < used; ++i) {
          space.total[i] += space.sum[i];
          space.sum[i] = Vector<T>{};
        }
      }
    }
  }

  // One item, of one group; kept: where what is kept of that is.
  void one(const Group& group, std::int64_t item, const Next& next, const Workspace& space, std::int64_t kept) const {
    if constexpr (kGradient) {
      const Outer outer{bring(call_.with, item, group, space.with)};
      for (std::int64_t k = 0; k < group.tiles; ++k) transform_.forward(space.with + k * pitch_, space.work, outer);
    }
    const Outer outer{bring(call_.x, item, group, space.tile), kFilter && is_outer(call_.y, group)};
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const std::int64_t at = k * pitch_;
      const std::int64_t later = k + 1 < group.tiles ? pitch_ : next.kept - kept - at;
      const FilterProduct<T, kFilter, kGradient> product{
          space.tile + at,          space.response + kept + at,  space.with + at, space.sum + kept + at,
          pieces(call_.x, next, k), pieces(call_.with, next, k), far_ ? later : 0};
      transform_.convolve(space.tile + at, space.work, product, outer);
    }
    if constexpr (kFilter) take(item, group, space.tile, outer.inverse);
  }

  const Filter& call_;
  const Storage<T>& storage_;
  const ThreadPool& pool_;
  const Transform& transform_;
  const std::int64_t batch_, parts_;
  const Groups<T> groups_;
  const std::int64_t pitch_, slots_;
  const ResponseSlots<T, Transform> response_;
  const bool streaming_;
  const bool outer_;         // whether there are outer stages
  const bool asks_;          // for rows to come
  const std::int64_t kept_;  // of a group: its response, a sum, and a sum of sums
  const Blocks blocks_;
  const bool far_;             // whether what is kept of a block is
  const std::int64_t shared_;  // slots of the responses that threads share
};

template <class T, class Transform>
void filter_pass(const Filter& call, const Transform& transform, const Storage<T>& storage, const ThreadPool& pool) {
  if (call.response_grad == nullptr) {
    FilterPass<T, Transform, true, false>(call, transform, storage, pool).run();
  } else if (call.response == nullptr) {
    FilterPass<T, Transform, false, true>(call, transform, storage, pool).run();
  } else {
    FilterPass<T, Transform, true, true>(call, transform, storage, pool).run();
  }
}

}  // namespace
}  // namespace spectrans
