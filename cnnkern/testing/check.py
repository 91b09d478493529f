# SPDX-License-Identifier: BSD-3-Clause
"""Hold any implementation of a problem against torch: result, gradients, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ErrorReport, check_close, check_equal
from .reference import Call
from .tensors import guarded_like, poisoned_allocations, random_integers, random_normal
from .truth import derivatives, magnitudes, truth

__all__ = ["Report", "check"]


@dataclass(frozen=True)
class Report:
    """What :func:`check` found: the errors of the output and of each gradient."""

    problem: str
    errors: dict[str, ErrorReport]

    def __str__(self) -> str:
        rows = [
            f"  {name:<12} {error.in_units_of_torch:6.2f} times torch's error,"
            f" {error.share_of_bound:5.2f} of what is allowed"
            for name, error in self.errors.items()
        ]
        return "\n".join([self.problem, *rows])


def check(
    problem: str,
    function: Callable[..., Tensor] | None = None,
    *,
    gradients: bool = True,
    integers: bool = False,
    strided: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Report:
    """Run a problem on random tensors and hold the result and its gradients to the error rule.

    The tensors lie in buffers of NaN that are checked afterwards, and what torch allocates inside
    starts as NaN. The rule is that of :mod:`cnnkern.testing.errors`.

    Args:
        problem: the text, for example ``"conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1"``.
        function: what to test; called like its namesake in :mod:`torch.nn.functional`, with those
            keywords only that differ from their defaults. By default cnnkern's own.
        gradients: test the gradients of every tensor too.
        integers: draw small integers, and ask for exact results (``==``) instead.
        strided: leave gaps between the elements of every tensor.
        seed: of the random tensors.
        device: where the function runs, and torch's own beside it; the truth is the CPU's.

    Returns:
        The errors by name: ``output``, ``input.grad``, ``weight.grad``, ``bias.grad``.

    Raises:
        ValueError: the text is not a problem.
        AssertionError: a result is wrong, or memory beside a tensor was written.

    Example:
        >>> import torch.nn.functional as F
        >>> report = check("conv2d 2x3x8x8 4x3x3x3 stride=2 bias", F.conv2d)
        >>> list(report.errors)
        ['output', 'input.grad', 'weight.grad', 'bias.grad']
    """
    call = Call.parse(problem)
    generator = torch.Generator().manual_seed(seed)
    draw = random_integers if integers else random_normal

    def drawn(size: Sequence[int]) -> Tensor:
        return call.laid_out(draw(size, call.dtype, generator)).to(device)

    guards = {
        name: guarded_like(drawn(size), strided=strided) for name, size in call.tensor_sizes.items()
    }
    grad = drawn(call.output_size)
    grad_guard = guarded_like(grad, strided=strided)
    tensors = [guard.tensor.requires_grad_(gradients) for guard in guards.values()]

    with poisoned_allocations():
        output = call.run(function or _own(call.op), tensors)
        if output.shape != call.output_size:
            expected, got = call.output_size, tuple(output.shape)
            raise AssertionError(f"{problem}: output: expected shape {expected}, got {got}")
        results = [output.detach()]
        if gradients:
            results += torch.autograd.grad(output, tensors, grad_guard.tensor)
    for name, guard in {**guards, "output.grad": grad_guard}.items():
        guard.check(f"{problem}: {name}")

    # A fused ReLU differentiates from its output, whose sign near zero is the result's own.
    masked = torch.where(results[0] > 0, grad, 0.0) if call.relu else grad
    names = ["output"] + [f"{name}.grad" for name in guards] * gradients
    return Report(problem, _compare(call, names, results, tensors, masked, integers))


def _compare(
    call: Call,
    names: list[str],
    results: list[Tensor],
    tensors: list[Tensor],
    grad: Tensor,
    exact: bool,
) -> dict[str, ErrorReport]:
    try:
        theirs: list[Tensor] | list[None] = _on_cpu(derivatives(call, tensors, grad))
    except NotImplementedError:  # torch lacks some pools in 16-bit types
        theirs = [None] * len(names)
    results, tensors, grad = _on_cpu(results), _on_cpu(tensors), grad.cpu()
    expected, sums = truth(call, tensors, grad), magnitudes(call, tensors, grad)
    errors = {}
    for name, result, y64, their, sum_ in zip(names, results, expected, theirs, sums, strict=False):
        label = f"{call.text}: {name}"
        if exact:
            check_equal(result, y64, call.dtype, name=label)
        errors[name] = check_close(result, y64, their, sum_, call.dtype, name=label)
    return errors


def _on_cpu(tensors: list[Tensor]) -> list[Tensor]:
    return [t.cpu() for t in tensors]


def _own(op: str) -> Callable[..., Tensor]:
    from .. import functional

    function: Callable[..., Tensor] = getattr(functional, op)
    return function
