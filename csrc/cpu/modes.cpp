// The first bins of half spectra, and signals from them: what is cut off is neither stored nor, mostly, computed.
//
// Each signal is decimated into r parts (fft/decimation.h), which lie one after the other in a tile. Their bins are
// joined in place, in the slots of part 0; inverted, each step is the transpose of its counterpart.
#include "../fft/decimation.h"
#include "instruction_set.h"
#include "tile.h"

namespace spectrans::SPECTRANS_ISA {
namespace {

template <class IO>
class ModesPass {
  using T = Compute<IO>;
  static constexpr int lanes = kLanes<T>;

 public:
  ModesPass(const Modes& call, const ThreadPool& pool)
      : call_(call), pool_(pool), split_(decimation<T>(call.x.n, call.bins.n)), part_(*split_.part),
        groups_(call.x.n, call.x.d), pitch_(split_.r * split_.pitch), slots_(pitch_ * groups_.tiles_per_group) {
    // real_inverse counts interior bins twice already. Powers of two aside, 1 / n is not a number: divide.
    const T length = static_cast<T>(split_.n), interior = call.mirrored ? 2 : 1;
    const bool exact = (split_.n & (split_.n - 1)) == 0;
    const T scale = call.norm == 1            ? static_cast<T>(1 / __builtin_sqrt(static_cast<double>(split_.n)))
                    : call.norm == 2 && exact ? 1 / length
                                              : 1;
    factor_[0] = scale;
    factor_[1] = call.inverse ? interior / 2 * scale : interior * scale;
    divisor_ = call.norm == 2 && !exact ? length : 1;
  }

  void run() const {
    parallel(pool_, groups_.count * call_.x.batch, slots_ * kVectorBytes, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t room = slots_ + part_.work;
      auto* tile = static_cast<Vector<T>*>(scratch(ScratchRoom::worker, room * kVectorBytes));
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t item = task / groups_.count, group = task % groups_.count;
        if (call_.inverse) {
          inverse(item, group, tile);
        } else {
          forward(item, group, tile);
        }
      }
    });
  }

 private:
  void forward(std::int64_t item, std::int64_t group, Vector<T>* tile) const {
    const std::int64_t n = split_.n, channel = groups_.first_channel(group), channels = groups_.channels(group);
    gather(lines<const IO>(call_.x, item, channel), n, channels,
           [&](std::int64_t k, std::int64_t j, const Vector<T>& value) { tile[k * pitch_ + split_.slot[j]] = value; });
    for (std::int64_t k = 0; k < groups_.tiles(group); ++k) {
      for (std::int64_t t = 0; t < split_.r; ++t) {
        real_forward(part_, tile + k * pitch_ + t * split_.pitch, tile + slots_);
      }
      if (split_.r > 1) join(tile + k * pitch_);
    }
    write_bins(lines<T>(call_.bins, item, channel), channels, tile);
  }

  void inverse(std::int64_t item, std::int64_t group, Vector<T>* tile) const {
    const std::int64_t n = split_.n, channel = groups_.first_channel(group), channels = groups_.channels(group);
    read_bins(lines<const T>(call_.bins, item, channel), channels, tile);
    for (std::int64_t k = 0; k < groups_.tiles(group); ++k) {
      if (split_.r > 1) spread(tile + k * pitch_);
      for (std::int64_t t = 0; t < split_.r; ++t) {
        real_inverse(part_, tile + k * pitch_ + t * split_.pitch, tile + slots_);
      }
    }
    scatter(lines<IO>(call_.x, item, channel), n, channels,
            [&](std::int64_t k, std::int64_t j) { return tile[k * pitch_ + split_.slot[j]]; });
  }

  // X[k] = sum_t w^{tk} Y_t[k], where Y_0[k] is. A slot holds sign Im Y: multiplying w's imaginary part by the sign
  // serves as well.
  void join(Vector<T>* tile) const {
    const std::int64_t r = split_.r;
    for (std::int64_t s = 1; s < r; s *= 2) {  // pairwise: a plain sum would round more than the transform does
      for (std::int64_t t = 0; t + s < r; t += 2 * s) {
        tile[t * split_.pitch + part_.re[0]] += tile[(t + s) * split_.pitch + part_.re[0]];
      }
    }
    for (std::int64_t k = 1; k < call_.bins.n; ++k) {
      const T* w = split_.twiddles + 2 * (r - 1) * k;
      Vector<T>*re = tile + part_.re[k], *im = tile + part_.im[k];
      const auto add = [&](Complex<Vector<T>>& sum, std::int64_t t) SPECTRANS_INLINE_LAMBDA {
        const T wr = w[2 * t - 2], wi = part_.sign[k] * w[2 * t - 1];
        const Vector<T> a = re[t * split_.pitch], b = im[t * split_.pitch];
        sum.re = sum.re + a * wr - b * wi;
        sum.im = sum.im + a * wi + b * wr;
      };
      Complex<Vector<T>> even{*re, *im}, odd{};  // two sums: half the latency, and less rounding
      std::int64_t t = 1;
      for (; t + 1 < r; t += 2) {
        add(odd, t);
        add(even, t + 1);
      }
      if (t < r) add(odd, t);
      *re = even.re + odd.re;
      *im = even.im + odd.im;
    }
  }

