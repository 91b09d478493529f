# SPDX-License-Identifier: BSD-3-Clause
"""Turns the arguments that people write into the flat lists that the operators take.

Everything an operator can check by itself (values, shapes, dtypes, devices) is left to it; what is
checked here is what only Python knows: types, lengths, names, and the rank that the function's own
name promises.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, NoReturn

import torch
from torch import Tensor

Ints = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[tuple[int, int]]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
ALGORITHMS = ("auto", "direct", "depthwise", "im2col", "winograd", "implicit_gemm")
BORDERS = ("zeros", "reflect", "replicate", "circular")
AXES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
TAPS = {1: ("R",), 2: ("R", "S"), 3: ("T", "R", "S")}

# What an int64 stays below.
LIMIT = 2**63
_sym_max: Callable[..., Any] = torch.sym_max


def shape_text(*names: str) -> str:
    """Formats the letters of a shape: ``(N, C, H, W)``."""
    return f"({', '.join(names)})"


def dtype_text(dtype: torch.dtype) -> str:
    """Formats a dtype without the package: ``float32``."""
    return str(dtype).removeprefix("torch.")


def index(op: str, name: str, value: Any, overflow: type[Exception] = ValueError) -> int:
    """Takes one integer as torch does: anything with ``__index__``, but no bool.

    Args:
        op: what the user called, for the error text.
        name: the argument, for the error text.
        value: what was given.
        overflow: what torch raises there for an integer of more than 64 bits.

    Returns:
        The integer; a ``torch.SymInt`` stays one, so that traced sizes stay symbolic.

    Raises:
        TypeError: the value is no integer.
        ValueError: the value does not fit into 64 bits (or what `overflow` says).
    """
    if type(value) is int and -LIMIT <= value < LIMIT:
        return value
    if isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if isinstance(value, bool):
        raise TypeError(f"{op}: expected {name} to be made of ints, got {value!r} (a bool)")
    try:
        number = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(
            f"{op}: expected {name} to be made of ints, got {value!r} ({kind})"
        ) from None
    if not -LIMIT <= number < LIMIT:
        raise overflow(f"{op}: expected {name} to fit into 64 bits, got {number}")
    return number


def flag(op: str, name: str, value: object) -> bool:
    """Takes True or False and nothing else, as torch does.

    Raises:
        TypeError: the value is no bool.
    """
    if value is True or value is False:
        return value
    raise TypeError(f"{op}: expected {name} to be a bool, got {value!r} ({type(value).__name__})")


def one_per_axis(op: str, rank: int, name: str, value: Any) -> Sequence[int]:
    """Expands an int, or a sequence of one or `rank` ints, to one int per axis.

    Raises:
        TypeError: something in it is no integer.
        RuntimeError: the sequence has another length.
    """
    if type(value) is int and -LIMIT <= value < LIMIT:
        return (value,) * rank
    if not _is_sequence(value):
        return (index(op, name, value),) * rank
    if len(value) not in (1, rank):
        _wrong_length(op, rank, name, value)
    values = tuple([index(op, name, v, TypeError) for v in value])
    return values if len(values) == rank else values * rank


def pool_stride(
    op: str, rank: int, stride: Any, kernel: Sequence[int], name: str = "stride"
) -> Sequence[int]:
    """Expands a pool's stride, which is the window's size where none is given.

    Raises:
        TypeError: something in it is no integer.
        RuntimeError: the sequence has another length.
    """
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        return kernel
    return one_per_axis(op, rank, name, stride)


def before_and_after(op: str, rank: int, name: str, value: Any) -> Sequence[int]:
    """Expands a padding to two ints per axis: before the first one, after it, before the second.

    Args:
        op: what the user called, for the error text.
        rank: how many axes there are.
        name: the argument, for the error text.
        value: an int, one or `rank` ints (the same on both sides), or `rank` pairs (before, after).

    Raises:
        TypeError: something in it is neither an integer nor a pair of them.
        RuntimeError: the sequence, or a pair in it, has another length.
    """
    if type(value) is int and -LIMIT <= value < LIMIT:
        return (value,) * (2 * rank)
    if not _is_sequence(value) or len(value) == 0 or not _is_sequence(value[0]):
        values = one_per_axis(op, rank, name, value)
        return tuple(v for v in values for _ in range(2))
    if len(value) != rank or any(_is_sequence(pair) and len(pair) != 2 for pair in value):
        raise RuntimeError(
            f"{op}: expected {name} of one (before, after) pair for each of {rank} axes, "
            f"got {_text(value)}"
        )
    if not all(_is_sequence(pair) for pair in value):
        raise TypeError(f"{op}: expected {name} to be all ints or all pairs, got {_text(value)}")
    return tuple(index(op, name, side, TypeError) for pair in value for side in pair)


def named_padding(
    op: str,
    name: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Sequence[int]:
    """Gives the padding that "valid" or "same" stands for, two ints per axis.

    "same" follows Keras: ``ceil(n / stride)`` outputs, the odd one of the padding after.

    Args:
        op: what the user called, for the error text.
        name: "valid" or "same".
        sizes: the input's spatial sizes.
        kernel: the kernel's.
        stride: one int per axis.
        dilation: one int per axis.

    Raises:
        RuntimeError: any other name, as torch does.
    """
    rank = len(stride)
    if name == "valid":
        return (0,) * (2 * rank)
    if name != "same":
        raise RuntimeError(
            f"{op}: invalid padding string: expected 'valid' or 'same' (or ints, or one "
            f"(before, after) pair per axis), got {name!r}"
        )
    # Shapes that do not match are the operator's to refuse, and so are strides below one.
    if len(kernel) != rank or len(sizes) != rank:
        return (0,) * (2 * rank)
    pads: list[int] = []
    for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        if type(s) is int and s <= 1:
            total = max(d * (k - 1), 0) if s == 1 else 0
        else:
            total = _sym_max(((n - 1) // s) * s + d * (k - 1) + 1 - n, 0)
        pads += (total // 2, total - total // 2)
    return pads


def conv_sizes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Sequence[int]:
    """Gives the spatial sizes of a convolution's result; nothing is checked.

    Lists that do not fit, and strides below one, are the operator's to refuse: then `sizes`.
    """
    if len(sizes) != len(stride) or len(kernel) != len(stride) or min(stride) < 1:
        return sizes
    ends = zip(sizes, kernel, stride, padding[::2], padding[1::2], dilation, strict=True)
    return [(n + before + after - d * (k - 1) - 1) // s + 1 for n, k, s, before, after, d in ends]


def divisor(op: str, divisor_override: int | None) -> int:
    """Gives what sums are divided by, as the operator takes it: 0 for the number of taps.

    Raises:
        TypeError: the divisor is no integer.
        RuntimeError: the divisor is 0.
    """
    if divisor_override is None:
        return 0
    number = index(op, "divisor_override", divisor_override)
    if number == 0:
        raise RuntimeError(f"{op}: expected divisor_override to be None or not zero, got 0")
    return number


def is_relu(op: str, activation: str | None) -> bool:
    """Says whether a ReLU is fused.

    Raises:
        ValueError: the activation is neither None nor "relu".
    """
    if activation is None:
        return False
    if activation == "relu":
        return True
    raise ValueError(f"{op}: expected activation to be None or 'relu', got {activation!r}")


def known_algorithm(op: str, algorithm: str) -> str:
    """Gives the name back.

    Raises:
        ValueError: no algorithm has this name.
    """
    if algorithm not in ALGORITHMS:
        refuse_algorithm(op, algorithm)
    return algorithm


def known_border(op: str, padding_mode: object) -> None:
    """Refuses what names no border.

    Raises:
        ValueError: nothing is around an input by this name.
    """
    if padding_mode not in BORDERS:
        names = ", ".join(map(repr, BORDERS))
        raise ValueError(f"{op}: expected padding_mode to be one of {names}, got {padding_mode!r}")


def refuse_algorithm(op: str, algorithm: object) -> NoReturn:
    """Refuses a name that no algorithm has.

    Raises:
        ValueError: always.
    """
    names = ", ".join(map(repr, ALGORITHMS))
    raise ValueError(f"{op}: expected algorithm to be one of {names}, got {algorithm!r}")


def require_tensors(op: str, **tensors: object) -> None:
    """Refuses what is no tensor.

    Raises:
        TypeError: naming the first argument that is none.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{op}: expected {name} to be a Tensor, got {type(value).__name__}")


