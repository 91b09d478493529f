// SPDX-License-Identifier: BSD-3-Clause
// The emulator's own tests: its models against their definitions, correct kernels that must give no
// report, and kernels with a mistake that must. Run from the root of the repository. With an
// argument: the throughput, by the processor's time.
#include <cstdio>

#include "check.h"

int main(int arguments, char**) {
  printf("Emulator, %s build\n", simt::is_checked() ? "checked" : "fast");
  if (arguments > 1) {
    test_throughput();
    return 0;
  }
  test_models();
  test_launches();
  test_readme();
  test_correct_kernels();
  test_bugs();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
