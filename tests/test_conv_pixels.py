# SPDX-License-Identifier: BSD-3-Clause
"""Direct convolution into few channels, whose lanes are pixels: edges of its rows and blocks."""

from __future__ import annotations

import pytest
import torch

import cnnkern.functional as F
from cnnkern import _C
from cnnkern.testing import Call, check_close, derivatives, magnitudes, random_normal, truth
from cnnkern.testing.directions import draw, run

# One to four destination channels of a group: K forward, C of an input gradient.
FORWARD = [
    "conv2d 2x5x9x30 1x5x3x3 padding=1 bias",
    "conv2d 1x70x11x17 2x70x3x3 padding=0:2,2:1 bias activation=relu",
    "conv2d 2x16x12x21 3x16x5x3 stride=2,1 padding=2,1",
    "conv2d 1x8x23x24 4x8x3x3 dilation=4,3 padding=2",
    "conv2d 2x12x10x26 12x4x3x3 padding=1 groups=3 bias",
    "conv2d 1x130x6x31 3x130x1x1 bias",
    "conv1d 2x6x1100 2x6x9 padding=4",
    "conv3d 1x9x5x7x25 3x9x3x3x3 stride=2,1,1 padding=1 bias",
]
INPUT_GRAD = [
    "conv2d 2x3x40x37 20x3x7x7 stride=2 padding=3",
    "conv2d 1x3x43x51 33x3x11x11 stride=4",
    "conv2d 1x1x21x65 6x1x5x9 stride=2,3 padding=1,4",
    "conv2d 2x4x17x33 16x4x3x3 padding=0:2,2:1",
    "conv2d 1x2x30x30 12x2x3x3 stride=2 dilation=2 padding=2",
    "conv2d 1x3x300x30 8x3x3x3 padding=1",
    "conv2d 2x12x19x26 24x3x3x3 stride=2 padding=1 groups=4",
    "conv2d 1x3x29x31 7x3x2x2 stride=3",
    "conv1d 2x3x2100 10x3x8 stride=2 padding=3",
    "conv3d 1x3x6x9x40 10x3x3x3x3 stride=1,2,2 padding=1",
]
# Depthwise, of long rows.
STRIDED = [
    "conv2d 2x9x13x41 9x1x3x3 stride=2 padding=1 groups=9",
    "conv2d 1x5x40x64 10x1x5x4 stride=2 padding=2 groups=5",
]
CASES = [
    (f"{problem} format={layout}", direction)
    for problems, direction in (
        (FORWARD, "forward"),
        (INPUT_GRAD, "input_grad"),
        (STRIDED, "input_grad"),
    )
    for problem in problems
    for layout in ("contiguous", "channels_last")
    if layout == "contiguous" or not problem.startswith("conv1d")
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("problem", "direction"), CASES)
def test_every_edge_of_a_row(problem, direction, dtype):
    call = Call.parse(f"{problem} dtype={dtype}")
    operands = draw(call, random_normal)
    which = 0 if direction == "forward" else 1
    tensors, grad = operands.tensors, operands.grad
    y64, theirs, sums = (f(call, tensors, grad)[which] for f in (truth, derivatives, magnitudes))
    for result in run(call, direction, operands, "auto"):
        check_close(result, y64, theirs, sums, call.dtype, name=f"{call.text}: {direction}")
    for guard in operands.guards:
        guard.check(call.text)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_infinity_stays_where_its_taps_are(layout):
    """Columns between the rows of a run are computed too, and must not be seen."""
    x = torch.randn(1, 4, 9, 30).contiguous(memory_format=layout)
    w = torch.randn(3, 4, 3, 3)
    x[0, 2, 4, 29] = torch.inf
    y = F.conv2d(x, w, padding=1, algorithm="direct")
    finite = torch.ones(9, 30, dtype=torch.bool)
    finite[3:6, 28:] = False
    assert y.isfinite().all(dim=1)[0].equal(finite)


@pytest.mark.parametrize("images", [1, 2, 7])
def test_blocks_do_not_show(images):
    """Blocks follow the batch; sums do not."""
    dy = torch.randn(images, 24, 30, 33)
    w = torch.randn(24, 3, 3, 3)
    every = F.conv_transpose2d(dy, w, stride=2, algorithm="direct")
    for i in range(images):
        assert every[i : i + 1].equal(
            F.conv_transpose2d(dy[i : i + 1], w, stride=2, algorithm="direct")
        )


def test_the_plan_counts_full_vectors():
    """Two lanes of eight would take four times as long."""
    few = _C.plan(_C.parse("conv2d 8x64x56x56 2x64x3x3 padding=1"), "forward", "direct")
    many = _C.plan(_C.parse("conv2d 8x64x56x56 16x64x3x3 padding=1"), "forward", "direct")
    assert few.predicted_us < many.predicted_us / 4
