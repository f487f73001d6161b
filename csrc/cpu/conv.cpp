// Convolution along the sequence: the ways there are, each the fastest for some numbers of samples, taps and channels.
#include "conv/few_taps.h"
#include "conv/segmented_conv.h"
#include "conv/split_conv.h"
#include "instruction_set.h"

namespace spectrans::SPECTRANS_ISA {

void conv(const Conv& call, const ThreadPool& pool) {
  with_storage(call.element, [&]<class T>(const Storage<T>& storage) {
    if (FewTaps<T>::suits(call)) {
      run(call, FewTaps<T>(call, storage, pool));
    } else if (SegmentedConv<T>::suits(call)) {
      run(call, SegmentedConv<T>(call, storage, pool));
    } else if (SplitConv<T>::suits(call)) {
      run(call, SplitConv<T>(call, storage, pool));
    } else {
      by_right_angle(call, storage, pool);
    }
  });
}

}  // namespace spectrans::SPECTRANS_ISA
