# SPDX-License-Identifier: BSD-3-Clause
"""Layer by layer: what cnnkern runs, how long it and torch take, how far both are from float64."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from cnnkern import _C

SAMPLE_SECONDS = 0.002
ROUNDS = 15

Calls = dict[str, Callable[[], Tensor]]


@dataclass(frozen=True)
class Row:
    """One direction of one layer; times in microseconds, errors as a share of the largest value."""

    layer: str
    direction: str
    problem: str
    algorithm: str
    ours_us: float
    torch_us: float
    ours_error: float
    torch_error: float


def problem_text(layer: nn.Module, images: Tensor) -> str:
    """Returns the problem line of a layer of LeNet-5 and its input."""
    size = "x".join(map(str, images.shape))
    if isinstance(layer, nn.Conv2d):
        return f"conv2d {size} {'x'.join(map(str, layer.weight.shape))} bias"
    assert isinstance(layer, nn.MaxPool2d)
    return f"max_pool2d {size} kernel={layer.kernel_size}"


def directions(layer: nn.Module, images: Tensor, grad: Tensor, *, first: bool) -> Calls:
    """Returns the calls of each direction that training needs: the first layer has no use for the
    gradient of its input."""

    def forward() -> Tensor:
        with torch.no_grad():
            result: Tensor = layer(images)
        return result

    leaf = images.detach().clone().requires_grad_(not first)
    output = layer(leaf)

    def gradient_of(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: torch.autograd.grad(output, tensor, grad, retain_graph=True)[0]

    calls: Calls = {"forward": forward}
    if not first:
        calls["input_grad"] = gradient_of(leaf)
    if isinstance(layer, nn.Conv2d):
        calls["weight_grad"] = gradient_of(layer.weight)
    return calls


def interleaved_us(a: Callable[[], object], b: Callable[[], object]) -> tuple[float, float]:
    """Returns the median times of two calls, taken in turn (A B A B) so that what the machine does
    meanwhile meets both."""

    def run(call: Callable[[], object], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    counts = [max(1, int(SAMPLE_SECONDS / max(run(call, 3), 1e-7))) for call in (a, b)]
    samples = [(run(a, counts[0]), run(b, counts[1])) for _ in range(ROUNDS)]
    return median(s[0] for s in samples) * 1e6, median(s[1] for s in samples) * 1e6


def error(result: Tensor, exact: Tensor) -> float:
    """Returns the largest difference as a share of the largest value."""
    return ((result.double() - exact).abs().max() / exact.abs().max()).item()


def compare(ours: nn.Sequential, torchs: nn.Sequential, images: Tensor) -> Iterator[Row]:
    """Yields one row for each direction of each convolution and pooling layer.

    Both layers get the weights and the inputs of our network, so that their errors are of the same
    numbers.
    """
    for (name, layer), peer in zip(ours.named_children(), torchs.children(), strict=True):
        with torch.no_grad():
            output = layer(images)
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            peer = copy.deepcopy(peer)
            peer.load_state_dict(layer.state_dict())
            exact = copy.deepcopy(peer).double()
            grad = torch.rand_like(output)
            first = name == "conv1"
            calls, peer_calls, exact_calls = (
                directions(layer, images, grad, first=first),
                directions(peer, images, grad, first=first),
                directions(exact, images.double(), grad.double(), first=first),
            )
            text = problem_text(layer, images)
            problem = _C.parse(text)
            for direction, call in calls.items():
                truth = exact_calls[direction]()
                ours_us, torch_us = interleaved_us(call, peer_calls[direction])
                yield Row(
                    layer=name,
                    direction=direction,
                    problem=text,
                    algorithm=_C.plan(problem, direction).algorithm,
                    ours_us=ours_us,
                    torch_us=torch_us,
                    ours_error=error(call(), truth),
                    torch_error=error(peer_calls[direction](), truth),
                )
        images = output
