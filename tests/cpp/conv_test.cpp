// SPDX-License-Identifier: BSD-3-Clause
// Random convolutions on the CPU against a plain loop in double: every direction, algorithm, data
// type and layout, strides that no allocator would choose, guard bands around what is written.
//   conv_test [problems [seed]]      CNNKERN_ISA picks the instruction set
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../../csrc/cpu/conv.h"
#include "../../csrc/cpu/conv_winograd.h"
#include "../../csrc/cpu/isa.h"

namespace {

using namespace cnnkern;
using cpu::View;

std::mt19937_64 rng;
int64_t pick(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(rng);
}

struct TypeFacts {
  const char* name;
  int digits, min_exponent;  // of the significand; of the smallest normal number
  double roundoff, sum_roundoff;
};
const TypeFacts kTypes[4] = {{"float32", 24, -126, 0x1p-24, 0x1p-24},
                             {"float64", 53, -1022, 0x1p-53, 0x1p-53},
                             {"float16", 11, -14, 0x1p-11, 0x1p-24},
                             {"bfloat16", 8, -126, 0x1p-8, 0x1p-24}};

double rounded(double value, DataType type) {
  if (type == DataType::float64 || value == 0 || !std::isfinite(value)) return value;
  const TypeFacts& facts = kTypes[int(type)];
  const int exponent = std::max(std::ilogb(value), facts.min_exponent) - facts.digits + 1;
  return std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
}

// Expects a value that the type holds.
void encode(double value, DataType type, unsigned char* out) {
  const float single = float(value);
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  uint16_t narrow = uint16_t(bits >> 16);
  if (type == DataType::float16) {
    const double magnitude = std::fabs(value);
    const int exponent = value == 0 ? -15 : std::max(std::ilogb(value), -15);
    uint16_t code;
    if (std::isnan(value))
      code = 0x7e00;
    else if (magnitude >= 65536)
      code = 0x7c00;
    else if (exponent < -14)
      code = uint16_t(std::ldexp(magnitude, 24));
    else
      code = uint16_t(((exponent + 15) << 10) + int(std::ldexp(magnitude, 10 - exponent)) - 1024);
    narrow = uint16_t(code | (std::signbit(value) ? 0x8000 : 0));
  }
  if (type == DataType::float64)
    std::memcpy(out, &value, 8);
  else if (type == DataType::float32)
    std::memcpy(out, &single, 4);
  else
    std::memcpy(out, &narrow, 2);
}

double decode(DataType type, const unsigned char* in) {
  double value;
  float single;
  uint16_t narrow;
  if (type == DataType::float64) return std::memcpy(&value, in, 8), value;
  if (type == DataType::float32) return std::memcpy(&single, in, 4), single;
  std::memcpy(&narrow, in, 2);
  if (type == DataType::bfloat16) {
    const uint32_t bits = uint32_t(narrow) << 16;
    return std::memcpy(&single, &bits, 4), single;
  }
  const int exponent = narrow >> 10 & 31, fraction = narrow & 1023;
  const double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
                           : exponent     ? std::ldexp(1024 + fraction, exponent - 25)
                                          : std::ldexp(fraction, -24);
  return narrow & 0x8000 ? -magnitude : magnitude;
}

using Sizes = std::array<int64_t, 5>;

// A strided view inside a larger buffer that is poisoned all over.
struct Tensor {
  static constexpr int64_t kGuard = 64;
  static constexpr unsigned char kPoison = 0xff;  // NaN in every type

  DataType type;
  Sizes size, stride;
  std::vector<unsigned char> bytes;

