// SPDX-License-Identifier: BSD-3-Clause
// The usual call of a functional without what Python and a schema's parser cost: half of the time
// that a convolution of a 4x4 image takes. Each function does the call, through torch's dispatcher,
// if the arguments are plain: batched torch.Tensors, ints or tuples of ints. Otherwise it returns
// NotImplemented, and cnnkern.functional goes the long way, which also serves what is traced.
#include "fast_call.h"

#include <ATen/PythonTorchFunctionTLS.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/python_variable.h>

#include <array>
#include <cstring>

#include "../ops/call.h"

namespace cnnkern::python {
namespace {

using c10::SymInt;
constexpr Py_ssize_t kMaxRank = 3;

// Up to two integers an axis, on the stack.
struct Integers {
  std::array<SymInt, 2 * kMaxRank> value;
  size_t count = 0;
  operator c10::SymIntArrayRef() const { return {value.data(), count}; }
};

bool read_int(PyObject* o, int64_t& value) {
  if (!PyLong_CheckExact(o)) return false;
  int overflow = 0;
  value = PyLong_AsLongLongAndOverflow(o, &overflow);
  return overflow == 0;
}

// An int for all axes, or a tuple with an int for each; `copies` of every value.
bool read_integers(PyObject* o, Py_ssize_t rank, int copies, Integers& to) {
  const bool tuple = PyTuple_CheckExact(o);
  if (tuple && PyTuple_GET_SIZE(o) != rank) return false;
  for (Py_ssize_t axis = 0; axis < rank; ++axis) {
    int64_t value;
    if (!read_int(tuple ? PyTuple_GET_ITEM(o, axis) : o, value)) return false;
    for (int copy = 0; copy < copies; ++copy) to.value[to.count++] = value;
  }
  return true;
}

bool is_text(PyObject* o, const char* text) {
  return PyUnicode_CheckExact(o) && PyUnicode_CompareWithASCIIString(o, text) == 0;
}

// A torch.Tensor or Parameter, no subclass that may have ideas of its own.
const at::Tensor* read_tensor(PyObject* o) {
  return THPVariable_CheckExact(o) ? &THPVariable_Unpack(o) : nullptr;
}
bool is_plain(const at::Tensor& t) {
  return (t.is_cpu() || t.is_cuda()) && at::isFloatingType(t.scalar_type());
}

PyObject* not_plain() {
  Py_INCREF(Py_NotImplemented);
  return Py_NotImplemented;
}

struct WithoutLock {
  PyThreadState* const state = PyEval_SaveThread();
  ~WithoutLock() { PyEval_RestoreThread(state); }
};

// (rank, input, weight, bias, stride, padding, dilation, groups, activation, algorithm)
PyObject* conv(PyObject*, PyObject* const* args, Py_ssize_t count) {
  HANDLE_TH_ERRORS
  int64_t rank, groups;
  if (count != 10 || at::impl::torch_function_mode_enabled() || !read_int(args[0], rank) ||
      rank < 1 || rank > kMaxRank || !read_int(args[7], groups) || !is_text(args[9], "auto"))
    return not_plain();
  const at::Tensor* const input = read_tensor(args[1]);
  const at::Tensor* const weight = read_tensor(args[2]);
  const bool with_bias = args[3] != Py_None;
  const at::Tensor* const bias = with_bias ? read_tensor(args[3]) : nullptr;
  if (!input || !weight || (with_bias && !bias) || !is_plain(*input) || input->dim() != rank + 2 ||
      weight->dim() != rank + 2)
    return not_plain();
  Integers stride, padding, dilation;
  if (!read_integers(args[4], rank, 1, stride) || !read_integers(args[5], rank, 2, padding) ||
      !read_integers(args[6], rank, 1, dilation))
    return not_plain();
  const bool relu = args[8] != Py_None;
  if (relu && !is_text(args[8], "relu")) return not_plain();
  const ops::OptionalTensor optional_bias = bias ? ops::OptionalTensor(*bias) : std::nullopt;
  const at::Tensor y = [&] {
    const WithoutLock unlocked;
    return ops::call_conv(*input, *weight, optional_bias, relu,
                          {stride, padding, dilation, groups, "auto"});
  }();
  return THPVariable_Wrap(y);
  END_HANDLE_TH_ERRORS
}

// (rank, grad_output, weight, bias, input_size, stride, padding, dilation, groups, relu,
// algorithm); the lists as the operator takes them, in tuples
PyObject* conv_input_grad(PyObject*, PyObject* const* args, Py_ssize_t count) {
  HANDLE_TH_ERRORS
  int64_t rank, groups;
  if (count != 11 || at::impl::torch_function_mode_enabled() || !read_int(args[0], rank) ||
      rank < 1 || rank > kMaxRank || !read_int(args[8], groups) || !PyBool_Check(args[9]) ||
      !is_text(args[10], "auto"))
    return not_plain();
  const at::Tensor* const grad_output = read_tensor(args[1]);
  const at::Tensor* const weight = read_tensor(args[2]);
  const bool with_bias = args[3] != Py_None;
  const at::Tensor* const bias = with_bias ? read_tensor(args[3]) : nullptr;
  if (!grad_output || !weight || (with_bias && !bias) || !is_plain(*grad_output))
    return not_plain();
  Integers size, stride, padding, dilation;
  if (!read_integers(args[4], rank + 2, 1, size) || !read_integers(args[5], rank, 1, stride) ||
      !read_integers(args[6], 2 * rank, 1, padding) || !read_integers(args[7], rank, 1, dilation))
    return not_plain();
  const ops::OptionalTensor optional_bias = bias ? ops::OptionalTensor(*bias) : std::nullopt;
  const at::Tensor y = [&] {
    const WithoutLock unlocked;
    return ops::call_conv_input_grad(*grad_output, *weight, optional_bias, size, args[9] == Py_True,
                                     {stride, padding, dilation, groups, "auto"});
  }();
  return THPVariable_Wrap(y);
  END_HANDLE_TH_ERRORS
}

// (rank, input, kernel_size, stride or None, padding, dilation, ceil_mode)
PyObject* max_pool(PyObject*, PyObject* const* args, Py_ssize_t count) {
  HANDLE_TH_ERRORS
  int64_t rank;
  if (count != 7 || at::impl::torch_function_mode_enabled() || !read_int(args[0], rank) ||
      rank < 1 || rank > kMaxRank || !PyBool_Check(args[6]))
    return not_plain();
  const at::Tensor* const input = read_tensor(args[1]);
  if (!input || !is_plain(*input) || input->dim() != rank + 2) return not_plain();
  Integers kernel, stride, padding, dilation;
  if (!read_integers(args[2], rank, 1, kernel) ||
      !read_integers(args[3] == Py_None ? args[2] : args[3], rank, 1, stride) ||
      !read_integers(args[4], rank, 2, padding) || !read_integers(args[5], rank, 1, dilation))
    return not_plain();
  const at::Tensor y = [&] {
    const WithoutLock unlocked;
    return std::get<0>(ops::call_max_pool(*input, /*return_argmax=*/false,
                                          {kernel, stride, padding, dilation, args[6] == Py_True}));
  }();
  return THPVariable_Wrap(y);
  END_HANDLE_TH_ERRORS
}

// (rank, input, kernel_size, stride or None, padding, ceil_mode, count_include_pad)
PyObject* avg_pool(PyObject*, PyObject* const* args, Py_ssize_t count) {
  HANDLE_TH_ERRORS
  int64_t rank;
  if (count != 7 || at::impl::torch_function_mode_enabled() || !read_int(args[0], rank) ||
      rank < 1 || rank > kMaxRank || !PyBool_Check(args[5]) || !PyBool_Check(args[6]))
    return not_plain();
  const at::Tensor* const input = read_tensor(args[1]);
  if (!input || !is_plain(*input) || input->dim() != rank + 2) return not_plain();
  Integers kernel, stride, padding;
  if (!read_integers(args[2], rank, 1, kernel) ||
      !read_integers(args[3] == Py_None ? args[2] : args[3], rank, 1, stride) ||
      !read_integers(args[4], rank, 2, padding))
    return not_plain();
  const at::Tensor y = [&] {
    const WithoutLock unlocked;
    return ops::call_avg_pool(
        *input, {kernel, stride, padding, {}, args[5] == Py_True, args[6] == Py_True, 0});
  }();
  return THPVariable_Wrap(y);
  END_HANDLE_TH_ERRORS
}

PyMethodDef method(const char* name,
                   PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
          METH_FASTCALL, nullptr};
}

}  // namespace

PyMethodDef fast_calls[] = {method("fast_conv", conv),
                            method("fast_conv_input_grad", conv_input_grad),
                            method("fast_max_pool", max_pool),
                            method("fast_avg_pool", avg_pool),
                            {nullptr, nullptr, 0, nullptr}};

}  // namespace cnnkern::python
