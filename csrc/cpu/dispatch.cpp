// Chooses the instruction set, once, and forwards every call to it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

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
#define SPECTRANS_SET(isa)                                           \
  [] {                                                               \
    namespace using_set = isa;                                       \
    return InstructionSet{#isa, SPECTRANS_KERNELS(SPECTRANS_ENTRY)}; \
  }()

struct Choice {
  InstructionSet chosen;
  const char* available[4] = {};
};

Choice choose() {
  Choice choice;
  InstructionSet sets[3];
  int count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512) sets[count++] = SPECTRANS_SET(avx512);
  if (avx2) sets[count++] = SPECTRANS_SET(avx2);
#endif
  sets[count++] = SPECTRANS_SET(baseline);
  for (int i = 0; i < count; ++i) choice.available[i] = sets[i].name;
  choice.chosen = sets[0];
  if (const char* forced = std::getenv("SPECTRANS_CPU"); forced != nullptr && *forced != '\0') {
    bool found = false;
    for (int i = 0; i < count; ++i) {
      if (std::strcmp(forced, sets[i].name) == 0) {
        choice.chosen = sets[i];
        found = true;
      }
    }
    if (!found) {
      std::fprintf(stderr, "spectrans: SPECTRANS_CPU=%s is not available on this CPU; using %s\n", forced,
                   choice.chosen.name);
    }
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

#define SPECTRANS_FORWARD(name, Arguments) \
  void name(const Arguments& call, const ThreadPool& pool) { choice().chosen.name(call, pool); }
SPECTRANS_KERNELS(SPECTRANS_FORWARD)
#undef SPECTRANS_FORWARD

}  // namespace spectrans
