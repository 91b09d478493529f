# SPDX-License-Identifier: BSD-3-Clause
"""Makes the files of benchmarks/suites: networks are traced, tables of other benchmarks read.

    python benchmarks/make_suites.py [--check] [SUITE ...]

Nothing is computed, since all is on torch's meta device, and nothing downloaded. ``--check`` writes
nothing, names the files that are not what would be written, and fails if there are any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from networks import convnet_benchmarks  # noqa: E402

from cnnkern.benchmark.models import load_model  # noqa: E402
from cnnkern.benchmark.suites import Layer  # noqa: E402
from cnnkern.benchmark.trace import Trace, distinct, trace  # noqa: E402
from cnnkern.problem import parse  # noqa: E402
from examples.networks import (  # noqa: E402
    alexnet,
    audio,
    keras_mnist,
    lenet5,
    packages,
    yolo_v1,
)

SUITES = HERE / "suites"
BATCH = 8


@dataclass
class Suite:
    """What goes into a file."""

    about: str
    layers: list[Layer]
    skipped: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """The file."""
        calls = sum(layer.count for layer in self.layers)
        lines = [*self.about.splitlines(), f"{calls} layers, {len(self.layers)} lines."]
        if self.skipped:
            what = ", ".join(f"{name} ({n})" for name, n in self.skipped.items())
            lines[-1] += f" Not here: {what}."
        lines = [f"# {line}" for line in [*lines, "Made by benchmarks/make_suites.py."]]
        for layer in self.layers:
            times = f" # x{layer.count}" if layer.count > 1 else ""
            lines.append(f"{layer.name} {layer.problem}{times}")
        return "\n".join(lines) + "\n"


def traced(build: Callable[[], nn.Module], *size: int) -> Trace:
    """What a network runs on an input of that size, in evaluation mode."""
    with torch.device("meta"), torch.no_grad():
        return trace(build().eval(), torch.empty(size))


@cache
def torchvision(name: str) -> Trace:
    """A network of torchvision on its usual batch of 8 images."""
    with torch.device("meta"), torch.no_grad():
        return trace(*load_model(f"torchvision:{name}"))


def of_networks(about: str, *networks: Trace) -> Suite:
    """The distinct layers of networks in their order, less what an earlier network has too."""
    layers: dict[str, Layer] = {}
    for network in networks:
        layers = {str(layer.problem): layer for layer in distinct(network.layers)} | layers
    order = [str(layer.problem) for network in networks for layer in network.layers]
    skipped = sum((Counter(network.skipped) for network in networks), Counter[str]())
    return Suite(about, [layers[text] for text in dict.fromkeys(order)], skipped)


def of_torchvision(about: str, name: str) -> Suite:
    return of_networks(f"{about}: torchvision's {name}, a batch of 8.", torchvision(name))


def named(prefix: str, network: Trace) -> Trace:
    """The same layers under the network's name; that of a single layer is its own."""
    single = len(network.layers) == 1
    layers = [
        replace(layer, name=prefix if single else f"{prefix}.{layer.name}")
        for layer in network.layers
    ]
    return Trace(layers, network.skipped)


def the_alexnet() -> Suite:
    return of_networks(
        "AlexNet of 2012 on 227x227, a batch of 8; conv2g, conv4g and conv5g in two groups.",
        traced(alexnet.alexnet, BATCH, 3, 227, 227),
        traced(partial(alexnet.alexnet, groups=2), BATCH, 3, 227, 227),
    )


def the_audio() -> Suite:
    about = "A network over 128 mel bins and 599 frames, along time only, a batch of 8."
    return of_networks(about, traced(audio.Audio, BATCH, 128, 599))


def the_convnet_benchmarks() -> Suite:
    of = convnet_benchmarks
    layers = [
        named(name, traced(partial(nn.Conv2d, c, filters, kernel), 128, c, side, side))
        for name, (c, filters, kernel, side) in of.LAYERS.items()
    ]
    networks = [
        ("alexnet", of.alexnet, 128, 224),
        ("overfeat", of.overfeat, 128, 231),
        ("vgg_a", of.vgg_a, 64, 224),
        ("googlenet", of.googlenet, 128, 224),
    ]
    return of_networks(
        "soumith/convnet-benchmarks: five layers and four networks, in its batches of 64 and 128.",
        *layers,
        *(named(name, traced(build, n, 3, side, side)) for name, build, n, side in networks),
    )


