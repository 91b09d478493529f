# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution of every rank: output size, the caller's errors, one operator call."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from .._C import fast_conv_input_grad
from ._arguments import (
    AXES,
    DTYPES,
    LIMIT,
    TAPS,
    Ints,
    before_and_after,
    conv_tensors,
    dtype_text,
    index,
    is_relu,
    known_algorithm,
    one_per_axis,
    shape_text,
    wrong_rank,
)
from ._in_use import ACTIVE, algorithm_in_use

_CONV_INPUT_GRAD: Any = torch.ops.cnnkern.conv_input_grad.default


def conv_transpose(
    op: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints | Sequence[tuple[int, int]],
    output_padding: Ints,
    groups: int,
    dilation: Ints,
    activation: str | None,
    algorithm: str,
) -> Tensor:
    """Convolves transposed, which is the input gradient of a convolution with the same arguments.

    `op` is what the user called, the rest its arguments.
    """
    conv_tensors(op, input, weight, bias)
    groups = index(op, "groups", groups)
    relu = is_relu(op, activation)
    known_algorithm(op, algorithm)
    compiling = is_compiling()
    if (compiling or ACTIVE) and algorithm == "auto":
        algorithm = algorithm_in_use(
            True, input, weight, stride, padding, dilation, groups, output_padding
        )
    strides = one_per_axis(op, rank, "stride", stride)
    dilations = one_per_axis(op, rank, "dilation", dilation)
    extra = one_per_axis(op, rank, "output_padding", output_padding)
    pads = before_and_after(op, rank, "padding", padding)
    single = input.dim() == rank + 1
    if not single and input.dim() != rank + 2:
        wrong_rank(op, rank, input)
    if single:
        input = input.unsqueeze(0)
    _check_transposed(op, rank, input, weight, bias, strides, pads, dilations, extra, groups)
    pads, extra, beyond = absorb_output_padding(strides, pads, extra)
    size = [input.shape[0], weight.shape[1] * groups]
    sizes, kernel = input.shape[2:], weight.shape[2:]
    for i in range(rank):
        reach = (sizes[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1
        size.append(reach - pads[2 * i] - pads[2 * i + 1] + extra[i])
        if not 1 <= size[-1] + beyond[i] < LIMIT:
            raise RuntimeError(
                f"{op}: expected an output of 1 to 2^63 - 1 along axis {AXES[rank][i]}, got "
                f"{size[-1] + beyond[i]}; input {tuple(input.shape)}, weight "
                f"{tuple(weight.shape)}, stride {tuple(strides)}, padding {tuple(pads)}, "
                f"dilation {tuple(dilations)}"
            )
    plain = not any(beyond)
    arguments = (
        input,
        weight,
        bias if plain else None,
        tuple(size),
        strides,
        tuple(pads),
        dilations,
        groups,
        relu and plain,
        algorithm,
    )
    y: Tensor = NotImplemented if compiling else fast_conv_input_grad(rank, *arguments)
    if y is NotImplemented:
        y = _CONV_INPUT_GRAD(*arguments)
    if not plain:
        y = torch.nn.functional.pad(y, [v for b in reversed(beyond) for v in (0, b)])
        y = y if bias is None else y + bias.reshape(-1, *[1] * rank)
        y = y.relu() if relu else y
    return y.squeeze(0) if single else y


def _check_transposed(
    op: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
    groups: int,
) -> None:
    # The operator sees an input gradient and would name its roles: these are the caller's words.
    _check_types(op, input, "weight", weight)
    if bias is not None:
        _check_types(op, input, "bias", bias)
    if groups < 1:
        raise RuntimeError(f"{op}: expected groups of at least 1, got {groups}")
    if weight.dim() != rank + 2 or weight.shape[0] != input.shape[1]:
        raise RuntimeError(
            f"{op}: expected weight of shape {shape_text('C', 'K/groups', *TAPS[rank])} with "
            f"C = {input.shape[1]}, got {tuple(weight.shape)}; input {tuple(input.shape)}"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"{op}: expected groups to divide C = {weight.shape[0]}, got groups = {groups}"
        )
    if bias is not None and (bias.dim() != 1 or bias.shape[0] != weight.shape[1] * groups):
        raise RuntimeError(
            f"{op}: expected bias of shape (K,) = ({weight.shape[1] * groups},), got "
            f"{tuple(bias.shape)}; weight {tuple(weight.shape)}, groups = {groups}"
        )
    for name, values, least in (
        ("stride", stride, 1),
        ("dilation", dilation, 1),
        ("padding", pads, 0),
        ("output_padding", output_padding, 0),
        ("a kernel", weight.shape[2:], 1),
        ("an input", input.shape[2:], 1),
    ):
        if min(values) < least:
            raise RuntimeError(
                f"{op}: expected {name} of at least {least} along every axis, got {tuple(values)}"
            )
    if any(output_padding) and any(map(_is_too_far, output_padding, stride, dilation)):
        raise RuntimeError(
            f"{op}: expected output_padding smaller than stride or dilation, got "
            f"output_padding = {tuple(output_padding)}; stride = {tuple(stride)}, "
            f"dilation = {tuple(dilation)}"
        )


def _is_too_far(output_padding: int, stride: int, dilation: int) -> bool:
    return output_padding >= stride and output_padding >= dilation


def _check_types(op: str, input: Tensor, name: str, other: Tensor) -> None:
    if input.dtype not in DTYPES:
        names = ", ".join(map(dtype_text, DTYPES))
        raise NotImplementedError(
            f"{op}: expected input of one of the dtypes {names}, got {dtype_text(input.dtype)}"
        )
    if other.dtype != input.dtype and not _casts(input):
        raise RuntimeError(
            f"{op}: expected {name} of the dtype of input, {dtype_text(input.dtype)}, got "
            f"{dtype_text(other.dtype)}"
        )
    if other.device != input.device:
        raise RuntimeError(
            f"{op}: expected {name} on the device of input, {input.device}, got {other.device}"
        )


def _casts(input: Tensor) -> bool:
    # Under autocast the operator brings all tensors to one dtype.
    kind = input.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def absorb_output_padding(
    stride: Sequence[int], pads: Sequence[int], output_padding: Sequence[int]
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Makes every output padding smaller than its stride, as the operator needs it.

    A dilation admits larger ones. They take from the padding after the axis first; what is left
    over are elements beyond the last tap's reach, which hold the bias alone.

    Args:
        stride: one int per axis.
        pads: two ints per axis.
        output_padding: one int per axis.

    Returns:
        The paddings, the output paddings, and how many elements are left over along each axis.
    """
    if not any(output_padding) or all(map(operator.lt, output_padding, stride)):
        return pads, output_padding, (0,) * len(stride)
    shrunk, small, beyond = list(pads), list(output_padding), [0] * len(stride)
    for i, s in enumerate(stride):
        if small[i] >= s:
            taken = min(small[i], shrunk[2 * i + 1])
            shrunk[2 * i + 1] -= taken
            beyond[i] = max(small[i] - taken - (s - 1), 0)
            small[i] -= taken + beyond[i]
    return shrunk, small, beyond