def conv_tensors(op: str, input: object, weight: object, bias: object) -> None:
    """Refuses a convolution's operands unless they are tensors; the bias may be None.

    Raises:
        TypeError: naming the first argument that is no tensor.
    """
    if not isinstance(input, Tensor) or not isinstance(weight, Tensor):
        require_tensors(op, input=input, weight=weight)
    if bias is not None and not isinstance(bias, Tensor):
        require_tensors(op, bias=bias)


def is_addend(op: str, residual: object) -> None:
    """Refuses what cannot be added to a tensor.

    Raises:
        TypeError: it is neither a tensor nor a number.
    """
    if not isinstance(residual, (Tensor, Number, torch.SymInt, torch.SymFloat)):
        kind = type(residual).__name__
        raise TypeError(f"{op}: expected residual to be a Tensor, got {kind}")


def wrong_rank(op: str, rank: int, input: Tensor) -> NoReturn:
    """Refuses an input that is neither batched nor a single sample.

    Raises:
        RuntimeError: always.
    """
    batched, single = shape_text("N", "C", *AXES[rank]), shape_text("C", *AXES[rank])
    raise RuntimeError(
        f"{op}: expected input of shape {batched} or {single}, got {tuple(input.shape)}"
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (
        isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    )


def _wrong_length(op: str, rank: int, name: str, value: Sequence[int]) -> NoReturn:
    wanted = "1 value" if rank == 1 else f"1 or {rank} values"
    raise RuntimeError(f"{op}: expected {name} of {wanted}, got {len(value)}: {_text(value)}")


def _text(value: Sequence[Any]) -> str:
    return str(tuple(value))