def the_keras_mnist() -> Suite:
    return of_networks(
        "The convolutional network of Keras's MNIST example, with and without pools, a batch of 8.",
        traced(keras_mnist.with_pools, BATCH, 1, 28, 28),
        traced(keras_mnist.without_pools, BATCH, 1, 28, 28),
    )


def the_lenet5() -> Suite:
    return of_networks(
        "LeNet-5 of 1998 on 32x32 and the version of Keras on 28x28, a batch of 8.",
        traced(lenet5.lenet5, BATCH, 1, 32, 32),
        traced(lenet5.keras, BATCH, 1, 28, 28),
    )


def the_se_resnet() -> Suite:
    about = "SE-ResNet-152: pytorchcv's seresnet152, a batch of 8."
    return of_networks(about, traced(packages.se_resnet152, BATCH, 3, 224, 224))


@cache
def ssd() -> Trace:
    return traced(packages.ssd300, BATCH, 3, 300, 300)


def the_ssd300() -> Suite:
    return of_networks("SSD300 over VGG-16, 91 classes: torchvision's, a batch of 8.", ssd())


def the_yolo_v1() -> Suite:
    return of_networks("YOLO of 2016, a batch of 8.", traced(yolo_v1.yolo_v1, BATCH, 3, 448, 448))


def table(name: str) -> Iterator[list[str]]:
    """The lines of a file in benchmarks/networks, in words."""
    for line in (HERE / "networks" / name).read_text().splitlines():
        if not line.startswith("#"):
            yield line.split()


def deepbench_rows() -> Iterator[tuple[str, str]]:
    """Names and problems; a name tells the line of its group, and the batch."""
    lines: Counter[str] = Counter()
    for group, *words in table("deepbench.txt"):
        lines[group] += 1
        w, h, c, batches, k, r, s, pad, stride = words[:9]
        for n in batches.split(","):
            name = f"{group}{lines[group]}.n{n}"
            text = f"conv2d {n}x{c}x{h}x{w} {k}x{c}x{r}x{s} stride={stride} padding={pad}"
            yield name, text
            if words[9:] == ["x2"]:
                yield f"{name}.again", text


def the_deepbench() -> Suite:
    about = "DeepBench's training convolutions (baidu-research/DeepBench), as often as it has them."
    return Suite(about, [Layer("", name, parse(text)) for name, text in deepbench_rows()])


def the_pooling() -> Suite:
    rows = [Layer("", name, parse(" ".join(words))) for name, *words in table("pooling.txt")]
    networks = {
        **{name: torchvision(name) for name in ("googlenet", "inception_v3", "densenet121")},
        "vgg16": torchvision("vgg16"),
        "ssd300": ssd(),
    }
    for name, network in networks.items():
        known = {str(row.problem) for row in rows}
        pools = [layer for layer in named(name, network).layers if "pool" in layer.problem.op]
        new = (layer for layer in distinct(pools) if str(layer.problem) not in known)
        rows += [replace(layer, count=1) for layer in new]
    return Suite("Pools of every kind, then the further ones of networks.", rows)


MAKERS: dict[str, Callable[[], Suite]] = {
    "alexnet": the_alexnet,
    "audio": the_audio,
    "convnet_benchmarks": the_convnet_benchmarks,
    "deepbench": the_deepbench,
    "densenet121": partial(of_torchvision, "DenseNet-121", "densenet121"),
    "inception_v3": partial(of_torchvision, "Inception v3 without its second head", "inception_v3"),
    "keras_mnist": the_keras_mnist,
    "lenet5": the_lenet5,
    "mobilenet_v2": partial(of_torchvision, "MobileNet v2", "mobilenet_v2"),
    "pooling": the_pooling,
    "resnet50": partial(of_torchvision, "ResNet-50", "resnet50"),
    "se_resnet": the_se_resnet,
    "ssd300": the_ssd300,
    "vgg16": partial(of_torchvision, "VGG-16", "vgg16"),
    "yolo_v1": the_yolo_v1,
}


def stale(names: list[str]) -> Iterator[tuple[Path, str]]:
    """The files that are not what they would be made to, with what they would hold."""
    for name in names:
        path, text = SUITES / f"{name}.txt", MAKERS[name]().text()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(MAKERS)}; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    options = parser.parse_args()
    if unknown := sorted(set(options.suite) - set(MAKERS)):
        parser.error(f"unknown suite {unknown[0]!r}, expected one of {', '.join(MAKERS)}")
    changed = False
    for path, text in stale(options.suite or list(MAKERS)):
        changed = True
        print(f"{path.name} {'is not what would be made' if options.check else 'written'}")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return int(changed and options.check)


if __name__ == "__main__":
    sys.exit(main())
