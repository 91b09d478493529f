# SPDX-License-Identifier: BSD-3-Clause
"""Whether a result may be timed at all: held against float64 by the rule of cnnkern.testing.

A layer of a real network has too many products for float64 on a CPU. So the truth of a large
problem is taken of some samples (output and input gradient) or of some filters (weight gradient),
which are exact for these; everywhere else the result is held against torch's, at twice the sum of
both errors' bounds, and the whole truth is computed where that does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..testing import Call, check_close, error_bound, magnitudes, truth
from .case import Case, Operands, first_result, peer_call
from .suites import with_form

__all__ = ["Check", "Truths"]

MOST_FLOPS = {"cpu": 5e8, "cuda": 1e12}  # of a whole truth
LEAST_NONZERO = 1 / 3  # of the values that can differ from zero


@dataclass(frozen=True)
class Check:
    """A verdict of :data:`~cnnkern.benchmark.results.VERDICTS` and the errors behind it."""

    verdict: str
    note: str = ""
    error_in_torchs: float | None = None
    error_share: float | None = None


@dataclass(frozen=True)
class Truth:
    """A part of a direction's result in float64; ``part`` cuts it out of a whole result."""

    part: Callable[[Tensor], Tensor]
    values: Tensor
    sums: Tensor
    whole: bool


class Truths:
    """Checks results; remembers the truth of a problem while its other formats come."""

    def __init__(self) -> None:
        self._values = ""
        self._known: dict[tuple[str, bool], Truth] = {}

    def check(self, case: Case, result: Tensor, theirs: Tensor | None, flops: float) -> Check:
        """Holds a direction's result against the truth.

        Args:
            case: what was computed.
            result: by the kernel under test, on the device of the operands.
            theirs: torch's result, None where torch has none.
            flops: of the direction; decides how much of the truth is computed.
        """
        call = case.call
        most = MOST_FLOPS[result.device.type]
        name = f"{call.text}: {case.direction}"
        found = self._truth(case, min(1.0, most / max(flops, 1.0)))
        try:
            check = _hold(found, result, theirs, call, name)
            if not found.whole and (theirs is None or _apart(found, result, theirs, call)):
                check = _hold(self._truth(case, 1.0), result, theirs, call, name)
        except AssertionError as error:
            return Check("failed", str(error))
        possible = result.numel() * _reachable(case)
        nonzero = int(torch.count_nonzero(result))
        if nonzero < LEAST_NONZERO * possible:
            note = f"{nonzero} of {possible:.0f} values differ from zero: too few to tell"
            return replace(check, verdict="untrustworthy", note=note)
        return check

    def _truth(self, case: Case, share: float) -> Truth:
        # The values that were drawn do not depend on the format.
        values = str(with_form(case.problem, case.problem.dtype, "contiguous"))
        if values != self._values:
            self._values, self._known = values, {}
        key = (case.direction.removesuffix("_argmax"), share == 1)
        if key not in self._known:
            self._known[key] = _truth(case, share)
        return self._known[key]


def _hold(found: Truth, result: Tensor, theirs: Tensor | None, call: Call, name: str) -> Check:
    part = None if theirs is None else found.part(theirs)
    report = check_close(
        found.part(result),
        found.values,
        part,
        found.sums,
        call.dtype,
        name=name,
        accumulator_roundoff=call.accumulator_roundoff,
    )
    units = report.in_units_of_torch
    return Check("passed", "", None if math.isnan(units) else units, report.share_of_bound)


def _apart(found: Truth, result: Tensor, theirs: Tensor, call: Call) -> bool:
    """Whether the results differ by more than both may be wrong by."""
    bound = error_bound(
        found.values,
        found.part(theirs),
        found.sums,
        call.dtype,
        accumulator_roundoff=call.accumulator_roundoff,
    ).maximum
    difference = (result.double() - theirs.double()).abs().max() if result.numel() else 0.0
    return not difference <= 4 * bound


