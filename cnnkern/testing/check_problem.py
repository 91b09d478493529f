# SPDX-License-Identifier: BSD-3-Clause
"""Hold any implementation of a problem against torch: result, gradients, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ErrorReport, WrongResult, check_close, check_equal
from .reference import Call
from .tensors import Guarded, guarded_like, poisoned_allocations, random_integers, random_normal
from .truth import derivatives, magnitudes, one_thread, truth

__all__ = ["Report", "Truth", "check_problem", "findings"]


@dataclass(frozen=True)
class Report:
    """What :func:`check_problem` found: the errors of the output and of each gradient."""

    problem: str
    errors: dict[str, ErrorReport]

    def __str__(self) -> str:
        rows = [
            f"  {name:<12} {error.in_units_of_torch:6.2f} times torch's error,"
            f" {error.share_of_bound:5.2f} of what is allowed"
            for name, error in self.errors.items()
        ]
        return "\n".join([self.problem, *rows])


def check_problem(
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
        WrongResult: an AssertionError; a result is wrong, or memory beside a tensor was written.

    Example:
        >>> import torch.nn.functional as F
        >>> report = check_problem("conv2d 2x3x8x8 4x3x3x3 stride=2 bias", F.conv2d)
        >>> list(report.errors)
        ['output', 'input.grad', 'weight.grad', 'bias.grad']
    """
    found = findings(
        Call.parse(problem),
        function,
        gradients=gradients,
        integers=integers,
        strided=strided,
        seed=seed,
        device=device,
    )
    errors = {}
    for name, finding in found.items():
        if isinstance(finding, WrongResult):
            raise finding
        errors[name] = finding
    return Report(problem, errors)


def findings(
    call: Call,
    function: Callable[..., Tensor] | None,
    *,
    gradients: bool,
    integers: bool,
    strided: bool,
    seed: int,
    device: torch.device | str,
) -> dict[str, ErrorReport | WrongResult]:
    """What :func:`check_problem` reports or raises, result by result."""
    generator = torch.Generator().manual_seed(seed)
    draw = random_integers if integers else random_normal

    def drawn(size: Sequence[int]) -> Guarded:
        values = call.laid_out(draw(size, call.dtype, generator)).to(device)
        return guarded_like(values, strided=strided)

    guards = {name: drawn(size) for name, size in call.tensor_sizes.items()}
    guards["output.grad"] = drawn(call.output_size)
    *tensors, grad = (guard.tensor for guard in guards.values())
    names = ["output", *(f"{name}.grad" for name in call.tensor_sizes)][: None if gradients else 1]
    try:
        with poisoned_allocations():
            leaves = [tensor.requires_grad_(gradients) for tensor in tensors]
            output = call.run(function or _own(call.op), leaves)
            _check_output(call, output, gradients)
            _check_memory(call, guards)
    except WrongResult as wrong:
        return dict.fromkeys(names, wrong)
    # A fused ReLU differentiates from its output, whose sign near zero is the result's own.
    masked = torch.where(output.detach() > 0, grad, 0.0) if call.relu else grad
    expected = Truth(call, tensors, masked)
    found = {"output": expected.judge("output", output.detach(), integers)}
    if gradients:
        with poisoned_allocations():
            results = torch.autograd.grad(output, leaves, grad, allow_unused=True)
        for name, result in zip(names[1:], results, strict=True):
            found[name] = expected.judge(name, result, integers)
        try:
            _check_memory(call, guards)
        except WrongResult as wrong:
            found |= dict.fromkeys(names[1:], wrong)
    return found


class Truth:
    """The right results of a problem for some tensors, by name (``output``, ``input.grad``, ...).

    Args:
        call: the problem.
        tensors: input; weight and bias of a convolution; on any device.
        grad: the output's gradient, what a ReLU masks already masked.
    """

    def __init__(self, call: Call, tensors: list[Tensor], grad: Tensor) -> None:
        self.call = call
        try:
            theirs: list[Tensor | None] = [t.cpu() for t in derivatives(call, tensors, grad)]
        except NotImplementedError:  # torch lacks some pools in 16-bit types
            theirs = [None] * (len(tensors) + 1)
        tensors, grad = [t.detach().cpu() for t in tensors], grad.cpu()
        values = zip(
            truth(call, tensors, grad), theirs, magnitudes(call, tensors, grad), strict=True
        )
        names = ["output", *(f"{name}.grad" for name in call.tensor_sizes)]
        self.by_name = dict(zip(names, values, strict=True))

    def judge(
        self, name: str, result: Tensor | None, exact: bool, label: str = ""
    ) -> ErrorReport | WrongResult:
        """The error of a result by the rule, or what is wrong with it.

        Args:
            name: of the result.
            result: on any device; None counts as wrong.
            exact: it must equal the truth, rounded to the problem's dtype.
            label: what to call it; by default problem and name.
        """
        label = label or f"{self.call.text}: {name}"
        y64, theirs, sums = self.by_name[name]
        if result is None:
            return WrongResult(f"{label}: is None: the output does not depend on it", "gradient")
        try:
            with one_thread():
                if exact:
                    check_equal(result.cpu(), y64, self.call.dtype, name=label)
                return check_close(
                    result.cpu(),
                    y64,
                    theirs,
                    sums,
                    self.call.dtype,
                    name=label,
                    accumulator_roundoff=self.call.accumulator_roundoff,
                )
        except WrongResult as wrong:
            return wrong


def _check_output(call: Call, output: object, gradients: bool) -> None:
    label = f"{call.text}: output"
    if not isinstance(output, Tensor):
        raise WrongResult(f"{label}: expected a tensor, got {type(output).__name__}", "shape")
    if output.shape != call.output_size:
        expected, got = call.output_size, tuple(output.shape)
        raise WrongResult(f"{label}: expected shape {expected}, got {got}", "shape")
    if output.dtype != call.dtype:
        raise WrongResult(f"{label}: expected {call.dtype}, got {output.dtype}", "dtype")
    if gradients and not output.requires_grad:
        raise WrongResult(
            f"{label}: does not require grad, so its gradients cannot be tested; make the function "
            "differentiable (torch.autograd.Function), or pass gradients=False",
            "gradient",
        )


def _check_memory(call: Call, guards: dict[str, Guarded]) -> None:
    for name, guard in guards.items():
        guard.check(f"{call.text}: {name}")


def _own(op: str) -> Callable[..., Tensor]:
    from .. import functional

    function: Callable[..., Tensor] = getattr(functional, op)
    return function
