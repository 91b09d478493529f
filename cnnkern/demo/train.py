# SPDX-License-Identifier: BSD-3-Clause
"""The network, and the training of several copies of it side by side."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional as F

from cnnkern.demo.digits import Digits

LEARNING_RATE = 0.05  # at the start; it falls to zero along a cosine
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-3


def lenet5(layers: ModuleType) -> nn.Sequential:
    """Returns LeNet-5 as Keras builds it, 44,426 parameters, with the convolution and pooling
    layers of one module: ``torch.nn`` or ``cnnkern.nn``."""
    return nn.Sequential(
        OrderedDict(
            conv1=layers.Conv2d(1, 6, 5),
            relu1=nn.ReLU(),
            pool1=layers.MaxPool2d(2),
            conv2=layers.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=layers.MaxPool2d(2),
            flatten=nn.Flatten(),
            dense1=nn.Linear(256, 120),
            relu3=nn.ReLU(),
            dense2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            dense3=nn.Linear(84, 10),
        )
    )


@dataclass
class Runner:
    """One network with its optimizer and what its training has shown so far."""

    name: str
    network: nn.Sequential
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        )

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> None:
        """Trains on one batch at one learning rate."""
        start = time.perf_counter()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.losses.append(loss.item())
        self.seconds += time.perf_counter() - start

    @torch.no_grad()
    def accuracy(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Returns the share of images whose likeliest class is their label."""
        right: torch.Tensor = self.network(images).argmax(1) == labels
        return right.float().mean().item()


def make_runner(
    name: str, layers: ModuleType, seed: int, device: torch.device | str = "cpu"
) -> Runner:
    """Returns a runner whose first weights the seed alone decides."""
    torch.manual_seed(seed)
    return Runner(name, lenet5(layers).to(device))


def one_bit_off(runner: Runner) -> Runner:
    """Changes one weight by one unit in its last place: what any rounding may do to a training."""
    weight = runner.network.get_parameter("conv1.weight")
    with torch.no_grad():
        first = weight.view(-1)[:1]
        first.copy_(torch.nextafter(first, torch.full_like(first, math.inf)))
    return runner


def count_steps(digits: Digits, epochs: int, batch_size: int) -> int:
    """Returns how many batches a training has."""
    return math.ceil(len(digits.train_labels) / batch_size) * epochs


def batches(
    digits: Digits, epochs: int, batch_size: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields the training digits, shuffled anew in each epoch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(digits.train_labels), generator=generator)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size].to(digits.train_labels.device)
            yield digits.train_images[chosen], digits.train_labels[chosen]


def train(
    runners: list[Runner],
    digits: Digits,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Trains all runners on the same batches, step by step in turn, so that none has the machine in
    a better moment."""
    steps = count_steps(digits, epochs, batch_size)
    for index, (images, labels) in enumerate(batches(digits, epochs, batch_size, seed)):
        rate = LEARNING_RATE * (1 + math.cos(math.pi * index / steps)) / 2
        for runner in runners if index % 2 == 0 else runners[::-1]:
            runner.step(images, labels, rate)
        on_step()


def largest_difference(a: list[float], b: list[float], steps: int) -> float:
    """Returns the largest difference of two losses over the first steps."""
    return max(abs(x - y) for x, y in zip(a[:steps], b[:steps], strict=True))
