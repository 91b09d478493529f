# SPDX-License-Identifier: BSD-3-Clause
"""use: one algorithm stands for "auto" in every convolution of a block, gradients included."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import cnnkern
from cnnkern.functional._in_use import ACTIVE, IN_USE

F = cnnkern.functional
CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "functional": lambda x, w: F.conv2d(x, w, padding=1),
    "unbatched": lambda x, w: F.conv2d(x[0], w, padding="same"),
    "pairs of padding": lambda x, w: F.conv2d(x, w, padding=((1, 0), (0, 2))),
    "transposed": lambda x, w: F.conv_transpose2d(x, w, None, 2, 0, 1),
    "Function": lambda x, w: cnnkern.autograd.Conv.apply(x, w, None, 2),
    "transposed Function": lambda x, w: cnnkern.autograd.ConvTranspose.apply(x, w, None, 2),
}


class Asked(TorchDispatchMode):
    """The algorithms that convolutions and their gradients were asked to take."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func).startswith("cnnkern.conv"):
            self.names.append(args[-1])
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _nothing_stays_in_use() -> Iterator[None]:
    yield
    assert not ACTIVE
    assert IN_USE.choice is None


def operands() -> tuple[Tensor, Tensor]:
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(4, 4, 3, 3, dtype=torch.float64, requires_grad=True)


def asked(call: Callable[[], Any]) -> list[str]:
    with Asked() as found:
        call()
    return found.names


@pytest.mark.parametrize("way", CALLS)
def test_forward_and_gradients_take_it(way: str) -> None:
    x, w = operands()
    expected = CALLS[way](x, w)
    grads = torch.autograd.grad(expected.square().sum(), (x, w))
    with Asked() as found:
        with cnnkern.use("im2col"):
            y = CALLS[way](x, w)
        with cnnkern.use("direct"):  # says nothing to the gradients of what was called before
            ours = torch.autograd.grad(y.square().sum(), (x, w), create_graph=True)
        sum(g.square().sum() for g in ours).backward()
    assert set(found.names) == {"im2col"}
    assert len(found.names) > 5
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, grads, rtol=1e-11, atol=1e-11)


def test_layers_take_it_and_named_ones_keep_theirs() -> None:
    x = torch.randn(1, 4, 9, 9)
    auto, named = cnnkern.nn.Conv2d(4, 4, 3), cnnkern.nn.Conv2d(4, 4, 3, algorithm="direct")
    up = cnnkern.nn.ConvTranspose2d(4, 4, 3)
    with cnnkern.use(algorithm="im2col"):
        assert asked(lambda: up(named(auto(x)))) == ["im2col", "direct", "im2col"]
    assert asked(lambda: up(named(auto(x)))) == ["auto", "direct", "auto"]
    assert repr(auto) == repr(nn.Conv2d(4, 4, 3))


def test_with_override_of_a_torch_model() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1))
    x = torch.randn(1, 1, 9, 9)
    with cnnkern.use("im2col"):
        assert asked(lambda: model(x)) == []
        with cnnkern.override():
            assert asked(lambda: model(x)) == ["im2col", "im2col"]
        assert asked(lambda: cnnkern.convert(copy.deepcopy(model))(x)) == ["im2col", "im2col"]


def test_the_innermost_counts() -> None:
    x, w = operands()

    def now() -> str:
        return asked(lambda: F.conv2d(x, w))[0]

    outer = cnnkern.use("direct")
    with outer:
        with cnnkern.use("im2col"):
            assert now() == "im2col"
            with cnnkern.use("auto"):
                assert now() == "auto"
            with outer:  # the same one again
                assert now() == "direct"
            assert now() == "im2col"
        assert now() == "direct"
        with pytest.raises(KeyError), cnnkern.use("im2col"):
            raise KeyError
        assert now() == "direct"
    assert now() == "auto"


def test_what_it_cannot_serve_raises_the_plans_reason() -> None:
    x, w = operands()
    reason = r"algorithm depthwise does not serve this forward: C/groups is 4, needs 1"
    with cnnkern.use("depthwise"):
        with pytest.raises(RuntimeError, match=f"^conv2d: {reason}"):
            F.conv2d(x, w)
        with pytest.raises(RuntimeError, match="depthwise does not serve"):
            F.conv_transpose2d(x, w)
        F.conv2d(x, w[:, :1].contiguous(), groups=4).sum().backward()


