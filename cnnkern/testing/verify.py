# SPDX-License-Identifier: BSD-3-Clause
"""Every algorithm of cnnkern on a problem, in each direction, held against torch in float64."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from .. import _C
from .check_problem import Truth, findings
from .devices import Backend, running
from .directions import ALGORITHMS, DIRECTIONS, Operands, draw, expected, run
from .errors import ErrorReport, WrongResult, kind_of_error
from .reference import Call
from .shrink import shrink
from .tensors import poisoned_allocations, random_integers, random_normal

__all__ = ["Failure", "Outcome", "smallest_failure", "verify_problem"]

_DIRECTION_OF = {
    "output": "forward",
    "input.grad": "input_grad",
    "weight.grad": "weight_grad",
    "bias.grad": "weight_grad",
}


@dataclass(frozen=True)
class Outcome:
    """How one algorithm did on one problem in one direction."""

    problem: str  # canonical
    device: str
    algorithm: str
    direction: str
    verdict: str  # passed, refused, failed
    error_in_torchs: float = 0.0  # largest rms error of its results, in units of torch's own
    error_share: float = 0.0  # the largest, of what the error rule allows
    kind: str = ""  # of a failure: values, shape, dtype, gradient, memory, or what was raised
    note: str = ""  # what was wrong, or why it was refused


def verify_problem(
    problem: str,
    *,
    device: str = "cpu",
    algorithms: Sequence[str] = ("auto", *ALGORITHMS),
    directions: Sequence[str] = DIRECTIONS,
    seed: int = 0,
) -> list[Outcome]:
    """Run a problem by each algorithm in each direction.

    Each time twice: on small integers, whose results must be exact, and on normal values by the
    error rule. ``auto`` is the function and its gradients, as users call them,
    first on tensors with gaps between their elements; the algorithms by name are the operators
    beneath. Tensors lie in buffers of NaN, and what is allocated starts as NaN.

    Args:
        problem: the text. A pool has one algorithm only, which any of ``auto`` and ``direct`` asks
            for, and no weight_grad.
        device: ``cpu``, ``emulated`` (CUDA's kernels on the emulator) or ``cuda``.
        algorithms: of auto, direct, depthwise, im2col, winograd, implicit_gemm.
        directions: of forward, input_grad, weight_grad.
        seed: of the random tensors.

    Returns:
        One outcome for each algorithm and direction.

    Raises:
        ValueError: the text is not a problem.
        RuntimeError: there is no such device here.

    Example:
        >>> for outcome in verify_problem("conv2d 1x3x5x5 4x3x3x3", directions=["forward"]):
        ...     print(outcome.algorithm, outcome.verdict, outcome.note)
        auto passed
        direct passed
        depthwise refused C/groups is 3, needs 1; C = 3, groups = 1
        im2col passed
        winograd refused C/groups is 3, K/groups 4, needs 4 of both
        implicit_gemm refused it has no kernel for this device
    """
    text = str(_C.parse(problem))
    call = Call.parse(text)
    if call.is_pool:
        algorithms = ["auto"] if {"auto", "direct"} & set(algorithms) else []
        directions = [direction for direction in directions if direction != "weight_grad"]
    outcomes: list[Outcome] = []
    with running(device, text) as backend:
        if "auto" in algorithms:
            outcomes += _verify_function(call, backend, directions, seed)
        names = [name for name in algorithms if name != "auto"]
        if names:
            outcomes += _verify_operators(call, backend, names, directions, seed)
    return outcomes


@dataclass(frozen=True)
class Failure:
    """A failed outcome, the same failure on the smallest problem found, and how to see it again."""

    outcome: Outcome
    smallest: Outcome
    directions: tuple[str, ...]
    seed: int

    @property
    def command(self) -> str:
        """The shell command that shows the smallest failure."""
        small = self.smallest
        words = ["cnnkern", "verify", "--problem", small.problem, "--algorithm", small.algorithm]
        words += ["--direction", ",".join(self.directions), "--device", small.device]
        return shlex.join([*words, "--seed", str(self.seed)])


def smallest_failure(
    outcome: Outcome,
    *,
    directions: Sequence[str] = DIRECTIONS,
    seed: int = 0,
    trials: int = 300,
    seconds: float = 20.0,
) -> Failure:
    """Shrink a failed outcome: the same algorithm must fail in the same direction and way.

    Args:
        outcome: of :func:`verify_problem`, failed.
        directions: those that were asked for when it failed.
        seed: the one that was used then.
        trials: how many problems are run at most.
        seconds: after how long no other is begun.
    """

    def failing(problem: str, asked: Sequence[str]) -> Outcome | None:
        again = verify_problem(
            problem,
            device=outcome.device,
            algorithms=[outcome.algorithm],
            directions=asked,
            seed=seed,
        )
        same = [o for o in again if (o.direction, o.kind) == (outcome.direction, outcome.kind)]
        return same[0] if same else None

    # A function's forward pass alone may take another way than with a gradient behind it.
    alone = (outcome.direction,)
    asked = alone if failing(outcome.problem, alone) else tuple(directions)
    smallest = shrink(
        outcome.problem,
        lambda problem: failing(problem, asked) is not None,
        trials=trials,
        seconds=seconds,
    )
    return Failure(outcome, failing(smallest, asked) or outcome, asked, seed)


def _verify_function(
    call: Call, backend: Backend, directions: Sequence[str], seed: int
) -> Iterator[Outcome]:
    gradients = any(direction != "forward" for direction in directions)
    # Not every average of integers is exact.
    runs = [(gradients, not call.is_average, True), (gradients, False, False)]
    if call.is_max and gradients and "forward" in directions:
        runs.append((False, False, False))  # without the argmax that gradients need
    found: dict[str, list[ErrorReport | Exception]] = {direction: [] for direction in directions}
    for with_gradients, integers, strided in runs:
        try:
            results = findings(
                call,
                None,
                gradients=with_gradients,
                integers=integers,
                strided=strided,
                seed=seed,
                device=backend.device,
            )
        except Exception as error:
            for of in found.values():
                of.append(error)
            continue
        for name, finding in results.items():
            found.get(_DIRECTION_OF[name], []).append(finding)
    for direction, of in found.items():
        yield _outcome(call, backend, "auto", direction, of)


def _verify_operators(
    call: Call,
    backend: Backend,
    algorithms: Sequence[str],
    directions: Sequence[str],
    seed: int,
) -> Iterator[Outcome]:
    drawn = []
    for integers in (True, False):
        random = random_integers if integers else random_normal
        operands = draw(call, random, seed=seed, device=backend.device)
        drawn.append((integers, operands, Truth(call, operands.tensors, operands.grad)))
    problem = _C.parse(call.text)
    for algorithm in algorithms:
        for direction in directions:
            try:
                _C.plan(problem, direction, algorithm, device=backend.plans)
            except RuntimeError as refusal:
                note = _reason(str(refusal), direction)
                yield Outcome(call.text, backend.name, algorithm, direction, "refused", note=note)
                continue
            found: list[ErrorReport | Exception] = []
            for integers, operands, right in drawn:
                found += _judged(call, algorithm, direction, operands, right, integers)
            yield _outcome(call, backend, algorithm, direction, found)


def _judged(
    call: Call, algorithm: str, direction: str, operands: Operands, right: Truth, exact: bool
) -> list[ErrorReport | Exception]:
    label = f"{call.text}: {algorithm}, {direction}"
    try:
        with poisoned_allocations():
            results: list[Tensor] = run(call, direction, operands, algorithm)
        for guard in operands.guards:
            guard.check(f"{label}: an operand")
    except Exception as error:
        return [error]
    names = expected(call, direction, list(right.by_name))
    return [
        right.judge(name, result, exact, f"{label}: {name}")
        for name, result in zip(names, results, strict=True)
    ]


def _outcome(
    call: Call,
    backend: Backend,
    algorithm: str,
    direction: str,
    found: Sequence[ErrorReport | Exception],
) -> Outcome:
    where = (call.text, backend.name, algorithm, direction)
    wrong = [finding for finding in found if isinstance(finding, Exception)]
    if wrong:
        note = str(wrong[0])
        if not isinstance(wrong[0], WrongResult):
            note = f"{call.text}: {algorithm}, {direction}: {type(wrong[0]).__name__}: {note}"
        return Outcome(*where, "failed", kind=kind_of_error(wrong[0]), note=note)
    errors = [finding for finding in found if isinstance(finding, ErrorReport)]
    # torch's own error may be 0, and then has no multiple.
    torchs = [e.in_units_of_torch for e in errors if e.torch_error.rms]
    shares = [error.share_of_bound for error in errors]
    return Outcome(*where, "passed", max(torchs, default=0.0), max(shares, default=0.0))


def _reason(refusal: str, direction: str) -> str:
    """The reason alone: the outcome has the rest of the sentence in its fields."""
    _, found, reason = refusal.partition(f"does not serve this {direction}: ")
    return reason if found else refusal
