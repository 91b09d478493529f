# SPDX-License-Identifier: BSD-3-Clause
"""The problem of a call that torch's dispatcher makes: of torch's operators, and of cnnkern's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional._adaptive import output_sizes
from ..problem import Problem, _format, _text, parse

Arguments = Mapping[str, Any]

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# What is a convolution or pool by its name, such as fractional_max_pool2d. Adaptive pools of torch
# are seen where they are called (adaptive_problem), cnnkern's own here.
_ALIKE = re.compile(r"(^|_)conv(\d|_|olution|$)|(^|_)pool")
_NOT_ALIKE = re.compile("adaptive|backward|_grad")
_ADAPTIVE = re.compile(r"(adaptive_(?:max|avg)_pool)([123])d(?:_with_indices)?")


def problem_of_call(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Problem | str | None:
    """Gives the problem of a forward call of an operator.

    Args:
        func: a ``torch._ops.OpOverload``.
        args: its arguments by position.
        kwargs: its arguments by name.

    Returns:
        The problem; or, of a convolution or pool that is none of our problems, what it is; or
        nothing, of any other operator and of one that torch takes apart into others.
    """
    reader = _READERS.get(func._schema.name)
    if reader is None:
        space, name = func._schema.name.split("::")
        is_alike = space != "cnnkern" and _ALIKE.search(name) and not _NOT_ALIKE.search(name)
        return str(name) if is_alike else None
    declared = func._schema.arguments
    values = {a.name: a.default_value for a in declared if a.has_default_value()}
    values |= zip((a.name for a in declared), args, strict=False)
    return reader(values | dict(kwargs))


def _torch_conv(a: Arguments) -> Problem | str:
    rank = a["weight"].dim() - 2
    names = ["stride", "padding", "dilation"] + ["output_padding"] * a["transposed"]
    options: dict[str, object] = {name: _axes(a[name], rank) for name in names}
    options |= {"groups": a["groups"], "bias": a["bias"] is not None}
    op = "conv_transpose" if a["transposed"] else "conv"
    return _problem(op, rank, a["input"], a["weight"], options)


def _own_conv(a: Arguments) -> Problem | str:
    return _problem("conv", a["weight"].dim() - 2, a["input"], a["weight"], _own_options(a))


def _own_conv_border(a: Arguments) -> Problem | str:
    # As problem_of has it: a larger input, which is convolved without padding.
    options = _own_options(a)
    border = options.pop("padding")
    return _problem("conv", a["weight"].dim() - 2, a["input"], a["weight"], options, border)


def _own_conv_transpose(a: Arguments) -> Problem | str:
    input, weight, rank = a["grad_output"], a["weight"], a["weight"].dim() - 2
    extra = []
    for axis in range(rank):
        span = a["dilation"][axis] * (weight.shape[2 + axis] - 1) + 1
        whole = (input.shape[2 + axis] - 1) * a["stride"][axis] + span
        extra.append(a["input_size"][2 + axis] - whole + sum(_pairs(a["padding"])[axis]))
    return _problem(
        "conv_transpose", rank, input, weight, _own_options(a) | {"output_padding": extra}
    )


def _own_options(a: Arguments) -> dict[str, Any]:
    return {
        "stride": a["stride"],
        "padding": _pairs(a["padding"]),
        "dilation": a["dilation"],
        "groups": a["groups"],
        "bias": a["bias"] is not None,
        "relu": a["relu"],
    }


def _max_pool(rank: int) -> Callable[[Arguments], Problem | str]:
    return lambda a: _pool("max_pool", rank, a, {"dilation": _axes(a["dilation"], rank)})


def _avg_pool(rank: int) -> Callable[[Arguments], Problem | str]:
    return lambda a: _pool("avg_pool", rank, a, _average(a, a["divisor_override"]))


def _average(a: Arguments, divisor: int | None) -> dict[str, object]:
    counted = {"count_include_pad": a["count_include_pad"]}
    return counted | ({"divisor": divisor} if divisor else {})


def _pool(op: str, rank: int, a: Arguments, more: dict[str, object]) -> Problem | str:
    kernel = _axes(a["kernel_size"], rank)
    axes = {
        "kernel": kernel,
        "stride": _axes(a["stride"], rank) or kernel,
        "padding": _axes(a["padding"], rank),
    }
    input = a["self"]
    is_flat = [axes[name][0] for name in axes] == [1, 1, 0] and input.shape[-rank] == 1
    if rank == 2 and is_flat:
        # What torch makes of a pool over one axis.
        rank, input = 1, input.squeeze(-2)
        axes = {name: values[1:] for name, values in axes.items()}
        more = {k: v[1:] if isinstance(v, Sequence) else v for k, v in more.items()}
    return _problem(op, rank, input, None, {**axes, "ceil": a["ceil_mode"], **more})


def _own_max_pool(a: Arguments) -> Problem | str:
    return _own_pool("max_pool", a, {"dilation": a["dilation"]})


def _own_avg_pool(a: Arguments) -> Problem | str:
    return _own_pool("avg_pool", a, _average(a, a["divisor"]))


def _own_pool(op: str, a: Arguments, more: dict[str, object]) -> Problem | str:
    if a["output_size"]:
        return _adaptive(f"adaptive_{op}", a["input"], a["output_size"])
    options = {
        "kernel": a["kernel_size"],
        "stride": a["stride"],
        "padding": _pairs(a["padding"]),
        "ceil": a["ceil_mode"],
    }
    return _problem(op, len(a["kernel_size"]), a["input"], None, options | more)


def adaptive_problem(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Problem | str | None:
    """Gives the problem of a call of one of torch's adaptive pools.

    The dispatcher sees a mean where all is averaged, and over one axis a pool over two.

    Args:
        name: of the function that is called.
        args: its arguments by position.
        kwargs: its arguments by name.

    Returns:
        The problem, or what a call is that is none of ours; nothing, of any other function.
    """
    found = _ADAPTIVE.fullmatch(name)
    if not found:
        return None
    values = dict(zip(("input", "output_size"), args, strict=False)) | dict(kwargs)
    input, rank = values["input"], int(found[2])
    return _adaptive(found[1], input, output_sizes(name, rank, values["output_size"], input.shape))


def _adaptive(op: str, input: Tensor, output_size: Sequence[int]) -> Problem | str:
    return _problem(op, len(output_size), input, None, {"output": list(output_size)})


def _problem(
    op: str,
    rank: int,
    input: Tensor,
    weight: Tensor | None,
    options: Mapping[str, object],
    border: Sequence[tuple[int, int]] = (),
) -> Problem | str:
    op = f"{op}{rank}d"
    dtype = str(input.dtype).removeprefix("torch.")
    if input.dtype not in _DTYPES:
        return f"{op} of {dtype}"
    shapes = [[1] * (rank + 2 - input.dim()) + list(input.shape)]
    for axis, pads in enumerate(border):
        shapes[0][axis + 2] += sum(pads)
    if weight is not None:
        shapes.append(list(weight.shape))
    words = [op, *("x".join(map(str, sizes)) for sizes in shapes)]
    words += [f"{name}={_text(value)}" for name, value in options.items()]
    try:
        return parse(" ".join((*words, f"dtype={dtype}", f"format={_format(input)}")))
    except ValueError as error:
        return str(error).partition("\n")[0]


def _axes(value: Any, rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _pairs(pads: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(pads[::2], pads[1::2], strict=True))


_READERS: dict[str, Callable[[Arguments], Problem | str]] = {
    "aten::convolution": _torch_conv,
    "aten::_convolution": _torch_conv,  # of a model that torch.jit traced
    "aten::max_pool2d_with_indices": _max_pool(2),
    "aten::max_pool3d_with_indices": _max_pool(3),
    "aten::avg_pool2d": _avg_pool(2),
    "aten::avg_pool3d": _avg_pool(3),
    "cnnkern::conv": _own_conv,
    "cnnkern::conv_border": _own_conv_border,
    "cnnkern::conv_input_grad": _own_conv_transpose,
    "cnnkern::max_pool": _own_max_pool,
    "cnnkern::avg_pool": _own_avg_pool,
}
