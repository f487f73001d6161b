// Sums of squares, in float64 whatever the storage type: squares of float32 and of halves are exact there, and cannot
// overflow.
//
// A conversion and a fused multiply-add an element is less than data-centre GPUs have time for: an H100 reads 0.75e12
// floats a second, or 1.5e12 halves, and converts 3.6e12 (16 a cycle and multiprocessor, half as many as it adds); an
// A100 0.4e12, or 0.8e12, and 2.4e12. Consumer GPUs (2 a cycle) are about as fast as their memory with floats.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "reduction.h"

namespace spectrans::cuda {
namespace {

constexpr int kEnergyThreads = 256, kInFlight = 4;  // loads that a thread has under way
// Bytes that a block reads: the more, the more blocks there are. Sums are cut at places that depend on shapes alone.
constexpr std::int64_t kLeastPiece = 4 * 1024, kMostPiece = 64 * 1024, kEnoughPieces = 1024;

// Neighbours that one access of 16 bytes moves.
template <class S>
struct alignas(16) Group {
  static constexpr int count = 16 / sizeof(S);
  S value[count];
};

struct Axis {
  std::int64_t size, stride;
  std::int64_t out;  // kept axes: the step in the result
};

// The energies of one tensor. Lanes are neighbours in memory, in groups of one access. Either they are summed over: a
// task is a piece of one result, shared by across * down threads. Or they are kept, `run` of them a result: a block is
// `across` groups of lanes wide, and its task is all of them over a piece of the lines.
struct EnergyPass {
  const void* x;
  double* to;  // [results, pieces], or [pieces, results] of kept lanes
  int kept, reduced;
  Axis axis[kMaxAxes];  // kept ones, then those reduced; lanes apart
  std::int64_t lanes, lane_stride, lane_out;
  std::int64_t lines, lines_per_piece, pieces, per_line, lanes_per_piece, parts;  // parts: of kept lanes
  std::int64_t tasks, results;
  double repeats;  // axes of stride zero that are summed over
  bool along, vectors;
  int run, across, down, blocks;
};

SPECTRANS_DEVICE std::int64_t offset_of(const EnergyPass& pass, int first, int count, std::int64_t index) {
  if (count == 1) return index * pass.axis[first].stride;
  std::int64_t offset = 0;
  for (int at = first + count - 1; at >= first; --at) {
    offset += divide(index, pass.axis[at].size) * pass.axis[at].stride;
  }
  return offset;
}

SPECTRANS_DEVICE std::int64_t result_of(const EnergyPass& pass, std::int64_t index) {
  std::int64_t result = 0;
  for (int at = pass.kept - 1; at >= 0; --at) result += divide(index, pass.axis[at].size) * pass.axis[at].out;
  return result;
}

// `count` <= Group<S>::count lanes from `at` on, then zeros.
template <class S>
SPECTRANS_DEVICE Group<S> load_some(const EnergyPass& pass, const S* at, int count) {
  if (pass.vectors && count == Group<S>::count) return load(reinterpret_cast<const Group<S>*>(at));
  Group<S> group;
  unroll<0, Group<S>::count>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
    group.value[l] = l < count ? load(at + l * pass.lane_stride) : narrow<S>(0);
  });
  return group;
}

template <class S>
SPECTRANS_DEVICE double square_of(S value) {
  const double wide = widen(value);
  return wide * wide;
}

