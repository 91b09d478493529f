// SPDX-License-Identifier: BSD-3-Clause
// The emulator for Python: while it is enabled, torch's CPU tensors go through the operators' CUDA
// half, down to the launchers, and the kernels run here. The rest of the package (functional,
// modules, autograd, plans) notices nothing.
#include <pybind11/pybind11.h>
#include <torch/library.h>

#include <memory>
#include <utility>

#include "../cuda/conv_direct.h"
#include "../cuda/conv_implicit_gemm_cut.h"
#include "../cuda/max_unpool.h"
#include "../cuda/wide.h"
#include "../ops/cuda_implicit_gemm.h"
#include "../ops/cuda_operators.h"
#include "../ops/cuda_workspace.h"
#include "simt.h"

namespace py = pybind11;

namespace {

// While it lives these kernels stand before the CPU's; then the dispatcher takes those again.
std::unique_ptr<torch::Library> library;

void enable() {
  if (library) return;
  library = std::make_unique<torch::Library>(torch::Library::IMPL, "cnnkern", c10::DispatchKey::CPU,
                                             __FILE__, __LINE__);
  cnnkern::ops::register_cuda_conv(*library);
  cnnkern::ops::register_cuda_pool(*library);
  cnnkern::ops::register_cuda_unpool(*library);
}

py::dict stats() {
  const simt::Stats& s = simt::stats();
  py::dict counts;
  counts["launches"] = s.launches;
  counts["threads"] = s.threads;
  counts["multiply_adds"] = s.multiply_adds;
  counts["bytes_loaded"] = s.bytes_loaded;
  counts["bytes_stored"] = s.bytes_stored;
  counts["sectors_loaded"] = s.sectors_loaded;
  counts["sectors_stored"] = s.sectors_stored;
  counts["widest_load"] = s.widest_load;
  counts["widest_store"] = s.widest_store;
  counts["tensor_multiply_adds"] = s.tensor_multiply_adds;
  counts["ldmatrix"] = s.ldmatrix;
  counts["ldmatrix_conflicts"] = s.ldmatrix_conflicts;
  return counts;
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "Runs cnnkern's CUDA kernels on CPU tensors.";
  m.def("enable", &enable);
  m.def("disable", [] { library.reset(); });
  m.def("is_checked", &simt::is_checked, "Whether accesses are checked, or only results");
  m.def("stats", &stats, "Counted since the last reset");
  m.def("reset_stats", [] { simt::stats() = simt::Stats(); });
  m.def("set_seed", [](uint64_t seed) { simt::options().seed = seed; });
  m.def("set_workers", [](int workers) { simt::options().workers = workers; });
  m.def("count_sectors", [](bool counts) { simt::options().count_sectors = counts; });
  m.def(
      "set_memory", [](int64_t bytes) { cnnkern::ops::emulated_memory() = bytes; },
      "The most bytes that a workspace gets");
  m.def(
      "enough_blocks",
      [](int64_t blocks) {
        return std::exchange(cnnkern::cuda::conv_direct_enough_blocks(), blocks);
      },
      "From how many blocks on a convolution takes its larger tiles; returns what it was");
  m.def(
      "implicit_cut",
      [](const std::string& tile, bool split) {
        using cnnkern::cuda::MmaTileSize;
        auto& cut = cnnkern::ops::emulated_cut();
        cut.reset();
        if (tile == "large") cut = {MmaTileSize::large, 1 + split};
        if (tile == "medium") cut = {MmaTileSize::medium, 1 + split};
        if (tile == "small") cut = {MmaTileSize::small, 1 + split};
      },
      "The tiles of implicit products that have such ones; any other word: the plan's",
      pybind11::arg("tile"), pybind11::arg("split") = false);
  m.def(
      "implicit_sums_bytes",
      [](int64_t bytes) { return std::exchange(cnnkern::cuda::implicit_most_sums_bytes(), bytes); },
      "What the sums of an implicit weight gradient should not exceed; returns what it was");
  m.def(
      "unpool_bytes",
      [](int64_t bytes) { return std::exchange(cnnkern::cuda::max_unpool_most_bytes(), bytes); },
      "What an unpooling's workspace should not exceed; returns what it was");
  m.def(
      "always_wide", [](bool wide) { cnnkern::cuda::always_wide() = wide; },
      "Whether offsets are int64 on tensors of every size");
}
