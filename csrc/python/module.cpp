// SPDX-License-Identifier: BSD-3-Clause
// The Python face of problems and plans. Operators register themselves with torch when the shared
// object is loaded.
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/version.h>
#if CNNKERN_CUDA
#include <cuda_runtime_api.h>
#endif

#include "../cpu/flops.h"
#include "../cpu/huge_pages.h"
#include "../cpu/isa.h"
#include "../plan/cuda_traits.h"
#include "../ops/cuda_device.h"
#include "../ops/output.h"
#include "../plan/plan.h"
#include "../plan/plan_file.h"
#include "../problem/check.h"
#include "../problem/names.h"
#include "../problem/text.h"
#include "fast_call.h"

namespace py = pybind11;

namespace cnnkern::python {
namespace {

// A full shape: batch, channels, the axes of the rank.
py::tuple shape(int64_t first, int64_t second, const Extent& sizes, int64_t rank) {
  py::tuple values(static_cast<size_t>(rank) + 2);
  values[0] = first;
  values[1] = second;
  for (int64_t i = 0; i < rank; ++i) values[i + 2] = sizes[3 - rank + i];
  return values;
}

py::tuple by_axis(const Extent& sizes, int64_t rank) {
  py::tuple values(static_cast<size_t>(rank));
  for (int64_t i = 0; i < rank; ++i) values[i] = sizes[3 - rank + i];
  return values;
}

template <class Problem>
py::tuple padding(const Problem& g) {
  py::tuple pairs(static_cast<size_t>(g.rank));
  for (int64_t i = 0; i < g.rank; ++i) {
    pairs[i] = py::make_tuple(g.pad_before[3 - g.rank + i], g.pad_after[3 - g.rank + i]);
  }
  return pairs;
}

// torch's rule: no channels in, no channels out.
int64_t channels_out(const ConvProblem& g) { return g.c == 0 ? 0 : g.k; }

py::tuple input_size(const ConvProblem& g) {
  return g.transposed ? shape(g.n, g.k, g.output, g.rank) : shape(g.n, g.c, g.input, g.rank);
}

py::tuple output_size(const ConvProblem& g) {
  return g.transposed ? shape(g.n, g.c, g.input, g.rank)
                      : shape(g.n, channels_out(g), g.output, g.rank);
}

// What both kinds of problems have.
template <class Problem>
py::class_<Problem> bind_problem(py::module_& m, const char* name) {
  const auto text = [](const Problem& g) { return to_text(g); };
  return py::class_<Problem>(m, name)
      .def_property_readonly("op", [](const Problem& g) { return op_of(g); })
      .def_readonly("rank", &Problem::rank)
      .def_property_readonly("kernel_size",
                             [](const Problem& g) { return by_axis(g.kernel, g.rank); })
      .def_property_readonly("stride", [](const Problem& g) { return by_axis(g.stride, g.rank); })
      .def_property_readonly("padding", [](const Problem& g) { return padding(g); })
      .def_property_readonly("dilation",
                             [](const Problem& g) { return by_axis(g.dilation, g.rank); })
      .def_property_readonly("dtype", [](const Problem& g) { return name_of(g.dtype); })
      .def_property_readonly("format", [](const Problem& g) { return name_of(g.format); })
      .def("__str__", text)
      .def("__repr__", [](const Problem& g) { return "<cnnkern problem: " + to_text(g) + ">"; })
      .def(
          "__eq__", [](const Problem& a, const Problem& b) { return to_text(a) == to_text(b); },
          py::is_operator())
      .def("__hash__", [](const Problem& g) { return py::hash(py::str(to_text(g))); })
      .def(py::pickle(text, [](const std::string& t) { return std::get<Problem>(parse(t)); }));
}

void bind_conv_problem(py::module_& m) {
  bind_problem<ConvProblem>(m, "ConvProblem")
      .def_property_readonly("input_size", &input_size)
      .def_property_readonly("output_size", &output_size)
      .def_property_readonly(
          "weight_size",
          [](const ConvProblem& g) { return shape(g.k, g.c / g.groups, g.kernel, g.rank); })
      .def_property_readonly("output_padding",
                             [](const ConvProblem& g) {
                               return by_axis(g.transposed ? output_padding_of(g) : Extent{},
                                              g.rank);
                             })
      .def_readonly("groups", &ConvProblem::groups)
      .def_readonly("bias", &ConvProblem::bias)
      .def_readonly("relu", &ConvProblem::relu)
      .def_readonly("tf32", &ConvProblem::tf32)
      .def_readonly("transposed", &ConvProblem::transposed)
      .def("directions", [](const ConvProblem&) {
        return py::make_tuple("forward", "input_grad", "weight_grad");
      });
}

// What an adaptive pool is whose windows are all of one size.
std::optional<PoolProblem> sliding(const PoolProblem& g) {
  if (is_uneven(g)) return std::nullopt;
  PoolProblem same = g;
  same.adaptive = false;
  return same;
}

void bind_pool_problem(py::module_& m) {
  bind_problem<PoolProblem>(m, "PoolProblem")
      .def_property_readonly("input_size",
                             [](const PoolProblem& g) { return shape(g.n, g.c, g.input, g.rank); })
      .def_property_readonly("output_size",
                             [](const PoolProblem& g) { return shape(g.n, g.c, g.output, g.rank); })
      .def_readonly("ceil_mode", &PoolProblem::ceil_mode)
      .def_readonly("count_include_pad", &PoolProblem::count_include_pad)
      .def_readonly("divisor", &PoolProblem::divisor)
      .def_readonly("adaptive", &PoolProblem::adaptive)
      .def_property_readonly("sliding", &sliding)
      .def("directions",
           [](const PoolProblem&) { return py::make_tuple("forward", "input_grad"); });
}

void bind_plan(py::module_& m) {
  py::class_<Plan>(m, "Plan")
      .def_readonly("algorithm", &Plan::algorithm)
      .def_property_readonly("direction", [](const Plan& p) { return name_of(p.direction); })
      .def_readonly("tile", &Plan::tile)
      .def_readonly("split", &Plan::split)
      .def_readonly("workspace_bytes", &Plan::workspace_bytes)
      .def_readonly("predicted_us", &Plan::predicted_us)
      .def_readonly("bound", &Plan::bound)
      .def_readonly("batch_invariant", &Plan::batch_invariant)
      .def_readonly("flops", &Plan::flops)
      .def_readonly("bytes", &Plan::bytes)
      .def_readonly("file", &Plan::file)
      .def_readonly("otherwise", &Plan::otherwise)
      .def_property_readonly("refused", [](const Plan& p) {
        py::tuple pairs(p.refused.size());
        for (size_t i = 0; i < p.refused.size(); ++i) {
          pairs[i] = py::make_tuple(p.refused[i].algorithm, p.refused[i].reason);
        }
        return pairs;
      });
}

#if CNNKERN_CUDA
DeviceTraits own_gpu(const std::string& device) {
  const c10::Device asked(device);
  const c10::impl::VirtualGuardImpl guard(asked.type());
  return ops::traits_of_gpu(asked.has_index() ? asked.index() : guard.getDevice().index());
}
#endif

// "cpu", a GPU by its name, or the machine's own: "cuda", "cuda:1".
DeviceTraits traits_of(const std::string& device, int64_t threads) {
  if (threads < 0) {
    throw py::value_error("plan: expected threads >= 0, got " + std::to_string(threads));
  }
  if (device == "cpu") return cpu_traits(threads == 0 ? at::get_num_threads() : threads);
  try {
#if CNNKERN_CUDA
    if (device == "cuda" || device.rfind("cuda:", 0) == 0) return own_gpu(device);
#endif
    return named_device(device);
  } catch (const Error& error) {
    throw py::value_error(error.what());
  }
}

Direction direction_of(const std::string& word) {
  const auto direction = value_of<Direction>(kDirections, word);
  if (direction) return *direction;
  throw py::value_error("plan: expected direction forward, input_grad or weight_grad, got '" +
                        word + "'");
}

template <class Problem>
Plan plan_here(const Problem& g, const std::string& word, const std::string& algorithm,
               int64_t threads, const std::string& device) {
  return plan(g, direction_of(word), traits_of(device, threads), algorithm);
}

template <class Problem>
std::string key_here(const Problem& g, const std::string& word) {
  return plan_key(g, direction_of(word));
}

double measure_flops(const std::string& word, double milliseconds) {
  const auto dtype = value_of<DataType>(kDataTypes, word);
  if (!dtype) {
    throw py::value_error(
        "measure_flops: expected dtype float32, float64, float16 or bfloat16, got '" + word + "'");
  }
  if (!(milliseconds >= 0 && milliseconds <= 1e6)) {
    throw py::value_error("measure_flops: expected milliseconds from 0 to 1000000, got " +
                          std::to_string(milliseconds));
  }
  const py::gil_scoped_release unlocked;
  return cpu::measure_flops(*dtype, milliseconds, at::get_num_threads(), ops::parallel_for());
}

// What a prediction is made of.
py::dict facts_of(const DeviceTraits& traits) {
  py::dict facts;
  facts["name"] = traits.name;
  facts["cores"] = traits.cores;
  facts["clock_ghz"] = traits.clock_ghz;
  facts["copy_gb_s"] = traits.copy_gb_s;
  facts["call_us"] = traits.call_us;
  facts["float32_tflops"] = peak_flops_per_us(traits, DataType::float32) * 1e-6;
  facts["float64_tflops"] = peak_flops_per_us(traits, DataType::float64) * 1e-6;
  if (traits.kind == DeviceKind::cpu) return facts;
  const CudaTraits& cuda = traits.cuda;
  facts["capability"] = py::make_tuple(cuda.major, cuda.minor);
  facts["matrix_tflops"] = cuda.matrix_tflops;
  facts["matrix_fp64_share"] = cuda.matrix_fp64_share;
  facts["launch_us"] = cuda.launch_us;
  facts["l2_bytes"] = cuda.l2_bytes;
  facts["sm_shared_bytes"] = cuda.sm_shared_bytes;
  facts["block_shared_bytes"] = cuda.block_shared_bytes;
  facts["memory_bytes"] = cuda.memory_bytes;
  return facts;
}

void bind_devices(py::module_& m) {
  m.def("device_names", &device_names);
  m.def(
      "device_traits",
      [](const std::string& device, int64_t threads) {
        return facts_of(traits_of(device, threads));
      },
      py::arg("device") = "cpu", py::arg("threads") = 0);
  m.def(
      "reported_traits",
      [](const std::string& name, std::tuple<int64_t, int64_t> capability, int64_t sms,
         int64_t clock_khz, int64_t memory_clock_khz, int64_t memory_bus_bits, int64_t l2_bytes,
         int64_t sm_shared_bytes, int64_t block_shared_bytes, int64_t memory_bytes) {
        const auto [major, minor] = capability;
        return facts_of(
            cuda_traits({name, major, minor, sms, clock_khz, memory_clock_khz, memory_bus_bits,
                         l2_bytes, sm_shared_bytes, block_shared_bytes, memory_bytes}));
      },
      py::arg("name"), py::arg("capability"), py::arg("sms"), py::arg("clock_khz") = 0,
      py::arg("memory_clock_khz") = 0, py::arg("memory_bus_bits") = 0, py::arg("l2_bytes") = 0,
      py::arg("sm_shared_bytes") = 0, py::arg("block_shared_bytes") = 0,
      py::arg("memory_bytes") = 0);
}

py::object plan_file() {
  const auto file = plans_in_force();
  if (!file) return py::none();
  py::dict facts;
  facts["path"] = file->name();
  facts["plans"] = file->devices();
  return std::move(facts);
}

int64_t positive(const char* op, const char* name, int64_t value) {
  if (value < 1) fail(op, "expected ", name, " >= 1, got ", value);
  return value;
}

py::dict info() {
  py::dict facts;
  facts["version"] = py::module_::import("cnnkern").attr("__version__");
  facts["torch"] = TORCH_VERSION;
#if defined(__clang__)
  facts["compiler"] = "clang " __clang_version__;
#else
  facts["compiler"] = "gcc " __VERSION__;
#endif
  facts["isa"] = cpu::isa_name();
  facts["isas"] = py::cast(cpu::isas_available());
  facts["threads"] = at::get_num_threads();
  facts["huge_pages_from"] = cpu::kHugePagesFrom;
#if defined(_OPENMP)
  facts["openmp"] = true;
#else
  facts["openmp"] = false;
#endif
  facts["cuda"] = bool(CNNKERN_CUDA);
#if CNNKERN_CUDA
  facts["cuda_runtime"] =
      std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
  // What setup.py asks nvcc for: machine code, and PTX for what comes after.
  facts["cuda_architectures"] = py::make_tuple("sm_80", "sm_90a", "compute_80");
#endif
  return facts;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "Operators, problems and plans of cnnkern, compiled.";
  // Registered before problems are: a text that is none is the caller's value, no failure at work.
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const TextError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    }
  });
  bind_conv_problem(m);
  bind_pool_problem(m);
  bind_plan(m);
  bind_devices(m);
  m.def(
      "parse",
      [](const py::str& text) {
        Py_ssize_t length = 0;
        // A lone surrogate has no UTF-8: a UnicodeEncodeError, which is a ValueError.
        const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &length);
        if (!bytes) throw py::error_already_set();
        return parse(std::string(bytes, static_cast<size_t>(length)));
      },
      py::arg("text"));
  m.def("plan", &plan_here<ConvProblem>, py::arg("problem"), py::arg("direction"),
        py::arg("algorithm") = "auto", py::arg("threads") = 0, py::arg("device") = "cpu");
  m.def("plan", &plan_here<PoolProblem>, py::arg("problem"), py::arg("direction"),
        py::arg("algorithm") = "auto", py::arg("threads") = 0, py::arg("device") = "cpu");
  m.def("plan_file", &plan_file);
  m.def("plan_key", &key_here<ConvProblem>, py::arg("problem"), py::arg("direction"));
  m.def("plan_key", &key_here<PoolProblem>, py::arg("problem"), py::arg("direction"));
  m.def(
      "load_plans",
      [](const std::optional<std::string>& path) {
        try {
          const py::gil_scoped_release unlocked;
          load_plans(path);
        } catch (const Error& error) {
          throw py::value_error(error.what());
        }
      },
      py::arg("path"));
  m.def("info", &info);
  m.def("measure_flops", &measure_flops, py::arg("dtype"), py::arg("milliseconds") = 50.0);
  m.def(
      "conv_output_size",
      [](int64_t input, int64_t kernel, int64_t stride, int64_t before, int64_t after,
         int64_t dilation) {
        return conv_output_size(input, kernel, positive("conv_output_size", "stride", stride),
                                before, after, dilation);
      },
      py::arg("input"), py::arg("kernel"), py::arg("stride"), py::arg("before"), py::arg("after"),
      py::arg("dilation"));
  m.def(
      "pool_output_size",
      [](int64_t input, int64_t kernel, int64_t stride, int64_t before, int64_t after,
         int64_t dilation, bool ceil_mode) {
        return pool_output_size(input, kernel, positive("pool_output_size", "stride", stride),
                                before, after, dilation, ceil_mode);
      },
      py::arg("input"), py::arg("kernel"), py::arg("stride"), py::arg("before"), py::arg("after"),
      py::arg("dilation"), py::arg("ceil_mode"));
  if (PyModule_AddFunctions(m.ptr(), fast_calls) != 0) throw py::error_already_set();
}

}  // namespace cnnkern::python