// One result a task, or a piece of one.
template <class S>
SPECTRANS_DEVICE void sum_along(const EnergyPass& pass, std::int64_t block) {
  constexpr int width = Group<S>::count;
  const int thread = static_cast<int>(threadIdx.x), team = pass.across * pass.down;
  const std::int64_t task = block * (kEnergyThreads / team) + thread / team;
  double sum[4] = {};
  const auto add = [&](const Group<S>& group) SPECTRANS_INLINE_LAMBDA {
    unroll<0, width>([&]<int l>() SPECTRANS_INLINE_LAMBDA { sum[l % 4] += square_of(group.value[l]); });
  };
  if (task < pass.tasks) {
    std::int64_t item = task, first_line = divide(item, pass.pieces);
    const std::int64_t first = divide(first_line, pass.per_line) * pass.lanes_per_piece;
    first_line *= pass.lines_per_piece;
    const S* data = static_cast<const S*>(pass.x) + offset_of(pass, 0, pass.kept, item) + first * pass.lane_stride;
    const int lanes = static_cast<int>(smaller(pass.lanes - first, pass.lanes_per_piece));
    const std::int64_t last_line = smaller(first_line + pass.lines_per_piece, pass.lines);
    const int x = thread % pass.across * width, step = pass.across * width;
    for (std::int64_t line = first_line + thread / pass.across % pass.down; line < last_line; line += pass.down) {
      const S* at = data + offset_of(pass, pass.kept, pass.reduced, line);
      int lane = x;
      if (pass.vectors) {
        for (; lane + (kInFlight - 1) * step + width <= lanes; lane += kInFlight * step) {
          Group<S> group[kInFlight];
          unroll<0, kInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
            group[i] = load(reinterpret_cast<const Group<S>*>(at + lane + i * step));
          });
          unroll<0, kInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA { add(group[i]); });
        }
      }
      for (; lane < lanes; lane += step) {
        add(load_some(pass, at + lane * pass.lane_stride, smaller(lanes - lane, width)));
      }
    }
  }
  const double total = group_sum(shared<double>(0), thread, team, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  if (task < pass.tasks && thread % team == 0) store(pass.to + task, pass.repeats * total);
}

// The sums of every `run` of kept lanes.
template <class S>
SPECTRANS_DEVICE void sum_beside(const EnergyPass& pass, std::int64_t block) {
  constexpr int width = Group<S>::count;
  const int thread = static_cast<int>(threadIdx.x), x = thread % pass.across, y = thread / pass.across;
  std::int64_t item = block;
  const std::int64_t piece = divide(item, pass.pieces), first = divide(item, pass.parts) * pass.lanes_per_piece;
  const int lanes = static_cast<int>(smaller(pass.lanes - first, pass.lanes_per_piece));
  const int mine = smaller(lanes - x * width, width);
  double sum[width] = {};
  const auto add = [&](const Group<S>& group) SPECTRANS_INLINE_LAMBDA {
    unroll<0, width>([&]<int l>() SPECTRANS_INLINE_LAMBDA { sum[l] += square_of(group.value[l]); });
  };
  if (mine > 0) {
    const S* data = static_cast<const S*>(pass.x) + offset_of(pass, 0, pass.kept, item) + first + x * width;
    const std::int64_t last = smaller((piece + 1) * pass.lines_per_piece, pass.lines);
    std::int64_t line = piece * pass.lines_per_piece + y;
    if (pass.vectors && mine == width && pass.reduced == 1) {
      const std::int64_t stride = pass.axis[pass.kept].stride;
      for (; line + (kInFlight - 1) * pass.down < last; line += kInFlight * pass.down) {
        Group<S> group[kInFlight];
        unroll<0, kInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA {
          group[i] = load(reinterpret_cast<const Group<S>*>(data + (line + i * pass.down) * stride));
        });
        unroll<0, kInFlight>([&]<int i>() SPECTRANS_INLINE_LAMBDA { add(group[i]); });
      }
    }
    for (; line < last; line += pass.down) {
      add(load_some(pass, data + offset_of(pass, pass.kept, pass.reduced, line), mine));
    }
  }
  const auto room = shared<double>(0);
  unroll<0, width>([&]<int l>() SPECTRANS_INLINE_LAMBDA { room.store(l * kEnergyThreads + thread, sum[l]); });
  __syncthreads();
  for (int half = pass.down / 2; half > 0; half /= 2) {
    if (y < half) {
      unroll<0, width>([&]<int l>() SPECTRANS_INLINE_LAMBDA {
        const int at = l * kEnergyThreads + thread;
        room.store(at, room.load(at) + room.load(at + half * pass.across));
      });
    }
    __syncthreads();
  }
  double* to = pass.to + piece * pass.results + result_of(pass, item) + first / pass.run * pass.lane_out;
  for (int result = thread; result * pass.run < lanes; result += kEnergyThreads) {
    double total = 0;
    for (int l = result * pass.run; l < (result + 1) * pass.run; ++l) {
      total += room.load(l % width * kEnergyThreads + l / width);
    }
    store(to + result * pass.lane_out, pass.repeats * total);
  }
}

