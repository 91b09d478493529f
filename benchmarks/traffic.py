# SPDX-License-Identifier: BSD-3-Clause
"""Bytes and multiply-adds of every CUDA kernel, counted by the emulator, beside the least possible.

    make emulator && python benchmarks/traffic.py [--json FILE]

The least bytes are those of every tensor once. "Moved" are the 32-byte sectors of global memory
that each block touches, summed over blocks: what the second-level cache delivers where a block's
own re-reads hit the first. A matrix product of torch's is not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cnnkern import _C  # noqa: E402
from cnnkern.testing import Call, random_integers  # noqa: E402
from cnnkern.testing.devices import emulator, running  # noqa: E402
from cnnkern.testing.directions import DIRECTIONS, draw, run  # noqa: E402

SECTOR = 32


@dataclass(frozen=True)
class Row:
    """One kernel (or pair, where sums have two stages) on one problem."""

    kernel: str
    problem: str
    least_bytes: int
    moved_bytes: int
    least_multiply_adds: int
    multiply_adds: int
    widest_load: int
    widest_store: int

    @property
    def bytes_ratio(self) -> float:
        return self.moved_bytes / self.least_bytes

    @property
    def arithmetic_ratio(self) -> float:
        return self.multiply_adds / self.least_multiply_adds if self.least_multiply_adds else 0.0


# What must come within 1.1 of the least: layers of MobileNet, ConvNeXt and ResNet-50.
DEPTHWISE = [
    "conv2d 1x32x112x112 32x1x3x3 padding=1",
    "conv2d 1x96x112x112 96x1x3x3 stride=2 padding=1",
    "conv2d 2x144x56x56 144x1x3x3 padding=1",
    "conv2d 2x192x28x28 192x1x3x3 padding=1",
    "conv2d 4x576x14x14 576x1x3x3 padding=1",
    "conv2d 8x960x7x7 960x1x3x3 padding=1",
    "conv2d 2x240x14x14 240x1x5x5 padding=2",
]
SLIDING: list[int] = []  # the pools' operators take an output size where windows are uneven
MAX_POOL = [
    "max_pool2d 1x64x112x112 kernel=3 stride=2 padding=1",
    "max_pool2d 2x128x56x56 kernel=2",
    "max_pool2d 2x256x28x28 kernel=3 stride=1 padding=1",
]
AVG_POOL = [
    "avg_pool2d 1x64x112x112 kernel=3 stride=2 padding=1",
    "avg_pool2d 2x128x56x56 kernel=2",
    "avg_pool2d 2x256x28x28 kernel=3 stride=1 padding=1",
    "avg_pool2d 2x2048x7x7 kernel=7",
]
IM2COL = ["conv2d 2x32x56x56 32x32x3x3 padding=1", "conv2d 2x16x56x56 16x16x3x3 stride=2 padding=1"]
# Bound by arithmetic: bytes are shown, nothing is asked of them.
DIRECT = [
    "conv2d 1x3x64x64 32x3x7x7 stride=2 padding=3",
    "conv2d 1x32x28x28 64x32x3x3 padding=1",
    "conv2d 1x64x14x14 64x2x3x3 padding=1",
]


def formats(problems: list[str]) -> list[str]:
    return [line + word for line in problems for word in ("", " format=channels_last")]


def counted(work: Callable[[], object]) -> dict[str, int]:
    """What the emulator counted while ``work`` ran."""
    simt = emulator()
    if simt is None:
        raise SystemExit("the emulator is not built: make emulator")
    simt.count_sectors(True)
    simt.reset_stats()
    try:
        work()
        return dict(simt.stats())
    finally:
        simt.count_sectors(False)


def row(kernel: str, problem: str, work: Callable[[], object], least: int, adds: int) -> Row:
    counts = counted(work)
    moved = SECTOR * (counts["sectors_loaded"] + counts["sectors_stored"])
    widest = counts["widest_load"], counts["widest_store"]
    return Row(kernel, problem, least, moved, adds, counts["multiply_adds"], *widest)


def conv_row(problem: str, direction: str, algorithm: str) -> Row:
    """A direction of a convolution. im2col: its own kernel, the matrix laid out or summed up."""
    call, plan = Call.parse(problem), _C.plan(_C.parse(problem), direction, device="H200")
    operands = draw(call, random_integers)
    aligned = type(operands)(
        *(t.clone() for t in (operands.input, operands.weight)), None, operands.grad.clone()
    )
    least, adds = int(plan.bytes), int(plan.flops) // 2
    if algorithm == "im2col":
        matrix = math.prod(call.kernel_size) * call.input_size[1] * math.prod(call.output_size[2:])
        least = 4 * (math.prod(call.input_size) + call.input_size[0] * matrix)
        adds = 0
    name = f"conv_{algorithm} {direction}"
    return row(name, problem, lambda: run(call, direction, aligned, algorithm), least, adds)


def pool_rows(problem: str) -> list[Row]:
    """Forward, for a maximum with its argmax too, and backward."""
    call, ops = Call.parse(problem), torch.ops.cnnkern
    generator = torch.Generator().manual_seed(0)
    x = call.laid_out(random_integers(call.input_size, call.dtype, generator))
    dy = call.laid_out(random_integers(call.output_size, call.dtype, generator))
    lists = (call.kernel_size, call.stride, call.flat_padding)
    size = list(call.input_size)
    least = 4 * (x.numel() + dy.numel())
    if call.is_max:
        rest = (*lists, call.dilation, call.ceil_mode)
        argmax = ops.max_pool(x, *rest, True, SLIDING)[1]
        return [
            row("max_pool", problem, lambda: ops.max_pool(x, *rest, False, SLIDING), least, 0),
            row(
                "max_pool, argmax",
                problem,
                lambda: ops.max_pool(x, *rest, True, SLIDING),
                least + dy.numel(),
                0,
            ),
            row(
                "max_pool_grad",
                problem,
                lambda: ops.max_pool_grad(dy, argmax, size, *rest, SLIDING),
                least + dy.numel(),
                0,
            ),
        ]
    rest = (*lists, call.ceil_mode, call.count_include_pad, 0, SLIDING)
    return [
        row("avg_pool", problem, lambda: ops.avg_pool(x, *rest), least, 0),
        row("avg_pool_grad", problem, lambda: ops.avg_pool_grad(dy, size, *rest), least, 0),
    ]


def rows() -> list[Row]:
    """Everything, on the emulated device."""
    with running("emulated"):
        found = [pool for problem in formats(MAX_POOL + AVG_POOL) for pool in pool_rows(problem)]
        for algorithm, problems in (
            ("depthwise", DEPTHWISE),
            ("im2col", IM2COL),
            ("direct", DIRECT),
        ):
            found += [
                conv_row(problem, direction, algorithm)
                for problem in formats(problems)
                for direction in DIRECTIONS
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write every row there")
    options = parser.parse_args()
    table = Table("kernel", "problem", "bytes / least", "multiply-adds / least", "widest access")
    found = rows()
    for r in found:
        arithmetic = f"{r.arithmetic_ratio:.2f}" if r.least_multiply_adds else "-"
        widest = f"{r.widest_load} / {r.widest_store}"
        table.add_row(r.kernel, r.problem, f"{r.bytes_ratio:.2f}", arithmetic, widest)
    Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in found], indent=1) + "\n")


if __name__ == "__main__":
    main()
