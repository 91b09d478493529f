# SPDX-License-Identifier: BSD-3-Clause
"""Every operator once on small odd problems: what compute-sanitizer watches.

    compute-sanitizer --tool racecheck python benchmarks/gpu/selection.py

Inputs are drawn on the CPU, so that few other kernels run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cnnkern.benchmark.case import Case, directions_of, draw, our_call  # noqa: E402
from cnnkern.benchmark.measure import DIRECTIONS  # noqa: E402
from cnnkern.benchmark.suites import with_form  # noqa: E402
from cnnkern.functional import conv2d, conv_block2d  # noqa: E402
from cnnkern.problem import PoolProblem, Problem, parse  # noqa: E402

LINES = (
    "conv2d 2x6x9x8 4x6x3x3 stride=2 padding=1",
    "conv2d 1x16x17x13 32x16x3x3 padding=1",
    "conv2d 2x3x19x21 8x3x5x5 stride=2 padding=2",
    "conv2d 2x512x3x4 40x512x3x1 padding=1:1,0:0",  # tensor cores split its sums
    "conv1d 2x8x33 8x2x4 dilation=2 groups=4",
    "conv3d 1x4x5x6x7 4x4x2x3x2 padding=1",
    "conv2d 2x16x19x17 16x1x3x3 padding=1 groups=16",
    "conv2d 2x8x12x11 16x1x5x5 stride=2 padding=2 groups=8",
    "max_pool2d 2x16x19x17 kernel=3 stride=2 padding=1",
    "max_pool1d 2x5x33 kernel=4 stride=3",
    "avg_pool2d 2x16x19x17 kernel=3 stride=2 padding=1",
    "avg_pool3d 1x3x6x7x5 kernel=2",
)
ALGORITHMS = ("auto", "direct", "im2col", "depthwise", "implicit_gemm")


def forms(text: str) -> list[Problem]:
    problem = parse(text)
    formats = ("contiguous", "channels_last")[: 1 if problem.rank == 1 else 2]
    found = [
        with_form(problem, dtype, format) for dtype in ("float32", "bfloat16") for format in formats
    ]
    # Where float32 may be rounded so, other kernels serve.
    tf32 = [] if isinstance(problem, PoolProblem) else [parse(f"{found[0]} tf32")]
    return [*found, *tf32]


def main(arguments: list[str]) -> int:
    device = "cpu" if "--dry" in arguments else "cuda"
    calls = refused = 0
    problems = [form for text in (LINES[:2] if device == "cpu" else LINES) for form in forms(text)]
    for problem in problems:
        operands = draw(problem, device, drawn_on="cpu")
        tf32 = getattr(problem, "tf32", False)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
            for algorithm in ("auto",) if isinstance(problem, PoolProblem) else ALGORITHMS:
                for direction in directions_of(problem, DIRECTIONS):
                    try:
                        our_call(Case(problem, direction, operands), algorithm)()
                        calls += 1
                    except RuntimeError as error:
                        if "refused" not in str(error) and algorithm not in str(error):
                            raise
                        refused += 1
    for dtype in (torch.float32, torch.bfloat16):
        x, w = torch.randn(2, 32, 12, 13).to(device, dtype), torch.randn(40, 32, 3, 3)
        with torch.no_grad():
            conv_block2d(x, w.to(x), padding=1, pool_size=3, pool_stride=2)
            conv2d(x, w.to(x), padding=1, residual=torch.randn(2, 40, 12, 13).to(x))
            x, w = torch.randn(2, 512, 3, 4).to(x), torch.randn(40, 512, 3, 1)  # split, as above
            residual = torch.randn(2, 40, 3, 4).to(x)
            conv2d(x, w.to(x), padding=(1, 0), residual=residual, activation="relu")
        calls += 3
    if device == "cuda":
        torch.cuda.synchronize()
    print(f"{calls} calls, {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
