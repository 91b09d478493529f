# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive pools refuse what torch refuses, by the same exception types, and say why."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import cnnkern
from cnnkern import functional

OPS = torch.ops.cnnkern
SIZES: dict[str, Any] = {
    "negative": -1,
    "negative inside": (-1,),
    "too many": (1, 1, 1, 1),
    "empty": (),
    "float": 2.0,
    "bool": True,
    "string": "2",
    "none": None,
    "overflow": 2**70,
    "more than memory": 2**62,
}


def assert_same_refusal(op: str, *args: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        getattr(F, op)(*args)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        getattr(functional, op)(*args)
    expected = TypeError if theirs.type is AttributeError else theirs.type
    assert ours.type is expected, f"torch raises {theirs.value!r}, got {ours.value!r}"
    assert str(ours.value).startswith(f"{op}: "), ours.value


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg"])
class TestRefusals:
    @pytest.mark.parametrize("name", SIZES)
    def test_output_size(self, kind: str, rank: int, name: str) -> None:
        size = SIZES[name]
        assert_same_refusal(f"adaptive_{kind}_pool{rank}d", torch.randn(2, 4, *(6,) * rank), size)

    @pytest.mark.parametrize("inside", [2.0, "2", -1])
    def test_output_size_of_an_axis(self, kind: str, rank: int, inside: Any) -> None:
        size = (*(2,) * (rank - 1), inside)
        assert_same_refusal(f"adaptive_{kind}_pool{rank}d", torch.randn(2, 4, *(6,) * rank), size)

    def test_shapes(self, kind: str, rank: int) -> None:
        op, x = f"adaptive_{kind}_pool{rank}d", torch.randn(2, 4, *(6,) * rank)
        assert_same_refusal(op, x[None], 2)
        assert_same_refusal(op, x[..., :0], 2)
        if kind == "max" or rank == 3:
            assert_same_refusal(op, x[:, :0], 2)
        else:
            assert getattr(functional, op)(x[:, :0], 2).shape == (2, 0, *(2,) * rank)
        if rank > 1:
            assert_same_refusal(op, x[0, 0], (2,) * rank)
            assert_same_refusal(op, x[0, 0], 2)
        assert getattr(functional, op)(x[:0], 2).shape == (0, 4, *(2,) * rank)

    def test_types(self, kind: str, rank: int) -> None:
        op, x = f"adaptive_{kind}_pool{rank}d", torch.randn(2, 4, *(6,) * rank)
        for dtype in (torch.bool, torch.complex64, torch.int32):
            assert_same_refusal(op, x.to(dtype), 2)
        for bad in (None, [1.0], x.numpy()):
            with pytest.raises(TypeError, match=f"^{op}: expected input to be a Tensor"):
                getattr(functional, op)(bad, 2)

    def test_signature_is_torchs(self, kind: str, rank: int) -> None:
        names = ["input", "output_size"] + ["return_indices"] * (kind == "max")
        ours = inspect.signature(getattr(functional, f"adaptive_{kind}_pool{rank}d"))
        assert list(ours.parameters) == names

    def test_sizes_that_overflow_are_refused(self, kind: str, rank: int) -> None:
        op = f"adaptive_{kind}_pool{rank}d"
        x = torch.empty(0, 1, *(2**20,) * rank, device="meta")
        with pytest.raises(RuntimeError, match=op):
            getattr(functional, op)(torch.empty(0, 1, *(2**20,) * rank), 2**45)
        assert getattr(functional, op)(x[..., :5], (3,) * rank).shape == (0, 1, *(3,) * rank)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([2, 2], [], [], [], False), "expected kernel_size .* of 0 values"),
        (([], [2, 2], [], [], False), "expected stride .* of 0 values"),
        (([], [], [0] * 4, [], False), "expected padding .* of 0 values"),
        (([], [], [], [1, 1], False), "expected dilation .* of 0 values"),
        (([], [], [], [], True), "expected ceil_mode to be false"),
    ],
)
def test_the_operator_takes_one_kind_of_window(lists: Any, message: str) -> None:
    for device in ("cpu", "meta"):
        x = torch.zeros(1, 1, 5, 5, device=device)
        with pytest.raises(RuntimeError, match=f"adaptive_max_pool2d: {message}"):
            OPS.max_pool(x, *lists, False, [2, 2])
    with pytest.raises(RuntimeError, match="adaptive_avg_pool2d: expected no divisor"):
        OPS.avg_pool(torch.zeros(1, 1, 5, 5), [], [], [], False, True, 3, [2, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adaptive_avg_pool2d 1x2x5x5", "expected output="),
        ("adaptive_avg_pool2d 1x2x5x5 output=1,2,3", "expected one value or 2"),
        ("adaptive_avg_pool2d 1x2x5x5 output=-1", "expected output_size >= 0"),
        ("adaptive_avg_pool2d 1x2x5x5 output=2 kernel=2", "unknown argument 'kernel'"),
        ("adaptive_max_pool2d 1x2x0x5 output=2", "expected every size of input but the batch"),
        ("adaptive_pool2d 1x2x5x5 output=2", "did you mean 'adaptive_"),
        ("max_pool2d 1x2x5x5 output=2", "unknown argument 'output'"),
    ],
)
def test_texts_that_are_no_problem(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cnnkern._C.parse(text)


def test_the_argmax_must_fit() -> None:
    lists: Any = ([], [], [], [], False)
    dy = torch.zeros(1, 1, 2, 2)
    with pytest.raises(RuntimeError, match="adaptive_max_pool2d: expected argmax of shape"):
        OPS.max_pool_grad(dy, dy.int(), [1, 1, 5, 5], *lists, [2, 2])
    with pytest.raises(RuntimeError, match="adaptive_max_pool2d: expected grad_output of shape"):
        OPS.max_pool_grad(dy, dy.byte(), [1, 1, 5, 5], *lists, [2, 3])