  Tensor(DataType t, Sizes s, int layout) : type(t), size(s) {
    // 0: contiguous, 1: channels last, 2: a slice of contiguous, 3: axes in any order with gaps.
    std::array<int, 5> order = {0, 1, 2, 3, 4};
    if (layout == 1) order = {0, 2, 3, 4, 1};
    if (layout == 3) std::shuffle(order.begin(), order.end(), rng);
    int64_t next = 1;
    for (int i = 4; i >= 0; --i) {
      stride[size_t(order[size_t(i)])] = next;
      next *= std::max<int64_t>(1, size[size_t(order[size_t(i)])]);
      if (layout >= 2) next += pick(0, 3);
    }
    bytes.assign(size_t((next + 2 * kGuard) * size_of(type)), kPoison);
  }
  View view() { return {bytes.data() + kGuard * size_of(type), stride}; }
  int64_t at(const Sizes& i) const {
    int64_t offset = kGuard;
    for (size_t a = 0; a < 5; ++a) offset += i[a] * stride[a];
    return offset * size_of(type);
  }
  double get(const Sizes& i) const { return decode(type, bytes.data() + at(i)); }
  void set(const Sizes& i, double v) { encode(v, type, bytes.data() + at(i)); }
  template <class Body>
  void each(const Body& body) const {
    Sizes i;
    for (i[0] = 0; i[0] < size[0]; ++i[0])
      for (i[1] = 0; i[1] < size[1]; ++i[1])
        for (i[2] = 0; i[2] < size[2]; ++i[2])
          for (i[3] = 0; i[3] < size[3]; ++i[3])
            for (i[4] = 0; i[4] < size[4]; ++i[4]) body(i);
  }
  void fill(bool integers) {
    std::normal_distribution<double> normal;
    each([&](const Sizes& i) {
      set(i, integers ? double(pick(-2, 2)) : rounded(normal(rng), type));
    });
  }
  // Elements that are no part of the view still hold the poison.
  bool untouched_outside() const {
    std::vector<unsigned char> outside = bytes;
    each([&](const Sizes& i) {
      std::memset(outside.data() + at(i), kPoison, size_t(size_of(type)));
    });
    return std::all_of(outside.begin(), outside.end(),
                       [](unsigned char b) { return b == kPoison; });
  }
};

// The sum at each element and the sum of absolute values, which bounds the error.
struct Reference {
  Sizes size;
  std::vector<double> sum, magnitude;
  explicit Reference(Sizes s) : size(s) {
    sum.assign(size_t(s[0] * s[1] * s[2] * s[3] * s[4]), 0);
    magnitude = sum;
  }
  size_t at(const Sizes& i) const {
    return size_t((((i[0] * size[1] + i[1]) * size[2] + i[2]) * size[3] + i[3]) * size[4] + i[4]);
  }
  void add(const Sizes& i, double value) {
    sum[at(i)] += value;
    magnitude[at(i)] += std::fabs(value);
  }
};

// Calls body(image and filter of y, position of y, channel of x, position of x, tap).
template <class Body>
void each_product(const ConvProblem& g, const Tensor& y, const Body& body) {
  const int64_t cin = g.c / g.groups, cout = g.k / g.groups;
  y.each([&](const Sizes& o) {
    for (int64_t c = 0; c < cin; ++c)
      for (int64_t d = 0; d < g.kernel[0]; ++d)
        for (int64_t h = 0; h < g.kernel[1]; ++h)
          for (int64_t w = 0; w < g.kernel[2]; ++w) {
            const Sizes tap = {o[1], c, d, h, w};
            Sizes i = {o[0], o[1] / cout * cin + c, 0, 0, 0};
            bool inside = true;
            for (size_t a = 0; a < 3; ++a) {
              i[a + 2] = o[a + 2] * g.stride[a] - g.pad_before[a] + tap[a + 2] * g.dilation[a];
              inside = inside && i[a + 2] >= 0 && i[a + 2] < g.input[a];
            }
            if (inside) body(o, i, tap);
          }
  });
}

ConvProblem random_problem() {
  for (;;) {
    ConvProblem g{};
    g.rank = pick(1, 3);
    g.n = pick(0, 20) ? pick(1, 3) : pick(0, 12);
    g.dtype = DataType(pick(0, 3));
    const int kind = int(pick(0, 5));  // 0: depthwise, 1: grouped, else dense
    g.groups = kind == 0 ? pick(1, 20) : kind == 1 ? pick(1, 5) : 1;
    g.c = g.groups * (kind == 0 ? 1 : pick(1, pick(0, 3) ? 12 : 70));
    g.k = g.groups * (kind == 0 ? pick(1, 3) : pick(1, pick(0, 3) ? 20 : 80));
    double work = double(g.n * g.k) * double(g.c / g.groups);
    bool valid = true;
    const bool square = pick(0, 1);
    for (size_t a = 0; a < 3; ++a) {
      g.input[a] = g.kernel[a] = g.stride[a] = g.dilation[a] = g.output[a] = 1;
      if (int64_t(a) < 3 - g.rank) continue;
      g.input[a] = pick(1, pick(0, 3) ? 12 : g.rank == 1 ? 300 : 40);
      g.kernel[a] = pick(1, pick(0, 3) ? 4 : 8);
      g.stride[a] = pick(0, 1) ? 1 : pick(1, 4);
      g.dilation[a] = pick(0, 2) ? 1 : pick(1, 4);
      g.pad_before[a] = pick(0, 1) ? 0 : pick(0, 4);
      g.pad_after[a] = pick(0, 3) ? g.pad_before[a] : pick(0, 4);
      if (square && a == 2 && g.rank > 1) {
        g.kernel[2] = g.kernel[1];
        g.stride[2] = g.stride[1];
        g.dilation[2] = g.dilation[1];
      }
      const int64_t room =
          g.input[a] + g.pad_before[a] + g.pad_after[a] - g.dilation[a] * (g.kernel[a] - 1) - 1;
      valid = valid && room >= 0;
      g.output[a] = room / g.stride[a] + 1;
      work *= double(g.kernel[a] * g.output[a]);
    }
    if (!valid || work > 3e6) continue;
    g.bias = pick(0, 1);
    g.relu = pick(0, 2) == 0;
    return g;
  }
}

// 3x3 filters, some with long sums.
ConvProblem random_winograd_problem() {
  for (;;) {
    ConvProblem g = random_problem();
    g.rank = 2;
    if (g.dtype == DataType::float64) g.dtype = DataType::float32;
    if (pick(0, 2) == 0) {
      g.groups = 1;
      g.c = pick(500, 530);
      g.k = pick(1, 8);
    }
    double work = double(g.n * g.k) * double(g.c / g.groups);
    for (size_t a = 0; a < 3; ++a) {
      const int64_t kernel = a ? 3 : 1;
      g.input[a] = a ? pick(1, pick(0, 3) ? 12 : 40) : 1;
      g.kernel[a] = kernel;
      g.stride[a] = g.dilation[a] = 1;
      g.pad_before[a] = a ? pick(0, 3) : 0;
      g.pad_after[a] = a ? pick(0, 3) : 0;
      g.output[a] = g.input[a] + g.pad_before[a] + g.pad_after[a] - kernel + 1;
      work *= double(kernel * std::max<int64_t>(g.output[a], 0));
    }
    const bool valid = g.output[1] > 0 && g.output[2] > 0 && work < 1e6;
    if (valid && cpu::winograd_refusal(g, Direction::forward).empty() &&
        cpu::winograd_refusal(g, Direction::input_grad).empty())
      return g;
  }
}

std::string text(const ConvProblem& g) {
  char line[400];
  std::snprintf(line, sizeof line,
                "rank %d n %d c %d k %d groups %d input %d,%d,%d kernel %d,%d,%d stride %d,%d,%d "
                "pad %d:%d,%d:%d,%d:%d dilation %d,%d,%d %s%s%s",
                int(g.rank), int(g.n), int(g.c), int(g.k), int(g.groups), int(g.input[0]),
                int(g.input[1]), int(g.input[2]), int(g.kernel[0]), int(g.kernel[1]),
                int(g.kernel[2]), int(g.stride[0]), int(g.stride[1]), int(g.stride[2]),
                int(g.pad_before[0]), int(g.pad_after[0]), int(g.pad_before[1]),
                int(g.pad_after[1]), int(g.pad_before[2]), int(g.pad_after[2]), int(g.dilation[0]),
                int(g.dilation[1]), int(g.dilation[2]), kTypes[int(g.dtype)].name,
                g.bias ? " bias" : "", g.relu ? " relu" : "");
  return line;
}

struct Checker {
  const ConvProblem& g;
  std::string what;
  bool integers;
  bool by_tiles = false;  // errors are of the size of the largest sum beside an element

