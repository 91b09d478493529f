# SPDX-License-Identifier: BSD-3-Clause
"""One function per kind of operator, for every rank: arguments in torch's form, one operator call.

Unbatched inputs get a batch of one for the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.compiler import is_compiling

from .._C import fast_avg_pool, fast_conv, fast_max_pool
from ._arguments import (
    ALGORITHMS,
    Ints,
    Padding,
    before_and_after,
    conv_sizes,
    conv_tensors,
    divisor,
    flag,
    index,
    is_addend,
    is_relu,
    known_border,
    named_padding,
    one_per_axis,
    pool_stride,
    refuse_algorithm,
    require_tensors,
    wrong_rank,
)
from ._in_use import ACTIVE, algorithm_in_use

# Bound once: torch.ops looks a name up through three attribute accesses.
_CONV: Callable[..., Tensor] = torch.ops.cnnkern.conv.default
_CONV_ADD: Callable[..., Tensor] = torch.ops.cnnkern.conv_add.default
_CONV_BORDER: Callable[..., Tensor] = torch.ops.cnnkern.conv_border.default
_CONV_BLOCK: Any = torch.ops.cnnkern.conv_block.default
_MAX_POOL: Any = torch.ops.cnnkern.max_pool.default
_MAX_POOL_INDICES: Any = torch.ops.cnnkern.max_pool_indices.default
_AVG_POOL: Callable[..., Tensor] = torch.ops.cnnkern.avg_pool.default


def conv(
    op: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    activation: str | None,
    algorithm: str,
    padding_mode: str,
    residual: Tensor | None,
) -> Tensor:
    """Convolves; `op` is what the user called, the rest its arguments."""
    if algorithm not in ALGORITHMS:
        refuse_algorithm(op, algorithm)
    zeros, compiling = padding_mode == "zeros", is_compiling()
    if (compiling or ACTIVE) and algorithm == "auto":
        algorithm = algorithm_in_use(False, input, weight, stride, padding, dilation, groups)
    if zeros and residual is None and not compiling:
        y: Tensor = fast_conv(
            rank, input, weight, bias, stride, padding, dilation, groups, activation, algorithm
        )
        if y is not NotImplemented:
            return y
    conv_tensors(op, input, weight, bias)
    groups = index(op, "groups", groups)
    relu = is_relu(op, activation)
    strides = one_per_axis(op, rank, "stride", stride)
    dilations = one_per_axis(op, rank, "dilation", dilation)
    sizes, kernel = input.shape[-rank:], weight.shape[2:]
    pads = (
        named_padding(op, padding, sizes, kernel, strides, dilations)
        if isinstance(padding, str)
        else before_and_after(op, rank, "padding", padding)
    )
    lists = strides, pads, dilations, groups
    single = input.dim() == rank + 1
    if not single and input.dim() != rank + 2:
        wrong_rank(op, rank, input)
    batch = input.unsqueeze(0) if single else input
    if residual is not None:
        is_addend(op, residual)
        images = () if single else (input.shape[0],)
        result = *images, weight.shape[0], *conv_sizes(sizes, kernel, strides, pads, dilations)
        if zeros and _is_like(residual, input, result):
            addend = residual.unsqueeze(0) if single else residual
            y = _CONV_ADD(batch, weight, bias, addend, *lists, relu, algorithm)
            return y.squeeze(0) if single else y
    early = relu and residual is None
    if zeros:
        y = _CONV(batch, weight, bias, *lists, early, algorithm)
    else:
        known_border(op, padding_mode)
        y = _CONV_BORDER(batch, weight, bias, *lists, early, padding_mode, algorithm)
    if single:
        y = y.squeeze(0)
    if residual is not None:
        y = y + residual
    return y.relu() if relu and not early else y


def _is_like(residual: object, input: Tensor, shape: tuple[int, ...]) -> TypeGuard[Tensor]:
    return (
        isinstance(residual, Tensor)
        and residual.dtype == input.dtype
        and residual.device == input.device
        and residual.shape == shape
    )


def conv_block(
    op: str,
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    pool_size: Ints,
    pool_steps: Ints | None,
    pool_padding: Padding,
    pool_dilation: Ints,
    ceil_mode: bool,
    activation: str | None,
    algorithm: str,
) -> Tensor:
    """Convolves and takes maxima; `op` is what the user called, the rest its arguments."""
    if algorithm not in ALGORITHMS:
        refuse_algorithm(op, algorithm)
    if (is_compiling() or ACTIVE) and algorithm == "auto":
        algorithm = algorithm_in_use(False, input, weight, stride, padding, dilation, groups)
    conv_tensors(op, input, weight, bias)
    groups = index(op, "groups", groups)
    relu = is_relu(op, activation)
    strides = one_per_axis(op, rank, "stride", stride)
    dilations = one_per_axis(op, rank, "dilation", dilation)
    window = one_per_axis(op, rank, "pool_size", pool_size)
    pool_strides = pool_stride(op, rank, pool_steps, window, "pool_stride")
    pool_dilations = one_per_axis(op, rank, "pool_dilation", pool_dilation)
    flag(op, "ceil_mode", ceil_mode)
    sizes, kernel = input.shape[-rank:], weight.shape[2:]
    pads = (
        named_padding(op, padding, sizes, kernel, strides, dilations)
        if isinstance(padding, str)
        else before_and_after(op, rank, "padding", padding)
    )
    pool_pads = (
        named_padding(
            op,
            pool_padding,
            conv_sizes(sizes, kernel, strides, pads, dilations),
            window,
            pool_strides,
            pool_dilations,
        )
        if isinstance(pool_padding, str)
        else before_and_after(op, rank, "pool_padding", pool_padding)
    )
    single = input.dim() == rank + 1
    if single:
        input = input.unsqueeze(0)
    elif input.dim() != rank + 2:
        wrong_rank(op, rank, input)
    lists = strides, pads, dilations, groups, window, pool_strides, pool_pads, pool_dilations
    y: Tensor = _CONV_BLOCK(input, weight, bias, *lists, ceil_mode, relu, False, algorithm)[0]
    return y.squeeze(0) if single else y


def max_pool(
    op: str,
    rank: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """Takes maxima; a pair (values, indices) if `return_indices`. `op` is what the user called."""
    if not return_indices and not is_compiling():
        y: Tensor = fast_max_pool(rank, input, kernel_size, stride, padding, dilation, ceil_mode)
        if y is not NotImplemented:
            return y
    if not isinstance(input, Tensor):
        require_tensors(op, input=input)
    kernel = one_per_axis(op, rank, "kernel_size", kernel_size)
    strides = pool_stride(op, rank, stride, kernel)
    dilations = one_per_axis(op, rank, "dilation", dilation)
    pads = (
        named_padding(op, padding, input.shape[-rank:], kernel, strides, dilations)
        if isinstance(padding, str)
        else before_and_after(op, rank, "padding", padding)
    )
    flag(op, "ceil_mode", ceil_mode)
    single = input.dim() == rank + 1
    if single:
        input = input.unsqueeze(0)
    elif input.dim() != rank + 2:
        wrong_rank(op, rank, input)
    if not return_indices:
        y = _MAX_POOL(input, kernel, strides, pads, dilations, ceil_mode, False, ())[0]
        return y.squeeze(0) if single else y
    y, argmax = _MAX_POOL(input, kernel, strides, pads, dilations, ceil_mode, True, ())
    indices: Tensor = _MAX_POOL_INDICES(
        argmax, input.shape, kernel, strides, pads, dilations, ceil_mode, ()
    )
    return (y.squeeze(0), indices.squeeze(0)) if single else (y, indices)


def avg_pool(
    op: str,
    rank: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Takes averages. `op` is what the user called, the rest its arguments."""
    if divisor_override is None and not is_compiling():
        y: Tensor = fast_avg_pool(
            rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad
        )
        if y is not NotImplemented:
            return y
    if not isinstance(input, Tensor):
        require_tensors(op, input=input)
    kernel = one_per_axis(op, rank, "kernel_size", kernel_size)
    strides = pool_stride(op, rank, stride, kernel)
    flag(op, "ceil_mode", ceil_mode)
    flag(op, "count_include_pad", count_include_pad)
    if isinstance(padding, str):
        pads = named_padding(op, padding, input.shape[-rank:], kernel, strides, (1,) * rank)
        count_include_pad = False
    else:
        pads = before_and_after(op, rank, "padding", padding)
    total = divisor(op, divisor_override)
    dims = input.dim()
    if dims == rank + 2:
        return _AVG_POOL(input, kernel, strides, pads, ceil_mode, count_include_pad, total, ())
    if dims != rank + 1:
        wrong_rank(op, rank, input)
    y = _AVG_POOL(
        input.unsqueeze(0), kernel, strides, pads, ceil_mode, count_include_pad, total, ()
    )
    return y.squeeze(0)
