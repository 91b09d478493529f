# SPDX-License-Identifier: BSD-3-Clause
"""What functional adds to the operators: names of paddings, pairs, unbatched inputs, tracing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import cnnkern

# n, k, stride, dilation -> outputs, before, after: Keras' rule.
SAME = [
    (5, 3, 1, 1, 5, 1, 1),
    (5, 3, 2, 1, 3, 1, 1),
    (6, 3, 2, 1, 3, 0, 1),
    (7, 3, 2, 1, 4, 1, 1),
    (7, 3, 3, 1, 3, 1, 1),
    (28, 3, 2, 1, 14, 0, 1),
    (28, 5, 1, 1, 28, 2, 2),
    (6, 4, 1, 1, 6, 1, 2),
    (10, 3, 1, 2, 10, 2, 2),
    (5, 2, 2, 1, 3, 0, 1),
    (13, 2, 2, 1, 7, 0, 1),
    (224, 7, 2, 1, 112, 2, 3),
    (227, 11, 4, 1, 57, 4, 4),
    (5, 1, 3, 1, 2, 0, 0),
    (1, 3, 1, 1, 1, 1, 1),
]


def integers(*shape: int) -> Tensor:
    return torch.randint(-4, 5, shape).double()


@pytest.mark.parametrize(("n", "k", "s", "d", "out", "before", "after"), SAME)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_same_follows_keras(
    rank: int, n: int, k: int, s: int, d: int, out: int, before: int, after: int
) -> None:
    # The last axis is the table's, the others are small.
    x, w = integers(2, 2, *(3,) * (rank - 1), n), integers(3, 2, *(1,) * (rank - 1), k)
    stride, dilation = (1,) * (rank - 1) + (s,), (1,) * (rank - 1) + (d,)
    y = getattr(cnnkern.functional, f"conv{rank}d")(
        x, w, None, stride=stride, padding="same", dilation=dilation
    )
    assert y.shape[-1] == out
    padded = F.pad(x, (before, after))
    reference = getattr(F, f"conv{rank}d")(padded, w, None, stride, 0, dilation)
    assert torch.equal(y, reference)
    pairs = ((0, 0),) * (rank - 1) + ((before, after),)
    apart = getattr(cnnkern.functional, f"conv{rank}d")(x, w, None, stride, pairs, dilation)
    assert torch.equal(apart, reference)


@pytest.mark.parametrize(("n", "k", "s", "d", "out", "before", "after"), SAME)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_take_same(
    n: int, k: int, s: int, d: int, out: int, before: int, after: int, ceil_mode: bool
) -> None:
    x = -1 - torch.rand(2, 3, n).double()
    got = cnnkern.functional.max_pool1d(x, k, s, "same", d, ceil_mode)
    assert got.shape[-1] == out
    padded = F.pad(x, (before, after), value=-torch.inf)
    assert torch.equal(got, F.max_pool1d(padded, k, s, 0, d))
    if d == 1:
        mean = cnnkern.functional.avg_pool1d(x, k, s, "same", ceil_mode)
        ones = F.pad(torch.ones_like(x), (before, after))
        counted = F.avg_pool1d(F.pad(x, (before, after)), k, s) / F.avg_pool1d(ones, k, s)
        torch.testing.assert_close(mean, counted)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_same_with_stride_one_is_torchs(rank: int, kernel: int, dilation: int) -> None:
    x, w = integers(2, 2, *(6,) * rank), integers(2, 2, *(kernel,) * rank)
    args: Any = (x, w, None, 1, "same", dilation)
    reference = getattr(F, f"conv{rank}d")(*args)
    assert torch.equal(getattr(cnnkern.functional, f"conv{rank}d")(*args), reference)


def test_pairs_pad_each_side() -> None:
    x, w = integers(2, 2, 5, 6), integers(3, 2, 3, 2)
    pairs = ((2, 0), (1, 3))
    padded = F.pad(x, (1, 3, 2, 0))
    assert torch.equal(cnnkern.functional.conv2d(x, w, padding=pairs), F.conv2d(padded, w))
    pairs = ((1, 0), (0, 1))
    padded = F.pad(x, (0, 1, 1, 0), value=-torch.inf)
    assert torch.equal(cnnkern.functional.max_pool2d(x, 2, 1, pairs), F.max_pool2d(padded, 2, 1))
    mean = cnnkern.functional.avg_pool2d(x, 2, 1, pairs)
    torch.testing.assert_close(mean, F.avg_pool2d(F.pad(x, (0, 1, 1, 0)), 2, 1))
    weight = integers(2, 3, 3, 2)
    whole = F.conv_transpose2d(x, weight, stride=2)
    cut = cnnkern.functional.conv_transpose2d(x, weight, stride=2, padding=((2, 1), (0, 3)))
    assert torch.equal(cut, whole[:, :, 2:-1, :-3])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unbatched_inputs(rank: int) -> None:
    x, w = integers(4, *(6,) * rank), integers(4, 4, *(3,) * rank)
    ours, theirs = cnnkern.functional, F
    for op, args in (
        (f"conv{rank}d", (x, w, None, 2, 1)),
        (f"conv_transpose{rank}d", (x, w, None, 2, 1, 1)),
        (f"max_pool{rank}d", (x, 3, 2, 1)),
        (f"avg_pool{rank}d", (x, 2)),
    ):
        assert torch.equal(getattr(ours, op)(*args), getattr(theirs, op)(*args)), op
    got = getattr(ours, f"max_pool{rank}d")(x, 3, 2, 1, return_indices=True)
    expected = getattr(theirs, f"max_pool{rank}d")(x, 3, 2, 1, return_indices=True)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_indices_are_torchs(rank: int) -> None:
    x = torch.randn(2, 3, *(7,) * rank)
    for kernel, stride, padding, dilation, ceil_mode in (
        (2, None, 0, 1, False),
        (3, 2, 1, 1, True),
        (3, 1, 1, 2, False),
        (2, 3, 1, 1, True),
    ):
        args = (x, kernel, stride, padding, dilation, ceil_mode, True)
        values, indices = getattr(cnnkern.functional, f"max_pool{rank}d")(*args)
        reference, positions = getattr(F, f"max_pool{rank}d")(*args)
        assert torch.equal(values, reference)
        assert indices.dtype == torch.int64
        assert torch.equal(indices, positions)
        if padding == 0:
            unpool = getattr(F, f"max_unpool{rank}d")
            assert unpool(values, indices, kernel, output_size=x.shape).shape == x.shape


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "dilation", "padding", "output_padding"),
    [(2, 3, 0, 2), (2, 3, 1, 2), (1, 4, 1, 3), (2, 5, 4, 3), (3, 1, 1, 2), (1, 2, 0, 1)],
)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_output_padding_below_the_dilation(
    rank: int, stride: int, dilation: int, padding: int, output_padding: int, activation: str | None
) -> None:
    x, w, b = integers(2, 4, *(4,) * rank), integers(4, 1, *(3,) * rank), integers(2)
    args = (x, w, b, stride, padding, output_padding, 2, dilation)
    got = getattr(cnnkern.functional, f"conv_transpose{rank}d")(*args, activation=activation)
    expected = getattr(F, f"conv_transpose{rank}d")(*args)
    assert torch.equal(got, expected.relu() if activation else expected)


def test_activation_is_relu_after_bias() -> None:
    x, w, b = integers(2, 3, 6, 6), integers(4, 3, 3, 3), integers(4)
    for op in ("conv2d", "conv_transpose2d"):
        weight = w if op == "conv2d" else w.transpose(0, 1).contiguous()
        fused = getattr(cnnkern.functional, op)(x, weight, b, activation="relu")
        assert torch.equal(fused, getattr(F, op)(x, weight, b).relu())


def test_fx_keeps_each_call_as_one_node() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = cnnkern.nn.Conv2d(1, 2, 3, padding="same", stride=2)
            self.pool = cnnkern.nn.MaxPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = cnnkern.functional.avg_pool2d(self.pool(self.conv(x)), 2)
            return y

    net = Net()
    traced = torch.fx.symbolic_trace(net)
    targets = [n.target for n in traced.graph.nodes if n.op == "call_function"]
    assert cnnkern.functional.avg_pool2d in targets
    x = torch.randn(2, 1, 9, 9)
    assert torch.equal(traced(x), net(x))


@pytest.mark.parametrize("dynamic", [False, True])
def test_same_compiles_with_symbolic_sizes(dynamic: bool) -> None:
    def net(x: Tensor, w: Tensor) -> Tensor:
        y = cnnkern.functional.conv2d(x, w, stride=2, padding="same", activation="relu")
        y = cnnkern.functional.max_pool2d(y, 3, 2, "same")
        y = cnnkern.functional.conv_transpose2d(y, w, stride=2, padding=((1, 0), (0, 1)))
        return cnnkern.functional.avg_pool2d(y, 2, padding="same")

    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    w = torch.randn(3, 3, 3, 3, requires_grad=True)
    for size in (9, 12):
        x = torch.randn(2, 3, size, size + 1)
        torch.testing.assert_close(compiled(x, w), net(x, w))


def test_exports_with_a_symbolic_batch() -> None:
    layer = cnnkern.nn.Conv2d(2, 3, 3, stride=2, padding="same")
    net = torch.nn.Sequential(layer, cnnkern.nn.MaxPool2d(2))
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(net, (torch.randn(4, 2, 8, 8),), dynamic_shapes=({0: batch},))
    x = torch.randn(7, 2, 8, 8)
    torch.testing.assert_close(program.module()(x), net(x))
    targets = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert "cnnkern.conv.default" in targets
