# SPDX-License-Identifier: BSD-3-Clause
"""CUDA tensors without a GPU: what the operators refuse, with which words, and that they go on.

Run by test_fake_cuda.py in a process of its own, because the stand-in for the CUDA backend stays.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch

import cnnkern
from cnnkern import functional

BUILD = Path(__file__).resolve().parent.parent.parent / "build" / "fake_cuda"


@cache
def _fake():
    # Not on import: whoever looks for doctests imports this file.
    spec = importlib.util.spec_from_file_location("fake_cuda", BUILD / "fake_cuda.so")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRIVER = r"cannot ask device cuda:0 for its traits: .*driver"


def tensor(*size, dtype=torch.float32):
    return _fake().empty(list(size), dtype)


def test_the_stand_in_is_a_cuda_tensor():
    t = tensor(2, 3)
    assert t.is_cuda
    assert t.device == torch.device("cuda:0")


def test_without_a_driver_the_call_says_so_and_the_next_one_too():
    x, w = tensor(1, 3, 8, 8), tensor(4, 3, 3, 3)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=DRIVER):
            functional.conv2d(x, w)
        with pytest.raises(RuntimeError, match=DRIVER):
            functional.max_pool2d(x, 2)
        with pytest.raises(RuntimeError, match=DRIVER):
            functional.avg_pool2d(x, 2)
    assert functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)).item() == 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_dtype_reaches_the_driver(dtype):
    x, w = tensor(1, 4, 8, 8, dtype=dtype), tensor(4, 1, 3, 3, dtype=dtype)
    with pytest.raises(RuntimeError, match=DRIVER):
        functional.conv2d(x, w, groups=4)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_operator_reaches_the_driver(rank):
    ops, lists = torch.ops.cnnkern, ([1] * rank, [0] * 2 * rank, [1] * rank)
    x, w, y = tensor(2, 3, *[8] * rank), tensor(4, 3, *[3] * rank), tensor(2, 4, *[6] * rank)
    pool = ([2] * rank, [2] * rank, [0] * 2 * rank)
    half, taps = tensor(2, 3, *[4] * rank), tensor(2, 3, *[4] * rank, dtype=torch.uint8)
    ones, size = [1] * rank, list(x.shape)
    indices = tensor(2, 3, *[4] * rank, dtype=torch.int64)
    edge = "replicate", "auto"
    calls = [
        lambda: ops.conv(x, w, None, *lists, 1, False, "auto"),
        lambda: ops.conv_input_grad(y, w, None, size, *lists, 1, False, "auto"),
        lambda: ops.conv_weight_grad(y, x, list(w.shape), *lists, 1, True, "auto"),
        lambda: ops.conv_border(x, w, None, *lists, 1, False, "circular", "auto"),
        lambda: ops.conv_border_input_grad(y, w, size, *lists, 1, "reflect", "auto"),
        lambda: ops.conv_border_weight_grad(y, x, list(w.shape), *lists, 1, True, *edge),
        lambda: ops.max_pool(x, *pool, ones, False, True, []),
        lambda: ops.max_pool_grad(half, taps, size, *pool, ones, False, []),
        lambda: ops.max_pool_gather(x, taps, *pool, ones, False, []),
        lambda: ops.max_pool_indices(taps, size, *pool, ones, False, []),
        lambda: ops.avg_pool(x, *pool, False, True, 0, []),
        lambda: ops.avg_pool_grad(half, size, *pool, False, True, 0, []),
        lambda: ops.max_unpool(half, indices, size[2:]),
        lambda: ops.max_unpool_grad(x, indices),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=DRIVER):
            call()


def test_mixed_devices_are_refused():
    here, there = torch.ones(1, 3, 8, 8), tensor(1, 3, 8, 8)
    weight_here, weight_there = torch.ones(4, 3, 3, 3), tensor(4, 3, 3, 3)
    with pytest.raises(RuntimeError, match=r"weight on the device of input, cuda:0, got cpu"):
        functional.conv2d(there, weight_here)
    with pytest.raises(RuntimeError, match=r"weight on the device of input, cpu, got cuda:0"):
        functional.conv2d(here, weight_there)
    with pytest.raises(RuntimeError, match=r"bias on the device of input, cuda:0, got cpu"):
        functional.conv2d(there, weight_there, torch.ones(4))
    with pytest.raises(RuntimeError, match=r"argmax on the device of the other tensor"):
        torch.ops.cnnkern.max_pool_gather(
            there,
            torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
            [2, 2],
            [2, 2],
            [0] * 4,
            [1, 1],
            False,
            [],
        )


def test_the_checks_are_those_of_the_cpu():
    def message(device):
        make = tensor if device == "cuda" else torch.ones
        texts = []
        for input, weight, extra in (
            ((1, 3, 8, 8), (4, 2, 3, 3), {}),
            ((1, 3, 8, 8), (4, 3, 9, 3), {}),
            ((1, 4, 8, 8), (6, 2, 3, 3), {"groups": 3}),
            ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 0}),
        ):
            with pytest.raises(RuntimeError) as caught:
                functional.conv2d(make(*input), make(*weight), **extra)
            texts.append(str(caught.value))
        return texts

    assert message("cuda") == message("cpu")


def test_dtypes_without_kernels_are_refused():
    for dtype in (torch.int32, torch.int64, torch.uint8):
        x = tensor(1, 3, 8, 8, dtype=dtype)
        with pytest.raises(NotImplementedError, match="float32, float64, float16 or bfloat16"):
            functional.max_pool2d(x, 2)


def test_explanations_need_no_device():
    assert "H200" in str(cnnkern.explain("conv2d 8x64x56x56 64x64x3x3 padding=1", device="H200"))