struct EnergyParameters {
  EnergyPass of[2];
};

template <class S, bool along>
__global__ void __launch_bounds__(kEnergyThreads, along ? 4 : 3)
    energy_kernel(const __grid_constant__ EnergyParameters parameters) {
  const int block = static_cast<int>(blockIdx.x), second = block >= parameters.of[0].blocks ? 1 : 0;
  const EnergyPass& pass = parameters.of[second];
  const std::int64_t of_pass = block - (second != 0 ? parameters.of[0].blocks : 0);
  if constexpr (along) {
    sum_along<S>(pass, of_pass);
  } else {
    sum_beside<S>(pass, of_pass);
  }
}

// Sums of the pieces of each result, by `team` threads each.
struct Pieces {
  const double* from;
  double* to;
  std::int64_t results, pieces, result_step, piece_step;
  int team, blocks;
};

struct SumParameters {
  Pieces of[2];
};

__global__ void __launch_bounds__(kEnergyThreads) sum_kernel(const __grid_constant__ SumParameters parameters) {
  const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int second = block >= parameters.of[0].blocks ? 1 : 0;
  const Pieces& sums = parameters.of[second];
  const std::int64_t of_sums = block - (second != 0 ? parameters.of[0].blocks : 0);
  const int team = sums.team, side = kEnergyThreads / team;  // neighbours read neighbours
  const int x = sums.piece_step == 1 ? thread / team : thread % side;
  const int y = sums.piece_step == 1 ? thread % team : thread / side;
  const std::int64_t result = of_sums * side + x;
  double sum = 0;
  if (result < sums.results) {
    for (std::int64_t at = y; at < sums.pieces; at += team) {
      sum += load(sums.from + result * sums.result_step + at * sums.piece_step);
    }
  }
  sum = group_sum(shared<double>(0), x * team + y, team, sum);
  if (result < sums.results && y == 0) store(sums.to + result, sum);
}

// ---- on the host ----------------------------------------------------------------------------------------------------

class EnergyPlan {
 public:
  EnergyPlan(const Energy& call, int element_bytes) : call_(call), width_(16 / element_bytes) {
    pass.x = call.x;
    pass.to = call.energy;
    pass.repeats = 1;
    std::int64_t out = 1;
    for (int at = call.kept - 1; at >= 0; --at) {
      if (call.size[at] != 1) kept_[kept_count_++] = {call.size[at], call.stride[at], out};
      out *= call.size[at];
    }
    pass.results = out;
    for (int at = call.kept; at < call.kept + call.reduced; ++at) {
      if (call.stride[at] == 0) {
        pass.repeats *= static_cast<double>(call.size[at]);
      } else if (call.size[at] != 1) {
        insert({call.size[at], call.stride[at], 0});
      }
    }
    join();
    choose_lanes();
    cut(element_bytes);
    put_axes();
    const auto address = reinterpret_cast<std::uintptr_t>(call.x);
    const bool whole = pass.lanes_per_piece >= pass.lanes || pass.lanes_per_piece % width_ == 0;
    pass.vectors = pass.lane_stride == 1 && address % 16 == 0 && whole;
    for (int at = 0; at < pass.kept + pass.reduced; ++at) {
      pass.vectors = pass.vectors && pass.axis[at].stride % width_ == 0;
    }
  }

