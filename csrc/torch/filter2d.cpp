// spectrans::filter2d, irfft2(rfft2(x) H) of x [..., h w, d], and its derivatives.
#include "filter.h"

namespace spectrans::torch_ops {
namespace {

struct Grid {
  using Call = Filter2d;
  static constexpr auto run = kernels::filter2d;
  static constexpr const char* kShape = "response must have shape [h, w // 2 + 1, d, 2]";

  // The first size of a response is h.
  static Call call_of(const Tensor& x, const char* name, const Tensor& response) {
    return call_of(x, name, response.dim() > 0 ? response.size(0) : 0);
  }
  static Call call_of(const Tensor& x, const char* name, int64_t h) {
    const Call call{{.element = element(x, name), .x = signal(x, name)}, h};
    expect(h > 0 && call.x.n % h == 0, "n must be h * w");
    return call;
  }
  static std::array<int64_t, 4> shape(const Call& call) { return {call.h, call.x.n / call.h / 2 + 1, call.x.d, 2}; }
  static Tensor held(const Tensor& response) { return as_contiguous(response); }
  static void set_strides(Call& call, const Tensor&) {
    call.bin_stride = 2 * call.x.d;
    call.channel_stride = 2;
  }
};
using Ops = FilterOps<Grid>;

}  // namespace

SPECTRANS_REGISTER(Op<"filter2d", Ops::forward>, Op<"filter2d_response_grad", Ops::response_grad<int64_t>>,
                   Op<"filter2d_backward", Ops::backward>)

}  // namespace spectrans::torch_ops
