# SPDX-License-Identifier: BSD-3-Clause
"""override: torch's functions run on cnnkern within it, by every name and in every mode."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import cnnkern
from cnnkern.override import OverriddenCalls

C: Any = torch._C._nn
SHAPES = {1: (2, 4, 13), 2: (2, 4, 9, 8), 3: (1, 4, 5, 6, 7)}
SIZES = {rank: shape[2:] for rank, shape in SHAPES.items()}
Call = Callable[[Tensor, Tensor, Tensor], Any]


class Ops(TorchDispatchMode):
    """The operators that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    def of_torch(self) -> list[str]:
        """Convolutions and pools among them that are torch's."""
        return [n for n in self.names if n.startswith("aten.") and ("conv" in n or "pool" in n)]


class Functional(nn.Module):
    """A network as people write it who have no use for pooling layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.first(x).relu(), 2)
        return F.avg_pool2d(F.conv2d(x, self.weight, padding=1), 2)


# A label (with the name that is counted before its comma), a rank, and a call with an input, a
# weight and a bias. {r} is the rank.
CALLS: list[tuple[str, tuple[int, ...], str]] = [
    ("conv{r}d", (1, 2, 3), "F.conv{r}d(x, w, b, 2, padding=1, dilation=2)"),
    ("conv{r}d, torch's", (1, 2, 3), "torch.conv{r}d(x, w, stride=[2])"),
    ("conv2d, keywords", (2,), "F.conv2d(input=x, weight=w[:, :2], groups=2, padding='same')"),
    ("conv_transpose{r}d", (1, 2, 3), "F.conv_transpose{r}d(x, w, b, 2, 1, 1)"),
    ("convolution", (1, 2, 3), "torch.convolution(x, w, b, [2], [1], [1], False, [0], 1)"),
    ("convolution, transposed", (2,), "torch.convolution(x, w, b, [2], [1], [1], True, [1], 1)"),
    ("max_pool{r}d", (1, 2, 3), "F.max_pool{r}d(x, 3, 2, 1, ceil_mode=True)"),
    ("max_pool{r}d, unbatched", (1, 2, 3), "F.max_pool{r}d(x[0], kernel_size=2)"),
    ("max_pool{r}d, indices", (1, 2, 3), "F.max_pool{r}d(x, 2, return_indices=True)"),
    ("max_pool{r}d, indices by position", (2,), "F.max_pool2d(x, 2, None, 0, 1, False, True)"),
    ("max_pool{r}d, with_indices", (1, 2, 3), "F.max_pool{r}d_with_indices(x, 2, padding=1)"),
    ("max_pool{r}d, torch's", (1, 2, 3), "torch.max_pool{r}d(x, 2)"),
    ("max_pool1d, torch's with_indices", (1,), "torch.max_pool1d_with_indices(x, 3, 2)"),
    ("max_pool{r}d, C's", (2, 3), "C.max_pool{r}d_with_indices(x, [3], [2])"),
    ("avg_pool{r}d", (1, 2, 3), "F.avg_pool{r}d(x, 2, padding=1, count_include_pad=False)"),
    ("avg_pool{r}d, divisor", (2, 3), "F.avg_pool{r}d(x, 3, divisor_override=2)"),
    ("adaptive_avg_pool{r}d", (1, 2, 3), "F.adaptive_avg_pool{r}d(x, 3)"),
    ("adaptive_avg_pool{r}d, C's", (2, 3), "C.adaptive_avg_pool{r}d(x, [3] * {r})"),
    ("adaptive_max_pool{r}d", (1, 2, 3), "F.adaptive_max_pool{r}d(x, 3)"),
    ("adaptive_max_pool{r}d, indices", (1, 2, 3), "F.adaptive_max_pool{r}d(x, 3, True)"),
    ("adaptive_max_pool{r}d, C's", (2, 3), "C.adaptive_max_pool{r}d(x, [3] * {r})"),
    ("adaptive_max_pool1d, torch's", (1,), "torch.adaptive_max_pool1d(x, 3)"),
    ("lp_pool{r}d", (1, 2, 3), "F.lp_pool{r}d(x.abs(), 2, 3, stride=2)"),
    ("max_unpool{r}d", (1, 2, 3), "F.max_unpool{r}d(*pooled[{r}], 2, output_size=sizes[{r}])"),
]
HERE = [
    (label.format(r=rank), rank, call.format(r=rank))
    for label, ranks, call in CALLS
    for rank in ranks
    if hasattr(cnnkern.functional, label.split(",")[0].format(r=rank)) or "convolution" in label
]


def run(rank: int, call: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Results, and the gradients of the first of them."""
    torch.manual_seed(1)
    x = torch.randn(SHAPES[rank], dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 4, *(3,) * rank, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True)
    given = {"x": x, "w": w, "b": b, "pooled": POOLED, "sizes": SIZES}
    results = eval(call, {"F": F, "C": C, "torch": torch}, given)
    results = results if isinstance(results, tuple) else (results,)
    leaves = [t for t in (x, w, b) if results[0].requires_grad]
    grads = (
        torch.autograd.grad(results[0].square().sum(), leaves, allow_unused=True) if leaves else ()
    )
    return results, tuple(g for g in grads if g is not None)