OTHERWISE: list[tuple[Callable[[Tensor, Tensor], Tensor], str]] = [
    (lambda x, w: F.conv2d(x, w), "auto"),
    (lambda x, w: F.conv2d(x, w[:, :1], groups=4), "depthwise"),
    (lambda x, w: F.conv2d(x[0], w[:, :1], groups=4, stride=(2, 1), padding="same"), "depthwise"),
    (lambda x, w: F.conv2d(x, w[:, :1], groups=4, padding=((1, 0), (0, 2))), "depthwise"),
    (lambda x, w: F.conv1d(x[..., 0], w[:, :1, :, 0], groups=4, dilation=2), "depthwise"),
    (lambda x, w: F.conv_transpose2d(x, w[:, :1], None, 2, 0, 1, groups=4), "depthwise"),
    (lambda x, w: F.conv_transpose2d(x, w), "auto"),
    (lambda x, w: cnnkern.autograd.Conv.apply(x, w), "auto"),
    (
        lambda x, w: F.conv2d(
            x.to(memory_format=torch.channels_last), w[:, :1], groups=4, algorithm="auto"
        ),
        "depthwise",
    ),
]


@pytest.mark.parametrize(("call", "expected"), OTHERWISE)
def test_otherwise_auto_lets_the_plan_choose(
    call: Callable[[Tensor, Tensor], Tensor], expected: str
) -> None:
    x, w = operands()
    with cnnkern.use("depthwise", otherwise="auto"), Asked() as found:
        call(x, w).sum().backward()
    assert set(found.names) == {expected}
    assert len(found.names) == 3
    with torch.autocast("cpu", torch.bfloat16), cnnkern.use("depthwise", otherwise="auto"):
        assert call(x.float(), w.float()).dtype == torch.bfloat16


def test_otherwise_auto_leaves_errors_to_the_operator() -> None:
    x, w = operands()
    with cnnkern.use("im2col", otherwise="auto"):
        with pytest.raises(RuntimeError, match="conv2d: expected weight of shape"):
            F.conv2d(x, w[:, :3])
        with pytest.raises(TypeError, match="conv2d: expected weight to be a Tensor"):
            F.conv2d(x, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="conv2d: expected stride to be made of ints"):
            F.conv2d(x, w, stride=0.5)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="conv_transpose2d: expected output_padding"):
            F.conv_transpose2d(x, w, output_padding=3)
        assert F.conv2d(x.to("meta"), w.to("meta")).shape == (2, 4, 5, 5)


def test_it_is_of_one_thread() -> None:
    x, w = operands()
    found: list[str] = []
    with cnnkern.use("im2col"):
        thread = threading.Thread(target=lambda: found.extend(asked(lambda: F.conv2d(x, w))))
        thread.start()
        thread.join()
        assert asked(lambda: F.conv2d(x, w)) == ["im2col"]
    assert found == ["auto"]


def test_bad_names_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"use: expected algorithm to be one of 'auto', .*'im2col'.*, got 'fft'"
    ):
        cnnkern.use("fft")
    with pytest.raises(ValueError, match="use: expected otherwise to be None or 'auto', got 'x'"):
        cnnkern.use("im2col", otherwise="x")


@pytest.mark.parametrize("otherwise", [None, "auto"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_functions_guard_on_it(dynamic: bool, otherwise: str | None) -> None:
    torch._dynamo.reset()
    graphs: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.extend(
            node.args[-1] for node in graph.graph.nodes if "cnnkern.conv" in str(node.target)
        )
        return graph

    layer, x = cnnkern.nn.Conv2d(4, 8, 3), torch.randn(2, 4, 9, 9)
    compiled = torch.compile(layer, backend=backend, fullgraph=True, dynamic=dynamic)
    compiled(x)
    for _ in range(2):
        with cnnkern.use("im2col", otherwise=otherwise):
            compiled(x)
        compiled(x)
    assert graphs == ["auto", "im2col"]
    with cnnkern.use("depthwise", otherwise="auto"):
        compiled(x)
    assert graphs == ["auto", "im2col", "auto"]

    @torch.compile(backend=backend, fullgraph=True)
    def within(x: Tensor) -> Tensor:
        with cnnkern.use("im2col"):
            y = layer(x)
        return layer(x) + y

    graphs.clear()
    within(x)
    assert graphs == ["im2col", "auto"]
