# SPDX-License-Identifier: BSD-3-Clause
"""The plans of a problem on every device that plans know, in one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import _C
from .explanation import Explanation, _aligned, _binary, _head, _time, explain
from .problem import ConvProblem, Problem

__all__ = ["DeviceTable", "explain_devices"]


@dataclass(frozen=True)
class DeviceTable:
    """A problem's explanations by device, this machine's processor first; ``str()`` is a text."""

    problem: Problem
    explanations: dict[str, Explanation]

    def __str__(self) -> str:
        parts = [*_head(self.problem), "", *self._table(), *self._files(), *self._refusals()]
        return "\n".join([*parts, "", *self._foot()])

    def _table(self) -> Iterable[str]:
        rows = [["direction", "device", "algorithm", "workspace", "predicted", "bound by"]]
        is_conv = isinstance(self.problem, ConvProblem)  # pools have one algorithm
        rows[0] += ["in place of"] * is_conv
        for number, direction in enumerate(self.problem.directions()):
            for device, explanation in self.explanations.items():
                plan = explanation.plans[number]
                row = [direction if device == "cpu" else "", _name(device), plan.algorithm]
                row += [_binary(plan.workspace_bytes), _time(plan.predicted_us), plan.bound]
                rows.append(row + [self._others(plan, device)] * is_conv)
        return _aligned(rows)

    def _others(self, plan: _C.Plan, device: str) -> str:
        """The algorithms that would serve as well, the fastest first."""
        found = []
        for name, _ in plan.refused:
            try:
                other = _C.plan(self.problem, plan.direction, name, device=device)
            except RuntimeError:
                continue
            found.append((other.predicted_us, f"{name} ({_time(other.predicted_us)})"))
        return ", ".join(text for _, text in sorted(found))

    def _files(self) -> Iterable[str]:
        lines = [
            f"{plan.direction} on {_name(device)}: {plan.algorithm} by the plan file, {plan.file}; "
            f"without it {plan.otherwise}"
            for device, explanation in self.explanations.items()
            for plan in explanation.plans
            if plan.file
        ]
        return [""] * bool(lines) + lines

    def _refusals(self) -> Iterable[str]:
        """One line a reason, with the directions and devices that have it."""
        where: dict[tuple[str, str], dict[str, list[str]]] = {}
        for device, explanation in self.explanations.items():
            for plan in explanation.plans:
                for name, reason in plan.refused:
                    if not self._serves(name, plan.direction, device):
                        places = where.setdefault((name, reason), {})
                        places.setdefault(_name(device), []).append(plan.direction)
        if not where:
            return []
        rows = [(name, self._in_words(of), reason) for (name, reason), of in where.items()]
        return ["", "not by", *("  " + line for line in _aligned(rows))]

    def _serves(self, algorithm: str, direction: str, device: str) -> bool:
        try:
            _C.plan(self.problem, direction, algorithm, device=device)
        except RuntimeError:
            return False
        return True

    def _in_words(self, places: dict[str, list[str]]) -> str:
        """Devices by the directions that they refuse in, where not in all."""
        by_directions: dict[tuple[str, ...], list[str]] = {}
        for device, refusing in places.items():
            by_directions.setdefault(tuple(refusing), []).append(device)
        words = []
        for directions, devices in by_directions.items():
            gpus = [_name(device) for device in self.explanations if device != "cpu"]
            if set(devices) == {_name("cpu"), *gpus}:
                text = "anywhere"
            elif set(devices) == set(gpus):
                text = "GPUs"
            else:
                text = ", ".join(devices)
            if directions != self.problem.directions():
                text += f" ({', '.join(directions)})"
            words.append(text)
        return "; ".join(words)

    def _foot(self) -> Iterable[str]:
        if isinstance(self.problem, ConvProblem):
            yield (
                "On a processor the first of depthwise, winograd, direct and im2col that serves is "
                "taken, on a GPU the one predicted fastest."
            )
        yield (
            f"Predictions are of nominal rates, {self.explanations['cpu'].device} and whole GPUs; "
            "they compare algorithms, they are not measured."
        )


def explain_devices(problem: str | Problem) -> DeviceTable:
    """Explains a problem on this machine's processor and on every GPU that has a name here.

    Args:
        problem: a problem or its text.

    Returns:
        The explanations by device, as :func:`cnnkern.explain` gives them; ``print`` it.

    Raises:
        ValueError: the text is no problem.

    Example:
        >>> table = explain_devices("conv2d 8x64x56x56 64x1x3x3 padding=1")
        >>> {name: one.plans[0].algorithm for name, one in table.explanations.items()}["H200"]
        'depthwise'
    """
    if isinstance(problem, str):
        problem = _C.parse(problem)
    devices = ["cpu", *_C.device_names()]
    return DeviceTable(problem, {device: explain(problem, device=device) for device in devices})


def _name(device: str) -> str:
    return str(_C.device_traits(device)["name"]) if device == "cpu" else device
