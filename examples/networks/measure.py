# SPDX-License-Identifier: BSD-3-Clause
"""What converting a network changes: layers and calls, errors, peak memory, time.

Each is measured in a process of its own, ``python -m examples.networks.measure`` with a task as
JSON, so that nothing is left behind for the next; it prints the answer as JSON.
"""

from __future__ import annotations

import copy
import json
import statistics
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import cnnkern
from cnnkern.benchmark.clock import CpuClock
from cnnkern.benchmark.peak import peak_bytes

from .catalogue import NETWORKS
from .compare import Truth, count_layers, faults, in_format, prepare, run

WHATS = ("errors", "peak of torch", "peak of cnnkern", "times")


@dataclass(frozen=True)
class Task:
    """What to measure of which network.

    Attributes:
        what: one of WHATS.
        network: a name of the catalogue.
        batch: how many inputs.
        channels_last: whether their channels are last.
        small: whether it is the small network of that name.
        seed: of weights and inputs.
        threads: of torch.
        seconds: for the times, at least five of each side.
        override: whether cnnkern also serves what the network calls in torch.nn.functional.
    """

    what: str
    network: str
    batch: int = 1
    channels_last: bool = False
    small: bool = False
    seed: int = 0
    threads: int = 2
    seconds: float = 10.0
    override: bool = True

    def measure(self) -> dict[str, Any]:
        """Does it, in this process."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        model, inputs = self._ready()
        if self.what == "errors":
            return _errors(model, inputs)
        within = cnnkern.override() if self.override else nullcontext()
        if self.what == "times":
            return _times(model, inputs, within, self.seconds)
        if self.what == "peak of torch":
            return {"bytes": _peak(model, inputs, nullcontext())}
        return {"bytes": _peak(cnnkern.convert(model), inputs, within)}

    def _ready(self) -> tuple[nn.Module, list[Tensor]]:
        network = NETWORKS[self.network]
        build, size = network.build, network.size
        if self.small:
            build, size, _ = network.small
        inputs = network.inputs(size, self.batch, self.seed)
        # Of a single input, a channel of one value would have no variance.
        others = network.inputs(size, max(2, self.batch), self.seed + 1)
        heads = not self.small or self.network == "googlenet"  # Inception's needs the full size
        model = prepare(build(), others, self.seed, heads=heads)
        return in_format(model, inputs, self.channels_last)


def _errors(model: nn.Module, inputs: list[Tensor]) -> dict[str, Any]:
    truth, report = Truth(model, inputs), cnnkern.override()
    theirs = truth.judge(model, inputs)
    ours = truth.judge(cnnkern.convert(model), inputs, within=report)
    counts = cnnkern.coverage(model).counts
    served = {name: calls.served for name, calls in report.calls.items()}
    refused = {name: calls.refused.total() for name, calls in report.calls.items()}
    return {
        "layers": sum(counts.values()),
        "swapped": counts["cnnkern"],
        "calls_on_cnnkern": served,
        "calls_on_torch": refused,
        "torch": _plain(theirs),
        "cnnkern": _plain(ours),
        "faults": faults(ours, theirs, count_layers(model)),
    }


def _plain(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    return {name: _plain(part) for name, part in value._asdict().items()}


def _times(
    model: nn.Module, inputs: list[Tensor], within: AbstractContextManager[Any], seconds: float
) -> dict[str, Any]:
    """Forward and backward of both in turn."""
    converted = cnnkern.convert(copy.deepcopy(model))

    def ours() -> None:
        with within:
            run(converted, inputs)

    times = CpuClock().time({"torch": lambda: run(model, inputs), "cnnkern": ours}, seconds)
    ratios = [a / b for a, b in zip(times["torch"], times["cnnkern"], strict=True)]
    return {
        **{f"{name}_us": statistics.median(values) for name, values in times.items()},
        "ratio": statistics.median(ratios),
        "rounds": len(ratios),
    }


def _peak(model: nn.Module, inputs: list[Tensor], within: AbstractContextManager[Any]) -> int:
    """Of a forward and backward: the gradients of the parameters count, the parameters do not."""
    with within:
        return peak_bytes(lambda: run(model, inputs))


if __name__ == "__main__":
    print(json.dumps(Task(**json.loads(sys.argv[1])).measure()))
