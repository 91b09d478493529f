# SPDX-License-Identifier: BSD-3-Clause
"""Layers of networks, cut to what takes milliseconds to compute."""

from __future__ import annotations

from dataclasses import replace

from .fields import Axis, Fields

__all__ = ["scaled_down"]

# Wider than the widest vector of 32-bit numbers, so that whole vectors and rests remain.
_CHANNELS = 16
_OUTPUTS = {1: 40, 2: 5, 3: 3}


def scaled_down(problem: str) -> str:
    """Cut a problem's batch, channels and sizes; window, stride, padding and grouping stay.

    Sizes shrink by whole strides and channels by whole vectors, so that what did not divide evenly
    still does not.

    >>> scaled_down("conv2d 8x960x14x14 960x1x3x3 stride=2 padding=1")
    'conv2d 2x16x10x10 16x1x3x3 stride=2 padding=1'
    """
    f = Fields.of(problem)
    most = _OUTPUTS[len(f.axes)]
    depthwise = f.groups > 1 and f.channels == 1
    small = replace(
        f,
        batch=min(f.batch, 2),
        groups=_cut(f.groups, _CHANNELS) if depthwise else min(f.groups, 4),
        channels=_cut(f.channels, _CHANNELS),
        filters=_cut(f.filters, 4 if depthwise else _CHANNELS),
        axes=tuple(_cut_axis(axis, most, f.kind == "conv_transpose") for axis in f.axes),
    )
    return small.text()


def _cut(count: int, unit: int) -> int:
    return count if count <= unit else unit + count % unit


def _cut_axis(axis: Axis, most: int, transposed: bool) -> Axis:
    if transposed:
        return replace(axis, size=min(axis.size, max(2, most // axis.stride)))
    if axis.output:
        # As many elements as keep what does not divide evenly: the largest windows differ by two.
        output, each = min(axis.output, most), min(axis.size // axis.output, 9)
        return replace(axis, size=output * each + axis.size % axis.output % output, output=output)
    outputs = (axis.size + axis.before + axis.after - axis.span) // axis.stride + 1
    excess = max(0, outputs - most)
    # The input itself must not fall short of what the padding would hide.
    steps = min(excess, (axis.size - 1) // axis.stride)
    return replace(axis, size=axis.size - steps * axis.stride)
