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
        "call.bias = bias;",
        "call.bias = gradient ? bias : nullptr;",
    ),
    Mutation(
        "a missing bias where lanes are pixels",
        "cpu/conv_pixels_driver.cpp",
        "call.bias = bias;",
        "call.bias = nullptr;",
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
        "common.bias = bias;",
        "common.bias = nullptr;",
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
