# SPDX-License-Identifier: BSD-3-Clause
"""Each sample's own gradient in one call, and training that no sample can sway (DP-SGD).

A network of torch.nn with grouped and depthwise convolutions is converted; torch.func's vmap over
grad then gives the gradients of a whole batch, sample by sample: equal to a loop's, in less time.
With them each sample's gradient is clipped to one norm and noise is added to the sum, as in
differentially private training. How much privacy that
buys is an accountant's business, not shown here.

Source: Abadi et al., Deep Learning with Differential Privacy, 2016.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from _common import (
    accuracy,
    batches,
    console,
    digits,
    figure,
    launch,
    make_parser,
    positive,
    print_table,
    save,
)
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

import cnnkern

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 64
ROUNDS = 5  # of the timing
RATE = 0.1
NOISE = 0.3  # standard deviation, in clipping norms
Gradients = dict[str, Tensor]  # of each parameter, samples first


def make_network(seed: int) -> nn.Sequential:
    """Returns torch.nn's layers over cnnkern's kernels; the seed alone decides the weights."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, groups=16, padding=1),  # depthwise
        nn.Conv2d(16, 32, 1),
        nn.GroupNorm(4, 32),  # of each sample alone, as per-sample gradients need it
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(32, 32, 3, groups=4),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    cnnkern.convert(network)
    return network


def sample_loss(network: nn.Module, weights: Gradients, image: Tensor, label: Tensor) -> Tensor:
    """Returns the loss of one sample, as a function of the weights."""
    scores = functional_call(network, weights, (image[None],))
    return F.cross_entropy(scores, label[None])


def weights_of(network: nn.Module) -> Gradients:
    """Returns the weights, apart from their gradients' history."""
    return {name: weight.detach() for name, weight in network.named_parameters()}


def by_vmap(network: nn.Module, images: Tensor, labels: Tensor) -> Gradients:
    """Returns every sample's gradients: one call for the batch."""
    each = vmap(
        grad(lambda weights, image, label: sample_loss(network, weights, image, label)),
        in_dims=(None, 0, 0),
    )
    found: Gradients = each(weights_of(network), images, labels)
    return found


def by_loop(network: nn.Module, images: Tensor, labels: Tensor) -> Gradients:
    """Returns every sample's gradients: one backward pass for each."""
    names, weights = zip(*network.named_parameters(), strict=True)
    rows = [
        torch.autograd.grad(F.cross_entropy(network(image[None]), label[None]), weights)
        for image, label in zip(images, labels, strict=True)
    ]
    return {
        name: torch.stack(column)
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def times(ways: Sequence[Callable[[], object]]) -> list[float]:
    """Returns the median seconds of each way, called in turn: A B A B."""
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(ROUNDS + 1):
        for way, seconds in zip(ways, taken, strict=True):
            start = time.perf_counter()
            way()
            if turn:  # the first is for warming up
                seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in taken]


def norms(gradients: Gradients) -> Tensor:
    """Returns the norm of each sample's gradient over all weights: ``(samples,)``."""
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)


def clipped(gradients: Gradients, limit: float) -> Gradients:
    """Returns the gradients, each sample's scaled down to a norm of at most the limit."""
    scale = (limit / norms(gradients).clamp(min=1e-12)).clamp(max=1)
    return {name: g * scale.reshape(-1, *[1] * (g.dim() - 1)) for name, g in gradients.items()}


