// SPDX-License-Identifier: BSD-3-Clause
#include "report.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <ucontext.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "clock.h"

namespace simt {

std::string at(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

std::string at(const uint3& i) {
  return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) + ")";
}

// By addr2line, which belongs to binutils as the linker does; without it, module and offset.
std::string at(void* pc) {
  Dl_info info{};
  link_map* module = nullptr;
  if (!dladdr1(pc, &info, reinterpret_cast<void**>(&module), RTLD_DL_LINKMAP)) return "?";
  const unsigned long offset = reinterpret_cast<unsigned long>(pc) - module->l_addr - 1;
  const char* path = module->l_name[0] ? module->l_name : "/proc/$PPID/exe";
  char command[1024], line[512];
  snprintf(command, sizeof command, "addr2line -s -i -e %s %#lx 2>/dev/null", path, offset);
  std::string lines;
  if (FILE* pipe = popen(command, "r")) {
    while (fgets(line, sizeof line, pipe)) {  // the innermost inlined function first
      const std::string one(line, strcspn(line, " \n"));
      lines += (lines.empty() ? "" : " in ") + one;
    }
    pclose(pipe);
  }
  if (lines.empty() || lines[0] == '?') {
    snprintf(line, sizeof line, "%s+%#lx", info.dli_fname, offset);
    return line;
  }
  return lines;
}

std::string thread_name(const Block& b, unsigned agent) {
  const unsigned n = b.threads_in_block;
  if (agent < n) return "thread " + at(b.threads[agent].index);
  return agent < n + kMbarriers ? "an asynchronous copy" : "a wgmma in flight";
}

void fail(const std::string& what, const std::string& where) {
  Block& b = *current;
  b.error = where + ": " + what + " in block " + at(b.index);
  if (b.self) b.error += ", " + thread_name(b, b.self->tid);
  void* abandoned;
  switch_stack(&abandoned, b.scheduler);
  __builtin_unreachable();
}

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction previous[std::size(kSignals)];

void on_fault(int signal, siginfo_t* info, void* context) {
  Block* b = current;
  if (!b || !b->self) {  // not ours: the instruction runs again, under the process's own handler
    for (size_t i = 0; i < std::size(kSignals); ++i)
      if (kSignals[i] == signal) sigaction(signal, &previous[i], nullptr);
    return;
  }
  // at() expects a return address, one past the instruction.
  void* pc =
      reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] + 1);
  if (b->acting_for) pc = std::exchange(b->acting_for, nullptr);
  if (signal == SIGFPE) fail("division by zero", at(pc));
  const char* p = static_cast<const char*>(info->si_addr);
  if (p >= b->self->stack - kStackGuard && p < b->self->stack) {
    fail("the thread's stack of " + std::to_string(b->stacks.bytes()) + " bytes is full", at(pc));
  }
  fail("access to memory that is not mapped", at(pc));
}

struct SignalStack {
  std::unique_ptr<char[]> memory;
  stack_t previous{};
};
thread_local SignalStack signal_stack;

}  // namespace

CatchFaults::CatchFaults() {
  struct sigaction action{};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler is left by a switch
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

CatchFaults::~CatchFaults() {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

AlternateStack::AlternateStack() {
  constexpr size_t kBytes = 64 * 1024;
  if (!signal_stack.memory) signal_stack.memory = std::make_unique<char[]>(kBytes);
  stack_t mine{};
  mine.ss_sp = signal_stack.memory.get();
  mine.ss_size = kBytes;
  sigaltstack(&mine, &signal_stack.previous);
}

AlternateStack::~AlternateStack() { sigaltstack(&signal_stack.previous, nullptr); }

}  // namespace simt
