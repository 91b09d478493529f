// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include <Python.h>

namespace cnnkern::python {

// Methods for the extension module, ended by a null entry.
extern PyMethodDef fast_calls[];

}  // namespace cnnkern::python