  EnergyPass pass{};

 private:
  // Reduced axes from the largest step to the smallest: they are added in any order.
  void insert(Axis a) {
    int at = reduced_count_++;
    for (; at > 0 && reduced_[at - 1].stride < a.stride; --at) reduced_[at] = reduced_[at - 1];
    reduced_[at] = a;
  }

  // Those that can be walked with one step become one.
  void join() {
    int last = 0;
    for (int at = 1; at < reduced_count_; ++at) {
      if (reduced_[last].stride == reduced_[at].size * reduced_[at].stride) {
        reduced_[last] = {reduced_[last].size * reduced_[at].size, reduced_[at].stride, 0};
      } else {
        reduced_[++last] = reduced_[at];
      }
    }
    if (reduced_count_ > 0) reduced_count_ = last + 1;
  }

  Axis take_kept(int at) {
    const Axis taken = kept_[at];
    for (--kept_count_; at < kept_count_; ++at) kept_[at] = kept_[at + 1];
    return taken;
  }
  int kept_with_stride(std::int64_t stride) const {
    for (int at = 0; at < kept_count_; ++at) {
      if (kept_[at].stride == stride) return at;
    }
    return -1;
  }

  void choose_lanes() {
    Axis lanes{1, 1, 0};
    pass.along = true;
    pass.run = 1;
    const bool neighbours = reduced_count_ > 0 && reduced_[reduced_count_ - 1].stride == 1;
    const std::int64_t run = neighbours ? reduced_[reduced_count_ - 1].size : 1;
    const int beside = run <= 8 ? kept_with_stride(run) : -1;  // such as the pairs of complex numbers
    if (beside >= 0) {
      pass.along = false;
      pass.run = static_cast<int>(run);
      if (neighbours) --reduced_count_;
      lanes = take_kept(beside);
      lanes.size *= run;
      lanes.stride = 1;
    } else if (reduced_count_ > 0) {
      lanes = reduced_[--reduced_count_];
    }
    pass.lanes = lanes.size;
    pass.lane_stride = lanes.stride;
    pass.lane_out = lanes.out;
  }

  void cut(int element_bytes) {
    std::int64_t items = 1;
    pass.lines = 1;
    for (int at = 0; at < kept_count_; ++at) items *= kept_[at].size;
    for (int at = 0; at < reduced_count_; ++at) pass.lines *= reduced_[at].size;
    const std::int64_t bytes = items * pass.lines * pass.lanes * element_bytes;
    std::int64_t piece = kLeastPiece;
    while (piece < kMostPiece && bytes / piece > kEnoughPieces) piece *= 2;
    piece /= element_bytes;
    std::int64_t wide;  // groups of a line that a task visits
    if (pass.along) {
      pass.per_line = ceil_div(pass.lanes, piece);
      pass.lanes_per_piece = pass.per_line == 1 ? pass.lanes : piece;
      pass.parts = 1;
      pass.lines_per_piece = pass.per_line > 1 ? 1 : piece / pass.lanes;
      wide = ceil_div(pass.lanes_per_piece, width_);
      const std::int64_t groups = wide * std::min(pass.lines_per_piece, pass.lines);
      const int team = power_of_two_below(ceil_div(groups, kInFlight), kEnergyThreads);
      pass.across = power_of_two_below(wide, team);
      pass.down = team / pass.across;
    } else {
      // Rows of 512 bytes, or wider ones where there are few lines.
      wide = ceil_div(pass.lanes, width_);
      pass.down = power_of_two_below(pass.lines, kEnergyThreads / 32);
      pass.across = kEnergyThreads / pass.down;
      while (pass.across > 1 && pass.across / 2 >= wide) {
        pass.across /= 2;
        pass.down *= 2;
      }
      pass.lanes_per_piece = pass.across * width_ / pass.run * pass.run;
      pass.parts = ceil_div(pass.lanes, pass.lanes_per_piece);
      pass.per_line = 1;
      const std::int64_t of_line = std::min(pass.lanes, pass.lanes_per_piece);
      pass.lines_per_piece = std::max<std::int64_t>(2 * kInFlight * pass.down, piece / of_line);
    }
    pass.pieces = ceil_div(pass.lines, pass.lines_per_piece) * pass.per_line;
    pass.tasks = items * pass.parts * pass.pieces;
    const std::int64_t together = pass.along ? kEnergyThreads / (pass.across * pass.down) : 1;
    pass.blocks = static_cast<int>(ceil_div(pass.tasks, together));
  }

