// spectrans::filter_plane, Re ifft2(fft2(x) H) over sequence and channels, and its derivatives.
#include "filter.h"

namespace spectrans::torch_ops {
namespace {

struct Plane {
  using Call = FilterPlane;
  static constexpr auto run = kernels::filter_plane;
  static constexpr const char* kShape = "response must have shape [n, d, 2]";

  template <class... More>
  static Call call_of(const Tensor& x, const char* name, const More&...) {
    return {{.element = element(x, name), .x = signal(x, name)}};
  }
  static std::array<int64_t, 3> shape(const Call& call) { return {call.x.n, call.x.d, 2}; }
  static Tensor held(const Tensor& response) { return as_contiguous(response); }
  static void set_strides(Call&, const Tensor&) {}
};
using Ops = FilterOps<Plane>;

}  // namespace

SPECTRANS_REGISTER(Op<"filter_plane", Ops::forward>, Op<"filter_plane_response_grad", Ops::response_grad<>>,
                   Op<"filter_plane_backward", Ops::backward>)

}  // namespace spectrans::torch_ops
