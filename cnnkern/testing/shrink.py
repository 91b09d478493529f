# SPDX-License-Identifier: BSD-3-Clause
"""Find a smaller problem that fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .fields import Fields

__all__ = ["shrink"]


def shrink(
    problem: str,
    fails: Callable[[str], bool],
    *,
    trials: int = 600,
    seconds: float = 30.0,
) -> str:
    """Make a problem smaller for as long as it fails.

    One field after the other is set to the least value with which the problem still fails, over
    and over, until no field can change: float32, contiguous, no bias, fewer axes, a smaller batch,
    fewer channels, a smaller window, a smaller input. The same problem and ``fails`` give the same
    result, unless time runs out.

    Args:
        problem: the text of a problem that fails.
        fails: whether a text fails in the same way. It is called with valid problems only.
        trials: how often ``fails`` is called at most.
        seconds: after how long no new trial begins.

    Returns:
        The canonical text of the smallest problem found; ``problem``'s own if none is smaller.

    Raises:
        ValueError: ``problem`` is no problem.

    Example:
        >>> def fails(text):
        ...     return "stride=2" in text
        >>> shrink("conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 bias", fails)
        'conv1d 1x1x2 1x1x1 stride=2'
    """
    deadline = time.monotonic() + seconds
    best = Fields.of(problem)
    seen = {best.text()}
    while True:
        before = best
        for step in _STEPS:
            changed = True
            while changed:
                changed = False
                for candidate in step(best):
                    text = _text(candidate)
                    if text is None or text in seen:
                        continue
                    if len(seen) > trials or time.monotonic() > deadline:
                        return best.text()
                    seen.add(text)
                    if fails(text):
                        best, changed = candidate, True
                        break
        if best == before:
            return best.text()


def _text(fields: Fields) -> str | None:
    try:
        return fields.text()
    except ValueError:
        return None


def _smaller(value: int, least: int) -> Iterator[int]:
    """The least values, then half, then one less: each smaller than the value."""
    few = range(least, min(least + 6, value))
    yield from few
    yield from (v for v in ((value + least) // 2, value - 1) if v > few.stop - 1 and v < value)


def _dtype(f: Fields) -> Iterator[Fields]:
    if f.dtype != "float32":
        yield replace(f, dtype="float32")


def _format(f: Fields) -> Iterator[Fields]:
    if f.format != "contiguous":
        yield replace(f, format="contiguous")


def _flags(f: Fields) -> Iterator[Fields]:
    if f.relu:
        yield replace(f, relu=False)
    if f.tf32:
        yield replace(f, tf32=False)
    if f.bias:
        yield replace(f, bias=False)
    if f.ceil_mode:
        yield replace(f, ceil_mode=False)
    if not f.count_include_pad:
        yield replace(f, count_include_pad=True)
    if f.divisor:
        yield replace(f, divisor=0)


def _fewer_axes(f: Fields) -> Iterator[Fields]:
    if len(f.axes) > 1:
        for dropped in range(len(f.axes)):
            axes = tuple(axis for i, axis in enumerate(f.axes) if i != dropped)
            # A sequence's only format is contiguous.
            yield replace(f, axes=axes, format="contiguous" if len(axes) == 1 else f.format)


def _batch(f: Fields) -> Iterator[Fields]:
    for value in _smaller(f.batch, 1):
        yield replace(f, batch=value)


def _channels(f: Fields) -> Iterator[Fields]:
    for value in _smaller(f.groups, 1):
        yield replace(f, groups=value)
    for value in _smaller(f.channels, 1):
        yield replace(f, channels=value)
    for value in _smaller(f.filters, 1):
        yield replace(f, filters=value)


def _axis_field(name: str, least: int) -> Callable[[Fields], Iterator[Fields]]:
    def step(f: Fields) -> Iterator[Fields]:
        largest = max(getattr(axis, name) for axis in f.axes)
        for value in _smaller(largest, least):  # every axis alike
            all_cut = f
            for index, axis in enumerate(f.axes):
                all_cut = all_cut.with_axis(index, **{name: min(getattr(axis, name), value)})
            yield all_cut
        for index, axis in enumerate(f.axes):
            for value in _smaller(getattr(axis, name), least):
                yield f.with_axis(index, **{name: value})

    return step


def _padding(f: Fields) -> Iterator[Fields]:
    """As much on both sides: what stands between is often what a kernel cannot do without."""
    for index, axis in enumerate(f.axes):
        for value in _smaller(max(axis.before, axis.after), 0):
            yield f.with_axis(index, before=min(axis.before, value), after=min(axis.after, value))


_STEPS = (
    _dtype,
    _format,
    _flags,
    _fewer_axes,
    _batch,
    _channels,
    _axis_field("dilation", 1),
    _axis_field("stride", 1),
    _axis_field("output_padding", 0),
    _padding,
    _axis_field("before", 0),
    _axis_field("after", 0),
    _axis_field("kernel", 1),
    _axis_field("output", 1),
    _axis_field("size", 1),
)
