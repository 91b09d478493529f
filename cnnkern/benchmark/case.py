# SPDX-License-Identifier: BSD-3-Clause
"""A problem's directions as calls on the same tensors: ours by algorithm, torch's, torch compiled.

Operators are called directly (no autograd), so that each direction is timed by itself and nothing
is computed that was not asked for. The gradients of a convolution's weight include its bias's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..problem import Problem
from ..testing import Call, reference
from ..testing.reference import has_empty_windows

__all__ = ["PEERS", "Case", "Operands", "directions_of", "draw", "our_call", "peer_call"]

aten: Any = torch.ops.aten
own: Any = torch.ops.cnnkern

#: torch as it comes; with cuDNN's own search (GPUs alone); compiled by inductor.
PEERS = ("torch", "torch.benchmark", "torch.compile")


@dataclass
class Operands:
    """The tensors of a problem; ``grad`` is the output's gradient."""

    call: Call
    input: Tensor
    grad: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    # What a max pool's gradient reads: ours and torch's form of the argmax.
    argmax: Tensor | None = None
    indices: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        return [t for t in (self.input, self.weight, self.bias) if t is not None]

    def find_indices(self) -> None:
        """Torch's form of a max pool's argmax, which its gradient reads."""
        call = self.call
        if call.adaptive and call.is_max:
            self.indices = _with_indices(call, self.input)[1]
            return
        max_pool = call.is_max and call.rank > 1 and call.symmetric
        half = all(2 * p <= k for p, k in zip(_half(call), call.kernel_size, strict=True))
        # torch refuses wider paddings, and its gradient writes beside its tensors where a window
        # holds no element.
        if max_pool and half and not has_empty_windows(call):
            self.indices = _with_indices(call, self.input)[1]


@dataclass(frozen=True)
class Case:
    """A direction of a problem with what it runs on."""

    problem: Problem
    direction: str
    operands: Operands = field(repr=False)

    @property
    def call(self) -> Call:
        return self.operands.call


def directions_of(problem: Problem, wanted: Sequence[str]) -> list[str]:
    """The directions to run; a max pool's forward also once with its argmax, as training has it."""
    found = [direction for direction in problem.directions() if direction in wanted]
    if "max_pool" in problem.op and "forward" in found:
        found.insert(1, "forward_argmax")
    return found


def draw(problem: Problem, device: str = "cpu", seed: int = 0, drawn_on: str = "") -> Operands:
    """Normal values in the problem's dtype and format; drawn on the device itself by default."""
    call = Call.parse(str(problem))
    source = drawn_on or device
    generator = torch.Generator(source).manual_seed(seed)

    def one(size: Sequence[int]) -> Tensor:
        dtype = torch.float32 if call.dtype != torch.float64 else torch.float64
        values = torch.randn(tuple(size), dtype=dtype, generator=generator, device=source)
        return call.laid_out(values.to(call.dtype)).to(device)

    operands = Operands(call, one(call.input_size), one(call.output_size))
    if call.weight_size is not None:
        operands.weight = one(call.weight_size)
        operands.bias = one(call.bias_size) if call.bias else None
    elif call.is_max:
        count = call.window_count
        operands.argmax = own.max_pool(operands.input, *_max_geometry(call), True, count)[1]
        operands.find_indices()
    return operands


def our_call(case: Case, algorithm: str = "auto") -> Callable[[], Any]:
    """Our operator with every argument ready."""
    call, o = case.call, case.operands
    if call.is_pool:
        return _our_pool(case)
    lists = (list(call.stride), call.flat_padding, list(call.dilation), call.groups)
    x, dy, w, b = o.input, o.grad, o.weight, o.bias
    if case.direction == "weight_grad":
        pair = (x, dy) if call.is_transposed else (dy, x)
        # A transposed convolution's bias is a channel of what is the input here.
        with_bias = call.bias and not call.is_transposed
        size = list(call.weight_size or ())
        return lambda: own.conv_weight_grad(*pair, size, *lists, with_bias, algorithm)
    forward = case.direction == "forward"
    first, bias, relu = (x, b, call.relu) if forward else (dy, None, False)
    if forward != call.is_transposed:
        return lambda: own.conv(first, w, bias, *lists, relu, algorithm)
    size = list(call.output_size if forward else call.input_size)
    return lambda: own.conv_input_grad(first, w, bias, size, *lists, relu, algorithm)


def peer_call(case: Case, peer: str = "torch") -> Callable[[], Any]:
    """The same by torch.

    Args:
        case: the direction and its tensors.
        peer: one of :data:`PEERS`.

    Returns:
        The call; its result, or the first of its results, is what ours gives.
    """
    function, tensors = _torch_function(case)
    if peer == "torch.compile":
        function = torch.compile(function, dynamic=False)
    if peer != "torch.benchmark":
        return lambda: function(*tensors)
    cudnn: Any = torch.backends.cudnn

    def searching() -> Any:
        tf32 = case.call.tf32
        with cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=tf32):
            return function(*tensors)

    return searching


def first_result(result: Any) -> Tensor:
    """Of operators that give several, as the weight gradient and its bias's."""
    tensor: Tensor = result[0] if isinstance(result, tuple) else result
    return tensor


