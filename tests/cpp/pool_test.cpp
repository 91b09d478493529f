// SPDX-License-Identifier: BSD-3-Clause
// Random pooling problems against plain loops: all functions, types, formats, ranks; NaN and
// infinities; outputs that start as NaN between guard bands; the same bits on one thread and three.
// Usage: pool_test [problems] [seed]. Exits with 1 after the first problem that fails.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "../../csrc/cpu/isa.h"
#include "../../csrc/cpu/pool.h"
#include "../../csrc/problem/sizes.h"

namespace {

using namespace cnnkern;

std::mt19937_64 random_bits;
int64_t pick(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random_bits() % static_cast<uint64_t>(high - low + 1));
}

struct Half {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};
double value_of(float v) { return v; }
double value_of(double v) { return v; }
double value_of(Bf16 v) {
  const uint32_t bits = uint32_t(v.bits) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
double value_of(Half v) {
  const int exponent = v.bits >> 10 & 31, fraction = v.bits & 1023;
  double magnitude =
      std::ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
  if (exponent == 31)
    magnitude = fraction ? std::numeric_limits<double>::quiet_NaN()
                         : std::numeric_limits<double>::infinity();
  return v.bits >> 15 ? -magnitude : magnitude;
}
// The inputs are values that every type holds.
template <class T>
T from_value(double v) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(v);
  } else {
    for (uint32_t bits : {0x0000u, 0x8000u})
      for (int step = 0; step < 32768; ++step) {
        const T candidate{static_cast<uint16_t>(bits + step)};
        const double got = value_of(candidate);
        if (got == v || (got != got && v != v)) return candidate;
      }
    std::abort();
  }
}
// Quarters in [-8, 8], with a few special values.
struct Palette {
  std::vector<double> values;
  Palette() {
    for (int i = -32; i <= 32; ++i) values.push_back(i / 4.0);
    const double infinity = std::numeric_limits<double>::infinity();
    for (double v : {infinity, -infinity, std::nan("")}) values.push_back(v);
  }
};
const Palette palette;
template <class T>
const std::vector<T>& encoded() {
  static const std::vector<T> values = [] {
    std::vector<T> all;
    for (double v : palette.values) all.push_back(from_value<T>(v));
    return all;
  }();
  return values;
}

template <class T>
class Guarded {  // memory of some elements, poisoned, between guard bands
 public:
  explicit Guarded(int64_t count, int64_t shift = 0)
      : bytes_(size_t(count) * sizeof(T)), all_(bytes_ + 2 * kBand + 64, char(0xff)) {
    offset_ = kBand + size_t(shift) * sizeof(T);
  }
  T* data() { return reinterpret_cast<T*>(all_.data() + offset_); }
  bool intact() const {
    for (size_t i = 0; i < all_.size(); ++i)
      if ((i < offset_ || i >= offset_ + bytes_) && all_[i] != char(0xff)) return false;
    return true;
  }
  bool same(const Guarded& other) const { return all_ == other.all_; }

 private:
  static constexpr size_t kBand = 256;
  size_t bytes_, offset_;
  std::vector<char> all_;
};

