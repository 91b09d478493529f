# SPDX-License-Identifier: BSD-3-Clause
"""Winograd's tiles: their edges, what they round, and what is not finite."""

from __future__ import annotations

import pytest
import torch

import cnnkern
from cnnkern import _C
from cnnkern.testing import Call, check_close, derivatives, magnitudes, random_normal, truth
from cnnkern.testing.directions import draw, run

DIRECTIONS = ("forward", "input_grad")
# Sizes that leave each remainder of a tile, blocks of several images and of a part of
# one, filters in several passes (the last line), channels and filters that fill no vector.
SIZES = [
    "conv2d 2x16x8x8 16x16x3x3 padding=1",
    "conv2d 3x5x7x9 4x5x3x3 padding=1 bias",
    "conv2d 1x13x3x3 7x13x3x3",
    "conv2d 1x8x4x61 9x8x3x3 padding=0:2,2:1 bias activation=relu",
    "conv2d 17x16x4x4 33x16x3x3 padding=1",
    "conv2d 2x12x10x10 20x6x3x3 padding=1 groups=2 bias",
    "conv2d 2x130x9x11 20x130x3x3 padding=1 bias",
    "conv2d 2x514x9x11 20x514x3x3 padding=1 bias",
    "conv2d 1x520x14x5 512x520x3x3 padding=2",
    "conv2d 9x512x6x6 30x512x3x3 padding=1",
    "conv2d 1x1030x12x17 20x515x3x3 padding=0:1,1:0 groups=2",
    "conv2d 1x512x8x8 512x512x3x3 padding=1",
]
FORMATS = ("contiguous", "channels_last")


def plan(problem: str, direction: str = "forward", algorithm: str = "auto") -> _C.Plan:
    return _C.plan(_C.parse(problem), direction, algorithm)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("problem", SIZES)
def test_every_edge_of_a_tile(problem, layout, dtype):
    call = Call.parse(f"{problem} format={layout} dtype={dtype}")
    operands = draw(call, random_normal)
    tensors, grad = operands.tensors, operands.grad
    for direction, which in zip(DIRECTIONS, (0, 1), strict=True):
        if direction == "input_grad" and call.relu:
            continue
        y64, theirs, sums = (
            f(call, tensors, grad)[which] for f in (truth, derivatives, magnitudes)
        )
        for result in run(call, direction, operands, "winograd"):
            check_close(result, y64, theirs, sums, call.dtype, name=f"{call.text}: {direction}")
    for guard in operands.guards:
        guard.check(call.text)


@pytest.mark.parametrize("channels", [32, 512])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_the_batch_does_not_choose(channels, n):
    plans = [plan(f"conv2d {n}x{channels}x20x20 {channels}x{channels}x3x3 padding=1", way)
             for way in DIRECTIONS]  # fmt: skip
    assert [made.algorithm for made in plans] == ["winograd"] * 2
    assert all(made.batch_invariant for made in plans)


@pytest.mark.parametrize("channels", [24, 512])
def test_a_sample_has_its_bits_in_any_batch_and_on_any_threads(channels):
    torch.manual_seed(0)
    x, w = torch.randn(9, channels, 11, 13), torch.randn(40, channels, 3, 3)
    arguments = ([1, 1], [1] * 4, [1, 1], 1, False, "winograd")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([torch.ops.cnnkern.conv(one[None], w, None, *arguments) for one in x])
        torch.set_num_threads(2)
        assert torch.equal(torch.ops.cnnkern.conv(x, w, None, *arguments), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 3e38])
@pytest.mark.parametrize("channels", [16, 512])
def test_what_is_not_finite_stays_in_its_windows(channels, value):
    """A transform would spread it over a tile; 3e38 overflows inside one."""
    torch.manual_seed(0)
    x, w = torch.randn(2, channels, 9, 9), torch.randn(8, channels, 3, 3) / 100
    x[1, 3, 4, 4] = value
    arguments = ([1, 1], [1] * 4, [1, 1], 1)
    got, want = (
        torch.ops.cnnkern.conv(x, w, None, *arguments, False, name)
        for name in ("winograd", "direct")
    )
    assert torch.isfinite(want[1]).sum() >= 8 * 72
    assert torch.equal(got.isfinite(), want.isfinite())
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize(
    ("problem", "direction", "reason"),
    [
        ("conv2d 1x16x9x9 8x16x3x3 stride=2", "forward", "stride is 2x2, needs 1x1"),
        ("conv2d 1x16x9x9 8x16x5x3", "input_grad", "kernel is 5x3, needs 3x3"),
        ("conv2d 1x16x9x9 8x16x3x3", "weight_grad", "has no weight gradient of 3x3 filters"),
        ("conv2d 1x16x9x9 8x16x3x3 dtype=float64", "forward", "float64, needs float32 sums"),
        ("conv3d 1x16x2x9x9 8x16x1x3x3", "forward", "input depth is 2, needs 1"),
        (
            "conv2d 1x6x9x9 8x3x3x3 groups=2",
            "forward",
            "C/groups is 3, K/groups 4, needs 4 of both",
        ),
        ("conv2d 1x16x1x9 8x16x3x3 padding=1", "forward", "3x3 taps see nothing but padding"),
    ],
)
def test_refusals_say_why(problem, direction, reason):
    with pytest.raises(RuntimeError, match=f"algorithm winograd does not serve this.*{reason}"):
        plan(problem, direction, "winograd")


def test_is_passed_over_where_it_saves_little():
    made = plan("conv2d 8x4x64x64 64x4x3x3 padding=1")
    assert made.algorithm == "direct"
    assert "its transforms leave" in dict(made.refused)["winograd"]
    assert plan("conv2d 8x4x64x64 64x4x3x3 padding=1", algorithm="winograd").algorithm == "winograd"


def test_borders_other_than_zeros_are_direct():
    layer = torch.nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect").double()
    ours = cnnkern.nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect", algorithm="winograd")
    ours.load_state_dict({k: v.float() for k, v in layer.state_dict().items()})
    x = torch.randn(2, 16, 9, 9)
    torch.testing.assert_close(ours(x).double(), layer(x.double()), rtol=1e-5, atol=1e-5)


def test_cuda_has_none():
    with pytest.raises(RuntimeError, match=r"winograd.*no kernel for this device"):
        _C.plan(_C.parse("conv2d 1x64x9x9 8x64x3x3"), "forward", "winograd", device="H200")
