// SPDX-License-Identifier: BSD-3-Clause
// The README's example is example.cu to the letter, and works.
#include <fstream>
#include <sstream>

#include "check.h"

float mean_of_1_to_100();

namespace {

std::string text_of(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

void test_readme() {
  check(mean_of_1_to_100() == 50.5f, "the README's example");
  const std::string readme = text_of("csrc/simt/README.md");
  const std::string code = "```cpp\n" + text_of("tests/simt/example.cu") + "```";
  check(readme.find(code) != std::string::npos, "the README's example is example.cu");
  simt::options().seed = 0;
}
