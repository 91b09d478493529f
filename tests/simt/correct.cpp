// SPDX-License-Identifier: BSD-3-Clause
// Each kernel against its definition; without a mistake, under many schedules, none may be found.
#include <cmath>
#include <cstdio>
#include <ctime>

#include "../../csrc/simt/instructions.h"
#include "check.h"

namespace {

void expect(float got, double wanted) {
  if (!(std::abs(got - wanted) < 1e-3)) throw WrongValue();
}

void stencil_of(int height, int width, Bug bug) {
  Buffer<float> x(size_t(height * width), "x"), w(9, "w"), y(size_t(height * width), "y", true);
  fill(x);
  fill(w, 99);
  stencil(x.data(), w.data(), y.data(), height, width, bug);
  for (int h = 0; h < height; ++h) {
    for (int v = 0; v < width; ++v) {
      double sum = 0;
      for (int t = 0; t < 9; ++t) {
        const int a = h + t / 3 - 1, b = v + t % 3 - 1;
        if (a >= 0 && a < height && b >= 0 && b < width) sum += w[t] * x[a * width + b];
      }
      expect(y[h * width + v], sum);
    }
  }
}

void gemm_of(int m, int n, int k, Bug bug, bool compare) {
  Buffer<uint16_t> a(size_t(m * k), "a"), b(size_t(n * k), "b");
  Buffer<float> c(size_t(m * n), "c", true);
  for (size_t i = 0; i < a.v.size(); ++i) a[i] = to_bf16(value(i));
  for (size_t i = 0; i < b.v.size(); ++i) b[i] = to_bf16(value(i + 7));
  gemm(a.data(), b.data(), c.data(), m, n, k, bug);
  for (int i = 0; compare && i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q) sum += from_bf16(a[i * k + q]) * from_bf16(b[j * k + q]);
      expect(c[i * n + j], sum);
    }
  }
}

void conv_of(int n, int h, int w, int c, int o, Bug bug, bool compare) {
  constexpr int kSize = 3, kPad = 1;
  Buffer<uint16_t> x(size_t(n * h * w * c), "x"), f(size_t(o * kSize * kSize * c), "w");
  Buffer<float> y(size_t(n * h * w * o), "y", true);
  for (size_t i = 0; i < x.v.size(); ++i) x[i] = to_bf16(value(i));
  for (size_t i = 0; i < f.v.size(); ++i) f[i] = to_bf16(value(i + 7));
  simt::TensorMap xmap, wmap;
  xmap.base = reinterpret_cast<unsigned char*>(x.data());
  const unsigned dim[4] = {unsigned(c), unsigned(w), unsigned(h), unsigned(n)};
  std::copy(dim, dim + 4, xmap.dim);
  for (int i = 0; i < 2; ++i) {
    xmap.lower[i] = -kPad;
    xmap.upper[i] = kPad - (kSize - 1);
  }
  xmap.rows = xmap.cols = wmap.rows = wmap.cols = 64;
  wmap.base = reinterpret_cast<unsigned char*>(f.data());
  wmap.dim[0] = unsigned(kSize * kSize * c);
  wmap.dim[1] = unsigned(o);
  conv_wgmma(&xmap, &wmap, y.data(), n, h, w, c, o, kSize, kPad, bug);
  for (int i = 0; compare && i < n * h * w; ++i) {
    for (int j = 0; j < o; j += 5) {
      double sum = 0;
      for (int t = 0; t < kSize * kSize; ++t) {
        const int p = i / w % h + t / kSize - kPad, q = i % w + t % kSize - kPad;
        if (p < 0 || p >= h || q < 0 || q >= w) continue;
        const int pixel = (i / (w * h) * h + p) * w + q;
        for (int k = 0; k < c; ++k)
          sum += from_bf16(x[pixel * c + k]) * from_bf16(f[(j * kSize * kSize + t) * c + k]);
      }
      expect(y[i * o + j], sum);
    }
  }
}

}  // namespace

void run_stencil(Bug bug) { stencil_of(21, 35, bug); }

