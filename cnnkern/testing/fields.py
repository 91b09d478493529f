# SPDX-License-Identifier: BSD-3-Clause
"""A problem's text taken apart, so that one number of it can change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _C
from .reference import Call

__all__ = ["Axis", "Fields"]


@dataclass(frozen=True)
class Axis:
    """What a problem says of one spatial axis."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    output_padding: int = 0
    output: int = 0  # of an adaptive pool, which has no kernel

    @property
    def span(self) -> int:
        """From a window's first tap to its last."""
        return self.dilation * (self.kernel - 1) + 1


@dataclass(frozen=True)
class Fields:
    """A problem as numbers that do not depend on one another.

    ``channels`` and ``filters`` are those of one group; a pool has one group and no filters.
    """

    kind: str  # conv, conv_transpose, max_pool, avg_pool, adaptive_max_pool, adaptive_avg_pool
    axes: tuple[Axis, ...]
    batch: int
    groups: int
    channels: int
    filters: int
    bias: bool
    relu: bool
    tf32: bool
    ceil_mode: bool
    count_include_pad: bool
    divisor: int
    dtype: str
    format: str

    @staticmethod
    def of(problem: str) -> Fields:
        """Take a text apart; ValueError, pointing at the column, where it is no problem."""
        call = Call.parse(problem)
        if call.adaptive:
            pairs = zip(call.input_size[2:], call.output_size[2:], strict=True)
            axes = tuple(Axis(size, 1, 1, 1, 0, 0, output=output) for size, output in pairs)
        else:
            axes = _sliding_axes(call)
        return Fields(
            kind=call.op[:-2],
            axes=axes,
            batch=call.input_size[0],
            groups=call.groups,
            channels=call.input_size[1] // call.groups,
            filters=0 if call.is_pool else call.output_size[1] // call.groups,
            bias=call.bias,
            relu=call.relu,
            tf32=call.tf32,
            ceil_mode=call.ceil_mode,
            count_include_pad=call.count_include_pad,
            divisor=call.divisor,
            dtype=str(call.dtype).removeprefix("torch."),
            format="channels_last" if call.channels_last else "contiguous",
        )

    @property
    def is_pool(self) -> bool:
        return self.kind.endswith("pool")

    def with_axis(self, index: int, **changes: Any) -> Fields:
        """A copy with another axis ``index``."""
        axes = list(self.axes)
        axes[index] = replace(axes[index], **changes)
        return replace(self, axes=tuple(axes))

    def text(self) -> str:
        """The canonical text; ValueError where there is no such problem.

        >>> Fields.of("conv2d 2x4x9x9 8x2x3x3 stride=2,2 padding=0").text()
        'conv2d 2x4x9x9 8x2x3x3 stride=2'
        """
        spatial = [axis.size for axis in self.axes]
        words = [f"{self.kind}{len(self.axes)}d"]
        words += [_shape([self.batch, self.groups * self.channels, *spatial])]
        if self.kind.startswith("adaptive"):
            words += [_listed("output", [axis.output for axis in self.axes])]
            words += [f"dtype={self.dtype}", f"format={self.format}"]
            return str(_C.parse(" ".join(words)))
        kernel = [axis.kernel for axis in self.axes]
        if self.is_pool:
            words += [_listed("kernel", kernel)]
        else:
            first, second = self.groups * self.filters, self.channels
            if self.kind == "conv_transpose":
                first, second = self.groups * self.channels, self.filters
            words += [_shape([first, second, *kernel]), f"groups={self.groups}"]
            words += ["bias"] * self.bias + ["relu"] * self.relu
            words += ["tf32"] * (self.tf32 and self.dtype == "float32")
        words += [_listed("stride", [axis.stride for axis in self.axes])]
        words += [_listed("padding", [f"{axis.before}:{axis.after}" for axis in self.axes])]
        if self.kind != "avg_pool":
            words += [_listed("dilation", [axis.dilation for axis in self.axes])]
        if self.kind == "conv_transpose":
            words += [_listed("output_padding", [axis.output_padding for axis in self.axes])]
        words += ["ceil"] * self.ceil_mode + ["count_include_pad=false"] * (
            not self.count_include_pad
        )
        words += [f"divisor={self.divisor}"] if self.divisor else []
        words += [f"dtype={self.dtype}", f"format={self.format}"]
        return str(_C.parse(" ".join(words)))


def _sliding_axes(call: Call) -> tuple[Axis, ...]:
    axes = zip(
        call.input_size[2:],
        call.kernel_size,
        call.stride,
        call.dilation,
        *zip(*call.padding, strict=True),
        call.output_padding,
        strict=True,
    )
    return tuple(Axis(*axis) for axis in axes)


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _listed(name: str, values: Sequence[object]) -> str:
    return f"{name}={','.join(map(str, values))}"
