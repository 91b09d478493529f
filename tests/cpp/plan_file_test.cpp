// SPDX-License-Identifier: BSD-3-Clause
// Plan files: what is read, what is refused and with which words, that plans follow the file in
// force in every thread, and that no text at all brings the reader down.
//   plan_file_test [texts [seed]]
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../../csrc/plan/cuda_traits.h"
#include "../../csrc/plan/plan.h"
#include "../../csrc/plan/plan_file.h"

namespace {

using namespace cnnkern;

int64_t failures = 0;

void expect(bool right, const std::string& what) {
  if (right) return;
  std::printf("%s\n", what.c_str());
  ++failures;
}

const std::string kProblem = "conv2d 8x64x56x56 64x64x3x3 padding=1";
const std::string kPlanned = kProblem + " -> forward im2col";

std::string algorithm_of(const PlanFile& file, const std::string& text, Direction direction,
                         const char* gpu = "H200") {
  const auto found = file.find(parse(text), direction, named_device(gpu));
  return found ? found->algorithm + " " + found->where : "none";
}

void expect_found(const std::string& text, const std::string& problem, Direction direction,
                  const std::string& found) {
  const std::string got = algorithm_of(PlanFile("f", text), problem, direction);
  expect(got == found, "expected " + found + " of " + text + ", got " + got);
}

void check_what_is_read() {
  const auto forward = Direction::forward, input_grad = Direction::input_grad,
             weight_grad = Direction::weight_grad;
  const std::string file = "# plans\n\ndevice H200\n" + kProblem +
                           " -> forward im2col , weight_grad direct # 3 us\n"
                           "device L4\n" +
                           kProblem +
                           " -> forward direct\nmax_pool2d 1x1x4x4 kernel=2 -> forward direct";
  expect_found(file, kProblem, forward, "im2col f:4");
  expect_found(file, kProblem, weight_grad, "direct f:4");
  expect_found(file, kProblem, input_grad, "none");
  expect_found(file, kProblem + " bias relu", forward, "im2col f:4");
  expect_found(file, kProblem + " dtype=float16", forward, "none");
  expect_found(file, kProblem + " format=channels_last", forward, "none");
  expect_found(file, "max_pool2d 1x1x4x4 kernel=2", forward, "none");
  expect(algorithm_of(PlanFile("f", file), kProblem, forward, "L4") == "direct f:6", "L4");
  expect(algorithm_of(PlanFile("f", file), "max_pool2d 1x1x4x4 kernel=2", forward, "L4") ==
             "direct f:7",
         "a last line without its end");
  expect_found("", kProblem, forward, "none");
  expect_found("\n\n# nothing\n", kProblem, forward, "none");
  expect_found(
      "\xEF\xBB\xBF"
      "device\th-200  \r\n\r\n  " +
          kPlanned + "\t \r\n",
      kProblem, forward, "im2col f:3");
  expect_found("device RTX 4090\ndevice H200\ndevice RTX 4090\n" + kPlanned, kProblem, forward,
               "none");
  expect_found("device some thing of tomorrow # with more\n" + kProblem + " -> forward depthwise",
               kProblem, forward, "none");
  // A transposed convolution runs as an input gradient, and the other way round.
  const std::string there = "conv2d 8x32x56x56 64x32x2x2 stride=2";
  const std::string back = "conv_transpose2d 8x64x28x28 64x32x2x2 stride=2";
  expect_found("device H200\n" + back + " -> forward direct", there, input_grad, "direct f:2");
  expect_found("device H200\n" + there + " -> forward direct", back, input_grad, "direct f:2");
  expect_found("device H200\n" + there + " -> forward direct", back, forward, "none");
}

void expect_refused(const std::string& text, const std::string& message) {
  try {
    PlanFile("f", text);
  } catch (const Error& error) {
    const std::string got = error.what();
    expect(got.find(message) != std::string::npos, "expected\n" + message + "\ngot\n" + got);
    return;
  }
  expect(false, "accepted, expected " + message);
}

void check_what_is_refused() {
  const std::string head = "device H200\n";
  expect_refused(kPlanned, "f:1: expected a line 'device NAME' before the first plan\n  " +
                               kPlanned + "\n  ^");
  expect_refused("\ndevice  # H200", "f:2: expected the name of a device\n  device\n        ^");
  expect_refused("device CPU", "f:1: expected an instruction set (baseline, avx2, avx512, ");
  expect_refused(head + "conv2d 1x1x3x3 1x1x1x1 strid=2 -> forward direct",
                 "f:2: conv2d: unknown argument 'strid'; did you mean 'stride'?");
  expect_refused(head + "conv2d 1x1x3x3 1x1x1x1 strid=2 -> forward direct",
                 "\n  conv2d 1x1x3x3 1x1x1x1 strid=2 \n                         ^");
  expect_refused(head + " -> forward direct", "f:2: expected a problem, got an empty text");
  expect_refused(head + kProblem + " forward direct",
                 "f:2: expected -> and algorithms by direction: forward direct, ...");
  for (const char* rest : {"->", "-> ", "-> forward", "-> forward direct,", "-> forward direct now",
                           "-> forward direct,, weight_grad direct"}) {
    expect_refused(head + kProblem + rest,
                   "f:2: expected a direction and an algorithm, such as forward direct");
  }
  expect_refused(head + kProblem + " -> foward direct",
                 "f:2: expected a direction, got 'foward'; did you mean 'forward'? valid: forward, "
                 "input_grad, weight_grad\n  " +
                     kProblem + " -> foward direct\n  " + std::string(kProblem.size() + 4, ' ') +
                     "^");
  expect_refused(head + kProblem + " -> forward im2vol",
                 "f:2: expected an algorithm, got 'im2vol'; did you mean 'im2col'?");
  expect_refused(head + kProblem + " -> forward auto", "f:2: expected an algorithm, got 'auto'");
  expect_refused(head + "max_pool1d 1x1x4 kernel=2 -> weight_grad direct",
                 "valid: forward, input_grad");
  expect_refused(head + "max_pool1d 1x1x4 kernel=2 -> forward im2col", "valid: direct");
  for (const char* device : {"h200", "avx2", "baseline"}) {
    expect_refused(std::string("device ") + device + "\n" + kProblem + " -> forward depthwise",
                   "f:2: depthwise does not serve this forward: C/groups is 64, needs 1");
  }
  expect_refused(head + kPlanned + "\n\n" + kProblem + " relu -> weight_grad direct,forward direct",
                 "f:4: forward of this problem has its plan in line 2");
  expect_refused(head + kProblem + " -> forward direct, forward im2col",
                 "f:2: forward of this problem has its plan in line 2");
  expect_refused(head + "device \xC3\xA9",
                 "f:2: expected ASCII outside of comments, got the byte 0xC3 in column 8");
  expect_refused(head + std::string("conv2d\0 1", 9), "got the byte 0x00 in column 7");
  try {
    PlanFile::read("/no/such/file");
    expect(false, "read what is not there");
  } catch (const Error& error) {
    expect(std::string(error.what()) ==
               "plan file '/no/such/file' cannot be read: No such file or directory",
           error.what());
  }
  try {
    PlanFile::read("/");
    expect(false, "read a folder");
  } catch (const Error& error) {
    expect(std::string(error.what()).find("cannot be read: Is a directory") != std::string::npos,
           error.what());
  }
}

std::string written(const std::string& text) {
  const std::string path = "/tmp/cnnkern_plan_file_test_" + std::to_string(std::rand()) + "_" +
                           std::to_string(reinterpret_cast<uintptr_t>(&failures));
  std::ofstream(path) << text;
  return path;
}

// Loading while others plan: each call gets what one of the files says.
void check_what_is_in_force() {
  const DeviceTraits& gpu = named_device("H200");
  const std::string problem = "conv2d 8x128x28x28 128x4x3x3 padding=1";
  const auto g = std::get<ConvProblem>(parse(problem));
  const auto chosen = [&] { return choose(g, Direction::forward, "auto", gpu); };
  const std::string usual = plan(g, Direction::forward, gpu).algorithm;
  expect(usual == "direct" && plan(g, Direction::forward, gpu).file.empty(), "the usual choice");
  const auto dense = std::get<ConvProblem>(parse(kProblem));
  const std::string other =
      plan(dense, Direction::forward, gpu).algorithm == "direct" ? "im2col" : "direct";
  const std::string path = written("device H200\n" + kProblem + " -> forward " + other + "\n");
  load_plans(path);
  const Plan made = plan(dense, Direction::forward, gpu);
  expect(made.algorithm == other && made.file == path + ":2" && made.otherwise != other,
         "the plan");
  expect(plan(dense, Direction::forward, gpu, made.otherwise).algorithm == made.otherwise,
         "a named algorithm stands before the file");
  expect(plan(dense, Direction::weight_grad, gpu).file.empty(), "another direction's");
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        chosen();
        choose(dense, Direction::forward, "auto", gpu);
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    const bool loaded = i % 2 == 1;
    load_plans(loaded ? std::optional<std::string>(path) : std::nullopt);
    const Algorithm now = choose(dense, Direction::forward, "auto", gpu);
    expect((now == (other == "im2col" ? Algorithm::im2col : Algorithm::direct)) == loaded,
           "an old choice after a load");
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  std::remove(path.c_str());
  try {
    load_plans(path);
    expect(false, "loaded what is gone");
  } catch (const Error&) {
    expect(plans_in_force() != nullptr, "a failed load changed the plans");
  }
  load_plans(std::nullopt);
  expect(plans_in_force() == nullptr, "plans after all were dropped");
}

// Lines put together from pieces of right ones, and with bytes changed.
void check_random_texts(int64_t texts, uint64_t seed) {
  std::mt19937_64 rng(seed);
  const std::vector<std::string> pieces{"device ",
                                        "H200",
                                        "avx2",
                                        "\n",
                                        "\r\n",
                                        " -> ",
                                        "->",
                                        ",",
                                        "forward ",
                                        "direct",
                                        "im2col",
                                        " # ",
                                        "weight_grad ",
                                        kProblem,
                                        "conv1d ",
                                        "1x1x9 ",
                                        "4x1x3 ",
                                        "stride=",
                                        "-1",
                                        "9223372036854775807",
                                        "x",
                                        "=",
                                        "padding=same",
                                        "\t",
                                        std::string(1, '\0'),
                                        "\xFF",
                                        "max_pool1d "};
  for (int64_t i = 0; i < texts; ++i) {
    std::string text = rng() % 2 ? "device H200\n" + kPlanned + "\n" : "";
    for (uint64_t n = rng() % 12; n > 0; --n) text += pieces[rng() % pieces.size()];
    if (!text.empty() && rng() % 3 == 0) text[rng() % text.size()] = static_cast<char>(rng());
    try {
      PlanFile("f", text);
    } catch (const Error& error) {
      expect(std::string(error.what()).compare(0, 2, "f:") == 0, "an error without its line");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t texts = argc > 1 ? std::atoll(argv[1]) : 20000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  check_what_is_read();
  check_what_is_refused();
  check_what_is_in_force();
  check_random_texts(texts, seed);
  std::printf("plan_file_test: seed %llu: %lld random texts, %lld failed\n",
              static_cast<unsigned long long>(seed), static_cast<long long>(texts),
              static_cast<long long>(failures));
  return failures != 0;
}
