// spectrans::filter, irfft(rfft(x) H), and its derivatives.
#include "filter.h"

namespace spectrans::torch_ops {
namespace {

struct Line {
  using Call = Filter;
  static constexpr auto run = kernels::filter;
  static constexpr const char* kShape = "response must have shape [n // 2 + 1, d, 2]";

  template <class... More>
  static Call call_of(const Tensor& x, const char* name, const More&...) {
    return {.element = element(x, name), .x = signal(x, name)};
  }
  static std::array<int64_t, 3> shape(const Call& call) { return {call.x.n / 2 + 1, call.x.d, 2}; }
  static Tensor held(const Tensor& response) {
    return response.stride(0) == 2 || response.stride(1) == 2 ? response : as_contiguous(response);
  }
  static void set_strides(Call& call, const Tensor& held) {
    call.bin_stride = held.stride(0);
    call.channel_stride = held.stride(1);
  }
};
using Ops = FilterOps<Line>;

}  // namespace

SPECTRANS_REGISTER(Op<"filter", Ops::forward>, Op<"filter_response_grad", Ops::response_grad<>>,
                   Op<"filter_backward", Ops::backward>)

}  // namespace spectrans::torch_ops
