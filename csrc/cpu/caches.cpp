// What the kernels mind of this CPU's caches: by its maker, as the CPU does not say.
#include "caches.h"

namespace spectrans {

bool requests_wait_apart() {
#if defined(__x86_64__)
  static const bool apart = [] {
    __builtin_cpu_init();
    return !__builtin_cpu_is("intel");
  }();
  return apart;
#else
  return true;
#endif
}

}  // namespace spectrans
