// spectrans._C: what was built, what this CPU offers, and what a plan does. No tensors.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "../cpu/kernels.h"
#include "../fft/plan.h"

namespace py = pybind11;

namespace {

py::dict build_facts() {
  py::dict facts;
#if defined(__clang__)
  facts["compiler"] = "clang " __clang_version__;
#else
  facts["compiler"] = "g++ " __VERSION__;
#endif
  facts["cxx_standard"] = static_cast<long>(__cplusplus);
  facts["pybind11"] = std::to_string(PYBIND11_VERSION_MAJOR) + "." + std::to_string(PYBIND11_VERSION_MINOR);
  return facts;
}

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

py::dict plan(std::int64_t n) {
  py::dict facts;
  facts["radices"] = spectrans::plan_radices(n);
  facts["flops"] = spectrans::plan_flops(n);
  py::dict bytes;
  bytes["float32"] = spectrans::plan_scratch_bytes(n, 4);
  bytes["float64"] = spectrans::plan_scratch_bytes(n, 8);
  facts["scratch_bytes"] = bytes;
  return facts;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Build facts, CPU features and plans of the native kernels.";
  m.def("build_facts", &build_facts, "Compiler, C++ standard and pybind11 version of this build.");
  m.def("cpu_features", &cpu_features, "The CPU features the kernels ask for, and whether this CPU has them.");
  m.def("instruction_set", [] { return std::string(spectrans::instruction_set()); }, "The instruction set in use.");
  m.def("available_instruction_sets", &available, "Those this CPU could run, best first.");
  m.def("plan", &plan, py::arg("n"),
        "Radices of the real stages, flops of one forward real transform, and scratch bytes per lane, for length n.");
}
