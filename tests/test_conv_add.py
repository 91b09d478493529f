# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, addition and ReLU in one operator: the numbers of all three, less memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.peak import allocated
from support.recording import Operators, saved_tensors
from support.views import VIEWS

import cnnkern
from cnnkern import functional
from cnnkern.testing import check_close, check_equal, poisoned_allocations
from cnnkern.testing.directions import CPU_ALGORITHMS

# Input, weight, the convolution's arguments.
CASES = {
    "ResNet, last of a bottleneck": ((2, 16, 9, 11), (40, 16, 1, 1), {}),
    "ResNet, last of a basic block": ((2, 8, 9, 7), (8, 8, 3, 3), {"padding": 1}),
    "ResNet, down": ((3, 8, 12, 10), (16, 8, 1, 1), {"stride": 2}),
    "depthwise": ((2, 32, 9, 9), (32, 1, 3, 3), {"padding": 1, "groups": 32}),
    "few filters, long rows": ((2, 5, 9, 37), (3, 5, 3, 3), {"padding": 1}),
    "grouped, everything odd": (
        (3, 6, 13, 11),
        (9, 2, 3, 2),
        {"stride": (2, 1), "padding": ((0, 1), (2, 0)), "dilation": (1, 2), "groups": 3},
    ),
    "one axis": ((2, 5, 31), (7, 5, 4), {"padding": ((1, 2),), "stride": 2}),
    "three axes": ((1, 4, 5, 6, 7), (6, 4, 2, 3, 3), {"padding": 1}),
}
# Of many tasks.
LARGE = {
    "many images": ((37, 3, 64, 60), (16, 3, 3, 3), {"padding": 1}),
    "pointwise": ((23, 64, 28, 28), (256, 64, 1, 1), {}),
}
FORMATS = [torch.contiguous_format, torch.channels_last]
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def integers(*size, dtype=torch.float32):
    return torch.randint(-3, 4, size).to(dtype)


def normals(*size, dtype=torch.float32):
    return torch.randn(size).to(dtype)


def draw(case, make=normals, dtype=torch.float32, fmt=torch.contiguous_format, device="cpu"):
    """Input, weight, bias and what is added."""
    x, w, arguments = case
    size = convolve(arguments, torch.empty(x, device="meta"), torch.empty(w, device="meta")).shape
    tensors = [make(*shape, dtype=dtype) for shape in (x, w, w[:1], size)]
    if fmt == torch.channels_last and len(x) > 3:
        last = fmt if len(x) == 4 else torch.channels_last_3d
        tensors = [t if t.dim() == 1 else t.contiguous(memory_format=last) for t in tensors]
    return [t.to(device).requires_grad_() for t in tensors]


def convolve(arguments, x, w, b=None, **more):
    return getattr(functional, f"conv{w.dim() - 2}d")(x, w, b, **arguments, **more)


def added(case, tensors, activation="relu"):
    x, w, b, residual = tensors
    return convolve(case[2], x, w, b, residual=residual, activation=activation)