  void put_axes() {
    pass.kept = kept_count_;
    pass.reduced = reduced_count_;
    for (int at = 0; at < kept_count_; ++at) pass.axis[kept_count_ - 1 - at] = kept_[at];  // the outermost first
    for (int at = 0; at < reduced_count_; ++at) pass.axis[kept_count_ + at] = reduced_[at];
  }

  const Energy& call_;
  int width_;
  Axis kept_[kMaxAxes], reduced_[kMaxAxes];  // kept ones from the innermost
  int kept_count_ = 0, reduced_count_ = 0;
};

// Both tensors in one launch, if they are alike, and one more where sums were cut.
inline void energies(const Energies& call, const Stream& stream) {
  EnergyParameters parameters{};
  SumParameters sums{};
  for (int i = 0; i < call.count; ++i) {
    EnergyPass& pass = parameters.of[i];
    with_storage(call.of[i].element, [&]<class S>(S) { pass = EnergyPlan(call.of[i], sizeof(S)).pass; });
    if (pass.pieces == 1) continue;
    Pieces& pieces = sums.of[i];
    pieces.to = pass.to;
    pieces.results = pass.results;
    pieces.pieces = pass.pieces;
    pieces.result_step = pass.along ? pass.pieces : 1;
    pieces.piece_step = pass.along ? 1 : pass.results;
    const std::size_t count = static_cast<std::size_t>(pass.results) * static_cast<std::size_t>(pass.pieces);
    pass.to = static_cast<double*>(stream.allocate(count * sizeof(double), stream.context));
    pieces.from = pass.to;
    pieces.team = power_of_two_below(ceil_div(pass.pieces, kInFlight), kEnergyThreads);
    pieces.blocks = static_cast<int>(ceil_div(pass.results, kEnergyThreads / pieces.team));
  }
  const auto queue = [&](Element element, const EnergyParameters& of) {
    with_storage(element, [&]<class S>(S) {
      const unsigned blocks = static_cast<unsigned>(of.of[0].blocks) + static_cast<unsigned>(of.of[1].blocks);
      const bool along = of.of[0].along;
      const int values = kEnergyThreads * (along ? 1 : Group<S>::count);
      launch(along ? &energy_kernel<S, true> : &energy_kernel<S, false>,
             {dim3(blocks), kEnergyThreads, values * static_cast<int>(sizeof(double))}, stream.stream, of);
    });
  };
  const auto alike = [&] {
    return call.of[0].element == call.of[1].element && parameters.of[0].along == parameters.of[1].along;
  };
  if (call.count == 1 || alike()) {
    queue(call.of[0].element, parameters);
  } else {
    for (int i = 0; i < 2; ++i) queue(call.of[i].element, {{parameters.of[i], {}}});
  }
  const unsigned blocks = static_cast<unsigned>(sums.of[0].blocks) + static_cast<unsigned>(sums.of[1].blocks);
  if (blocks == 0) return;
  launch(sum_kernel, {dim3(blocks), kEnergyThreads, kEnergyThreads * static_cast<int>(sizeof(double))}, stream.stream,
         sums);
}

}  // namespace
}  // namespace spectrans::cuda
