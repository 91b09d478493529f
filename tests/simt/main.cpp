// SPDX-License-Identifier: BSD-3-Clause
// The emulator's own tests: its models against their definitions, correct kernels that must give no
// report, and kernels with a mistake that must. Run from the root of the repository; an argument
// adds the throughput.
#include <cstdio>

#include "check.h"

int main(int arguments, char**) {
  printf("Emulator, %s build\n", simt::is_checked() ? "checked" : "fast");
  test_models();
  test_launches();
  test_readme();
  test_correct_kernels();
  test_bugs();
  if (arguments > 1) test_throughput();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
