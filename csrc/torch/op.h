// Registration of an op library's functions; what the device has no kernel for goes to the op's reference, here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>

#include "device.h"

namespace spectrans::torch_ops {

// An op's name as a template argument.
struct Name {
  char text[32] = {};
  template <std::size_t size>
  consteval Name(const char (&name)[size]) {  // NOLINT: from a literal
    static_assert(size <= sizeof(text));
    std::copy_n(name, size, text);
  }
};

template <class Result>
struct Results {
  static constexpr std::size_t count = 1;
  static Result of(StableIValue* stack) { return torch::stable::detail::to<Result>(stack[0]); }
};
template <class... Each>
struct Results<std::tuple<Each...>> {
  static constexpr std::size_t count = sizeof...(Each);
  static std::tuple<Each...> of(StableIValue* stack) { return torch::stable::detail::unbox_to_tuple<Each...>(stack); }
};

// A function of this library as the op `name`, and as `name`_why_not, which runs nothing.
template <Name name, auto function>
struct Op;
template <Name name, class Result, class... Rest, Result (*function)(Device&, const Tensor&, Rest...)>
struct Op<name, function> {
  static constexpr const char* kName = name.text;

  static Result run(const Tensor& first, Rest... rest) {
    {
      Device device(first);
      Result result = function(device, first, rest...);
      if (device.refusal() == nullptr) return result;
    }  // the reference needs the room
    return reference(first, rest...);
  }

  // Empty where there is a kernel.
  static std::string why_not(const Tensor& first, Rest... rest) {
    Device device(first, true);
    (void)function(device, first, rest...);
    return device.refusal() == nullptr ? "" : device.refusal();
  }

 private:
  static Result reference(const Tensor& first, Rest... rest) {
    using torch::stable::detail::from;
    static const std::string op = std::string("spectrans::") + kName + "_reference";
    StableIValue stack[std::max(1 + sizeof...(Rest), Results<Result>::count)] = {from(first), from(rest)...};
    STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(op.c_str(), "", stack, TORCH_ABI_VERSION));
    return Results<Result>::of(stack);
  }
};

template <class... Ops>
void add(torch::stable::detail::StableLibrary& library) {
  (library.impl(Ops::kName, TORCH_BOX(&Ops::run)), ...);
  if constexpr (!Device::kTakesAll) {
    (library.impl((std::string(Ops::kName) + "_why_not").c_str(), TORCH_BOX(&Ops::why_not)), ...);
  }
}

}  // namespace spectrans::torch_ops

// Registers some Op<name, function>.
#define SPECTRANS_REGISTER(...) \
  STABLE_TORCH_LIBRARY_IMPL(spectrans, SPECTRANS_KEY, library) { spectrans::torch_ops::add<__VA_ARGS__>(library); }
