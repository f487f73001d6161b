// Filtering along the sequence: transform, product with the response, transform back, tile by tile.
//
// A real transform keeps each sample and channel to itself (two signals packed as one complex number would share
// their rounding errors, and their NaNs), and its half spectrum is exactly what a response multiplies.
#include "instruction_set.h"
#include "tile.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

// Sums over the batch are cut into pieces of this many items, so that float32 sums stay accurate.
constexpr std::int64_t kItemsPerSum = 16;
// The batch is split until there are this many tasks. The split depends on shapes alone: so do the bits of the sum.
constexpr std::int64_t kTasks = 16;

// What happens to each bin between the last forward and the first inverse stage.
template <class T, bool kFilter, bool kGradient>
struct Product {
  const Vector<T>* tile;      // the slots being transformed
  const Vector<T>* response;  // [n] in the same slots, divided by n
  const Vector<T>* with;      // [n] spectrum of the other signal
  Vector<T>* sum;             // [n] += conj(with) tile

  SPECTRANS_INLINE void bin(const Vector<T>* re, const Vector<T>* im, Vector<T>& a, Vector<T>& b) const {
    const std::int64_t r = re - tile, i = im - tile;
    if constexpr (kGradient) {
      sum[r] += with[r] * a + with[i] * b;
      sum[i] += with[r] * b - with[i] * a;
    }
    if constexpr (kFilter) {
      const Vector<T> hr = response[r], hi = response[i], re_product = a * hr - b * hi;
      b = a * hi + b * hr;
      a = re_product;
    }
  }
  SPECTRANS_INLINE void real_bin(const Vector<T>* at, Vector<T>& a) const {
    if constexpr (kGradient) sum[at - tile] += with[at - tile] * a;
    if constexpr (kFilter) a = a * response[at - tile];
  }
};

// The response of the channels of a tile, [n / 2 + 1, lanes, 2] -> slots.
template <class T>
class ResponseTile {
  static constexpr int lanes = kLanes<T>;

 public:
  ResponseTile(const RealPlan<T>& plan, bool adjoint, Vector<T>* slots)
      : plan_(plan), imag_sign_(adjoint ? T(-1) : T(1)), slots_(slots) {}

  // [bins, channels, 2], the channels side by side
  void from_rows(const T* response, std::int64_t bin_stride, int channels) const {
    for (std::int64_t k = 0; k <= plan_.n / 2; ++k) {
      const T* row = response + k * bin_stride;
      const Vector<T> low = first(row, 2 * channels), high = first(row + lanes, 2 * channels - lanes);
      set(k, ShufflesOf<T>::even(low, high), ShufflesOf<T>::odd(low, high));
    }
  }

  // [channels, bins, 2], the bins side by side
  void from_columns(const T* response, std::int64_t channel_stride, int channels) const {
    const std::int64_t bins = plan_.n / 2 + 1;
    for (std::int64_t k = 0; k < bins; k += lanes / 2) {
      Vector<T> block[lanes];
      for (int c = 0; c < lanes; ++c) {
        block[c] = c < channels ? first(response + c * channel_stride + 2 * k, 2 * (bins - k)) : Vector<T>{};
      }
      transpose<T>(block);
      for (int i = 0; i < lanes / 2 && k + i < bins; ++i) set(k + i, block[2 * i], block[2 * i + 1]);
    }
  }

 private:
  static Vector<T> first(const T* from, std::int64_t count) {
    return count >= lanes ? load(from) : load_some(from, 1, static_cast<int>(max(0, count)));
  }

  // Divided by n (a product with a rounded 1 / n would bias every bin); imag(H) at DC and Nyquist has no slot: it is
  // ignored.
  void set(std::int64_t k, Vector<T> re, Vector<T> im) const {
    slots_[plan_.re[k]] = re / T(plan_.n);
    if (plan_.im[k] >= 0) slots_[plan_.im[k]] = im / (imag_sign_ * plan_.sign[k] * T(plan_.n));
  }

  const RealPlan<T>& plan_;
  const T imag_sign_;
  Vector<T>* const slots_;
};

// The reverse, for the gradient: interior bins stand for themselves and their mirror image.
template <class T>
void write_gradient(const RealPlan<T>& plan, const Tiles<T>& slots, std::int64_t d, const Group& group, T* gradient) {
  constexpr int lanes = kLanes<T>;
  for (std::int64_t k = 0; k <= plan.n / 2; ++k) {
    const bool interior = plan.im[k] >= 0;
    const T divisor = interior ? T(plan.n) / 2 : T(plan.n);
    for (std::int64_t tile = 0; tile < group.tiles; ++tile) {
      T* row = gradient + 2 * (d * k + group.channel[tile]);
      const Vector<T>* at = slots[tile];
      const Vector<T> re = at[plan.re[k]] / divisor;
      const Vector<T> im = interior ? at[plan.im[k]] / (divisor * plan.sign[k]) : Vector<T>{};
      const Vector<T> low = ShufflesOf<T>::zip_low(re, im), high = ShufflesOf<T>::zip_high(re, im);
      if (group.lanes == lanes) {
        store(row, low);
        store(row + lanes, high);
      } else {
        store_some(row, 1, static_cast<int>(min(lanes, 2 * group.lanes)), low);
        store_some(row + lanes, 1, static_cast<int>(max(0, 2 * group.lanes - lanes)), high);
      }
    }
  }
}

template <class IO, bool kFilter, bool kGradient>
class FilterPass {
  using T = Compute<IO>;