struct Where {
  int64_t n, c, z, y, x;
};
int64_t at(const PoolProblem& g, const Extent& e, const Where& i) {
  if (g.format == Format::contiguous)
    return (((i.n * g.c + i.c) * e[0] + i.z) * e[1] + i.y) * e[2] + i.x;
  return (((i.n * e[0] + i.z) * e[1] + i.y) * e[2] + i.x) * g.c + i.c;
}
template <class F>
void each_output(const PoolProblem& g, const F& body) {
  for (int64_t n = 0; n < g.n; ++n)
    for (int64_t c = 0; c < g.c; ++c)
      for (int64_t z = 0; z < g.output[0]; ++z)
        for (int64_t y = 0; y < g.output[1]; ++y)
          for (int64_t x = 0; x < g.output[2]; ++x) body(Where{n, c, z, y, x});
}
// Where a window's first tap lies, and how many taps it has: those of the largest, or its own.
int64_t begin_of(const PoolProblem& g, size_t a, int64_t p) {
  return g.uneven[a] ? p * g.input[a] / g.output[a] : p * g.stride[a] - g.pad_before[a];
}
int64_t taps_of(const PoolProblem& g, size_t a, int64_t p) {
  if (!g.uneven[a]) return g.kernel[a];
  const int64_t n = g.input[a], parts = g.output[a];
  return ((p + 1) * n + parts - 1) / parts - begin_of(g, a, p);
}
// body(tap, input position) for the taps of a window that lie inside the input.
template <class F>
void each_tap(const PoolProblem& g, const Where& o, const F& body) {
  const int64_t place[3] = {o.z, o.y, o.x};
  Extent first, taps;
  for (size_t a = 0; a < 3; ++a) {
    first[a] = begin_of(g, a, place[a]);
    taps[a] = taps_of(g, a, place[a]);
  }
  int64_t tap = 0;
  for (int64_t t = 0; t < g.kernel[0]; ++t)
    for (int64_t r = 0; r < g.kernel[1]; ++r)
      for (int64_t s = 0; s < g.kernel[2]; ++s, ++tap) {
        const Where i{o.n, o.c, first[0] + t * g.dilation[0], first[1] + r * g.dilation[1],
                      first[2] + s * g.dilation[2]};
        if (t >= taps[0] || r >= taps[1] || s >= taps[2]) continue;
        if (i.z >= 0 && i.z < g.input[0] && i.y >= 0 && i.y < g.input[1] && i.x >= 0 &&
            i.x < g.input[2])
          body(tap, i);
      }
}
double divisor_of(const PoolProblem& g, const Where& o, int64_t taps_inside) {
  if (g.divisor) return double(g.divisor);
  if (!g.count_include_pad) return double(taps_inside);
  const int64_t place[3] = {o.z, o.y, o.x};
  int64_t count = 1;
  for (size_t a = 0; a < 3; ++a) {
    int64_t along = 0;
    if (g.uneven[a]) {
      count *= taps_of(g, a, place[a]);
      continue;
    }
    for (int64_t k = 0; k < g.kernel[a]; ++k)
      along += place[a] * g.stride[a] - g.pad_before[a] + k * g.dilation[a] <
               g.input[a] + g.pad_after[a];
    count *= along;
  }
  return double(count);
}

