# SPDX-License-Identifier: BSD-3-Clause
"""What the plan expects of a GPU that has not been measured: the time of every layer of a network.

    python benchmarks/predictions.py > benchmarks/predictions_h200.md

A measurement is held against this table. It holds no measurement itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from cnnkern import _C  # noqa: E402
from cnnkern.benchmark.markdown import code, table  # noqa: E402
from cnnkern.benchmark.suites import Layer, read_suite, with_batch, with_form  # noqa: E402
from cnnkern.cli.parser import Parser, launch, positive  # noqa: E402
from cnnkern.testing.directions import DIRECTIONS  # noqa: E402

NETWORKS = ("resnet50", "vgg16", "inception_v3", "densenet121")


def parser() -> Parser:
    top = Parser(
        prog="predictions.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--device", default="H200", help="a GPU that plans know (%(default)s)")
    top.add_argument("--batch", type=positive, default=32, help="images (%(default)s)")
    top.add_argument("--dtype", default="bfloat16", help="(%(default)s)")
    return top


def convolutions(network: str, batch: int, dtype: str) -> list[Layer]:
    """The network's convolutions in that form, channels last."""
    return [
        Layer(network, layer.name, problem, layer.count)
        for layer in read_suite(network)
        if layer.problem.op.startswith("conv")
        for problem in [with_form(with_batch(layer.problem, batch), dtype, "channels_last")]
    ]


def time_text(us: float) -> str:
    return f"{us:.1f}" if us < 100 else f"{us:.0f}"


def network_table(layers: list[Layer], device: str) -> tuple[str, list[str]]:
    """A line for each layer, and the sums over the network: a repeated layer counts as often."""
    lines: list[list[str]] = []
    sums = [0.0] * len(DIRECTIONS)
    for layer in layers:
        cells = []
        for i, direction in enumerate(DIRECTIONS):
            plan = _C.plan(layer.problem, direction, device=device)
            sums[i] += layer.count * plan.predicted_us
            cells.append(f"{time_text(plan.predicted_us)} {plan.algorithm}, {plan.bound}")
        lines.append([code(layer.name), str(layer.count), *cells])
    return table(["layer", "times", *DIRECTIONS], lines), [f"{us / 1e3:.2f}" for us in sums]


def page(device: str, batch: int, dtype: str) -> str:
    """The whole page."""
    totals: list[list[str]] = []
    parts: list[str] = []
    for network in NETWORKS:
        text, sums = network_table(convolutions(network, batch, dtype), device)
        totals.append([network, *sums])
        parts.append(f"## {network}\n{text}\n")
    return "\n".join(
        [
            f"# Predicted, not measured: {device}, {batch} images, {dtype}, channels_last",
            "",
            "Each time is the plan's, in microseconds, of one call: the overhead of a call, then "
            "the longer of its",
            "arithmetic and its bytes. Beside it stand the algorithm that would serve, and what "
            "binds it. Made by",
            "`python benchmarks/predictions.py`; a measurement of the same layers is to be held "
            "against it.",
            "",
            table(["convolutions, ms", *DIRECTIONS], totals),
            "",
            *parts,
        ]
    )


def run(options: argparse.Namespace) -> int:
    print(page(options.device, options.batch, options.dtype), end="")
    return 0


def main(arguments: list[str] | None = None) -> int:
    return launch(parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