 public:
  FilterPass(const Filter& call, const ThreadPool& pool)
      : call_(call), pool_(pool), plan_(real_plan<T>(call.x.n)), groups_(call.x.n, call.x.d), pitch_(padded(plan_.n)),
        slots_(pitch_ * groups_.tiles_per_group), streaming_(kFilter && can_stream<IO>(call.y)) {}

  void run() const {
    const std::int64_t batch = call_.x.batch, bins = plan_.n / 2 + 1;
    const std::int64_t splits = kGradient ? max(1, min(batch, kTasks / groups_.count)) : max(1, batch);
    T* partial = static_cast<T*>(call_.response_grad);
    const std::int64_t size = 2 * bins * call_.x.d;
    if (kGradient && splits > 1) {
      partial = static_cast<T*>(scratch(ScratchRoom::shared, splits * size * sizeof(T)));
    }
    const std::int64_t per_split = ceil_div(batch, splits);
    parallel(pool_, groups_.count * splits, slots_ * kVectorBytes * max(1, per_split),
             [&](std::int64_t begin, std::int64_t end) {
               const Workspace space = workspace();
               std::int64_t arranged = -1;
               for (std::int64_t task = begin; task < end; ++task) {
                 const std::int64_t index = task / splits, split = task % splits;
                 const Group group = groups_[index];
                 if (kFilter && index != arranged) {
                   arrange(group, space.response);
                   arranged = index;
                 }
                 const std::int64_t first = split * batch / splits, last = (split + 1) * batch / splits;
                 items(group, first, last, space, partial + split * size);
               }
               if (streaming_) fence_streams();
             });
    if (kGradient && splits > 1) {
      T* total = static_cast<T*>(call_.response_grad);
      parallel(pool_, bins, 2 * call_.x.d * splits * sizeof(T), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = 2 * call_.x.d * begin; i < 2 * call_.x.d * end; ++i) {
          T sum = partial[i];
          for (std::int64_t split = 1; split < splits; ++split) sum += partial[split * size + i];
          total[i] = sum;
        }
      });
    }
  }

 private:
  struct Workspace {
    Vector<T>*tile, *response, *with, *sum, *total, *work;
  };

  Workspace workspace() const {
    const std::int64_t pieces = 1 + (kFilter ? 1 : 0) + (kGradient ? 3 : 0);
    auto* at = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, (pieces * slots_ + plan_.work) * kVectorBytes));
    Workspace space{};
    const auto take = [&](std::int64_t count) {
      Vector<T>* piece = at;
      at += count;
      return piece;
    };
    space.tile = take(slots_);
    if (kFilter) space.response = take(slots_);
    if (kGradient) {
      space.with = take(slots_);
      space.sum = take(slots_);
      space.total = take(slots_);
    }
    space.work = take(plan_.work);
    return space;
  }

  Tiles<T> tiles(const Group& group, Vector<T>* slots) const { return {slots, pitch_, group.tiles}; }

  void arrange(const Group& group, Vector<T>* slots) const {
    for (std::int64_t k = 0; k < group.tiles; ++k) {
      const T* response = static_cast<const T*>(call_.response) + group.channel[k] * call_.channel_stride;
      const ResponseTile<T> tile(plan_, call_.adjoint, slots + k * pitch_);
      if (call_.channel_stride == 2) {
        tile.from_rows(response, call_.bin_stride, group.lanes);
      } else {
        tile.from_columns(response, call_.channel_stride, group.lanes);
      }
    }
  }

  void items(const Group& group, std::int64_t first, std::int64_t last, const Workspace& space, T* gradient) const {
    const std::int64_t used = group.tiles * pitch_;
    if (kGradient) {
      for (std::int64_t i = 0; i < used; ++i) space.sum[i] = space.total[i] = Vector<T>{};
    }
    for (std::int64_t item = first; item < last; ++item) {
      if constexpr (kGradient) {
        gather<IO>(call_.with, item, group, plan_, tiles(group, space.with));
        for (std::int64_t k = 0; k < group.tiles; ++k) real_forward(plan_, space.with + k * pitch_, space.work);
      }
      gather<IO>(call_.x, item, group, plan_, tiles(group, space.tile));
      for (std::int64_t k = 0; k < group.tiles; ++k) {
        const std::int64_t at = k * pitch_;
        const Product<T, kFilter, kGradient> product{space.tile + at, space.response + at, space.with + at,
                                                     space.sum + at};
        real_convolve(plan_, space.tile + at, space.work, product);
      }
      if constexpr (kFilter) {
        scatter<IO>(call_.y, item, group, streaming_,
                    [&](std::int64_t j, std::int64_t k) { return space.tile[k * pitch_ + plan_.slot[j]]; });
      }
      if (kGradient && ((item - first) % kItemsPerSum == kItemsPerSum - 1 || item + 1 == last)) {
        for (std::int64_t i = 0; i < used; ++i) {
          space.total[i] += space.sum[i];
          space.sum[i] = Vector<T>{};
        }
      }
    }
    if constexpr (kGradient) write_gradient(plan_, tiles(group, space.total), call_.x.d, group, gradient);
  }

  const Filter& call_;
  const ThreadPool& pool_;
  const RealPlan<T>& plan_;
  const Groups<T> groups_;
  const std::int64_t pitch_, slots_;
  const bool streaming_;
};

}  // namespace

void filter(const Filter& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) {
    if (call.response_grad == nullptr) {
      FilterPass<IO, true, false>(call, pool).run();
    } else if (call.response == nullptr) {
      FilterPass<IO, false, true>(call, pool).run();
    } else {
      FilterPass<IO, true, true>(call, pool).run();
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