  // Y_t[k] = conj(w^{tk}) X[k]
  void spread(Vector<T>* tile) const {
    const std::int64_t r = split_.r;
    for (std::int64_t t = 1; t < r; ++t) tile[t * split_.pitch + part_.re[0]] = tile[part_.re[0]];
    for (std::int64_t k = 1; k < call_.bins.n; ++k) {
      const T* w = split_.twiddles + 2 * (r - 1) * k;
      Vector<T>*re = tile + part_.re[k], *im = tile + part_.im[k];
      const Vector<T> a = *re, b = *im;
      for (std::int64_t t = 1; t < r; ++t) {
        const Complex<Vector<T>> z = times_conj(Complex<Vector<T>>{a, b}, w[2 * t - 2], part_.sign[k] * w[2 * t - 1]);
        re[t * split_.pitch] = z.re;
        im[t * split_.pitch] = z.im;
      }
    }
    for (std::int64_t k = call_.bins.n; k <= part_.n / 2; ++k) {
      for (std::int64_t t = 1; t < r; ++t) clear(tile + t * split_.pitch, k);
    }
  }

  void clear(Vector<T>* tile, std::int64_t k) const {
    tile[part_.re[k]] = Vector<T>{};
    if (part_.im[k] >= 0) tile[part_.im[k]] = Vector<T>{};
  }

  bool has_imag(std::int64_t k) const { return part_.im[k] >= 0; }  // all but DC and Nyquist
  Vector<T> weighed(Vector<T> value, std::int64_t k) const {
    value = value * factor_[has_imag(k)];
    return divisor_ == 1 ? value : value / divisor_;
  }
  Vector<T> re(const Vector<T>* tile, std::int64_t k) const { return weighed(tile[part_.re[k]], k); }
  Vector<T> im(const Vector<T>* tile, std::int64_t k) const {
    return has_imag(k) ? weighed(tile[part_.im[k]], k) * part_.sign[k] : Vector<T>{};
  }
  void set_re(Vector<T>* tile, std::int64_t k, Vector<T> value) const { tile[part_.re[k]] = weighed(value, k); }
  void set_im(Vector<T>* tile, std::int64_t k, Vector<T> value) const {
    if (has_imag(k)) tile[part_.im[k]] = weighed(value, k) * part_.sign[k];
  }

  // What is written is contiguous, one way or the other.
  void write_bins(const Lines<T>& to, std::int64_t channels, const Vector<T>* tile) const {
    if (to.d_stride != 2) {
      scatter(Lines<T>{to.data, 1, to.d_stride}, 2 * call_.bins.n, channels, [&](std::int64_t k, std::int64_t j) {
        return j % 2 == 0 ? re(tile + k * pitch_, j / 2) : im(tile + k * pitch_, j / 2);
      });
      return;
    }
    for (std::int64_t k = 0; k < call_.bins.n; ++k) {
      T* row = to.data + k * to.n_stride;
      for (std::int64_t c = 0; c < channels; c += lanes, row += 2 * lanes) {
        const Vector<T>* at = tile + c / lanes * pitch_;
        store_pairs(row, static_cast<int>(min(lanes, channels - c)), re(at, k), im(at, k));
      }
    }
  }

  void read_bins(const Lines<const T>& from, std::int64_t channels, Vector<T>* tile) const {
    if (from.d_stride != 2 && from.n_stride == 2) {
      gather(Lines<const T>{from.data, 1, from.d_stride}, 2 * call_.bins.n, channels,
             [&](std::int64_t k, std::int64_t j, const Vector<T>& value) {
               if (j % 2 == 0) {
                 set_re(tile + k * pitch_, j / 2, value);
               } else {
                 set_im(tile + k * pitch_, j / 2, value);
               }
             });
    } else {
      for (std::int64_t k = 0; k < call_.bins.n; ++k) {
        for (std::int64_t c = 0; c < channels; c += lanes) {
          const T* row = from.data + k * from.n_stride + c * from.d_stride;
          const int count = static_cast<int>(min(lanes, channels - c));
          const Complex<Vector<T>> bin =
              from.d_stride == 2
                  ? load_pairs(row, count)
                  : Complex<Vector<T>>{load_some(row, from.d_stride, count), load_some(row + 1, from.d_stride, count)};
          set_re(tile + c / lanes * pitch_, k, bin.re);
          set_im(tile + c / lanes * pitch_, k, bin.im);
        }
      }
    }
    for (std::int64_t k = call_.bins.n; k <= part_.n / 2; ++k) {
      for (std::int64_t c = 0; c < channels; c += lanes) clear(tile + c / lanes * pitch_, k);
    }
  }

  const Modes& call_;
  const ThreadPool& pool_;
  const Decimation<T>& split_;
  const RealPlan<T>& part_;
  const Groups<T> groups_;
  const std::int64_t pitch_;  // slots from one tile to the next
  const std::int64_t slots_;
  T factor_[2], divisor_;  // w_k = factor[k is interior] / divisor
};

}  // namespace

void modes(const Modes& call, const ThreadPool& pool) {
  with_element(call.element, [&]<class IO>(IO) { ModesPass<IO>(call, pool).run(); });
}

}  // namespace spectrans::SPECTRANS_ISA