def in_steps(case, tensors, activation="relu"):
    x, w, b, residual = tensors
    y = convolve(case[2], x, w, b) + residual
    return y.relu() if activation else y


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("activation", [None, "relu"])
@each_case
def test_integers_are_exact(case, activation, dtype, fmt, backend):
    tensors = draw(case, integers, dtype, fmt, backend.device)
    with poisoned_allocations(), Operators() as operators:
        y = added(case, tensors, activation)
    assert operators.names == ["conv_add"]
    doubles = [t.detach().cpu().double().requires_grad_() for t in tensors]
    y64 = in_steps(case, doubles, activation)
    check_equal(y.detach().cpu(), y64.detach(), dtype, name="output")
    assert y.stride() == convolve(case[2], *tensors[:2]).stride()
    grad = torch.randint(-1, 2, y.shape).to(y)
    with poisoned_allocations():
        gradients = torch.autograd.grad(y, tensors, grad)
    expected = torch.autograd.grad(y64, doubles, grad.cpu().double())
    names = "input", "weight", "bias", "residual"
    for own, exact, name in zip(gradients, expected, names, strict=True):
        check_equal(own.cpu(), exact, dtype, name=f"gradient of {name}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each_case
def test_errors_are_within_the_rule(case, dtype, backend):
    tensors = [t.detach() for t in draw(case, dtype=dtype, device=backend.device)]
    y = added(case, tensors)
    x, w, b, residual = (t.cpu() for t in tensors)
    doubles = x.double(), w.double(), b.double(), residual.double()
    magnitude = in_steps(case, [t.abs() for t in doubles])
    torchs = (convolve_by_torch(case[2], x, w, b) + residual).relu()
    check_close(y.cpu(), in_steps(case, doubles), torchs, magnitude, dtype)


def convolve_by_torch(arguments, x, w, b):
    # torch's own knows no (before, after) pairs.
    rank, rest = w.dim() - 2, dict(arguments)
    padding = rest.pop("padding", 0)
    pairs = ((padding, padding),) * rank if isinstance(padding, int) else padding
    x = F.pad(x, [side for pair in reversed(pairs) for side in pair])
    return getattr(F, f"conv{rank}d")(x, w, b, **rest)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@each_case
def test_every_algorithm(case, dtype, fmt):
    tensors = [t.detach() for t in draw(case, integers, dtype, fmt)]
    y64 = in_steps(case, [t.double() for t in tensors])
    served = []
    for algorithm in CPU_ALGORITHMS:
        try:
            with poisoned_allocations(), cnnkern.use(algorithm=algorithm):
                y = added(case, tensors)
        except RuntimeError as refusal:
            if algorithm not in str(refusal):
                raise
            continue
        served.append(algorithm)
        check_equal(y, y64, dtype, name=algorithm)
    assert {"direct", "im2col"} <= set(served)


def test_what_winograd_leaves_to_direct():
    """Sums that are not finite are computed again, and added to again."""
    case = CASES["ResNet, last of a basic block"]
    x, w, b, residual = (t.detach() for t in draw(case))
    x[0, 0, 3, 3] = float("inf")
    with cnnkern.use(algorithm="winograd"):
        y = added(case, (x, w, b, residual), None)
    expected = in_steps(case, (x, w, b, residual), None)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", LARGE.values(), ids=list(LARGE))
def test_large_results(case, dtype, fmt):
    tensors = [t.detach() for t in draw(case, dtype=dtype, fmt=fmt)]
    whole = added(case, tensors)
    steps = in_steps(case, tensors)
    if dtype == torch.float32:  # others round between the steps
        assert torch.equal(whole, steps)
    torch.testing.assert_close(whole, steps, rtol=0.02, atol=0.2)
    x, w, b, residual = tensors
    for i in (0, 11, 22):
        one = added(case, (x[i : i + 1], w, b, residual[i : i + 1]))
        assert torch.equal(whole[i : i + 1], one)


@pytest.mark.parametrize("view", VIEWS)
def test_odd_views(view):
    case = CASES["grouped, everything odd"]
    x, w, b, residual = (t.detach() for t in draw(case, integers))
    seen = VIEWS[view](x), VIEWS[view](w), b, VIEWS[view](residual)
    assert torch.equal(added(case, seen), in_steps(case, [t.clone() for t in seen]))


ELSE = {
    "a channel each": lambda r: r[:1, :, :1, :1],
    "fewer axes": lambda r: r[0, 0],
    "a number": lambda r: 1.5,
    "another precision": lambda r: r.double(),
    "integers": lambda r: r.long(),
    "more images than the result": lambda r: torch.stack([r, r + 1]),
}


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("kind", ELSE)
def test_anything_else_is_added_as_torch_adds_it(kind, fmt):
    case = CASES["ResNet, last of a basic block"]
    x, w, b, residual = (t.detach() for t in draw(case, fmt=fmt))
    operands = x, w, b, ELSE[kind](residual)
    y, expected = added(case, operands), in_steps(case, operands)
    assert torch.equal(y, expected)
    assert (y.dtype, y.stride()) == (expected.dtype, expected.stride())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_borders(mode):
    x, w, residual = normals(2, 3, 7, 8), normals(4, 3, 3, 3), normals(2, 4, 7, 8)
    how = {"padding": 1, "padding_mode": mode}
    y = functional.conv2d(x, w, **how, residual=residual, activation="relu")
    assert torch.equal(y, (functional.conv2d(x, w, **how) + residual).relu())


def test_unbatched_and_empty():
    case = CASES["ResNet, down"]
    x, w, b, residual = (t.detach() for t in draw(case))
    whole = added(case, (x, w, b, residual))
    assert torch.equal(added(case, (x[0], w, b, residual[0])), whole[0])
    tensors = [t.requires_grad_() for t in (x[:0], w, b, residual[:0])]
    y = added(case, tensors)
    assert y.shape == (0, *whole.shape[1:])
    gradients = torch.autograd.grad(y.sum(), tensors)
    assert [g.shape for g in gradients] == [t.shape for t in tensors]
    assert not any(g.any() for g in gradients)
    # torch's rule: no channels in, no channels out.
    assert added(case, (x[:, :0], w[:, :0], None, residual[:, :0])).shape == residual[:, :0].shape


def test_what_is_not_finite_passes_as_through_the_steps():
    case = CASES["ResNet, last of a basic block"]
    x, w, b, residual = (t.detach() for t in draw(case))
    x[0, 0, 3, 3] = float("inf")
    residual[0, 1, :4] = -float("inf")
    residual[1, 2, 2] = float("nan")
    y = added(case, (x, w, b, residual))
    assert y.isnan().any()
    assert y.isinf().any()
    torch.testing.assert_close(
        y, in_steps(case, (x, w, b, residual)), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("needs", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_saves_and_runs_only_what_a_gradient_needs(needs, activation):
    case = CASES["ResNet, last of a basic block"]
    tensors = [t.detach().requires_grad_(bool(n)) for t, n in zip(draw(case), needs, strict=True)]
    with saved_tensors() as saved:
        y = added(case, tensors, activation)
    expected = {tensors[0].data_ptr()} if needs[1] else set()
    expected |= {tensors[1].data_ptr()} if needs[0] else set()
    expected |= {y.data_ptr()} if activation else set()
    assert {t.data_ptr() for t in saved} == expected
    (wanted,) = (t for t in tensors if t.requires_grad)
    grad = torch.randn_like(y)
    with Operators() as operators:
        (own,) = torch.autograd.grad(y, wanted, grad)
    kernels = [["conv_input_grad"], ["conv_weight_grad"], [], []]
    assert operators.names == kernels[needs.index(1)]
    (other,) = torch.autograd.grad(in_steps(case, tensors, activation), wanted, grad)
    torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def test_compiled_autograd_traces_the_gradient():
    case = CASES["ResNet, down"]
    tensors = draw(case)
    grad = torch.randn_like(added(case, tensors))
    expected = torch.autograd.grad(added(case, tensors), tensors, grad)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        added(case, tensors).backward(grad)
    torch._dynamo.reset()
    for tensor, eager in zip(tensors, expected, strict=True):
        assert torch.equal(tensor.grad, eager)


def test_nothing_lies_between():
    x, w, residual = normals(8, 16, 64, 64), normals(64, 16, 1, 1), normals(8, 64, 64, 64)
    result = residual.numel() * 4
    most, kept = allocated(lambda: added((0, 0, {}), (x, w, None, residual)))
    assert result <= kept <= most <= 1.1 * result
    most, _ = allocated(lambda: in_steps((0, 0, {}), (x, w, None, residual)))
    assert most >= 2 * result


def test_use_puts_an_algorithm_in_place_of_auto():
    case = CASES["ResNet, last of a basic block"]
    tensors = [t.detach() for t in draw(case)]
    with cnnkern.use(algorithm="im2col"), Operators() as operators:
        added(case, tensors)
    assert [args[-1] for _, args in operators.calls] == ["im2col"]


@pytest.mark.parametrize("residual", [torch.bfloat16, torch.float32])
def test_autocast(residual):
    case = CASES["ResNet, last of a basic block"]
    x, w, b, r = (t.detach() for t in draw(case))
    for first in (x, x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            y = added(case, (first, w, b, r.to(residual)))
            expected = in_steps(case, (first, w, b, r.to(residual)))
        if first.dtype == residual == torch.bfloat16:  # one operator, which rounds once
            expected = added(case, [t.bfloat16() for t in (x, w, b, r)])
        assert y.dtype == expected.dtype
        assert torch.equal(y, expected)


def test_refuses():
    x, w = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
    with pytest.raises(TypeError, match="conv2d: expected residual to be a Tensor, got str"):
        functional.conv2d(x, w, residual="no")
    with pytest.raises(RuntimeError, match="must match the size"):
        functional.conv2d(x, w, residual=torch.ones(1, 4, 6, 5))
    lists = [1, 1], [0] * 4, [1, 1], 1, False, "auto"
    fits = torch.ones(1, 4, 6, 6)
    for residual, text in (
        (fits[..., :5], r"conv2d: expected residual of shape \[1, 4, 6, 6\], got \[1, 4, 6, 5\]"),
        (fits[0], "conv2d: expected residual of shape"),
        (fits.double(), "conv2d: expected residual of the dtype of input, float32, got float64"),
        (fits.to("meta"), "conv2d: expected residual on the device of input"),
    ):
        with pytest.raises(RuntimeError, match=text):
            torch.ops.cnnkern.conv_add(x, w, None, residual, *lists)


class TestLayers:
    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_take_it_by_name(self, rank):
        layer = getattr(cnnkern.nn, f"Conv{rank}d")(3, 5, 3, padding=1, activation="relu")
        x, residual = normals(2, 3, *[6] * rank), normals(2, 5, *[6] * rank)
        plain = getattr(torch.nn, f"Conv{rank}d")(3, 5, 3, padding=1)
        plain.load_state_dict(layer.state_dict())
        torch.testing.assert_close(layer(x, residual=residual), (plain(x) + residual).relu())
        torch.testing.assert_close(layer(x), plain(x).relu())

    def test_lazy_ones_too(self):
        layer = cnnkern.nn.LazyConv2d(4, 3, padding=1)
        x, residual = normals(2, 3, 6, 6), normals(2, 4, 6, 6)
        y = layer(x, residual=residual)
        assert type(layer) is cnnkern.nn.Conv2d
        torch.testing.assert_close(y, layer(x) + residual)

    def test_compiles_and_exports_as_one_node(self):
        class Block(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = cnnkern.nn.Conv2d(4, 4, 3, padding=1, activation="relu")

            def forward(self, x):
                return self.conv(x, residual=x)

        block, x = Block().eval(), torch.rand(3, 4, 12, 12)
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(block, (x,), dynamic_shapes=({0: batch},))
        calls = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
        assert calls == ["cnnkern.conv_add.default"]
        assert torch.equal(program.module()(x[:2]), block(x[:2]))
        compiled = torch.compile(block, fullgraph=True, backend="aot_eager", dynamic=True)
        for size in (12, 9):
            part = x[..., :size].clone().requires_grad_()
            own, eager = (torch.autograd.grad(f(part).sum(), part) for f in (compiled, block))
            assert torch.equal(own[0], eager[0])
