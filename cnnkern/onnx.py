# SPDX-License-Identifier: BSD-3-Clause
"""The operators in ONNX's words, for torch.onnx.export: no operator of cnnkern is left in the file.

Not imported with cnnkern; needs the package onnxscript, as torch.onnx.export itself does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch

__all__ = ["translation_table"]

# onnxscript's values have no types of their own here.
_Value = Any

_OPSET = 18  # the one that torch.onnx.export translates to


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Returns what torch.onnx.export must know to write models with cnnkern's layers.

    Give it as ``custom_translation_table``. Convolutions become Conv and ConvTranspose, pools
    MaxPool and AveragePool, a residual an Add, a fused ReLU a Relu. Batches, and the sizes of
    images where they may be unknown in ONNX too, may be dynamic; transposed convolutions and max
    pools with indices need the sizes of their images.

    Returns:
        For each operator that a forward pass calls, the function that writes it.

    Raises:
        ImportError: onnxscript is not installed.

    Source:
        https://onnx.ai/onnx/operators, opset 18.

    Example:
        >>> import torch, cnnkern, cnnkern.onnx
        >>> model = torch.nn.Sequential(cnnkern.nn.Conv2d(1, 4, 3), cnnkern.nn.MaxPool2d(2))
        >>> program = torch.onnx.export(
        ...     model.eval(), (torch.zeros(1, 1, 8, 8),), verbose=False,
        ...     custom_translation_table=cnnkern.onnx.translation_table(),
        ... )
        >>> [node.op_type for node in program.model.graph]
        ['Conv', 'MaxPool']
    """
    _op()
    ops: Any = torch.ops.cnnkern
    return {
        ops.conv.default: _conv,
        ops.conv_add.default: _conv_add,
        ops.conv_input_grad.default: _conv_input_grad,
        ops.max_pool.default: _max_pool,
        ops.max_pool_indices.default: _max_pool_indices,
        ops.avg_pool.default: _avg_pool,
    }


@cache
def _op() -> Any:
    try:
        from onnxscript import values
    except ImportError as error:
        raise ImportError(
            "cnnkern.onnx.translation_table: onnxscript is not installed: pip install onnxscript"
        ) from error
    return values.Opset("", _OPSET)


def _conv(
    input: _Value,
    weight: _Value,
    bias: _Value,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    relu: bool,
    algorithm: str,
) -> _Value:
    y = _op().Conv(
        input,
        weight,
        bias,
        strides=stride,
        pads=_befores_then_afters(padding),
        dilations=dilation,
        group=groups,
    )
    return _op().Relu(y) if relu else y


def _conv_add(input: _Value, weight: _Value, bias: _Value, residual: _Value, *rest: Any) -> _Value:
    stride, padding, dilation, groups, relu, algorithm = rest
    y = _conv(input, weight, bias, stride, padding, dilation, groups, False, algorithm)
    y = _op().Add(y, residual)
    return _op().Relu(y) if relu else y


def _conv_input_grad(
    grad_output: _Value,
    weight: _Value,
    bias: _Value,
    input_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    relu: bool,
    algorithm: str,
) -> _Value:
    sizes = _known("conv_transpose", input_size)
    inner = _known("conv_transpose", grad_output.shape)
    kernel = _known("conv_transpose", weight.shape)
    # What the sizes have more than the windows cover.
    rest = [
        n - ((p - 1) * s + d * (r - 1) + 1 - before - after)
        for n, p, s, d, r, before, after in zip(
            sizes,
            inner,
            stride,
            dilation,
            kernel,
            padding[::2],
            padding[1::2],
            strict=True,
        )
    ]
    y = _op().ConvTranspose(
        grad_output,
        weight,
        bias,
        strides=stride,
        pads=_befores_then_afters(padding),
        dilations=dilation,
        group=groups,
        output_padding=rest,
    )
    return _op().Relu(y) if relu else y


def _max_pool(
    input: _Value,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    return_argmax: bool,
    output_size: Sequence[int] = (),
) -> tuple[_Value, _Value]:
    if output_size:
        kernel_size = stride = _even_windows("adaptive_max_pool", input, output_size)
        padding, dilation = (0,) * 2 * len(stride), (1,) * len(stride)
    y, indices = _op().MaxPool(
        input,
        kernel_shape=kernel_size,
        strides=stride,
        pads=_befores_then_afters(padding),
        dilations=dilation,
        ceil_mode=int(ceil_mode),
    )
    # In the type of the argmax; max_pool_indices looks behind it.
    return y, _op().Cast(indices, to=2)


def _max_pool_indices(
    argmax: _Value,
    input_size: Sequence[int],
    *window: Any,
) -> _Value:
    # ONNX counts through the whole tensor, torch through each plane.
    plane = prod(_known("max_pool with indices", input_size))
    return _op().Mod(argmax.producer().inputs[0], _op().Constant(value_int=plane))


def _avg_pool(
    input: _Value,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int,
    output_size: Sequence[int] = (),
) -> _Value:
    if output_size:
        kernel_size = stride = _even_windows("adaptive_avg_pool", input, output_size)
        padding = (0,) * 2 * len(stride)
    if divisor and ceil_mode:
        raise NotImplementedError(
            "cnnkern.onnx: avg_pool with divisor_override and ceil_mode has no word in ONNX"
        )
    y = _op().AveragePool(
        input,
        kernel_shape=kernel_size,
        strides=stride,
        pads=_befores_then_afters(padding),
        ceil_mode=int(ceil_mode),
        count_include_pad=int(count_include_pad or divisor != 0),
    )
    if not divisor:
        return y
    factor = _op().Constant(value_float=prod(kernel_size) / divisor)
    return _op().Mul(y, _op().CastLike(factor, y))


def _befores_then_afters(padding: Sequence[int]) -> list[int]:
    return [*padding[::2], *padding[1::2]]


def _known(what: str, sizes: Sequence[Any]) -> list[int]:
    # Those of the images: what is behind batch and channels.
    images = list(sizes)[2:]
    if not all(isinstance(size, int) for size in images):
        raise NotImplementedError(
            f"cnnkern.onnx: {what} needs the sizes of its images, got dynamic ones; export with "
            "fixed sizes, or torch's layers (cnnkern.revert)"
        )
    return images


def _even_windows(what: str, input: _Value, output_size: Sequence[int]) -> list[int]:
    # The window, and step, of an adaptive pool whose windows are all alike.
    sizes = _known(what, input.shape)
    if any(n % p for n, p in zip(sizes, output_size, strict=True)):
        raise NotImplementedError(
            f"cnnkern.onnx: {what} has a word in ONNX only where the images' sizes are multiples "
            f"of the output's, got {sizes} and {list(output_size)}"
        )
    return [n // p for n, p in zip(sizes, output_size, strict=True)]
