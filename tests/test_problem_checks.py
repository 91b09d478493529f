# SPDX-License-Identifier: BSD-3-Clause
"""What is refused, in which words; and that torch refuses the same, and gives the same shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkern._C import conv_output_size, parse, pool_output_size

HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "conv2d 8x64x9x9 64x16x3x3 groups=2",
            "conv2d: expected weight of shape (K, C/groups, R, S) with C/groups = 32, "
            "got (64, 16, 3, 3); C = 64, groups = 2",
        ),
        (
            "conv1d 8x64x9 64x16x3 groups=3",
            "conv1d: expected input channels C to be a multiple of groups, got C = 64; "
            "groups = 3, weight of shape (64, 16, 3)",
        ),
        (
            "conv3d 1x4x3x3x3 3x2x1x1x1",
            "conv3d: expected output channels K to be a positive multiple of groups, "
            "got weight of shape (3, 2, 1, 1, 1); K = 3, groups = 2",
        ),
        ("conv2d 1x4x3x3 0x4x1x1", "K = 0, groups = 1"),
        ("conv2d 1x4x3x3 4x4x1x1 groups=0", "conv2d: expected groups >= 1, got 0"),
        ("conv2d 1x4x3x3 4x4x1x1 groups=-2", "conv2d: expected groups >= 1, got -2"),
        ("conv2d 1x4x3x3 4x4x1x0", "conv2d: expected every kernel size to be >= 1, got weight of"),
        ("conv2d 1x4x3x3 4x4x1x1 stride=1,0", "conv2d: expected stride >= 1, got (1, 0)"),
        ("conv2d 1x4x3x3 4x4x1x1 dilation=0", "conv2d: expected dilation >= 1, got (0, 0)"),
        ("conv1d 1x4x3 4x4x1 padding=-1", "conv1d: expected padding >= 0, got (-1, -1)"),
        (
            "conv2d 1x4x3x3 4x4x1x3 padding=0:1 dilation=1,2",
            "conv2d: expected dilation * (kernel - 1) + 1 <= padded input size on axis W, "
            "got kernel size = 3, dilation = 2, input size = 3, padding = (0, 1)",
        ),
        ("conv1d 1x4x3 4x4x2 dilation=9223372036854775807", "dilation = 9223372036854775807"),
        (
            "conv2d 1x4x3x0 4x4x1x1 padding=1",
            "conv2d: expected spatial sizes >= 1 where batch and channels are not empty, "
            "got input (1, 4, 3, 0)",
        ),
        (
            f"conv1d 1x4x3 4x4x2 padding={HUGE}",
            f"conv1d: padded input does not fit 64 bits on axis L: input size = 3, "
            f"padding = ({HUGE}, {HUGE})",
        ),
        (
            "conv2d 4294967296x1x65536x65536 1x1x1x1",
            "conv2d: input of shape (4294967296, 1, 65536, 65536) has more bytes than 64 bits",
        ),
        (f"conv1d 1x1x3 {HUGE}x1x2", "conv1d: weight of shape"),
        ("conv1d 9223372036854775x1x3 64x1x1", "conv1d: output of shape"),
        (
            "conv_transpose2d 1x4x3x3 3x4x1x1",
            "conv_transpose2d: expected weight of shape (C, K/groups, R, S) with C = 4, "
            "got (3, 4, 1, 1); input (1, 4, 3, 3)",
        ),
        (
            "conv_transpose1d 1x4x3 4x4x1 groups=3",
            "conv_transpose1d: expected input channels C to be a positive multiple of groups, "
            "got C = 4; groups = 3",
        ),
        ("conv_transpose1d 1x0x3 0x4x1", "a positive multiple of groups, got C = 0"),
        ("conv_transpose1d 1x4x3 4x0x1", "expected at least one output channel a group"),
        (
            "conv_transpose1d 1x4x3 4x4x1 stride=2 dilation=3 output_padding=3",
            "conv_transpose1d: expected output_padding smaller than stride or dilation on axis L, "
            "got output_padding = 3, stride = 2, dilation = 3",
        ),
        ("conv_transpose1d 1x4x3 4x4x1 output_padding=-1", "expected output_padding >= 0"),
        ("conv_transpose1d 1x4x1 4x4x1 padding=1", "expected an output size from 0 to 2^63 - 1"),
        (f"conv_transpose1d 1x4x3 4x4x1 stride={HUGE}", "expected an output size from 0"),
        ("max_pool2d 1x0x3x3 kernel=1", "expected every size of input but the batch to be >= 1"),
        ("max_pool2d 1x1x3x0 kernel=1", "expected every size of input but the batch to be >= 1"),
        ("max_pool2d 1x1x3x3 kernel=0", "max_pool2d: expected kernel_size >= 1, got (0, 0)"),
        ("avg_pool2d 1x1x3x3 kernel=2 stride=0", "avg_pool2d: expected stride >= 1, got (0, 0)"),
        ("max_pool1d 1x1x3 kernel=2 dilation=0", "max_pool1d: expected dilation >= 1, got (0,)"),
        ("max_pool1d 1x1x3 kernel=2147483648", "expected kernel_size <= 2147483647"),
        (
            "max_pool1d 1x1x3 kernel=3 dilation=2147483647",
            "expected dilation * (kernel - 1) + 1 <=",
        ),
        (
            "avg_pool2d 1x1x9x9 kernel=3,5 padding=1,3",
            "avg_pool2d: expected padding of at most half the effective kernel size, 2 on axis W, "
            "got (3, 3); kernel_size = 5, dilation = 1",
        ),
        ("max_pool2d 1x1x9x9 kernel=3 padding=0:2", "1 on axis H, got (0, 2)"),
        (
            "avg_pool3d 1x1x9x9x4 kernel=5 ceil stride=1",
            "avg_pool3d: expected an output size >= 1 on axis W, got 0: input size = 4, "
            "padding = (0, 0), kernel_size = 5, dilation = 1, stride = 1",
        ),
    ],
)
def test_refusals_say_what_was_expected_and_given(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\^$") as caught:
        parse(text)
    assert message in str(caught.value).splitlines()[0]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("conv2d 0x4x5x5 3x4x3x3", (0, 3, 3, 3)),
        ("conv2d 2x0x5x5 3x0x3x3", (2, 0, 3, 3)),
        ("conv2d 0x4x0x5 3x4x3x3 padding=2", (0, 3, 2, 7)),
        ("conv_transpose2d 0x4x0x5 4x3x3x3", (0, 3, 2, 7)),
        ("conv_transpose2d 2x4x1x5 4x3x2x3 padding=1", (2, 3, 0, 5)),
        ("max_pool2d 0x4x5x5 kernel=3", (0, 4, 1, 1)),
        ("avg_pool2d 2x4x5x5 kernel=9 ceil", (2, 4, 1, 1)),
        ("max_pool2d 2x4x9x9 kernel=3 padding=same dilation=2 stride=1", (2, 4, 9, 9)),
        (f"conv2d 2x4x5x5 3x4x3x3 stride={HUGE}", (2, 3, 1, 1)),
        (f"conv1d 2x4x5 3x4x1 dilation={HUGE}", (2, 3, 5)),
    ],
)
def test_what_is_empty_or_huge_but_well_formed_is_served(
    text: str, output: tuple[int, ...]
) -> None:
    assert parse(text).output_size == output


def test_what_is_too_large_to_matter_is_made_small() -> None:
    assert parse(f"conv1d 2x4x5 3x4x3 stride={HUGE}").stride == (5,)
    assert parse("conv1d 2x4x5 3x4x3 stride=4").stride == (4,)
    assert parse(f"conv1d 2x4x5 3x4x1 dilation={HUGE}").dilation == (5,)


def test_size_helpers() -> None:
    assert conv_output_size(9, 3, 2, 1, 0, 1) == 4
    assert conv_output_size(1, 3, 1, 0, 0, 1) == -1
    assert conv_output_size(0, 4, 3, 0, 0, 1) == -1
    assert pool_output_size(5, 3, 2, 0, 0, 1, True) == 2
    assert pool_output_size(6, 3, 2, 0, 0, 1, True) == 3
    assert pool_output_size(5, 2, 3, 1, 1, 1, True) == 2  # a third window would begin after the end
    with pytest.raises(RuntimeError, match="conv_output_size: expected stride >= 1, got 0"):
        conv_output_size(9, 3, 0, 1, 0, 1)
    with pytest.raises(RuntimeError, match="does not fit 64 bits"):
        conv_output_size(HUGE, 1, 1, HUGE, HUGE, 1)


def ours(text: str) -> tuple[int, ...] | None:
    try:
        return parse(text).output_size
    except ValueError:
        return None


def torchs(call: Any, *arguments: Any, **options: Any) -> tuple[int, ...] | None:
    try:
        return tuple(call(*arguments, **options).shape)
    except RuntimeError:
        return None


def word(name: str, values: tuple[int, ...]) -> str:
    return f"{name}=" + ",".join(map(str, values))


def shape_word(*sizes: int) -> str:
    return "x".join(map(str, sizes))


# Mostly valid, all kinds of invalid among them.
RANK = 2
PAIR = lambda low, high: st.tuples(*[st.integers(low, high)] * RANK)  # noqa: E731


@settings(max_examples=300)
@given(
    n=st.integers(0, 2),
    c=st.integers(0, 6),
    inner=st.integers(0, 6),
    k=st.integers(0, 6),
    groups=st.integers(0, 3),
    size=PAIR(0, 6),
    kernel=PAIR(1, 4),
    stride=PAIR(0, 3),
    padding=PAIR(-1, 3),
    dilation=PAIR(0, 3),
    fit=st.booleans(),
)
def test_convolutions_are_refused_where_torch_refuses(
    n: int,
    c: int,
    inner: int,
    k: int,
    groups: int,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    fit: bool,
) -> None:
    if fit and groups:
        c, k = inner * groups, k * groups
    weight = (k, inner, *kernel)
    got = ours(
        f"conv2d {shape_word(n, c, *size)} {shape_word(*weight)} groups={groups} "
        + " ".join([word("stride", stride), word("padding", padding), word("dilation", dilation)])
    )
    x, w = torch.zeros(n, c, *size), torch.zeros(weight)
    theirs = torchs(F.conv2d, x, w, None, stride, padding, dilation, groups)
    # torch looks less closely where there is nothing to compute.
    assert got == theirs or (got is None and 0 in (n, c))


@settings(max_examples=300)
@given(
    n=st.integers(0, 2),
    c=st.integers(0, 4),
    inner=st.integers(1, 3),
    groups=st.integers(0, 2),
    size=PAIR(0, 4),
    kernel=PAIR(1, 4),
    stride=PAIR(0, 3),
    padding=PAIR(-1, 3),
    more=PAIR(-1, 2),
    dilation=PAIR(1, 3),  # torch forgets to refuse 0 here
)
def test_transposed_convolutions_are_refused_where_torch_refuses(
    n: int,
    c: int,
    inner: int,
    groups: int,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    more: tuple[int, ...],
    dilation: tuple[int, ...],
) -> None:
    weight = (c, inner, *kernel)
    words = [word("stride", stride), word("padding", padding), word("dilation", dilation)]
    words += [word("output_padding", more), f"groups={groups}"]
    shapes = f"{shape_word(n, c, *size)} {shape_word(*weight)}"
    got = ours(f"conv_transpose2d {shapes} {' '.join(words)}")
    x, w = torch.zeros(n, c, *size), torch.zeros(weight)
    options = (stride, padding, more, groups, dilation)
    theirs = torchs(F.conv_transpose2d, x, w, None, *options)
    assert got == theirs or (got is None and 0 in (n, c))


@settings(max_examples=300)
@given(
    average=st.booleans(),
    n=st.integers(0, 2),
    c=st.integers(0, 2),
    size=PAIR(0, 9),
    kernel=PAIR(0, 5),
    stride=PAIR(-1, 9),
    padding=PAIR(-1, 3),
    dilation=PAIR(0, 2),
    ceil=st.booleans(),
)
def test_pools_are_refused_where_torch_refuses(
    average: bool,
    n: int,
    c: int,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil: bool,
) -> None:
    words = [word("kernel", kernel), word("stride", stride), word("padding", padding)]
    words.append(f"ceil={str(ceil).lower()}")
    x = torch.zeros(n, c, *size)
    shape = shape_word(n, c, *size)
    if average:
        got = ours(f"avg_pool2d {shape} {' '.join(words)}")
        assert got == torchs(F.avg_pool2d, x, kernel, stride, padding, ceil)
        return
    got = ours(f"max_pool2d {shape} {' '.join(words)} {word('dilation', dilation)}")
    theirs = torchs(F.max_pool2d, x, kernel, stride, padding, dilation, ceil)
    # "same" padding of a dilated window is more than half of its taps, which is torch's limit.
    beyond = any(2 * p > k for p, k in zip(padding, kernel, strict=True))
    assert got == theirs or (theirs is None and beyond)
