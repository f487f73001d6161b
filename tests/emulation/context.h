// Switching fibres: where one stands, and to which it goes on.
#pragma once

#include <ucontext.h>

#include <cstddef>

namespace emulation {
namespace {

// Nearly: at a distance of a power of two, all stacks would share the same few sets of the caches.
constexpr std::size_t kStack = 128 * 1024 + 11 * 64;

#if defined(__x86_64__)
// swapcontext makes a system call to save signal masks; this saves what a function call must preserve, and no more.
extern "C" void emulation_switch(void** save, void* restore);
asm(R"(
.text
.local emulation_switch
.type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch, .-emulation_switch
)");

struct Context {
  void* stack_pointer = nullptr;
};
void switch_to(Context& from, const Context& to) { emulation_switch(&from.stack_pointer, to.stack_pointer); }
void prepare(Context& context, unsigned char* stack, void (*entry)()) {
  // As emulation_switch leaves a stack: six registers, then where to return to; the ABI wants 16 k + 8 at entry.
  void** top = reinterpret_cast<void**>(stack + kStack - 24);
  *top = nullptr;  // entry never returns
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
}
#else
struct Context {
  ucontext_t value;
};
void switch_to(Context& from, const Context& to) { swapcontext(&from.value, &to.value); }
void prepare(Context& context, unsigned char* stack, void (*entry)()) {
  getcontext(&context.value);
  context.value.uc_stack.ss_sp = stack;
  context.value.uc_stack.ss_size = kStack;
  context.value.uc_link = nullptr;
  makecontext(&context.value, entry, 0);
}
#endif

}  // namespace
}  // namespace emulation