def _our_pool(case: Case) -> Callable[[], Any]:
    call, o = case.call, case.operands
    size = list(call.input_size)
    if call.is_average:
        geometry = (*call.window_lists[:3], call.ceil_mode, call.count_include_pad, call.divisor,
                    call.window_count)  # fmt: skip
        if case.direction == "forward":
            return lambda: own.avg_pool(o.input, *geometry)
        return lambda: own.avg_pool_grad(o.grad, size, *geometry)
    rest, count = _max_geometry(call), call.window_count
    if case.direction == "input_grad":
        return lambda: own.max_pool_grad(o.grad, o.argmax, size, *rest, count)
    with_argmax = case.direction == "forward_argmax"
    return lambda: own.max_pool(o.input, *rest, with_argmax, count)


def _torch_function(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    call, o = case.call, case.operands
    if not call.symmetric:
        return _recorded(case)
    if not call.is_pool:
        return _torch_conv(case)
    if call.adaptive:
        return _torch_adaptive(case)
    if call.is_max:
        return _recorded(case) if o.indices is None else _torch_max_pool(case)
    pool = f"avg_pool{call.rank}d"
    rest = (call.ceil_mode, call.count_include_pad)
    geometry = (list(call.kernel_size), list(call.stride), _half(call), *rest)
    if call.rank == 1:  # torch has no operator of its own for its gradient
        return (
            (lambda x: aten.avg_pool1d(x, *geometry), [o.input])
            if (case.direction == "forward")
            else _recorded(case)
        )
    divisor = call.divisor or None
    if case.direction == "forward":
        forward = getattr(aten, pool)
        return lambda x: forward(x, *geometry, divisor), [o.input]
    backward = getattr(aten, f"{pool}_backward")
    return lambda dy, x: backward(dy, x, *geometry, divisor), [o.grad, o.input]


def _torch_conv(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    call, o = case.call, case.operands
    geometry = (list(call.stride), _half(call), list(call.dilation), call.is_transposed,
                list(call.output_padding), call.groups)  # fmt: skip
    if case.direction == "forward":

        def forward(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
            y: Tensor = aten.convolution(x, w, b, *geometry)
            return y.relu_() if call.relu else y

        return forward, [o.input, o.weight, o.bias]
    of_input = case.direction == "input_grad"
    with_bias = call.bias and not call.is_transposed and not of_input
    sizes = list(call.bias_size) if with_bias else None
    mask = [of_input, not of_input, with_bias]

    def backward(dy: Tensor, x: Tensor, w: Tensor) -> Tensor:
        results = aten.convolution_backward(dy, x, w, sizes, *geometry, mask)
        return first_result(results[0 if of_input else 1])

    return backward, [o.grad, o.input, o.weight]


def _torch_adaptive(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    call, o = case.call, case.operands
    if case.direction.startswith("forward"):
        # What torch.nn calls: a mean where all is averaged.
        function, size = getattr(torch.nn.functional, call.op), call.window_count
        return (lambda x: function(x, size)), [o.input]
    if call.rank == 1 or (call.is_average and math.prod(call.window_count) == 1):
        return _recorded(case)
    if call.is_max:
        backward = getattr(aten, f"{call.op}_backward")
        return (lambda dy, x, at: backward(dy, x, at)), [o.grad, o.input, o.indices]
    backward = getattr(aten, f"_{call.op}_backward")
    return (lambda dy, x: backward(dy, x)), [o.grad, o.input]


def _torch_max_pool(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    call, o = case.call, case.operands
    if case.direction != "input_grad":
        return (lambda x: _with_indices(call, x)[0]), [o.input]
    backward = getattr(aten, f"max_pool{call.rank}d_with_indices_backward")
    geometry = _torch_max_geometry(call)
    return (lambda dy, x, at: backward(dy, x, *geometry, at)), [o.grad, o.input, o.indices]


def _recorded(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """What torch has no single operator for: its functions, gradients of a graph recorded once."""
    call, o = case.call, case.operands
    if case.direction.startswith("forward"):
        return (lambda *tensors: _with_relu(call, reference(call, *tensors))), list(o.tensors)
    leaves = [t.detach().requires_grad_() for t in o.tensors]
    with torch.enable_grad():
        output = reference(call, *leaves)
    wanted = leaves[0] if case.direction == "input_grad" else leaves[1]
    return (lambda dy: torch.autograd.grad(output, wanted, dy, retain_graph=True)[0]), [o.grad]


def _with_relu(call: Call, y: Tensor) -> Tensor:
    return y.relu_() if call.relu else y


def _half(call: Call) -> list[int]:
    return [before for before, _ in call.padding]


def _max_geometry(call: Call) -> tuple[Any, ...]:
    return (*call.window_lists, call.ceil_mode)


def _torch_max_geometry(call: Call) -> tuple[Any, ...]:
    return (list(call.kernel_size), list(call.stride), _half(call), list(call.dilation),
            call.ceil_mode)  # fmt: skip


def _with_indices(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    if call.adaptive:
        pooled: tuple[Tensor, Tensor] = getattr(aten, call.op)(x, call.window_count)
        return pooled
    operator = getattr(aten, f"max_pool{call.rank}d_with_indices")
    result: tuple[Tensor, Tensor] = operator(x, *_torch_max_geometry(call))
    return result
