# SPDX-License-Identifier: BSD-3-Clause
"""Faults to plant in the kernels, each of which the tests must find.

A fault is a replacement in one source file; what it replaces occurs there exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One planted fault and the test file that must turn red."""

    name: str
    file: str  # below csrc
    old: str
    new: str
    tests: str = "test_conv_exact.py"


MUTATIONS = (
    Mutation(
        "a swapped pad",
        "cpu/conv_gather.cpp",
        "g.stride[i], -g.pad_before[i],",
        "g.stride[i], -g.pad_after[i],",
    ),
    Mutation(
        "a dropped tap",
        "cpu/conv_gather.cpp",
        "axis.taps = std::max<int64_t>(0, end - begin);",
        "axis.taps = std::max<int64_t>(0, end - begin - (end - begin > 2));",
    ),
    Mutation(
        "a wrong group offset",
        "cpu/conv_gather_driver.cpp",
        "g.k / g.groups * w.stride[0]",
        "g.k / g.groups / 2 * w.stride[0]",
    ),
    Mutation(
        "a missing bias",
        "cpu/conv_gather_driver.cpp",
        "operands_of(g, x, added, y)",
        "operands_of(g, x, {gradient ? added.bias : nullptr, added.residual}, y)",
    ),
    Mutation(
        "a missing bias where lanes are pixels",
        "cpu/conv_pixels_driver.cpp",
        "operands_of(g, x, added, y)",
        "operands_of(g, x, {nullptr, added.residual}, y)",
        "test_conv_pixels.py",
    ),
    Mutation(
        "an unwritten border",
        "cpu/conv_blocking.cpp",
        "axis.blocks = divide_up(axis.out, axis.block);",
        "axis.blocks = axis.out / axis.block;",
    ),
    Mutation(
        "a tile's last row unwritten",
        "cpu/conv_winograd_kernel.h",
        "if (i >= rows) break;",
        "if (i + 1 >= rows) break;",
        "test_conv_winograd.py",
    ),
    Mutation(
        "infinities that spread over a tile",
        "cpu/conv_winograd_driver.cpp",
        "if (!finite) gather_conv(",
        "if (false) gather_conv(",
        "test_conv_winograd.py",
    ),
    Mutation(
        "a missing bias of depthwise convolutions",
        "cpu/conv_depthwise_driver.cpp",
        "operands_of(g, x, added, y)",
        "operands_of(g, x, {nullptr, added.residual}, y)",
    ),
    Mutation(
        "a pool's padding on the wrong side",
        "cpu/pool_drive.cpp",
        "problem.pad_before[i], problem.pad_after[i], problem.dilation[i]",
        "problem.pad_after[i], problem.pad_before[i], problem.dilation[i]",
        "test_pool_exact.py",
    ),
    Mutation(
        "padding counted where it must not be",
        "cpu/pool_drive.cpp",
        "shape.count_padding = problem.count_include_pad;",
        "shape.count_padding = true;",
        "test_pool_accuracy.py",
    ),
)

# Of what is added before a result is stored.
MUTATIONS += tuple(
    Mutation(name, file, old, new, f"test_conv_{tests}.py")
    for name, tests, file, old, new in (
        (
            "a residual of another pixel",
            "add",
            "cpu/conv_tile.h",
            "load(out.residual + destination[j] + v * n)",
            "load(out.residual + destination[0] + v * n)",
        ),
        (
            "a residual of another filter",
            "add",
            "cpu/conv_store.h",
            "load_first(end.residual + at + k * filter_stride, length)",
            "load_first(end.residual + at, length)",
        ),
        (
            "a residual that stays behind its channels",
            "add",
            "cpu/conv_depthwise_kernel.h",
            "to.residual += to.residual ? n : 0;",
            "",
        ),
        (
            "a residual of one row only",
            "add",
            "cpu/conv_pixels_kernel.h",
            "if (residual) value +=",
            "if (residual && i == 0) value +=",
        ),
        (
            "a residual of another group",
            "implicit_gemm_add",
            "cuda/conv_implicit_gemm_gather_kernel.h",
            "static_cast<const T*>(p.residual) + first;",
            "static_cast<const T*>(p.residual);",
        ),
        (
            "a residual that is not there yet",
            "implicit_gemm_add",
            "cuda/conv_implicit_gemm_gather_kernel.h",
            "load<run.value>(residual + at));\n    });\n    __syncthreads();",
            "load<run.value>(residual + at));\n    });",
        ),
        (
            "a residual of the first sample only",
            "implicit_gemm_add",
            "cuda/conv_implicit_gemm_gather_sums_kernel.h",
            "(p.residual)[to + sample * p.y_sample]",
            "(p.residual)[to]",
        ),
    )
)

