// SPDX-License-Identifier: BSD-3-Clause
// Every header that kernels use, compiled for the baseline: an isa_*.cpp includes it before the
// target pragma. A header included after it would leave weak functions with instructions that the
// CPU may lack, and the linker keeps one copy of each for the whole program.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#if defined(__x86_64__)
// gcc's own header reads what its "undefined" vectors leave unwritten, and gcc warns of it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
#include "kernels.h"
#include "scalar.h"

// GCC and clang spell "functions from here on are for this target" differently.
#define CNNKERN_DO(text) _Pragma(#text)
#if defined(__clang__)
#define CNNKERN_TARGET_BEGIN(isa) \
  CNNKERN_DO(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define CNNKERN_TARGET_END CNNKERN_DO(clang attribute pop)
#else
#define CNNKERN_TARGET_BEGIN(isa) CNNKERN_DO(GCC push_options) CNNKERN_DO(GCC target(isa))
#define CNNKERN_TARGET_END CNNKERN_DO(GCC pop_options)
#endif
