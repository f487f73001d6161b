// What the kernels mind of this CPU's caches: by its maker, as the CPU does not say.
#include "caches.h"

namespace spectrans {
namespace {

bool is_intel() {
#if defined(__x86_64__)
  static const bool intel = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
  }();
  return intel;
#else
  return false;
#endif
}

}  // namespace

bool requests_wait_apart() { return !is_intel(); }
bool cores_pass_lines() { return !is_intel(); }

}  // namespace spectrans
