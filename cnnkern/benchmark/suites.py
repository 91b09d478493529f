# SPDX-License-Identifier: BSD-3-Clause
"""Suites: lists of layers as text, with those of known networks and benchmarks in the package.

A line is ``name problem``; what follows `` #`` is a comment, and one that starts with ``x3`` says
that the network has the layer three times::

    # ResNet-50, a batch of 8
    conv1 conv2d 8x3x224x224 64x3x7x7 stride=2 padding=3
    layer1.0.conv3 conv2d 8x64x56x56 256x64x1x1 # x4
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from ..problem import Problem, parse

__all__ = ["Layer", "read_suite", "suite_names", "with_batch", "with_form"]

_FOLDER = Path(__file__).parent / "suites"
_COUNT = re.compile(r"x(\d+)\b")


@dataclass(frozen=True)
class Layer:
    """A problem, where it is from, and how many of its suite's layers have it."""

    suite: str
    name: str
    problem: Problem
    count: int = 1


def suite_names() -> list[str]:
    """The suites of the package, by name.

    Example:
        >>> suite_names()
        ['alexnet', ..., 'yolo_v1']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read_suite(name: str) -> list[Layer]:
    """Reads a suite of the package, or one of the caller's own.

    Args:
        name: one of ``suite_names()``, or the path of a file with such lines, which then holds a
            slash or a dot.

    Returns:
        The layers in the file's order; their ``suite`` is the name, or the file's without ending.

    Raises:
        ValueError: no such suite, the file cannot be read or has no layers, or a line of it is no
            ``name problem`` or has a name that was there before; ``FILE:LINE:`` says which.

    Example:
        >>> first = read_suite("vgg16")[0]
        >>> first.name, str(first.problem), first.count
        ('features.0', 'conv2d 8x3x224x224 64x3x3x3 padding=1 bias', 1)
    """
    path = Path(name) if "/" in name or "." in name else _FOLDER / f"{name}.txt"
    if path.parent == _FOLDER and name not in suite_names():
        near = difflib.get_close_matches(name, suite_names(), n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
        raise ValueError(
            f"unknown suite {name!r}{hint} valid: {', '.join(suite_names())}, or a file's path"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"suite {name}: cannot read it: {reason}") from None
    layers: dict[str, Layer] = {}
    for number, line in enumerate(lines, 1):
        try:
            layer = _read_line(path.stem, line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        if layer is None:
            continue
        if layer.name in layers:
            raise ValueError(f"{path}:{number}: the name {layer.name!r} is there twice")
        layers[layer.name] = layer
    if not layers:
        raise ValueError(f"{path}: expected lines `name problem`, got none")
    return list(layers.values())


def _read_line(suite: str, line: str) -> Layer | None:
    text, _, comment = f" {line}".partition(" #")
    words = text.split(maxsplit=1)
    if not words:
        return None
    if len(words) == 1:
        raise ValueError(f"expected `name problem`, got {words[0]!r}")
    count = _COUNT.match(comment.strip())
    return Layer(suite, words[0], parse(words[1].rstrip()), int(count[1]) if count else 1)


def with_batch(problem: Problem, n: int) -> Problem:
    """The problem with a batch of another size.

    Raises:
        ValueError: ``n`` is negative.

    Example:
        >>> from cnnkern.problem import parse
        >>> print(with_batch(parse("max_pool2d 8x64x56x56 kernel=2"), 1))
        max_pool2d 1x64x56x56 kernel=2
    """
    if n < 0:
        raise ValueError(f"expected a batch of at least 0, got {n}")
    op, _, *rest = str(problem).split(" ")
    size = "x".join(map(str, (n, *problem.input_size[1:])))
    return parse(" ".join((op, size, *rest)))


def with_form(problem: Problem, dtype: str, format: str) -> Problem:
    """The problem in another dtype and memory format.

    Args:
        problem: any.
        dtype: float32, float64, float16 or bfloat16.
        format: contiguous or channels_last; over one axis the first is the only one.

    Raises:
        ValueError: another dtype or format, or a problem over one axis in channels_last.

    Example:
        >>> from cnnkern.problem import parse
        >>> print(with_form(parse("conv2d 1x3x8x8 4x3x3x3 bias"), "bfloat16", "channels_last"))
        conv2d 1x3x8x8 4x3x3x3 bias dtype=bfloat16 format=channels_last
    """
    if problem.rank == 1 and format == "channels_last":
        raise ValueError(f"{problem.op} has only the contiguous format, got {format!r}")
    dropped = ("dtype=", "format=") if dtype == "float32" else ("dtype=", "format=", "tf32")
    words = [w for w in str(problem).split(" ") if not w.startswith(dropped)]
    return parse(" ".join((*words, f"dtype={dtype}", f"format={format}")))
