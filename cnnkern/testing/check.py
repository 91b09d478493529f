# SPDX-License-Identifier: BSD-3-Clause
"""Hold a function against torch on many problems, and say what fails in the fewest words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _C
from .check_problem import Report, findings
from .check_results import SHRUNKEN, CheckFailed, Failed, Results, Trial
from .edge_cases import edge_cases
from .errors import WrongResult, kind_of_error
from .reference import Call, torch_serves
from .shrink import shrink
from .variants import DTYPES, FORMATS, rotated

__all__ = ["check", "check_each", "default_cases"]

_OP = re.compile(r"(conv|conv_transpose|(adaptive_)?(max|avg)_pool)[123]d")


class _NotServedError(Exception):
    pass


def check(
    function: Callable[..., Tensor],
    cases: str | Iterable[str] | None = None,
    *,
    op: str | None = None,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    random: int = 30,
    seed: int = 0,
    gradients: bool = True,
    exact: bool = True,
    device: torch.device | str = "cpu",
) -> Results:
    """Hold a function with the signature of one of torch.nn.functional's against torch in float64.

    Each problem is computed three times: on small integers, dense and with gaps between the
    elements, whose results must be exact, and on normal values by the rule of
    :mod:`cnnkern.testing.errors`. Memory is guarded as in :func:`check_problem`.

    Args:
        function: takes the tensors of a problem and, by keyword, those of torch's arguments that
            differ from their defaults. A TypeError or NotImplementedError that it raises says that
            it does not serve a problem; that is counted, and any other exception is a failure.
        cases: problem texts, or one. By default the edge cases of the operator and random
            problems, those that torch's function of that name takes.
        op: ``conv2d``, ``max_pool1d``, ...; by default read from the function's name.
        dtypes: of the default cases: of float32, float64, float16, bfloat16.
        formats: of the default cases: of contiguous, channels_last.
        random: how many random problems the default cases have; they need hypothesis.
        seed: of random problems and tensors.
        gradients: test the gradients of every tensor too.
        exact: ask for exact results on small integers. False suits algorithms that transform their
            input (Winograd, FFT) and those that round sums to 16 bits before they are whole, as
            torch's conv3d does: all tensors are then normal values.
        device: where the function runs.

    Returns:
        Counts, the errors of every problem, and the largest error.

    Raises:
        CheckFailed: an AssertionError; some problems failed, or not one was served. It tells the
            first failures, each with a smaller problem that fails alike and the call that shows it.
        ValueError: no operator in the function's name and none given, or a text is no problem.

    Example:
        >>> import torch.nn.functional as F
        >>> results = check(F.max_pool2d, ["max_pool2d 2x3x9x9 kernel=3 stride=2"])
        >>> results.counts
        {'passed': 1, 'not served': 0, 'failed': 0}
    """
    if cases is None:
        name = op or _op_of(function)
        cases = default_cases(name, dtypes, formats, random, seed)
    elif isinstance(cases, str):
        cases = [cases]
    texts = [str(_C.parse(text)) for text in cases]
    results = check_each(
        function, texts, seed=seed, gradients=gradients, exact=exact, device=device
    )
    if results.failures:
        raise CheckFailed(f"{_name(function)}: {results}", results)
    if not results.reports:
        raise CheckFailed(f"{_name(function)}: not one problem was served: {results}", results)
    return results


def default_cases(
    op: str, dtypes: Sequence[str], formats: Sequence[str], random: int, seed: int
) -> list[str]:
    """Edge cases of an operator in dtypes and formats that take turns, and random problems.

    Raises:
        ValueError: there is no such operator.
        ImportError: random problems are asked for and hypothesis is not installed.
    """
    if not _OP.fullmatch(op):
        raise ValueError(f"op: expected such as conv2d or max_pool1d, got {op!r}")
    texts = [text for text in edge_cases(op) if torch_serves(Call.parse(text))]
    texts = rotated(texts, 1, dtypes, formats)
    if random:
        try:
            from .problems import random_problems
        except ImportError:
            raise ImportError(
                "random problems need hypothesis; run pip install 'cnnkern[verify]', or pass "
                "random=0"
            ) from None
        texts += random_problems(
            random, seed, ops=[op], dtypes=dtypes, formats=formats, as_torch=True
        )
    return texts


def check_each(
    function: Callable[..., Tensor],
    problems: Sequence[str],
    *,
    seed: int = 0,
    gradients: bool = True,
    exact: bool = True,
    device: torch.device | str = "cpu",
) -> Results:
    """What :func:`check` does with the problems, failures among the results."""
    results = Results()
    shrunken: set[tuple[str, str]] = set()
    for problem in problems:
        try:
            outcome = _first_failure(function, problem, seed, gradients, exact, device)
        except _NotServedError as reason:
            results.not_served[problem] = str(reason)
            continue
        if isinstance(outcome, Report):
            results.reports.append(outcome)
            continue
        if outcome.kind not in shrunken and len(shrunken) < SHRUNKEN:
            shrunken.add(outcome.kind)
            outcome = _shrunken(function, outcome, exact)
        results.failures.append(outcome)
    # Those that were made small first, since they say most.
    results.failures.sort(key=lambda failure: failure.smallest == failure.problem)
    return results


def _first_failure(
    function: Callable[..., Tensor],
    problem: str,
    seed: int,
    gradients: bool,
    exact: bool,
    device: torch.device | str,
) -> Report | Failed:
    """The report of the normal values where all is well."""
    call = Call.parse(problem)
    # Not every average of integers is exact.
    exact = exact and not call.is_average
    kinds = [(exact, False), (exact, True), (False, False)][not exact :]
    for integers, strided in kinds:
        trial = Trial(integers, strided, gradients, seed, device)
        outcome = _tried(function, call, trial)
        if isinstance(outcome, Failed):
            return outcome
    return outcome


def _tried(function: Callable[..., Tensor], call: Call, trial: Trial) -> Report | Failed:
    def told(*tensors: Tensor, **keywords: Any) -> Tensor:
        try:
            return function(*tensors, **keywords)
        except (TypeError, NotImplementedError) as error:
            raise _NotServedError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None

    def failed(message: str, kind: tuple[str, str]) -> Failed:
        return Failed(call.text, message, kind, trial, _name(function), call.text, message)

    try:
        found = findings(
            call,
            told,
            gradients=trial.gradients,
            integers=trial.integers,
            strided=trial.strided,
            seed=trial.seed,
            device=trial.device,
        )
    except _NotServedError:
        raise
    except Exception as error:
        return failed(f"{call.text}: {type(error).__name__}: {error}", ("", kind_of_error(error)))
    reports = {}
    for name, finding in found.items():
        if isinstance(finding, WrongResult):
            return failed(str(finding), (name, finding.kind))
        reports[name] = finding
    return Report(call.text, reports)


def _shrunken(function: Callable[..., Tensor], failure: Failed, exact: bool) -> Failed:
    """The same failure on a smaller problem, with small integers where they show it."""
    trials = list(dict.fromkeys(_simpler_trials(failure, exact)))
    found: dict[str, Failed] = {}

    def fails(problem: str) -> bool:
        call = Call.parse(problem)
        if call.op != failure.problem.split()[0]:  # as many axes as the function is for
            return False
        for trial in trials:
            try:
                outcome = _tried(function, call, trial)
            except _NotServedError:
                return False
            if isinstance(outcome, Failed) and outcome.kind == failure.kind:
                found[problem] = outcome
                return True
        return False

    fails(failure.problem)
    smallest = shrink(failure.problem, fails)
    small = found.get(smallest, failure)
    return Failed(
        failure.problem,
        failure.message,
        failure.kind,
        small.trial,
        failure.function,
        small.problem,
        small.message,
    )


def _simpler_trials(failure: Failed, exact: bool) -> Iterator[Trial]:
    at_fault = failure.trial
    if exact and not Call.parse(failure.problem).is_average:
        yield Trial(True, False, at_fault.gradients, at_fault.seed, at_fault.device)
    yield at_fault


def _op_of(function: Callable[..., Tensor]) -> str:
    name = getattr(function, "__name__", "")
    found = _OP.search(name)
    if not found:
        raise ValueError(
            f"op: no operator in the function's name {name!r}; say which it computes, "
            "such as op='conv2d'"
        )
    return found[0]


def _name(function: Callable[..., Tensor]) -> str:
    return getattr(function, "__name__", type(function).__name__)
