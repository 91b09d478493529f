# SPDX-License-Identifier: BSD-3-Clause
"""What a check of many problems found, and how to see it again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from .check_problem import Report

__all__ = ["SHRUNKEN", "CheckFailed", "Failed", "Results", "Trial"]

SHRUNKEN = 3  # kinds of failures of which a smallest one is looked for


@dataclass(frozen=True)
class Trial:
    """What tensors a function gets: small integers or normal values, with or without gaps."""

    integers: bool
    strided: bool
    gradients: bool = True
    seed: int = 0
    device: torch.device | str = "cpu"

    def arguments(self) -> str:
        """As keyword arguments of :func:`cnnkern.testing.check_problem`."""
        given = {
            "gradients": (self.gradients, True),
            "integers": (self.integers, False),
            "strided": (self.strided, False),
            "seed": (self.seed, 0),
            "device": (str(self.device), "cpu"),
        }
        return "".join(
            f", {name}={value!r}" for name, (value, default) in given.items() if value != default
        )


@dataclass(frozen=True)
class Failed:
    """A problem on which a function failed.

    ``smallest`` is the smallest problem found that fails in the same way, and ``smallest_message``
    what is wrong there; both are the failure's own where none was looked for.
    """

    problem: str
    message: str
    kind: tuple[str, str]  # which result, and how: ("weight.grad", "values")
    trial: Trial
    function: str
    smallest: str
    smallest_message: str

    @property
    def reproduce(self) -> str:
        """The call that shows the smallest failure."""
        return f"check_problem({self.smallest!r}, {self.function}{self.trial.arguments()})"


@dataclass
class Results:
    """What :func:`cnnkern.testing.check` found."""

    reports: list[Report] = field(default_factory=list)  # of problems that passed
    not_served: dict[str, str] = field(default_factory=dict)  # problem: the function's own words
    failures: list[Failed] = field(default_factory=list)

    @property
    def worst(self) -> tuple[float, str]:
        """The largest error of what passed, in units of torch's own, with result and problem."""
        errors = [
            (error.in_units_of_torch, f"{name} of {report.problem}")
            for report in self.reports
            for name, error in report.errors.items()
            if error.torch_error.rms
        ]
        return max(errors, default=(0.0, ""))

    @property
    def counts(self) -> dict[str, int]:
        return {
            "passed": len(self.reports),
            "not served": len(self.not_served),
            "failed": len(self.failures),
        }

    def __str__(self) -> str:
        lines = [", ".join(f"{count} {name}" for name, count in self.counts.items())]
        error, where = self.worst
        if where:
            lines.append(f"largest error that passed: {error:.2f} times torch's own ({where})")
        for reason, count in Counter(self.not_served.values()).most_common(3):
            lines.append(f"not served, {count} times: {reason}")
        for failure in self.failures[:SHRUNKEN]:
            lines.append(f"FAILED {failure.message}")
            if failure.smallest != failure.problem:
                lines.append(f"  smallest: {failure.smallest_message}")
            lines.append(f"  see it again: {failure.reproduce}")
        if len(self.failures) > SHRUNKEN:
            lines.append(f"and {len(self.failures) - SHRUNKEN} more")
        return "\n".join(lines)


class CheckFailed(AssertionError):
    """Some problems failed, or none was served; ``results`` has all of it."""

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results