// `tiled`: windows lie side by side, as most networks have them.
bool choose_axis(PoolProblem& g, size_t a, int64_t least, int64_t most, bool tiled) {
  const bool avg = g.kind == PoolKind::avg;
  g.input[a] = pick(least, most);
  g.kernel[a] = tiled ? pick(1, 2) : pick(1, pick(0, 9) ? 5 : 18);
  g.stride[a] = tiled ? g.kernel[a] : pick(0, 2) ? pick(1, 3) : pick(1, 9);
  g.dilation[a] = avg || tiled || pick(0, 1) ? 1 : pick(1, 4);
  const int64_t pad = tiled ? 0 : pick(0, 1) ? g.kernel[a] / 2 : pick(0, 5) ? 0 : 6;
  g.pad_before[a] = pick(0, pad);
  g.pad_after[a] = pick(0, pad);
  const int64_t reach = g.dilation[a] * (g.kernel[a] - 1) + 1;
  const int64_t room = g.input[a] + g.pad_before[a] + g.pad_after[a] - reach;
  if (room < 0) return false;
  g.output[a] = room / g.stride[a] + 1;
  if (g.ceil_mode && room % g.stride[a] && g.output[a] * g.stride[a] < g.input[a] + g.pad_before[a])
    ++g.output[a];
  return true;
}
void choose_parts(PoolProblem& g, size_t a, int64_t least, int64_t most) {
  const int64_t n = g.input[a] = pick(least, most);
  const int64_t parts = g.output[a] =
      pick(0, 5) == 0 ? pick(1, 2 * n) : pick(1, pick(0, 2) ? std::min<int64_t>(n, 8) : n);
  g.uneven[a] = n % parts != 0;
  for (int64_t p = 0; p < parts; ++p) g.kernel[a] = std::max(g.kernel[a], taps_of(g, a, p));
  if (!g.uneven[a]) g.stride[a] = g.kernel[a] = n / parts;
  // What the library says of itself.
  if (g.kernel[a] != adaptive_kernel(n, parts)) {
    std::printf("FAILED adaptive_kernel(%ld, %ld): got %ld, expected %ld\n", static_cast<long>(n),
                static_cast<long>(parts), static_cast<long>(adaptive_kernel(n, parts)),
                static_cast<long>(g.kernel[a]));
    std::exit(1);
  }
}
bool choose(PoolProblem& g) {
  g = PoolProblem{};
  g.kind = pick(0, 1) ? PoolKind::max : PoolKind::avg;
  g.rank = pick(1, 3);
  g.n = pick(0, 20) ? pick(1, 3) : 0;
  g.c = pick(0, 2) ? pick(1, 9) : pick(1, 70);
  g.dtype = static_cast<DataType>(pick(0, 3));
  g.format = pick(0, 1) ? Format::contiguous : Format::channels_last;
  g.ceil_mode = pick(0, 1);
  g.count_include_pad = pick(0, 1);
  g.divisor = pick(0, 3) ? 0 : pick(1, 9);
  g.adaptive = pick(0, 3) == 0;
  if (g.adaptive) g.ceil_mode = false, g.count_include_pad = true, g.divisor = 0;
  // A few whose rows or planes are too large for the scratch of small ones.
  const bool large = pick(0, 250) == 0, tiled = pick(0, 4) == 0;
  const int64_t side = g.rank == 1 ? 90000 : g.rank == 2 ? 350 : 30;
  if (large) g.n = 1, g.c = g.format == Format::contiguous ? pick(1, 2) : pick(1, 24);
  for (size_t a = 0; a < 3; ++a) {
    g.input[a] = g.kernel[a] = g.stride[a] = g.dilation[a] = g.output[a] = 1;
    if (int64_t(a) < 3 - g.rank) continue;
    const int64_t most = g.rank == 3 ? 12 : a == 2 && !pick(0, 2) ? 90 : 24;
    if (g.adaptive)
      choose_parts(g, a, large ? side / 2 : 1, large ? side : most);
    else if (!choose_axis(g, a, large ? side / 2 : 1, large ? side : most, tiled))
      return false;
  }
  return true;
}
std::string text(const PoolProblem& g) {
  std::string s = g.adaptive ? "adaptive " : "";
  s += g.kind == PoolKind::max ? "max" : "avg";
  const auto list = [&](const char* name, const Extent& e) {
    s += std::string(" ") + name + "=" + std::to_string(e[0]) + "," + std::to_string(e[1]) + "," +
         std::to_string(e[2]);
  };
  s += " n=" + std::to_string(g.n) + " c=" + std::to_string(g.c);
  list("input", g.input), list("kernel", g.kernel), list("stride", g.stride);
  list("before", g.pad_before), list("after", g.pad_after), list("dilation", g.dilation);
  list("output", g.output);
  s += " dtype=" + std::to_string(int(g.dtype)) + " format=" + std::to_string(int(g.format)) +
       " include=" + std::to_string(g.count_include_pad) + " divisor=" + std::to_string(g.divisor);
  return s;
}

void fail(const PoolProblem& g, const char* what, int64_t i, double got, double expected) {
  std::printf("FAILED %s at element %ld: got %.9g, expected %.9g\n  %s\n", what,
              static_cast<long>(i), got, expected, text(g).c_str());
  std::exit(1);
}
bool near(double got, double expected, double tolerance) {
  if (expected != expected) return got != got;
  return got == expected || std::fabs(got - expected) <= tolerance * (1 + std::fabs(expected));
}

void serial(int64_t tasks, const cpu::Body& body) { body(0, tasks); }
void pieces(int64_t tasks, const cpu::Body& body) {
#pragma omp parallel for num_threads(3) schedule(dynamic)
  for (int64_t k = 0; k < 5; ++k) {
    const int64_t begin = tasks * k / 5, end = tasks * (k + 1) / 5;
    if (begin < end) body(begin, end);
  }
}

// Runs `call(output, parallel)` twice and checks guard bands and that the bits are the same.
template <class T, class F>
void run_twice(const PoolProblem& g, const char* what, Guarded<T>& out, const F& call) {
  Guarded<T> again = out;
  call(out.data(), cpu::ParallelFor(serial));
  call(again.data(), cpu::ParallelFor(pieces));
  if (!out.intact() || !again.intact()) fail(g, (std::string(what) + " guard").c_str(), 0, 0, 0);
  if (!out.same(again)) fail(g, (std::string(what) + " bits on threads").c_str(), 0, 0, 0);
}

