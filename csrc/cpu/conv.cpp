// Long convolution along the sequence: weighted transform, product with the kernel's spectrum, transform back, tile by
// tile (fft/right_angle.h). Gates, skip and weights are applied on the way between memory and the first and last stage.
#include "conv_split.h"
#include "conv_taps.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// ---- between forward and inverse ------------------------------------------------------------------------------------

// Spectra are N real parts and, `imag` slots on, N imaginary parts.
template <class T>
struct Product {
  const Vector<T>* tile;    // the spectrum being transformed
  const Vector<T>* kernel;  // divided by N
  std::int64_t imag;
  Ahead ahead;  // rows that are read next: every slot comes up once, slot j stands for row j

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>*, Vector<T>& a, Vector<T>& b) const {
    const std::int64_t i = re - tile;
    ahead.fetch(i);
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
  Ahead ahead, with_ahead;

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>*, Vector<T>& a, Vector<T>& b) const {
    const std::int64_t i = re - tile;
    ahead.fetch(i);
    with_ahead.fetch(i);
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

template <class Call, class F>
void for_each_signal(Call& call, const F& f) {
  f(call.u), f(call.pre), f(call.post), f(call.y), f(call.grad), f(call.grad_u), f(call.grad_pre), f(call.grad_post);
}

template <class IO, int R>
class ConvPass {
  using T = Compute<IO>;

 public:
  // shared: all channels have one kernel, a line of taps, and one skip.
  ConvPass(const Conv& call, const ThreadPool& pool, const RightAnglePlan<T>& plan, bool shared)
      : call_(call), pool_(pool), shared_(shared), plan_(plan), n_(call.u.n), d_(call.u.d),
        taps_(plan, call.u.n, call.k.n, call.causal), groups_(line_groups(plan.length, call.u.d)), imag_(taps_.imag()),
        spectrum_(taps_.spectrum()), streaming_(can_stream_all(call)), rows_(are_all_rows(call)),
        ahead_(2 * groups_.tiles_per_group * spectrum_ * kVectorBytes <= kAheadBytes) {}

  void forward() const {
    const std::int64_t slots = groups_.tiles_per_group * spectrum_;
    const Blocks blocks(groups_.count, call_.u.batch, slots * kVectorBytes, pool_.threads);
    parallel(pool_, blocks.count(), blocks.size * slots * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      auto* kernels =
          static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (blocks.size * slots + spectrum_) * kVectorBytes));
      Vector<T>* tile = kernels + blocks.size * slots;
      std::int64_t arranged = -1;
      for (std::int64_t task = begin; task < end; ++task) {
        const Blocks::Block block = blocks[task];
        for (std::int64_t g = 0; g < block.groups; ++g) {
          const std::int64_t group = block.first + g;
          Vector<T>* kernel = kernels + (shared_ ? 0 : g * slots);
          const bool anew = shared_ ? arranged < 0 && g == 0 : block.first != arranged;
          if (anew) arrange(group, call_.adjoint ? -1 : 1, kernel, tile);
          const bool more = g + 1 < block.groups;
          const Blocks::Block next = more ? block : blocks[min(task + 1, end - 1)];
          for_each_tile(group, [&](std::int64_t k, std::int64_t channel, int channels) {
            const Ahead ahead =
                k + 1 < groups_.tiles(group)
                    ? rows_ahead(call_.u, block.part, channel + kLanes<T>, true)
                    : rows_ahead(call_.u, next.part, groups_.first_channel(more ? group + 1 : next.first),
                                 more || task + 1 < end);
            with_rows(channels, [&]<int kAtOnce>() {
              convolve<kAtOnce>({block.part, channel, channels}, kernel + of_tile(k), ahead, tile);
            });
          });
        }
        arranged = block.first;
      }
      if (streaming_) fence_streams();
    });
  }

  void backward() const {
    const std::int64_t batch = call_.u.batch, splits = max(1, min(batch, kTasks / groups_.count));
    // Sums over part of the batch, [taps, d], or over the channels of a tile, [taps].
    const std::int64_t sums = shared_ ? ceil_div(d_, kLanes<T>) : splits;
    const std::int64_t channels_of_sum = shared_ ? 1 : d_, size = taps_.count() * channels_of_sum;
    T* partial = sums == 1 ? nullptr : static_cast<T*>(scratch(ScratchRoom::shared, sums * size * sizeof(T)));
    const std::int64_t pieces = ceil_div(batch, splits) > kItemsPerSum ? 2 : 1;
    const std::int64_t slots = groups_.tiles_per_group * spectrum_;
    parallel(pool_, groups_.count * splits, slots * kVectorBytes * ceil_div(batch, splits),
             [&](std::int64_t begin, std::int64_t end) {
               auto* kernel = static_cast<Vector<T>*>(
                   scratch(ScratchRoom::worker, ((1 + pieces) * slots + 2 * spectrum_) * kVectorBytes));
               const Workspace space{kernel, kernel + slots, kernel + pieces * slots, kernel + (1 + pieces) * slots,
                                     kernel + (1 + pieces) * slots + spectrum_};
               std::int64_t arranged = -1;
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t group = task / splits, split = task % splits;
                 if (shared_ ? arranged < 0 : group != arranged) arrange(group, 1, kernel, space.tile);
                 arranged = group;
                 items(group, split * batch / splits, (split + 1) * batch / splits, space);
                 for_each_tile(group, [&](std::int64_t k, std::int64_t channel, int channels) {
                   Vector<T>* total = space.total + k * spectrum_;
                   if (shared_) {
                     sum_channels(total);
                     channels = 1;
                   }
                   Lines<T> to = taps_.acting(lines<T>(call_.grad_k, 0, channel));
                   if (sums > 1 && shared_) to = {partial + channel / kLanes<T> * size, 1, 1};
                   if (sums > 1 && !shared_) to = {partial + split * size + channel, d_, 1};
                   taps_.write_gradient(total, channels, to, space.tile);
                 });
               }
               if (streaming_) fence_streams();
             });
    taps_.finish(partial, sums, channels_of_sum, lines<T>(call_.grad_k, 0, 0), pool_);
  }

 private:
  struct Workspace {
    Vector<T>*kernel, *sum, *total, *tile, *with;
  };

  // Calls f(tile, first channel, channels) for the tiles of a group.
  template <class F>
  SPECTRANS_INLINE void for_each_tile(std::int64_t group, const F& f) const {
    constexpr int lanes = kLanes<T>;
    const std::int64_t first = groups_.first_channel(group), channels = groups_.channels(group);
    for (std::int64_t k = 0; k * lanes < channels; ++k) {
      f(k, first + k * lanes, static_cast<int>(min(lanes, channels - k * lanes)));
    }
  }

  // As many tiles to a group as share a cache line of a row: the others only take room from the spectra of these.
  static Groups<T> line_groups(std::int64_t n, std::int64_t d) {
    Groups<T> groups(n, d);
    groups.tiles_per_group = min(groups.tiles_per_group, kTilesOfLine<IO>);
    groups.count = ceil_div(ceil_div(d, kLanes<T>), groups.tiles_per_group);
    return groups;
  }

  // Slots to a tile's kernel from those of its group.
  std::int64_t of_tile(std::int64_t k) const { return shared_ ? 0 : k * spectrum_; }

  // Whether all results of a call can. Tiles are written one by one, and past the caches a part of a line costs more
  // than all of it.
  static bool can_stream_all(const Conv& call) {
    const auto can = [](const Signal& to) { return to.data == nullptr || can_stream<IO>(to); };
    return kTilesOfLine<IO> == 1 && can(call.y) && can(call.grad_u) && can(call.grad_pre) && can(call.grad_post);
  }

  static bool are_all_rows(const Conv& call) {
    bool rows = true;
    for_each_signal(call,
                    [&](const Signal& signal) { rows = rows && (signal.data == nullptr || signal.d_stride == 1); });
    return rows;
  }

  // Rows that come after those of a tile.
  Ahead rows_ahead(const Signal& signal, std::int64_t item, std::int64_t channel, bool there) const {
    return rows_from<IO>(signal, ahead_ && there && channel + kLanes<T> <= d_, item, 0, channel);
  }

  // Of an item, the channels of a tile.
  struct Place {
    std::int64_t item, channel;
    int channels;
  };

  // Calls f with how many rows of a tile are best taken at once.
  template <class F>
  SPECTRANS_INLINE void with_rows(int channels, const F& f) const {
    if constexpr (R == 8) {
      if (rows_ && channels == kLanes<T>) return f.template operator()<1>();
    }
    return f.template operator()<kLanes<T>>();
  }

  // Lines of a signal there; none where there is no signal.
  template <class Number>
  static Lines<Number> lines_at(const Signal& signal, const Place& place) {
    return signal.data == nullptr ? Lines<Number>{} : lines<Number>(signal, place.item, place.channel);
  }

  // A signal times its gate, where it has one.
  struct Gated {
    Lines<const IO> x, gate;
    int channels;
  };
  static Gated gated(const Signal& x, const Signal& gate, const Place& place) {
    return {lines_at<const IO>(x, place), lines_at<const IO>(gate, place), place.channels};
  }

  template <int kAtOnce>
  SPECTRANS_INLINE void read(const Lines<const IO>& from, int channels, std::int64_t first, std::int64_t count,
                             Vector<T>* rows) const {
    if constexpr (kAtOnce == 1) {
      rows[0] = read_row(from, first, n_);
    } else {
      read_rows(from, first, count, n_, channels, rows);
    }
  }

  template <int kAtOnce>
  SPECTRANS_INLINE void write(const Lines<IO>& to, int channels, std::int64_t first, std::int64_t count,
                              Vector<T>* rows) const {
    if constexpr (kAtOnce == 1) {
      write_row(to, first, n_, streaming_, rows[0]);
    } else {
      write_rows(to, first, count, n_, channels, streaming_, rows);
    }
  }

  // rows *= those of x, where there are any
  template <int kAtOnce>
  SPECTRANS_INLINE void multiply_by(const Lines<const IO>& x, int channels, std::int64_t first, std::int64_t count,
                                    Vector<T>* rows) const {
    if (x.data == nullptr) return;
    Vector<T> factor[kAtOnce];
    read<kAtOnce>(x, channels, first, count, factor);
    multiply(factor, count, rows);
  }

  template <int kAtOnce>
  SPECTRANS_INLINE void read(const Gated& from, std::int64_t first, std::int64_t count, Vector<T>* rows) const {
    read<kAtOnce>(from.x, from.channels, first, count, rows);
    multiply_by<kAtOnce>(from.gate, from.channels, first, count, rows);
  }

  // Its spectrum, but for the stages of the child plan.
  template <int kAtOnce>
  void load_signal(const Gated& from, Vector<T>* tile) const {
    weighted_forward<R, false, kAtOnce>(plan_, tile, tile + imag_,
                                        [&](std::int64_t first, std::int64_t count, Vector<T>* low, Vector<T>*)
                                            SPECTRANS_INLINE_LAMBDA { read<kAtOnce>(from, first, count, low); });
  }

  Vector<T> skip(const Place& place) const {
    const auto* skips = static_cast<const T*>(call_.skip);
    if (skips == nullptr) return Vector<T>{};
    return shared_ ? load_some(skips, 0, place.channels) : load_some(skips + place.channel, 1, place.channels);
  }

  // rows += skip times the signal
  template <int kAtOnce>
  SPECTRANS_INLINE void add_skip(const Vector<T>& skip, const Gated& from, std::int64_t first, std::int64_t count,
                                 Vector<T>* rows) const {
    if (call_.skip == nullptr) return;
    Vector<T> direct[kAtOnce];
    read<kAtOnce>(from, first, count, direct);
    for (std::int64_t i = 0; i < count; ++i) rows[i] += skip * direct[i];
  }

  // The kernel's spectra, of the tiles of a group.
  void arrange(std::int64_t group, double imag_sign, Vector<T>* spectra, Vector<T>* tile) const {
    for_each_tile(group, [&](std::int64_t k, std::int64_t channel, int channels) {
      if (shared_ && k > 0) return;
      taps_.transform(lines<const T>(call_.k, 0, channel), shared_ ? kLanes<T> : channels, imag_sign,
                      spectra + of_tile(k), tile);
    });
  }

  template <int kAtOnce>
  void convolve(const Place& place, const Vector<T>* kernel, const Ahead& ahead, Vector<T>* tile) const {
    Vector<T>*re = tile, *im = tile + imag_;
    const Gated u = gated(call_.u, call_.pre, place);
    load_signal<kAtOnce>(u, tile);
    complex_convolve(*plan_.child, 0, re, im, R, static_cast<Vector<T>*>(nullptr),
                     Product<T>{tile, kernel, imag_, ahead});
    weighted_inverse<R, false, kAtOnce>(
        plan_, re, im,
        [&, skip = skip(place), post = lines_at<const IO>(call_.post, place), y = lines_at<IO>(call_.y, place)](
            std::int64_t first, std::int64_t count, Vector<T>* rows, Vector<T>*) SPECTRANS_INLINE_LAMBDA {
          add_skip<kAtOnce>(skip, u, first, count, rows);
          multiply_by<kAtOnce>(post, place.channels, first, count, rows);
          write<kAtOnce>(y, place.channels, first, count, rows);
        });
  }

  // Items first .. last of the batch: their gradients, and space.total <- the spectra of that of the kernel.
  void items(std::int64_t group, std::int64_t first, std::int64_t last, const Workspace& space) const {
    const std::int64_t slots = groups_.tiles(group) * spectrum_;
    for (std::int64_t i = 0; i < slots; ++i) space.sum[i] = space.total[i] = Vector<T>{};
    for (std::int64_t item = first; item < last; ++item) {
      for_each_tile(group, [&](std::int64_t k, std::int64_t channel, int channels) {
        const std::int64_t at = k * spectrum_;
        const bool other = k + 1 == groups_.tiles(group);
        const std::int64_t next = other ? item + 1 : item,
                           from = other ? groups_.first_channel(group) : channel + kLanes<T>;
        const Ahead grad = rows_ahead(call_.grad, next, from, next < last),
                    u = rows_ahead(call_.u, next, from, next < last);
        with_rows(channels, [&]<int kAtOnce>() {
          item_backward<kAtOnce>({item, channel, channels}, space.kernel + of_tile(k), space.sum + at, grad, u, space);
        });
      });
      const bool full = (item - first) % kItemsPerSum == kItemsPerSum - 1 || item + 1 == last;
      for (std::int64_t i = 0; full && space.sum != space.total && i < slots; ++i) {
        space.total[i] += space.sum[i];
        space.sum[i] = Vector<T>{};
      }
    }
  }

  template <int kAtOnce>
  void item_backward(const Place& place, const Vector<T>* kernel, Vector<T>* sum, const Ahead& grad_ahead,
                     const Ahead& u_ahead, const Workspace& space) const {
    Vector<T>*re = space.tile, *with = space.with, *none = nullptr;
    const Gated u = gated(call_.u, call_.pre, place), grad = gated(call_.grad, call_.post, place);
    load_signal<kAtOnce>(u, with);
    complex_forward(*plan_.child, 0, with, with + imag_, R, none);
    load_signal<kAtOnce>(grad, re);
    const bool has_post = call_.post.data != nullptr;
    const auto multiply = [&]<bool kPost>() {
      complex_convolve(*plan_.child, 0, re, re + imag_, R, none,
                       BackwardProduct<T, kPost>{re, kernel, with, sum, imag_, grad_ahead, u_ahead});
    };
    if (has_post) {
      multiply.template operator()<true>();
    } else {
      multiply.template operator()<false>();
    }
    weighted_inverse<R, false, kAtOnce>(
        plan_, re, re + imag_,
        [&, skip = skip(place), of_u = lines_at<IO>(call_.grad_u, place), of_pre = lines_at<IO>(call_.grad_pre, place)](
            std::int64_t first, std::int64_t count, Vector<T>* rows, Vector<T>*) SPECTRANS_INLINE_LAMBDA {
          add_skip<kAtOnce>(skip, grad, first, count, rows);
          if (of_pre.data != nullptr) {
            Vector<T> times_u[kAtOnce];
            for (std::int64_t i = 0; i < count; ++i) times_u[i] = rows[i];
            multiply_by<kAtOnce>(u.x, place.channels, first, count, times_u);
            write<kAtOnce>(of_pre, place.channels, first, count, times_u);
            multiply_by<kAtOnce>(u.gate, place.channels, first, count, rows);
          }
          write<kAtOnce>(of_u, place.channels, first, count, rows);
        });
    if (!has_post) return;
    complex_inverse(*plan_.child, 0, with, with + imag_, R, none);
    weighted_inverse<R, false, kAtOnce>(plan_, with, with + imag_,
                                        [&, skip = skip(place), of_post = lines_at<IO>(call_.grad_post, place)](
                                            std::int64_t first, std::int64_t count, Vector<T>* rows, Vector<T>*)
                                            SPECTRANS_INLINE_LAMBDA {
                                              add_skip<kAtOnce>(skip, u, first, count, rows);
                                              multiply_by<kAtOnce>(grad.x, place.channels, first, count, rows);
                                              write<kAtOnce>(of_post, place.channels, first, count, rows);
                                            });
  }

  // A spectrum's first lane <- the sum over all of them.
  void sum_channels(Vector<T>* spectrum) const {
    for (std::int64_t i = 0; i < spectrum_; ++i) {
      T sum = 0;
      for (int lane = 0; lane < kLanes<T>; ++lane) sum += spectrum[i][lane];
      spectrum[i][0] = sum;
    }
  }

  const Conv& call_;
  const ThreadPool& pool_;
  const bool shared_;
  const RightAnglePlan<T>& plan_;
  const std::int64_t n_, d_;
  const ConvTaps<T, R> taps_;
  const Groups<T> groups_;
  const std::int64_t imag_, spectrum_;  // slots from real to imaginary parts, and of both
  const bool streaming_;                // whether results go past the caches
  const bool rows_;                     // whether the channels of all signals lie side by side
  const bool ahead_;                    // whether what is read next has room in the second-level cache
};

