// Chooses the instruction set, once, and forwards every call to it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../fft/plan_cache.h"
#include "instruction_set.h"

namespace spectrans {
namespace {

#define SPECTRANS_POINTER(name, Arguments) void (*name)(const Arguments&, const ThreadPool&);
struct InstructionSet {
  const char* name;
  SPECTRANS_KERNELS(SPECTRANS_POINTER)
};
#undef SPECTRANS_POINTER

#define SPECTRANS_ENTRY(name, Arguments) using_set::name,
#define SPECTRANS_SET(set)                                           \
  [] {                                                               \
    namespace using_set = set;                                       \
    return InstructionSet{#set, SPECTRANS_KERNELS(SPECTRANS_ENTRY)}; \
  }(),

// Whether this CPU has what a set is compiled for.
bool runs([[maybe_unused]] const char* set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (std::strcmp(set, "avx2") == 0) return avx2;
  if (std::strcmp(set, "avx512") == 0) {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  }
#endif
  return true;
}

struct Choice {
  InstructionSet chosen{};
  const char* available[4] = {};
};

Choice choose() {
  Choice choice;
  const char* forced = std::getenv("SPECTRANS_CPU");
  if (forced != nullptr && *forced == '\0') forced = nullptr;
  bool found = false;
  int count = 0;
  for (const InstructionSet& set : {SPECTRANS_SETS(SPECTRANS_SET)}) {
    if (!runs(set.name)) continue;
    const bool wanted = forced != nullptr && std::strcmp(forced, set.name) == 0;
    if (count == 0 || wanted) choice.chosen = set;
    found = found || wanted;
    choice.available[count++] = set.name;
  }
  if (forced != nullptr && !found) {
    std::fprintf(stderr, "spectrans: SPECTRANS_CPU=%s is not available on this CPU; using %s\n", forced,
                 choice.chosen.name);
  }
  return choice;
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

const char* instruction_set() { return choice().chosen.name; }
const char* const* available_instruction_sets() { return choice().available; }

#define SPECTRANS_FORWARD(name, Arguments)                   \
  void name(const Arguments& call, const ThreadPool& pool) { \
    const PlanningCall planning;                             \
    choice().chosen.name(call, pool);                        \
  }
SPECTRANS_KERNELS(SPECTRANS_FORWARD)
#undef SPECTRANS_FORWARD

}  // namespace spectrans