def _truth(case: Case, share: float) -> Truth:
    """Of at least one sample, or one filter, and about this share of the problem."""
    call, o = case.call, case.operands
    assert o.weight is None or call.weight_size is not None
    if case.direction != "weight_grad":
        batch = call.input_size[0]
        count = max(1, int(batch * share)) if batch else 0
        part = replace(
            call,
            input_size=(count, *call.input_size[1:]),
            output_size=(count, *call.output_size[1:]),
        )
        return _computed(case, Operands(part, o.input[:count], o.grad[:count], o.weight, o.bias))
    filters = call.output_size[1]
    count = max(1, int(filters * share)) if filters else 0
    if call.groups > 1 or call.is_transposed or count == filters:
        return _computed(case, o)
    assert o.weight is not None
    part = replace(
        call,
        weight_size=(count, *o.weight.shape[1:]),
        output_size=(call.output_size[0], count, *call.output_size[2:]),
    )
    bias = None if o.bias is None else o.bias[:count]
    return _computed(case, Operands(part, o.input, o.grad[:, :count], o.weight[:count], bias))


def _computed(case: Case, o: Operands) -> Truth:
    which = {"input_grad": 1, "weight_grad": 2}.get(case.direction, 0)
    if o.call.dtype == torch.float64:  # where float64 itself has the error in question
        values = truth(o.call, o.tensors, o.grad)[which]
        sums = magnitudes(o.call, o.tensors, o.grad)[which]
    else:
        values = _by_torch(case, _doubled(o, absolute=False))
        sums = _by_torch(case, _doubled(o, absolute=True)).abs()
    count = values.shape[0]
    return Truth(lambda t: t[:count], values, sums, o is case.operands or _same_sizes(case, o))


def _same_sizes(case: Case, o: Operands) -> bool:
    return (o.call.input_size, o.call.output_size) == (case.call.input_size, case.call.output_size)


def _doubled(o: Operands, absolute: bool) -> Operands:
    """The operands in float64; their absolute values where sums of those are wanted."""
    pool = o.call.is_max

    def one(t: Tensor | None) -> Tensor | None:
        if t is None:
            return None
        t = t.detach().double()
        return t.abs() if absolute else t

    input, grad = one(o.input), one(o.grad)
    assert input is not None
    assert grad is not None
    if pool:  # which element is the largest depends on the signs
        input = o.input.detach().double()
    call = replace(o.call, dtype=torch.float64)
    doubled = Operands(call, input, grad, one(o.weight), one(o.bias))
    doubled.find_indices()
    return doubled


def _by_torch(case: Case, o: Operands) -> Tensor:
    return first_result(peer_call(Case(case.problem, case.direction, o))())


def _share_of_maxima(case: Case) -> float:
    """The share of a max pool's random input that is the largest of a window, about.

    Windows of k elements at a distance of s < k have the same maximum where that of both together
    lies in their overlap: of k + s elements in k - s.
    """
    call = case.call
    share = 1.0
    for axis, (size, count) in enumerate(
        zip(call.input_size[2:], call.output_size[2:], strict=True)
    ):
        k, s = float(call.kernel_size[axis]), float(call.stride[axis])
        if call.adaptive:  # windows share but a border
            s = size / max(1, count)
        distinct = 2 * s / (k + s) if s < k else 1.0
        share *= min(1.0, distinct * count / max(1, size))
    return share


def _reachable(case: Case) -> float:
    """The share of a result's values that can differ from zero.

    Windows that lie apart leave gaps in an input gradient, those in the padding alone give zeros,
    as do weights that only meet padding; a max pool passes a window's gradient to one element, and
    half the values are cut by a ReLU.
    """
    call = case.call
    forward = case.direction.startswith("forward")
    cut = 0.5 if forward and call.relu else 1.0
    if forward and call.bias:
        return cut
    inputs, windows = call.input_size[2:], call.output_size[2:]
    if call.is_max:
        return 1.0 if forward else _share_of_maxima(case)
    if call.adaptive:
        return 1.0
    if call.is_transposed:
        inputs, windows = windows, inputs
    share = cut
    for axis, (size, count) in enumerate(zip(inputs, windows, strict=True)):
        taps = [
            [
                p * call.stride[axis] - call.padding[axis][0] + r * call.dilation[axis]
                for r in range(call.kernel_size[axis])
            ]
            for p in range(count)
        ]
        if case.direction == "weight_grad":
            used = sum(any(0 <= tap < size for tap in r) for r in zip(*taps, strict=True))
            share *= used / max(1, call.kernel_size[axis])
        elif forward == call.is_transposed:  # the result lies where the windows read
            reached = len({tap for window in taps for tap in window} & set(range(size)))
            share *= reached / max(1, size)
        else:
            inside = sum(any(0 <= tap < size for tap in window) for window in taps)
            share *= inside / max(1, count)
    return share