# Of the implicit matrix product on tensor cores, planted in the emulator.
MUTATIONS += tuple(
    Mutation(name, f"cuda/{file}", old, new, "test_conv_implicit_gemm.py")
    for name, file, old, new in (
        (
            "a wrong fragment index",
            "mma_tile.h",
            "const int low = lane / 8 % 2, high = lane / 16;",
            "const int low = lane / 16, high = lane / 8 % 2;",
        ),
        (
            "a missing wait",
            "mma_tile.h",
            "cp_async_wait<Tile::kStages - 2>();",
            "cp_async_wait<Tile::kStages - 1>();",
        ),
        (
            "a missing barrier",
            "mma_tile.h",
            "cp_async_wait<Tile::kStages - 2>();\n    __syncthreads();",
            "cp_async_wait<Tile::kStages - 2>();",
        ),
        (
            "a stale stage",
            "mma_tile.h",
            "fetch(stages + writing * Tile::kStage);",
            "fetch(stages + reading * Tile::kStage);",
        ),
        (
            "a swapped pad on a GPU",
            "conv_phases.cpp",
            "-g.pad_before[axis], g.dilation[axis]",
            "-g.pad_after[axis], g.dilation[axis]",
        ),
        (
            "a wrong phase offset",
            "conv_phases.cpp",
            "phase.base = (h0 + g.pad_before[axis]",
            "phase.base = (h0 + stride + g.pad_before[axis]",
        ),
        (
            "a filter that stays behind its tap",
            "conv_implicit_gemm_gather_kernel.h",
            "w_move[i] = w_step - w_inner;",
            "w_move[i] = w_step;",
        ),
        (
            "filters read past the last column",
            "conv_implicit_gemm_gather_kernel.h",
            "const bool given = more && column < columns;",
            "const bool given = more;",
        ),
        (
            "a part that begins a tap late",
            "conv_implicit_gemm_gather_kernel.h",
            "tap[i] = step % taps[i];",
            "tap[i] = (step + 1) % taps[i];",
        ),
        (
            "parts that are added twice",
            "conv_implicit_gemm_gather_kernel.h",
            "part_sums.clear();",
            "",
        ),
        (
            "a lost part",
            "conv_implicit_gemm_gather_sums_kernel.h",
            "} while (++part * p.part_steps < steps);",
            "} while (++part * p.part_steps < steps - p.part_steps);",
        ),
        (
            "a lost split",
            "conv_implicit_gemm_weight_grad_kernel.h",
            "for (int32_t s = 0; s < p.splits; ++s)",
            "for (int32_t s = 0; s + 1 < p.splits; ++s)",
        ),
        (
            "a bias gradient without its column of ones",
            "conv_implicit_gemm_weight_grad_kernel.h",
            "return __builtin_bit_cast(uint16_t, narrow<T>(1.0f)) * 0x10001u;",
            "return __builtin_bit_cast(uint16_t, narrow<T>(1.0f));",
        ),
    )
)

# Of the same product with a max pool in one kernel.
MUTATIONS += tuple(
    Mutation(
        name, f"cuda/conv_implicit_gemm_pool_{file}", old, new, "test_conv_implicit_gemm_pool.py"
    )
    for name, file, old, new in (
        (
            "a tile that begins behind the pool's padding",
            "kernel.h",
            "p.axis[a].stride - p.axis[a].pad +",
            "p.axis[a].stride +",
        ),
        (
            "a window without its last tap",
            "kernel.h",
            "w < p.axis[2].taps;",
            "w < p.axis[2].taps - (p.axis[2].taps > 1);",
        ),
        (
            "zeros around the pool's input",
            "kernel.h",
            "narrow<T>(-INFINITY)",
            "narrow<T>(0.0f)",
        ),
        (
            "a maximum before all results are there",
            "kernel.h",
            "column, results);\n  });\n  __syncthreads();",
            "column, results);\n  });",
        ),
        (
            "a maximum that a NaN does not win",
            "kernel.h",
            "value > best[v] || value != value",
            "value > best[v]",
        ),
        (
            "windows of no tile",
            "tiles.cpp",
            "ceil_div(axis[i].windows, tiles.windows[i])",
            "std::max<int64_t>(1, axis[i].windows / tiles.windows[i])",
        ),
    )
)
