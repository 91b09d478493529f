# SPDX-License-Identifier: BSD-3-Clause
"""Times training steps and inference of whole networks: torch, converted, and fused for inference.

    python benchmarks/network_times.py --json benchmarks/results/DEVICE/beyond_suites/networks.json

All sides are called in turn in one process, on the same images: a training step is forward, the
mean of the outputs as loss, backward and SGD, in training mode; inference is forward under
torch.inference_mode. "converted" is cnnkern.convert, "fused" cnnkern.fuse and then convert.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils import _pytree as pytree

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import cnnkern  # noqa: E402
from cnnkern.benchmark import beyond_suites  # noqa: E402
from cnnkern.benchmark.clock import CpuClock  # noqa: E402
from cnnkern.benchmark.heading import busy_line, device_of, memory_line  # noqa: E402
from cnnkern.benchmark.machine import machine, state  # noqa: E402
from cnnkern.benchmark.results import Result  # noqa: E402
from cnnkern.benchmark.tables import plain_table  # noqa: E402
from cnnkern.cli.checks import check_file  # noqa: E402
from cnnkern.cli.layers import comma_list  # noqa: E402
from cnnkern.cli.parser import Parser, UsageError, launch, positive, seconds, seed  # noqa: E402
from examples.networks.catalogue import NETWORKS  # noqa: E402
from examples.networks.compare import in_format, prepare  # noqa: E402

USUAL = ("resnet50", "mobilenet_v2", "vgg_d")
FORMATS = ("contiguous", "channels_last")
WHATS = ("training step", "inference")
WIDTH = 140  # of the table, where the output is no terminal


def parser() -> Parser:
    top = Parser(
        prog="network_times.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument(
        "network", nargs="*", help=f"of those of examples/networks ({', '.join(USUAL)})"
    )
    top.add_argument("--batch", type=positive, default=8, help="images at once (%(default)s)")
    top.add_argument("--format", type=comma_list(*FORMATS), default=FORMATS, metavar="FORMATS",
                     help=f"{' and '.join(FORMATS)}, by default both")  # fmt: skip
    top.add_argument(
        "--threads", type=positive, default=torch.get_num_threads(), help="%(default)s"
    )
    top.add_argument("--seconds", type=seconds, default=20.0, help="for each line (%(default)s)")
    top.add_argument("--seed", type=seed, default=0, help="of weights and images (%(default)s)")
    top.add_argument("--small", action="store_true", help="the small networks that the tests run")
    top.add_argument("--json", type=Path, metavar="FILE", help="for every measurement")
    return top


def lines(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures network by network; a row for each format and what is done."""
    for name in options.network or USUAL:
        network = NETWORKS[name]
        build, size, _ = network.small if options.small else (network.build, network.size, "")
        torch.manual_seed(options.seed)
        drawn = network.inputs(size, options.batch, options.seed)
        # Of a single image, a channel of one value would have no variance.
        others = network.inputs(size, max(2, options.batch), options.seed)
        plain = prepare(build(), others, options.seed)
        for format in options.format:
            model, inputs = in_format(plain, drawn, format == "channels_last")
            for what, sides in zip(WHATS, (training, inference), strict=True):
                times = CpuClock().time(sides(model, inputs), options.seconds)
                yield {"network": name, "what": what, "format": format, "times_us": times}


def training(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Callable[[], Any]]:
    """A step of each side, which changes the side's own weights alone."""
    theirs = copy.deepcopy(model).train()
    sides = {"torch": theirs, "cnnkern": cnnkern.convert(copy.deepcopy(theirs))}
    return {name: _step(side, inputs) for name, side in sides.items()}


def _step(model: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        outputs, _ = pytree.tree_flatten(model(*inputs))
        sum(output.mean() for output in outputs).backward()
        optimizer.step()

    return step


def inference(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Callable[[], Any]]:
    """A forward of each side; the fused one has its BatchNorms folded."""
    theirs = copy.deepcopy(model).eval()
    sides = {
        "torch": theirs,
        "cnnkern": cnnkern.convert(copy.deepcopy(theirs)),
        "fused": cnnkern.convert(cnnkern.fuse(copy.deepcopy(theirs))),
    }

    def forward(side: nn.Module) -> Callable[[], Any]:
        return torch.inference_mode()(lambda: side(*inputs))

    return {name: forward(side) for name, side in sides.items()}


def run(options: argparse.Namespace) -> int:
    if unknown := sorted(set(options.network) - set(NETWORKS)):
        raise UsageError(f"unknown network {unknown[0]!r}; expected of {', '.join(NETWORKS)}")
    if options.json:
        check_file("--json", options.json, ("json",))
    torch.set_num_threads(options.threads)
    result = Result(machine("cpu") | {"before": state("cpu")}, {}, {})
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    for line in filter(None, (device_of(result), memory_line(result), busy_line(result))):
        console.print(line)
    rows = []
    for row in lines(options):
        rows.append(row)
        print(f"{row['network']}, {row['format']}, {row['what']}", file=sys.stderr)
    data = {
        "about": f"Batches of {options.batch}, medians of calls taken in turn and the middle 60 % "
        "of their ratios",
        "machine": result.machine,
        "settings": {"batch": options.batch, "small": options.small, "seconds": options.seconds},
        "rows": rows,
    }
    console.print(plain_table(*beyond_suites.network_lines(data)))
    if options.json:
        beyond_suites.write(options.json, data)
        print(f"Written: {options.json}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    return launch(parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