template <class IO, int R>
void run(const Conv& call, const ThreadPool& pool, const RightAnglePlan<Compute<IO>>& plan, bool shared) {
  const ConvPass<IO, R> pass(call, pool, plan, shared);
  if (call.grad.data != nullptr) {
    pass.backward();
  } else {
    pass.forward();
  }
}

// Whether all there is has one channel, and items at equal distances.
bool has_one_channel(const Conv& call) {
  bool one = call.u.d == 1 && call.u.batch > 1;
  for_each_signal(call, [&](const Signal& signal) { one = one && (signal.data == nullptr || signal.axes == 1); });
  return one;
}

// The same call with items for channels, which share the kernel.
Conv items_as_channels(Conv call) {
  for_each_signal(call, [](Signal& signal) {
    if (signal.data == nullptr) return;
    signal.d = signal.batch;
    signal.d_stride = signal.stride[0];
    signal.batch = 1;
    signal.axes = 0;
  });
  call.k.d_stride = 0;
  return call;
}

}  // namespace

void conv(const Conv& call, const ThreadPool& pool) {
  const bool shared = has_one_channel(call);
  const Conv arranged = shared ? items_as_channels(call) : call;
  with_element(call.element, [&]<class IO>(IO) {
    if (SplitConv<IO>::suits(call, shared)) {
      const SplitConv<IO> pass(call, pool);
      return call.grad.data != nullptr ? pass.backward() : pass.forward();
    }
    const RightAnglePlan<Compute<IO>>& plan = right_angle_plan<Compute<IO>>(call.u.n);
    switch (plan.radix) {
      case 4: return run<IO, 4>(arranged, pool, plan, shared);
      case 8: return run<IO, 8>(arranged, pool, plan, shared);
      default: __builtin_unreachable();
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