template <class T>
std::vector<double> random_values(T* out, int64_t count, bool special) {
  std::vector<double> values;
  const int64_t kinds = special ? int64_t(palette.values.size()) : 65;
  const bool few = special && pick(0, 1);
  for (int64_t i = 0; i < count; ++i) {
    const size_t k = size_t(few && pick(0, 30) ? pick(0, 64)
                            : few              ? pick(65, 67)
                                               : pick(0, kinds - 1));
    out[i] = encoded<T>()[k];
    values.push_back(palette.values[k]);
  }
  return values;
}
template <class T>
double tolerance(int64_t terms) {
  const double epsilon = sizeof(T) == 8 ? 1e-15 : sizeof(T) == 4 ? 2e-7 : 0;
  if (std::is_same_v<T, Half>) return 1e-3;
  if (std::is_same_v<T, Bf16>) return 8e-3;
  return epsilon * double(terms + 4);
}

template <class T, class I>
void check_max(const PoolProblem& g, int64_t inputs, int64_t outputs) {
  Guarded<T> x(inputs, pick(0, 3)), y(outputs, pick(0, 3)), y2(outputs, pick(0, 3));
  Guarded<I> argmax(outputs, pick(0, 3));
  const std::vector<double> in = random_values(x.data(), inputs, pick(0, 3) == 0);
  if (pick(0, 9) == 0)
    for (int64_t i = 0; i < inputs; ++i) x.data()[i] = encoded<T>()[66];
  run_twice(g, "max_pool", y, [&](T* out, const cpu::ParallelFor& parallel) {
    cpu::max_pool(g, x.data(), out, nullptr, parallel);
  });
  cpu::max_pool(g, x.data(), y2.data(), argmax.data(), serial);
  run_twice(g, "argmax", argmax, [&](I* out, const cpu::ParallelFor& parallel) {
    cpu::max_pool(g, x.data(), y2.data(), out, parallel);
  });
  if (!y2.intact()) fail(g, "max_pool guard with argmax", 0, 0, 0);

  Guarded<T> dy(outputs, pick(0, 3)), dx(inputs, pick(0, 3)), picked(outputs, pick(0, 3));
  Guarded<int64_t> indices(outputs);
  const std::vector<double> grads = random_values(dy.data(), outputs, false);
  run_twice(g, "max_pool_grad", dx, [&](T* out, const cpu::ParallelFor& parallel) {
    cpu::max_pool_grad(g, dy.data(), argmax.data(), out, parallel);
  });
  run_twice(g, "max_pool_gather", picked, [&](T* out, const cpu::ParallelFor& parallel) {
    cpu::max_pool_gather(g, x.data(), argmax.data(), out, parallel);
  });
  run_twice(g, "max_pool_indices", indices, [&](int64_t* out, const cpu::ParallelFor& parallel) {
    cpu::max_pool_indices(g, argmax.data(), out, parallel);
  });

  std::vector<double> expected_dx(size_t(inputs), 0.0);
  each_output(g, [&](const Where& o) {
    const int64_t i = at(g, g.output, o);
    double best = -std::numeric_limits<double>::infinity();
    int64_t which = 0, from = -1, index = 0;
    each_tap(g, o, [&](int64_t tap, const Where& w) {
      const double v = value_of(x.data()[at(g, g.input, w)]);
      if (from >= 0 && !(v > best || v != v)) return;
      if (v > best || v != v) best = v;
      which = tap;
      from = at(g, g.input, w);
      index = (w.z * g.input[1] + w.y) * g.input[2] + w.x;
    });
    if (!near(value_of(y.data()[i]), best, 0)) fail(g, "max_pool", i, value_of(y.data()[i]), best);
    if (!near(value_of(y2.data()[i]), best, 0))
      fail(g, "max_pool with argmax", i, value_of(y2.data()[i]), best);
    if (int64_t(argmax.data()[i]) != which)
      fail(g, "argmax", i, double(argmax.data()[i]), double(which));
    if (from >= 0) expected_dx[size_t(from)] += grads[size_t(i)];
    const double value = from < 0 ? 0 : value_of(x.data()[from]);
    if (!near(value_of(picked.data()[i]), value, 0))
      fail(g, "max_pool_gather", i, value_of(picked.data()[i]), value);
    if (indices.data()[i] != index)
      fail(g, "max_pool_indices", i, double(indices.data()[i]), double(index));
  });
  for (int64_t i = 0; i < inputs; ++i)
    if (!near(value_of(dx.data()[i]), expected_dx[size_t(i)], tolerance<T>(0)))
      fail(g, "max_pool_grad", i, value_of(dx.data()[i]), expected_dx[size_t(i)]);

  // An argmax that no window made must be harmless.
  for (int64_t i = 0; i < outputs; ++i) argmax.data()[i] = static_cast<I>(random_bits());
  cpu::max_pool_grad(g, dy.data(), argmax.data(), dx.data(), serial);
  cpu::max_pool_gather(g, x.data(), argmax.data(), picked.data(), serial);
  cpu::max_pool_indices(g, argmax.data(), indices.data(), serial);
  if (!dx.intact() || !picked.intact() || !indices.intact()) fail(g, "wild argmax", 0, 0, 0);
}

