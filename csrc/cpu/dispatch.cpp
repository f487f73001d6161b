// Chooses the instruction set, once, and forwards every call to it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "instruction_set.h"

namespace spectrans {
namespace {

struct InstructionSet {
  const char* name;
  MixingKernel mixing;
  FilterKernel filter;
};

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
  if (avx512) sets[count++] = {"avx512", avx512::mixing, avx512::filter};
  if (avx2) sets[count++] = {"avx2", avx2::mixing, avx2::filter};
#endif
  sets[count++] = {"baseline", baseline::mixing, baseline::filter};
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

void mixing(const Mixing& call, const ThreadPool& pool) { choice().chosen.mixing(call, pool); }
void filter(const Filter& call, const ThreadPool& pool) { choice().chosen.filter(call, pool); }

}  // namespace spectrans
