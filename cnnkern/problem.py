# SPDX-License-Identifier: BSD-3-Clause
"""Problems as text, and the problem that a layer has with an input.

A problem reads like the call: the operator, the shape of its input, of a convolution's weight, and
torch's argument names where they differ from torch's defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._C import ConvProblem, PoolProblem, parse
from .functional import _arguments as arguments
from .functional._adaptive import output_sizes

__all__ = ["ConvProblem", "PoolProblem", "Problem", "parse", "problem_of"]

Problem = ConvProblem | PoolProblem

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONV_TRANSPOSE = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MAX_POOL = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVG_POOL = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE_MAX_POOL = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_ADAPTIVE_AVG_POOL = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def problem_of(layer: nn.Module, input: Tensor) -> Problem:
    """Gives the problem that a layer of torch.nn or cnnkern.nn has with an input.

    Args:
        layer: a convolution, transposed convolution, max or average pooling, adaptive or not, over
            1 to 3 axes.
        input: what it would be called with; only its shape, dtype and memory format count. An
            input without a batch counts as a batch of one.

    Returns:
        The problem; ``str()`` of it is its text.

    Raises:
        TypeError: the layer is none of those.
        ValueError: the layer does not take such an input.

    Example:
        >>> import torch
        >>> layer = torch.nn.Conv2d(64, 128, 3, stride=2, padding=1)
        >>> print(problem_of(layer, torch.zeros(8, 64, 56, 56)))
        conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 bias
    """
    for name, kinds in (
        ("conv", _CONV),
        ("conv_transpose", _CONV_TRANSPOSE),
        ("max_pool", _MAX_POOL),
        ("avg_pool", _AVG_POOL),
        ("adaptive_max_pool", _ADAPTIVE_MAX_POOL),
        ("adaptive_avg_pool", _ADAPTIVE_AVG_POOL),
    ):
        for rank, kind in enumerate(kinds, 1):
            if isinstance(layer, kind):
                return _problem(f"{name}{rank}d", rank, layer, input)
    raise TypeError(
        "expected a convolution or a max or average pooling layer over 1 to 3 axes, got "
        f"{type(layer).__name__}"
    )


def _problem(op: str, rank: int, layer: Any, input: Tensor) -> Problem:
    shape = list(input.shape)
    if len(shape) == rank + 1:
        shape.insert(0, 1)
    if len(shape) != rank + 2:
        raise ValueError(f"{op}: expected input of {rank + 2} axes, got {tuple(input.shape)}")
    options: dict[str, object] = {}
    if not op.startswith("adaptive"):
        options |= {"stride": layer.stride, "padding": layer.padding}
    shapes = [shape]
    if op.startswith("adaptive"):
        options["output"] = output_sizes(op, rank, layer.output_size, shape)
    elif op.startswith("conv"):
        shapes.append(_weight_size(op, layer))
        options |= {"dilation": layer.dilation, "groups": layer.groups}
        if layer.padding_mode != "zeros":
            shape[2:], options["padding"] = _with_border(op, rank, layer, shape[2:]), 0
        if "transpose" in op:
            options["output_padding"] = layer.output_padding
        options["bias"] = layer.bias is not None
        options["relu"] = getattr(layer, "activation", None) == "relu"
    else:
        options["kernel"] = layer.kernel_size
        options["ceil"] = layer.ceil_mode
        if op.startswith("max"):
            options["dilation"] = layer.dilation
        else:
            options["count_include_pad"] = layer.count_include_pad
            divisor = getattr(layer, "divisor_override", None)
            options |= {} if divisor is None else {"divisor": divisor}
    options["dtype"] = str(input.dtype).removeprefix("torch.")
    options["format"] = _format(input)
    words = [op, *("x".join(map(str, sizes)) for sizes in shapes)]
    words += [f"{name}={_text(value)}" for name, value in options.items()]
    return parse(" ".join(words))


def _weight_size(op: str, layer: Any) -> list[int]:
    channels = [layer.out_channels, layer.in_channels]
    if "transpose" in op:
        channels.reverse()
    return [channels[0], channels[1] // layer.groups, *layer.kernel_size]


def _with_border(op: str, rank: int, layer: Any, sizes: Sequence[int]) -> list[int]:
    # Modes other than zeros fill a larger input, which is then convolved without padding.
    if isinstance(layer.padding, str):
        pads = arguments.named_padding(
            op, layer.padding, sizes, layer.kernel_size, layer.stride, layer.dilation
        )
    else:
        pads = arguments.before_and_after(op, rank, "padding", layer.padding)
    return [size + pads[2 * i] + pads[2 * i + 1] for i, size in enumerate(sizes)]


def _format(input: Tensor) -> str:
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(input.dim())
    if last is None or input.is_contiguous() or not input.is_contiguous(memory_format=last):
        return "contiguous"
    return "channels_last"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, Sequence) or isinstance(value, str):
        return str(value)
    return ",".join(
        ":".join(map(str, item)) if isinstance(item, Sequence) else str(item) for item in value
    )
