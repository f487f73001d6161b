// Convolution along the sequence: the ways there are, each the fastest for some numbers of samples, taps and channels.
#include "conv/few_taps.h"
#include "conv/overlap_save.h"
#include "conv/right_angle_conv.h"
#include "conv/segmented_conv.h"
#include "conv/split_conv.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {

void conv(const Conv& call, const ThreadPool& pool) {
  with_storage(call.element, [&]<class T>(const Storage<T>& storage) {
    const double taps = FewTaps<T>::cost(call), windows = OverlapSave<T>::cost(call),
                 angles = right_angle_cost<T>(call), parts = SplitConv<T>::cost(call),
                 segments = SegmentedConv<T>::cost(call);
    const auto is_least = [&](double cost) {
      return cost <= taps && cost <= windows && cost <= angles && cost <= parts && cost <= segments;
    };
    if (is_least(taps)) return run(call, FewTaps<T>(call, storage, pool));
    if (is_least(parts)) return run(call, SplitConv<T>(call, storage, pool));
    if (is_least(segments)) return run(call, SegmentedConv<T>(call, storage, pool));
    if (is_least(windows)) return run(call, OverlapSave<T>(call, storage, pool));
    by_right_angle(call, storage, pool);
  });
}

}  // namespace spectrans::SPECTRANS_ISA