POOLED = {
    rank: getattr(F, f"max_pool{rank}d")(torch.randn(shape), 2, return_indices=True)
    for rank, shape in SHAPES.items()
}


@pytest.mark.parametrize(("label", "rank", "call"), HERE, ids=[label for label, _, _ in HERE])
def test_every_name_is_served(label: str, rank: int, call: str) -> None:
    expected = run(rank, call)
    with cnnkern.override() as report, Ops() as ops:
        got = run(rank, call)
    assert report.calls == {label.split(",")[0]: OverriddenCalls(1)}
    assert any(op.startswith("cnnkern.") for op in ops.names)
    assert not ops.of_torch()
    for mine, theirs in zip((*got[0], *got[1]), (*expected[0], *expected[1]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


def test_every_function_has_a_case() -> None:
    both = {name for name in cnnkern.functional.__all__ if hasattr(F, name)}
    both = {name.removesuffix("_with_indices") for name in both}
    assert both == {label.split(",")[0] for label, _, _ in HERE} - {"convolution"}


NOT_SERVED: list[tuple[str, str]] = [
    ("F.max_pool2d(torch.ones(1, 1, 4, 4, dtype=torch.int64), 2)", "dtype int64"),
    ("F.conv2d(x + 0j, x + 0j)", "dtype complex64"),
    ("F.conv2d(x.to_mkldnn(), x.to_mkldnn())", "layout _mkldnn"),
    ("F.avg_pool2d(torch.nested.nested_tensor([x[0], x[0]]), 2)", "nested"),
    ("C.avg_pool2d(x, [2], out=torch.empty(1, 1, 2, 2))", "out= is given"),
    ("F.avg_pool2d(x.as_subclass(Own), 2)", "a Own"),
]


class Own(Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.filterwarnings("ignore:.*nested:UserWarning")
@pytest.mark.parametrize(("call", "reason"), NOT_SERVED, ids=[reason for _, reason in NOT_SERVED])
def test_what_cnnkern_does_not_serve_goes_to_torch(call: str, reason: str) -> None:
    space = {"F": F, "C": C, "torch": torch, "x": torch.randn(1, 1, 4, 4), "Own": Own}

    def outcome() -> Any:
        try:
            result = eval(call, space)
        except (RuntimeError, NotImplementedError) as error:
            return type(error), str(error)
        return result.to_dense() if result.is_mkldnn else result

    expected = outcome()
    with cnnkern.override() as report:
        got = outcome()
    (calls,) = report.calls.values()
    assert (calls.served, dict(calls.refused)) == (0, {reason: 1})
    if isinstance(expected, tuple):
        assert got == expected
    else:
        assert type(got) is type(expected)
        assert torch.equal(got, expected)


@pytest.mark.parametrize(
    "call",
    [
        "F.conv2d(x, x[0])",
        "F.conv2d(x, None)",
        "F.conv2d(x, x, stride=0)",
        "F.conv2d(x, x, padding='some')",
        "F.max_pool2d(x, 0)",
        "F.avg_pool2d(x, 3, padding=2)",
        "torch.convolution(x, x[0, 0], None, [], [], [], False, [], 1)",
    ],
)
def test_refusals_are_of_torchs_type(call: str) -> None:
    space = {"F": F, "torch": torch, "x": torch.randn(1, 1, 4, 4)}
    with pytest.raises(Exception) as expected:  # noqa: PT011
        eval(call, space)
    with cnnkern.override(), pytest.raises(type(expected.value)) as got:
        eval(call, space)
    assert type(got.value) is type(expected.value)


def test_a_model_of_functions() -> None:
    model, x = Functional().double(), torch.randn(2, 1, 12, 12).double()

    def gradients() -> list[Tensor]:
        model.zero_grad()
        y = model(x)
        y.square().sum().backward()
        return [y.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    expected = gradients()
    with cnnkern.override() as report, Ops() as ops:
        got = gradients()
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)
    assert not ops.of_torch()
    assert str(report).splitlines() == [
        "function    on cnnkern  on torch",
        "avg_pool2d  1           0",
        "conv2d      2           0",
        "max_pool2d  1           0",
    ]
    with Ops() as ops:
        model(x)
    assert len(ops.of_torch()) == 4, "it ends with the block"
    with report:  # once more: it goes on counting
        model(x)
    assert report.calls["conv2d"].served == 4


def test_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), cnnkern.override():
        raise KeyError
    with Ops() as ops:
        F.max_pool2d(torch.randn(1, 1, 4, 4), 2)
    assert len(ops.of_torch()) == 1


def test_is_of_one_thread() -> None:
    ran: list[str] = []

    def work() -> None:
        with Ops() as ops:
            F.conv2d(torch.randn(1, 1, 4, 4), torch.randn(1, 1, 2, 2))
        ran.extend(ops.names)

    with cnnkern.override() as report:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert ran
    assert not any(name.startswith("cnnkern.") for name in ran)
    assert str(report) == "No convolution or pooling function was called."


def test_nested_in_itself_and_among_other_modes() -> None:
    class Names(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kw: Any = None) -> Any:
            seen.append(getattr(func, "__name__", ""))
            return func(*args, **(kw or {}))

    seen: list[str] = []
    x = torch.randn(1, 1, 4, 4)
    with cnnkern.override() as outer, cnnkern.override() as inner:
        F.max_pool2d(x, 2)
        F.max_pool2d(x.int(), 2)
    assert inner.calls["max_pool2d"] == OverriddenCalls(1, {"dtype int32": 1})  # type: ignore[arg-type]
    assert outer.calls["max_pool2d"] == OverriddenCalls(0, {"dtype int32": 1})  # type: ignore[arg-type]
    with Names(), cnnkern.override() as report:
        F.max_pool2d(x, 2)
    with cnnkern.override() as also, Names():
        F.max_pool2d(x, 2)
    assert report.calls == also.calls == {"max_pool2d": OverriddenCalls(1)}
    assert "max_pool2d" in seen
    with torch.device("meta"), cnnkern.override():
        assert nn.Conv2d(1, 2, 3)(torch.empty(1, 1, 5, 5)).shape == (1, 2, 3, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(dtype: torch.dtype) -> None:
    model, x = Functional(), torch.randn(2, 1, 12, 12)
    with torch.autocast("cpu", dtype):
        expected = model(x)
        with cnnkern.override(), Ops() as ops:
            got = model(x)
        got.float().sum().backward()
    assert got.dtype == expected.dtype == dtype
    assert not ops.of_torch()
    torch.testing.assert_close(got, expected, rtol=0.05, atol=0.1)
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


def test_under_functional_transforms() -> None:
    x, w = torch.randn(3, 2, 1, 6, 6).double(), torch.randn(2, 1, 3, 3).double()

    def loss(w: Tensor, x: Tensor) -> Tensor:
        return F.max_pool2d(F.conv2d(x, w), 2).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))
    expected = per_sample(w, x)
    with cnnkern.override() as report:
        got = per_sample(w, x)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)
    assert report.calls["conv2d"].served == 1