def train_privately(
    network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, limit: float, noise: float,
    seed: int,
) -> float:  # fmt: skip
    """Trains by SGD on clipped gradients with noise.

    Args:
        network: what is trained, in place.
        images: ``(N, 1, 28, 28)``.
        labels: ``(N,)``.
        epochs: how often each sample is seen.
        limit: the norm to which each sample's gradient is clipped; ``math.inf`` for none.
        noise: standard deviation of what is added to the sum, in limits.
        seed: of the shuffles and the noise.

    Returns:
        The largest norm that one sample has brought into a step.
    """
    sway = 0.0
    generator = torch.Generator().manual_seed(seed)
    for chosen in batches(len(labels), BATCH, epochs, seed):
        gradients = by_vmap(network, images[chosen], labels[chosen])
        if limit < math.inf:
            gradients = clipped(gradients, limit)
        sway = max(sway, norms(gradients).max().item())
        with torch.no_grad():
            for name, weight in network.named_parameters():
                total = gradients[name].sum(0)
                if noise:
                    total += noise * limit * torch.randn(total.shape, generator=generator)
                weight -= RATE / len(chosen) * total
    return sway


def draw(before: Tensor, after: Tensor, limit: float) -> Figure:
    """Draws how large the samples' gradients are, at the start and after training."""
    canvas = figure(9, 3.6)
    place = canvas.subplots()
    both = torch.cat([before, after]).clamp(min=1e-4)
    edges = torch.logspace(both.min().log10().item(), both.max().log10().item(), 61).tolist()
    for found, name, colour in (
        (before, "untrained", "#f2b880"),
        (after, "trained, clipped, noise", "#1f5fa8"),
    ):
        place.hist(found.tolist(), bins=edges, color=colour, alpha=0.8, label=name)
    place.axvline(limit, color="#c44e52", linestyle="--", label=f"clipped to {limit:.2f}")
    place.set_xscale("log")
    place.set_yscale("log")
    place.set_title("How large each sample's gradient is: norms over all weights")
    place.set_ylabel("samples")
    place.legend(frameon=False, loc="upper left")
    return canvas


def run(options: argparse.Namespace) -> None:
    """Compares vmap with a loop, then trains with and without clipping and noise."""
    data = digits()
    images, labels = (
        part[: options.train_digits] for part in (data.train_images, data.train_labels)
    )
    network = make_network(options.seed)
    some, answers = images[:BATCH], labels[:BATCH]
    one_call, loop = (way(network, some, answers) for way in (by_vmap, by_loop))
    print_table(
        ("parameter", "each sample's gradient", "largest", "vmap - loop, largest"),
        [
            (
                f"{type(network.get_submodule(name.split('.')[0])).__name__} {name}",
                " × ".join(map(str, g.shape[1:])),
                f"{g.abs().max().item():.3f}",
                f"{(g - loop[name]).abs().max().item():.1e}",
            )
            for name, g in one_call.items()
        ],
    )
    seconds = times(
        [lambda: by_vmap(network, some, answers), lambda: by_loop(network, some, answers)]
    )
    console().print(
        f"Gradients of {len(answers)} samples: vmap {seconds[0] * 1e3:.0f} ms, loop "
        f"{seconds[1] * 1e3:.0f} ms: {seconds[1] / seconds[0]:.1f} times as fast "
        "(medians of calls taken in turn)"
    )

    before = norms(by_vmap(network, images[:500], labels[:500]))
    limit = before.median().item()
    rows = []
    for name, bound, noise in (
        ("SGD", math.inf, 0.0),
        ("clipped", limit, 0.0),
        ("clipped, noise", limit, NOISE),
    ):
        network = make_network(options.seed)
        start = time.perf_counter()
        sway = train_privately(
            network,
            images,
            labels,
            epochs=options.epochs,
            limit=bound,
            noise=noise,
            seed=options.seed,
        )
        after = norms(by_vmap(network, images[:500], labels[:500]))
        rows.append(
            (
                name,
                f"{sway:.2f}",
                f"{after.median().item():.3f}",
                f"{accuracy(network, data.test_images, data.test_labels):.1%}",
                f"{time.perf_counter() - start:.1f} s",
            )
        )
    print_table(
        (f"{len(labels)} digits, {options.epochs} epochs", "largest norm in a step",
         "median norm at the end", "test digits right", "time"), rows,
    )  # fmt: skip
    save(lambda: draw(before, after, limit), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "per_sample_gradients.png")
    parser.add_argument("--epochs", type=positive, default=4, help="(%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=2000, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