template <class T>
void check_avg(const PoolProblem& g, int64_t inputs, int64_t outputs) {
  Guarded<T> x(inputs, pick(0, 3)), y(outputs, pick(0, 3));
  Guarded<T> dy(outputs, pick(0, 3)), dx(inputs, pick(0, 3));
  const bool special = pick(0, 5) == 0;
  const std::vector<double> in = random_values(x.data(), inputs, special);
  const std::vector<double> grads = random_values(dy.data(), outputs, special);
  run_twice(g, "avg_pool", y, [&](T* out, const cpu::ParallelFor& parallel) {
    cpu::avg_pool(g, x.data(), out, parallel);
  });
  run_twice(g, "avg_pool_grad", dx, [&](T* out, const cpu::ParallelFor& parallel) {
    cpu::avg_pool_grad(g, dy.data(), out, parallel);
  });
  std::vector<double> expected_dx(size_t(inputs), 0.0), weight(size_t(inputs), 0.0);
  each_output(g, [&](const Where& o) {
    const int64_t i = at(g, g.output, o);
    int64_t taps = 0;
    double total = 0, absolute = 0;
    each_tap(g, o, [&](int64_t, const Where& w) {
      ++taps;
      const double v = in[size_t(at(g, g.input, w))];
      total += v;
      absolute += std::fabs(v);
    });
    const double divisor = divisor_of(g, o, taps), expected = taps ? total / divisor : 0;
    const double got = value_of(y.data()[i]);
    if (!near(got, expected, tolerance<T>(taps) * (special ? 1 : 1 + absolute / divisor)))
      fail(g, "avg_pool", i, got, expected);
    each_tap(g, o, [&](int64_t, const Where& w) {
      expected_dx[size_t(at(g, g.input, w))] += grads[size_t(i)] / divisor;
      weight[size_t(at(g, g.input, w))] += std::fabs(grads[size_t(i)] / divisor);
    });
  });
  for (int64_t i = 0; i < inputs; ++i) {
    const double got = value_of(dx.data()[i]), bound = special ? 64 : 1 + weight[size_t(i)];
    if (!near(got, expected_dx[size_t(i)], tolerance<T>(8) * bound))
      fail(g, "avg_pool_grad", i, got, expected_dx[size_t(i)]);
  }
}

template <class T>
void check(const PoolProblem& g) {
  const int64_t inputs = g.n * g.c * g.input[0] * g.input[1] * g.input[2];
  const int64_t outputs = g.n * g.c * g.output[0] * g.output[1] * g.output[2];
  if (g.kind == PoolKind::avg) return check_avg<T>(g, inputs, outputs);
  if (argmax_size(g) == 1) return check_max<T, uint8_t>(g, inputs, outputs);
  check_max<T, int32_t>(g, inputs, outputs);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 3000;
  random_bits.seed(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  for (int64_t done = 0; done < problems;) {
    PoolProblem g;
    if (!choose(g)) continue;
    ++done;
    switch (g.dtype) {
      case DataType::float32:
        check<float>(g);
        break;
      case DataType::float64:
        check<double>(g);
        break;
      case DataType::float16:
        check<Half>(g);
        break;
      case DataType::bfloat16:
        check<Bf16>(g);
        break;
    }
  }
  std::printf("pool_test: %ld problems on %s\n", static_cast<long>(problems), cpu::isa_name());
  return 0;
}