def test_compiled_functions_guard_on_it() -> None:
    torch._dynamo.reset()
    graphs: list[set[str]] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append({str(n.target) for n in graph.graph.nodes if n.op == "call_function"})
        return graph

    model, x = Functional(), torch.randn(2, 1, 12, 12)
    expected = model(x)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)
    with cnnkern.override() as report:
        for _ in range(2):
            torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled(x), expected)
    assert len(graphs) == 2
    ours = {"cnnkern.conv.default", "cnnkern.max_pool.default", "cnnkern.avg_pool.default"}
    assert not graphs[0] & ours
    assert ours <= graphs[1]
    assert report.calls == {}, "what is compiled is not counted"

    @torch.compile(backend=backend, fullgraph=True)
    def within(x: Tensor) -> Tensor:
        with cnnkern.override():
            return F.max_pool2d(x, 2)

    assert torch.equal(within(x), F.max_pool2d(x, 2))
    assert "cnnkern.max_pool.default" in graphs[2]


def test_exported_programs_hold_the_operators() -> None:
    model, x = Functional(), torch.randn(2, 1, 12, 12)
    with cnnkern.override():
        program = torch.export.export(model, (x,))
    targets = [str(node.target) for node in program.graph.nodes]
    assert targets.count("cnnkern.conv.default") == 2
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)
