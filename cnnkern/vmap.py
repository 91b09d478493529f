# SPDX-License-Identifier: BSD-3-Clause
"""How each operator runs under torch.vmap: once, on a larger problem, never in a loop.

A batch of inputs folds into the images. A batch of weights folds into channels, and where both
sides have one, into groups: convolutions of different samples never mix. Imported for its effect.

Example:
    >>> import torch, cnnkern
    >>> x, w = torch.ones(5, 1, 2, 4, 4), torch.ones(5, 3, 2, 3, 3)
    >>> torch.vmap(cnnkern.functional.conv2d)(x, w).shape
    torch.Size([5, 1, 3, 2, 2])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .functional._arguments import conv_sizes

Dim = int | None

_OPS: Any = torch.ops.cnnkern


def _split(t: Tensor, axis: int, sizes: tuple[int, ...]) -> Tensor:
    return t.reshape(*t.shape[:axis], *sizes, *t.shape[axis + 1 :])


def _fold(t: Tensor, dim: int, into: int, groups: int = 1) -> Tensor:
    # (..., g * v, ...) with a batch axis becomes (..., g * batch * v, ...): groups stay outermost.
    t = t.movedim(dim, 0)
    if groups == 1:
        return t.movedim(0, into).flatten(into, into + 1)
    size = t.shape[into + 1]
    t = _split(t, into + 1, (groups, size // groups)).movedim(0, into + 1)
    return t.flatten(into, into + 2)


def _unfold(t: Tensor, batch: int, axis: int, groups: int = 1) -> tuple[Tensor, int]:
    # The inverse of _fold, and where the batch axis then stands.
    if groups == 1:
        return _split(t, axis, (batch, t.shape[axis] // batch)), axis
    t = _split(t, axis, (groups, batch, t.shape[axis] // (groups * batch)))
    return t.movedim(axis + 1, 0).flatten(axis + 1, axis + 2), 0


def _scaled(sizes: Sequence[int], axis: int, by: int) -> list[int]:
    return [size * by if i == axis else size for i, size in enumerate(sizes)]


def _with_epilogue(y: Tensor, at: int, bias: Tensor, bias_dim: int, relu: bool) -> Tensor:
    # y has its batch axis at `at`; gives y + bias with the batch axis in front.
    bias = bias.movedim(bias_dim, 0)
    y = y.movedim(at, 0) + bias.reshape(bias.shape[0], 1, bias.shape[1], *[1] * (y.dim() - 3))
    return y.relu() if relu else y


def _linear(
    call: Callable[..., Tensor],
    batch: int,
    dims: tuple[Dim, Dim, Dim],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    relu: bool,
    weight_axis: int,
) -> tuple[Tensor, int]:
    # `call(x, weight, bias, groups, relu, images, channels)` is the operator, with the factors by
    # which the result's first two sizes grow; weight_axis is the weight's axis that makes channels.
    x_dim, weight_dim, bias_dim = dims
    if weight_dim is None:
        if bias is not None and bias_dim is not None:
            if x_dim is None:
                y, at = call(x, weight, None, groups, False, 1, 1).unsqueeze(0), 0
            else:
                folded = _fold(x, x_dim, 0)
                y, at = _unfold(call(folded, weight, None, groups, False, batch, 1), batch, 0)
            return _with_epilogue(y, at, bias, bias_dim, relu), 0
        assert x_dim is not None
        return _unfold(call(_fold(x, x_dim, 0), weight, bias, groups, relu, batch, 1), batch, 0)
    outer = groups if x_dim is None else 1
    if bias is not None:
        if bias_dim is None:
            bias, bias_dim = bias.expand(batch, -1), 0
        bias = _fold(bias, bias_dim, 0, outer)
    if x_dim is not None:
        x, weight = _fold(x, x_dim, 1), _fold(weight, weight_dim, 0)
        return _unfold(call(x, weight, bias, groups * batch, relu, 1, batch), batch, 1)
    weight = _fold(weight, weight_dim, weight_axis, groups if weight_axis == 0 else 1)
    return _unfold(call(x, weight, bias, groups, relu, 1, batch), batch, 1, groups)


def _conv(
    info: Any,
    in_dims: tuple[Dim, ...],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    relu: bool,
    *how: str,
) -> tuple[Tensor, int]:
    op = _OPS.conv if len(how) == 1 else _OPS.conv_border  # the algorithm; the border before it

    def call(x: Tensor, w: Tensor, b: Tensor | None, groups: int, relu: bool, *_: int) -> Tensor:
        y: Tensor = op(x, w, b, stride, padding, dilation, groups, relu, *how)
        return y

    dims = in_dims[0], in_dims[1], in_dims[2]
    return _linear(call, info.batch_size, dims, input, weight, bias, groups, relu, 0)


def _conv_add(
    info: Any,
    in_dims: tuple[Dim, ...],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor,
    *rest: Any,
) -> tuple[Tensor, int]:
    stride, padding, dilation, groups, relu, algorithm = rest
    linear = stride, padding, dilation, groups, False, algorithm
    x_dim, *others, residual_dim = in_dims[:4]
    if x_dim is not None and others == [None, None]:  # a larger batch
        batch = info.batch_size
        addend = _images(batch, residual, residual_dim)
        y = _OPS.conv_add(_fold(input, x_dim, 0), weight, bias, addend, *rest)
        return _unfold(y, batch, 0)
    if x_dim is None and others == [None, None]:  # one convolution for all
        y = _OPS.conv(input, weight, bias, *linear)
    else:
        y, at = _conv(info, in_dims, input, weight, bias, *linear)
        y = y.movedim(at, 0)
    y = y + _front(residual, residual_dim)
    return y.relu() if relu else y, 0


def _conv_input_grad(
    info: Any,
    in_dims: tuple[Dim, ...],
    grad_output: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    input_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    relu: bool,
    algorithm: str,
) -> tuple[Tensor, int]:
    def call(
        g: Tensor,
        w: Tensor,
        b: Tensor | None,
        groups: int,
        relu: bool,
        images: int,
        channels: int,
    ) -> Tensor:
        size = _scaled(_scaled(input_size, 0, images), 1, channels)
        y: Tensor = _OPS.conv_input_grad(
            g, w, b, size, stride, padding, dilation, groups, relu, algorithm
        )
        return y

    dims = in_dims[0], in_dims[1], in_dims[2]
    return _linear(call, info.batch_size, dims, grad_output, weight, bias, groups, relu, 1)


def _conv_border_input_grad(
    info: Any,
    in_dims: tuple[Dim, ...],
    grad_output: Tensor,
    weight: Tensor,
    input_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    *how: str,
) -> tuple[Tensor, int]:
    def call(
        g: Tensor, w: Tensor, _b: None, groups: int, _relu: bool, images: int, channels: int
    ) -> Tensor:
        size = _scaled(_scaled(input_size, 0, images), 1, channels)
        y: Tensor = _OPS.conv_border_input_grad(g, w, size, stride, padding, dilation, groups, *how)
        return y

    dims = in_dims[0], in_dims[1], None
    return _linear(call, info.batch_size, dims, grad_output, weight, None, groups, False, 1)


def _conv_weight_grad(
    info: Any,
    in_dims: tuple[Dim, ...],
    grad_output: Tensor,
    input: Tensor,
    weight_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    bias_grad: bool,
    *how: str,
) -> tuple[tuple[Tensor, Tensor], tuple[int, Dim]]:
    batch, grad_dim, input_dim = info.batch_size, in_dims[0], in_dims[1]

    def call(g: Tensor, x: Tensor, size: Sequence[int], groups: int) -> tuple[Tensor, Tensor]:
        op = _OPS.conv_weight_grad if len(how) == 1 else _OPS.conv_border_weight_grad
        pair: tuple[Tensor, Tensor] = op(
            g, x, size, stride, padding, dilation, groups, bias_grad, *how
        )
        return pair

    if grad_dim is None:
        assert input_dim is not None
        x = _fold(input, input_dim, 1, groups)
        weight, bias = call(grad_output, x, _scaled(weight_size, 1, batch), groups)
        weight, at = _unfold(weight, batch, 1)
        return (weight, bias), (at, None)
    outer = groups if input_dim is None else 1
    g = _fold(grad_output, grad_dim, 1, outer)
    x = input if input_dim is None else _fold(input, input_dim, 1)
    inner = groups if input_dim is None else groups * batch
    weight, bias = call(g, x, _scaled(weight_size, 0, batch), inner)
    weight, at = _unfold(weight, batch, 0, outer)
    if not bias_grad:
        return (weight, bias), (at, None)
    bias, bias_at = _unfold(bias, batch, 0, outer)
    return (weight, bias), (at, bias_at)


def _max_pool(
    info: Any, in_dims: tuple[Dim, ...], input: Tensor, *rest: Any
) -> tuple[tuple[Tensor, Tensor], tuple[int, Dim]]:
    dim = in_dims[0]
    assert dim is not None
    values, argmax = _OPS.max_pool(_fold(input, dim, 0), *rest)
    values, at = _unfold(values, info.batch_size, 0)
    if not rest[5]:  # return_argmax
        return (values, argmax), (at, None)
    argmax, argmax_at = _unfold(argmax, info.batch_size, 0)
    return (values, argmax), (at, argmax_at)


def _conv_block(
    info: Any,
    in_dims: tuple[Dim, ...],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *rest: Any,
) -> tuple[tuple[Tensor, Tensor], tuple[int, Dim]]:
    stride, padding, dilation, groups, *window, ceil_mode, relu, return_argmax, algorithm = rest
    if in_dims[1] is not None or in_dims[2] is not None:  # sums of other shapes: two operators
        lists = (stride, padding, dilation)
        y, at = _conv(info, in_dims, input, weight, bias, *lists, groups, relu, algorithm)
        return _max_pool(info, (at,), y, *window, ceil_mode, return_argmax, ())
    dim, batch = in_dims[0], info.batch_size
    assert dim is not None
    y, argmax = _OPS.conv_block(_fold(input, dim, 0), weight, bias, *rest)
    y, at = _unfold(y, batch, 0)
    if not return_argmax:
        return (y, argmax), (at, None)
    argmax, argmax_at = _unfold(argmax, batch, 0)
    return (y, argmax), (at, argmax_at)


def _front(t: Tensor, dim: Dim) -> Tensor:
    return t if dim is None else t.movedim(dim, 0)


def _conv_block_grad(
    info: Any,
    in_dims: tuple[Dim, ...],
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    output: Tensor | None,
    argmax: Tensor,
    input_size: Sequence[int],
    weight_size: Sequence[int],
    *rest: Any,
) -> tuple[tuple[Tensor, ...], tuple[Dim, ...]]:
    # In steps: samples may share any of the operands.
    *lists, ceil_mode, wanted, algorithm = rest
    dim: Dim = None if in_dims[0] is None else 0
    grad = _front(grad_output, in_dims[0])
    if output is not None:
        if dim is None and in_dims[3] is not None:
            dim = 0
        grad = torch.where(_front(output, in_dims[3]) <= 0, 0.0, grad)
    convolved = conv_sizes(input_size[2:], weight_size[2:], *lists[:3])
    between = [input_size[0], weight_size[0], *convolved]
    pool = (*lists[4:], ceil_mode, ())
    if dim is None and in_dims[4] is None:
        grad = _OPS.max_pool_grad(grad, argmax, between, *pool)
    else:
        grad, dim = _max_pool_grad(info, (dim, in_dims[4]), grad, argmax, between, *pool)
    none = grad_output.new_empty(0)
    results: list[Tensor] = [none, none, none]
    dims: list[Dim] = [None, None, None]
    conv = (*lists[:4], False, algorithm)
    if wanted[0]:
        assert weight is not None
        if dim is None and in_dims[2] is None:
            results[0] = _OPS.conv_input_grad(grad, weight, None, input_size, *conv)
        else:
            results[0], dims[0] = _conv_input_grad(
                info, (dim, in_dims[2], None), grad, weight, None, input_size, *conv
            )
    if wanted[1]:
        assert input is not None
        of = (weight_size, *lists[:4], wanted[2], algorithm)
        if dim is None and in_dims[1] is None:
            results[1:] = _OPS.conv_weight_grad(grad, input, *of)
        else:
            results[1:], dims[1:] = _conv_weight_grad(info, (dim, in_dims[1]), grad, input, *of)
    elif wanted[2]:
        at = 0 if dim is None else 1
        results[2] = grad.movedim(dim or 0, 0).sum([at, *range(at + 2, grad.dim())])
        dims[2] = None if dim is None else 0
    return tuple(results), tuple(dims)


def _images(batch: int, t: Tensor, dim: Dim) -> Tensor:
    # Folds into images what has a batch axis; what has none is repeated.
    if dim is None:
        t, dim = t.expand(batch, *t.shape), 0
    return _fold(t, dim, 0)


def _max_pool_grad(
    info: Any,
    in_dims: tuple[Dim, ...],
    grad_output: Tensor,
    argmax: Tensor,
    input_size: Sequence[int],
    *rest: Any,
) -> tuple[Tensor, int]:
    batch = info.batch_size
    g, a = _images(batch, grad_output, in_dims[0]), _images(batch, argmax, in_dims[1])
    return _unfold(_OPS.max_pool_grad(g, a, _scaled(input_size, 0, batch), *rest), batch, 0)


def _max_pool_gather(
    info: Any, in_dims: tuple[Dim, ...], input: Tensor, argmax: Tensor, *rest: Any
) -> tuple[Tensor, int]:
    batch = info.batch_size
    x, a = _images(batch, input, in_dims[0]), _images(batch, argmax, in_dims[1])
    return _unfold(_OPS.max_pool_gather(x, a, *rest), batch, 0)


def _sized(op: str) -> Callable[..., tuple[Tensor, int]]:
    # The rule of an operator of one tensor whose next argument is the input's size.
    def rule(
        info: Any, in_dims: tuple[Dim, ...], t: Tensor, input_size: Sequence[int], *rest: Any
    ) -> tuple[Tensor, int]:
        folded = _images(info.batch_size, t, in_dims[0])
        size = _scaled(input_size, 0, info.batch_size)
        return _unfold(getattr(_OPS, op)(folded, size, *rest), info.batch_size, 0)

    return rule


def _avg_pool(info: Any, in_dims: tuple[Dim, ...], input: Tensor, *rest: Any) -> tuple[Tensor, int]:
    folded = _images(info.batch_size, input, in_dims[0])
    return _unfold(_OPS.avg_pool(folded, *rest), info.batch_size, 0)


def _max_unpool(
    info: Any, in_dims: tuple[Dim, ...], input: Tensor, indices: Tensor, size: Sequence[int]
) -> tuple[Tensor, int]:
    batch = info.batch_size
    x, i = _images(batch, input, in_dims[0]), _images(batch, indices, in_dims[1])
    return _unfold(_OPS.max_unpool(x, i, size), batch, 0)


def _max_unpool_grad(
    info: Any, in_dims: tuple[Dim, ...], grad_output: Tensor, indices: Tensor
) -> tuple[Tensor, int]:
    batch = info.batch_size
    g, i = _images(batch, grad_output, in_dims[0]), _images(batch, indices, in_dims[1])
    return _unfold(_OPS.max_unpool_grad(g, i), batch, 0)


RULES: dict[str, Callable[..., Any]] = {
    "conv": _conv,
    "conv_add": _conv_add,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "conv_border": _conv,
    "conv_border_input_grad": _conv_border_input_grad,
    "conv_border_weight_grad": _conv_weight_grad,
    "conv_block": _conv_block,
    "conv_block_grad": _conv_block_grad,
    "max_pool": _max_pool,
    "max_pool_grad": _max_pool_grad,
    "max_pool_gather": _max_pool_gather,
    "max_pool_indices": _sized("max_pool_indices"),
    "avg_pool": _avg_pool,
    "avg_pool_grad": _sized("avg_pool_grad"),
    "max_unpool": _max_unpool,
    "max_unpool_grad": _max_unpool_grad,
}

for _name, _rule in RULES.items():
    torch.library.register_vmap(f"cnnkern::{_name}", _rule)