  bool fail(const char* how) const {
    std::printf("%s: %s: %s\n", what.c_str(), how, text(g).c_str());
    return false;
  }
  bool matches(const Tensor& out, const Reference& reference) const {
    const TypeFacts& facts = kTypes[int(g.dtype)];
    bool good = true;
    double largest = 0;
    for (double magnitude : reference.magnitude) largest = std::max(largest, magnitude);
    out.each([&](const Sizes& i) {
      const double sum = by_tiles ? largest : reference.magnitude[reference.at(i)];
      const double want = reference.sum[reference.at(i)], got = out.get(i);
      const double slack = integers ? 0
                                    : facts.roundoff * std::fabs(want) * 1.01 +
                                          facts.sum_roundoff * 24 * sum +
                                          (g.dtype == DataType::float16 ? 0x1p-24 : 0);
      const double exact = integers ? rounded(want, g.dtype) : want;
      if (good && !(std::fabs(got - exact) <= slack)) {
        std::printf("at %d,%d,%d,%d,%d expected %.9g got %.9g\n", int(i[0]), int(i[1]), int(i[2]),
                    int(i[3]), int(i[4]), exact, got);
        good = false;
      }
    });
    if (!good) return fail("wrong");
    return out.untouched_outside() || fail("written outside");
  }
};

// Twice: in one piece, and task by task from the last to the first; both must give the same bits.
template <class Run>
bool run_both(Tensor& out, Tensor& second, const Run& run) {
  const std::vector<unsigned char> before = out.bytes, second_before = second.bytes;
  run([](int64_t tasks, const cpu::Body& body) {
    for (int64_t i = tasks - 1; i >= 0; --i) body(i, i + 1);
  });
  const std::vector<unsigned char> once = out.bytes, second_once = second.bytes;
  out.bytes = before;
  second.bytes = second_before;
  run([](int64_t tasks, const cpu::Body& body) { body(0, tasks); });
  return once == out.bytes && second_once == second.bytes;
}

bool check(const ConvProblem& g, Algorithm algorithm, const char* name, bool integers) {
  const auto layout = [] { return int(pick(0, 3)); };
  const bool by_tiles = algorithm == Algorithm::winograd;
  Tensor x(g.dtype, {g.n, g.c, g.input[0], g.input[1], g.input[2]}, layout());
  Tensor w(g.dtype, {g.k, g.c / g.groups, g.kernel[0], g.kernel[1], g.kernel[2]}, layout());
  Tensor y(g.dtype, {g.n, g.k, g.output[0], g.output[1], g.output[2]}, layout());
  Tensor dx(g.dtype, x.size, layout()), dw(g.dtype, w.size, layout());
  Tensor none(g.dtype, {1, 1, 1, 1, 1}, 0);
  bool good = true;

  const auto finish = [&](Reference& r, const Tensor& b, const Tensor* residual) {
    Sizes i;
    for (i[0] = 0; i[0] < r.size[0]; ++i[0])
      for (i[1] = 0; i[1] < r.size[1]; ++i[1])
        for (i[2] = 0; i[2] < r.size[2]; ++i[2])
          for (i[3] = 0; i[3] < r.size[3]; ++i[3])
            for (i[4] = 0; i[4] < r.size[4]; ++i[4]) {
              if (g.bias) r.add(i, b.get({0, i[1], 0, 0, 0}));
              if (residual) r.add(i, residual->get(i));
              if (g.relu) r.sum[r.at(i)] = std::max(0.0, r.sum[r.at(i)]);
            }
  };
  {
    x.fill(integers);
    w.fill(integers);
    Tensor bias(g.dtype, {1, g.k, 1, 1, 1}, 0);
    bias.fill(integers);
    Tensor residual = y;  // with its strides
    residual.fill(integers);
    const bool added = pick(0, 1);
    Reference r(y.size);
    each_product(g, y, [&](const Sizes& o, const Sizes& i, const Sizes& tap) {
      r.add(o, x.get(i) * w.get(tap));
    });
    finish(r, bias, added ? &residual : nullptr);
    const Checker c{g, std::string(name) + " forward", integers, by_tiles};
    const bool same = run_both(y, none, [&](const cpu::ParallelFor& parallel) {
      const cpu::Addends addends{g.bias ? bias.view().data : nullptr,
                                 added ? residual.view().data : nullptr};
      cpu::conv_forward(g, algorithm, x.view(), w.view(), addends, y.view(), parallel);
    });
    good = (same || c.fail("tasks change bits")) && c.matches(y, r) && good;
  }
  Tensor dy(g.dtype, y.size, layout());
  dy.fill(integers);
  {
    Tensor bias(g.dtype, {1, g.c, 1, 1, 1}, 0);
    bias.fill(integers);
    Reference r(dx.size);
    each_product(g, dy, [&](const Sizes& o, const Sizes& i, const Sizes& tap) {
      r.add(i, dy.get(o) * w.get(tap));
    });
    finish(r, bias, nullptr);
    const Checker c{g, std::string(name) + " input gradient", integers, by_tiles};
    const bool same = run_both(dx, none, [&](const cpu::ParallelFor& parallel) {
      cpu::conv_input_grad(g, algorithm, dy.view(), w.view(), g.bias ? bias.view().data : nullptr,
                           dx.view(), parallel);
    });
    good = (same || c.fail("tasks change bits")) && c.matches(dx, r) && good;
  }
  {
    Tensor db(g.dtype, {1, g.k, 1, 1, 1}, 0);
    Reference r(dw.size), rb(db.size);
    each_product(g, dy, [&](const Sizes& o, const Sizes& i, const Sizes& tap) {
      r.add(tap, dy.get(o) * x.get(i));
    });
    dy.each([&](const Sizes& o) { rb.add({0, o[1], 0, 0, 0}, dy.get(o)); });
    const Checker c{g, std::string(name) + " weight gradient", integers};
    const bool same = run_both(dw, db, [&](const cpu::ParallelFor& parallel) {
      cpu::conv_weight_grad(g, algorithm, dy.view(), x.view(), dw.view(), g.dtype,
                            g.bias ? db.view().data : nullptr, parallel);
    });
    good = (same || c.fail("tasks change bits")) && c.matches(dw, r) && good;
    if (g.bias) good = c.matches(db, rb) && good;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 300;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  int64_t failures = 0;
  for (int64_t i = 0; i < problems && failures < 10; ++i) {
    rng.seed(seed * 1000003 + uint64_t(i));
    const ConvProblem g = random_problem();
    const bool integers = pick(0, 1);
    bool good = check(g, Algorithm::direct, "direct", integers);
    good = check(g, Algorithm::im2col, "im2col", integers) && good;
    if (g.groups == g.c) good = check(g, Algorithm::depthwise, "depthwise", integers) && good;
    if (i % 4 == 0) {
      const ConvProblem w = random_winograd_problem();
      good = check(w, Algorithm::winograd, "winograd", integers) && good;
    }
    failures += !good;
  }
  std::printf("conv_test: %s, seed %llu: %lld problems, %lld failed\n", cpu::isa_name(),
              static_cast<unsigned long long>(seed), static_cast<long long>(problems),
              static_cast<long long>(failures));
  return failures != 0;
}
