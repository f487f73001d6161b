// spectrans._C: what this CPU offers, and what a transform takes. No tensors.
#include <pybind11/pybind11.h>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "../cpu/kernels.h"
#include "../fft/plan.h"

namespace py = pybind11;

namespace {

py::dict cpu_features() {
  py::dict features;
#if defined(__x86_64__)
  __builtin_cpu_init();
  features["avx2"] = static_cast<bool>(__builtin_cpu_supports("avx2"));
  features["fma"] = static_cast<bool>(__builtin_cpu_supports("fma"));
  features["f16c"] = static_cast<bool>(__builtin_cpu_supports("f16c"));
  features["avx512f"] = static_cast<bool>(__builtin_cpu_supports("avx512f"));
  features["avx512bw"] = static_cast<bool>(__builtin_cpu_supports("avx512bw"));
  features["avx512vl"] = static_cast<bool>(__builtin_cpu_supports("avx512vl"));
  features["avx512dq"] = static_cast<bool>(__builtin_cpu_supports("avx512dq"));
#elif defined(__aarch64__) && defined(__linux__)
  features["asimd"] = (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
#endif
  return features;
}

py::list available() {
  py::list sets;
  for (const char* const* set = spectrans::available_instruction_sets(); *set != nullptr; ++set) sets.append(*set);
  return sets;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "CPU features, and the arithmetic of the native kernels.";
  m.def("cpu_features", &cpu_features, "The CPU features the kernels ask for, and whether this CPU has them.");
  m.def("instruction_set", [] { return std::string(spectrans::instruction_set()); }, "The instruction set in use.");
  m.def("available_instruction_sets", &available, "Those this CPU could run, best first.");
  m.def("plan_flops", &spectrans::plan_flops, py::arg("n"),
        "Additions and multiplications of one forward real transform of length n.");
}