void run_row_sums(Bug bug) {
  constexpr int kRows = 13, kCols = 70;
  Buffer<float> x(kRows * kCols, "x"), y(kRows, "y", true);
  fill(x);
  row_sums(x.data(), y.data(), kRows, kCols, bug);
  for (int r = 0; r < kRows; ++r) {
    double sum = 0;
    for (int c = 0; c < kCols; ++c) sum += x[r * kCols + c];
    expect(y[r], sum);
  }
}

void run_warps(Bug bug) {
  constexpr int kCount = 128;
  Buffer<float> x(kCount, "x"), y(kCount, "y", true);
  fill(x);
  warps(x.data(), y.data(), kCount, bug);
  for (int i = 0; i < kCount; ++i) expect(y[i], x[i]);
}

void run_memory(Bug bug) {
  constexpr int kCount = 100, kBlock = 32;
  Buffer<float> x(kCount, "x"), y(kCount, "y", true);
  Buffer<unsigned> count(3, "count", true);
  fill(x);
  for (unsigned& c : count.v) c = 0;
  memory(x.data(), y.data(), count.data(), kCount, bug);
  unsigned all = 0, most = 0;
  for (int first = 0; first < kCount; first += kBlock) {
    unsigned positive = 0;
    for (int i = first; i < std::min(kCount, first + kBlock); ++i) positive += x[i] > 0;
    all += positive;
    most = std::max(most, positive);
  }
  for (int i = 0; i < kCount; ++i) expect(y[i], x[i]);
  if (count[0] != all || count[1] != most) throw WrongValue();
  if (bug == Bug::kLostIncrement && count[2] != 4) throw WrongValue();
}

void run_copies(Bug bug) {
  constexpr int kCount = 512;
  Buffer<float> x(kCount, "x"), y(kCount, "y", true);
  fill(x);
  copies(x.data(), y.data(), kCount, bug);
  for (int i = 0; i < kCount; ++i) expect(y[i], x[i]);
}

void run_gemm(Bug bug) { gemm_of(70, 66, 96, bug, true); }
void run_conv_wgmma(Bug bug) { conv_of(1, 5, 15, 64, 64, bug, true); }

void test_correct_kernels() {
  const struct {
    const char* name;
    void (*run)(Bug);
    Bug bug;
  } kernels[] = {{"stencil", run_stencil, Bug::kNone},
                 {"row sums", run_row_sums, Bug::kNone},
                 {"warps", run_warps, Bug::kNone},
                 {"memory", run_memory, Bug::kNone},
                 {"copies", run_copies, Bug::kNone},
                 {"gemm", run_gemm, Bug::kNone},
                 {"wgmma", run_conv_wgmma, Bug::kNone},
                 {"wgmma, with a fence", run_conv_wgmma, Bug::kProxyFence}};
  constexpr uint64_t kSeeds = 50;
  for (const auto& kernel : kernels) {
    std::string report;
    for (uint64_t seed = 0; seed < kSeeds && report.empty(); ++seed) {
      simt::options().seed = seed;
      try {
        kernel.run(kernel.bug);
      } catch (const simt::Error& e) {
        report = e.what();
      }
    }
    check(report.empty(), std::string("correct kernel ") + kernel.name + ": " + report);
  }
  printf("correct kernels: %zu under %d schedules each\n", std::size(kernels), int(kSeeds));
  simt::options().seed = 0;
}

void test_throughput() {
  const bool checked = simt::is_checked();
  const auto rate = [](const char* what, double multiply_adds, auto run) {
    const std::clock_t start = std::clock();
    run();
    const double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
    printf("  %-24s %8.1f M multiply-adds/s\n", what, 1e-6 * multiply_adds / seconds);
  };
  simt::options().workers = 1;
  const int n = checked ? 256 : 512, h = 512;
  rate("mma.sync", double(n) * n * n, [&] { gemm_of(n, n, n, Bug::kNone, false); });
  rate("wgmma", 32. * 32 * 128 * 128 * 9, [&] { conv_of(1, 32, 32, 128, 128, Bug::kNone, false); });
  Buffer<float> x(size_t(h * h), "x"), w(9, "w"), y(size_t(h * h), "y", true);
  fill(x);
  rate("scalar, shared memory", 9. * h * h,
       [&] { stencil(x.data(), w.data(), y.data(), h, h, Bug::kNone); });
}
