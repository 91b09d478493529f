# SPDX-License-Identifier: BSD-3-Clause
"""The error rule: how far a floating-point result may stand from the truth.

The truth is torch's result in float64 on the inputs as they are rounded to the dtype under test.
With ``A`` the same sum over absolute values and ``u`` the unit roundoffs of the output's type and
of the accumulator, a result ``y`` passes when::

    max|y - truth| <= 2 max|torch - truth| + u_output max|truth| + u_accumulator max A

and when the same holds in root mean square, which catches a bias that hides under the maximum.
The rule is the same for every algorithm.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "ErrorBound",
    "ErrorReport",
    "WrongResult",
    "check_close",
    "check_equal",
    "error_bound",
    "kind_of_error",
    "unit_roundoff",
]

_ROUNDOFF = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}

# torch's own error counts only up to this many times the other terms: some of its kernels return
# unset memory in odd shapes, and rubbish must not excuse rubbish.
_ABSURD = 100.0


class WrongResult(AssertionError):
    """A result that is not what it should be.

    ``kind`` says in which way: ``values``, ``shape``, ``dtype``, ``gradient`` (there is none) or
    ``memory`` (written where nothing may be).
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def kind_of_error(error: Exception) -> str:
    """In which way something failed: a WrongResult's kind, or what was raised, numbers left out.

    >>> kind_of_error(RuntimeError("expected 3 axes, got 4"))
    'RuntimeError: expected # axes, got #'
    """
    if isinstance(error, WrongResult):
        return error.kind
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'[0-9]+', '#', first)}"


class ErrorBound(NamedTuple):
    """The largest error that the rule allows, as a maximum and as a root mean square."""

    maximum: float
    rms: float


class ErrorReport(NamedTuple):
    """What :func:`check_close` measured."""

    error: ErrorBound
    torch_error: ErrorBound
    bound: ErrorBound

    @property
    def in_units_of_torch(self) -> float:
        """The root mean square error divided by torch's own (``nan`` where torch has none)."""
        return self.error.rms / self.torch_error.rms if self.torch_error.rms else math.nan

    @property
    def share_of_bound(self) -> float:
        """The larger of both errors, divided by what is allowed; at most 1 where the rule holds."""
        shares = [
            e / b if b else math.inf * e if e else 0.0
            for e, b in zip(self.error, self.bound, strict=True)
        ]
        return max(shares)

    def __str__(self) -> str:
        return (
            f"max error {self.error.maximum:.3g} (allowed {self.bound.maximum:.3g}, "
            f"torch's {self.torch_error.maximum:.3g}), "
            f"rms {self.error.rms:.3g} (allowed {self.bound.rms:.3g}, "
            f"torch's {self.torch_error.rms:.3g})"
        )


def unit_roundoff(dtype: torch.dtype) -> float:
    """Half the distance from 1 to the next number of a floating-point type.

    >>> unit_roundoff(torch.bfloat16)
    0.00390625
    """
    return _ROUNDOFF[dtype]


def error_bound(
    reference64: Tensor,
    torch_result: Tensor | None,
    magnitude: Tensor,
    dtype: torch.dtype,
    *,
    accumulator_roundoff: float | None = None,
) -> ErrorBound:
    """The error that a result of ``dtype`` may have.

    Args:
        reference64: the truth, float64; any shape. Elements that are not finite do not count.
        torch_result: torch's result in the dtype under test, or None where torch serves no such
            problem.
        magnitude: the same sum over absolute values (``A`` above), same shape.
        dtype: the dtype under test.
        accumulator_roundoff: of the type that sums; by default float32's, or float64's for
            float64. Where tf32 is allowed: ``2**-11``.

    Returns:
        The bounds for the maximum and the root mean square.
    """
    if accumulator_roundoff is None:
        accumulator_roundoff = _ROUNDOFF[torch.promote_types(dtype, torch.float32)]
    finite = reference64.isfinite()
    truth, sums = _sizes(reference64[finite]), _sizes(magnitude.double()[finite])
    own = [
        unit_roundoff(dtype) * t + accumulator_roundoff * s
        for t, s in zip(truth, sums, strict=True)
    ]
    theirs = _error(torch_result, reference64)
    return ErrorBound(
        *(o + (2 * t if t <= _ABSURD * o else 0.0) for o, t in zip(own, theirs, strict=True))
    )


def check_close(
    result: Tensor,
    reference64: Tensor,
    torch_result: Tensor | None,
    magnitude: Tensor,
    dtype: torch.dtype,
    *,
    name: str = "result",
    accumulator_roundoff: float | None = None,
) -> ErrorReport:
    """Hold a result against the error rule.

    Args:
        result: the tensor under test, of ``dtype``.
        reference64: the truth, float64, same shape.
        torch_result: torch's result in ``dtype``, or None where torch serves no such problem.
        magnitude: the same sum over absolute values.
        dtype: the dtype under test.
        name: what to call the result in a failure.
        accumulator_roundoff: see :func:`error_bound`.

    Returns:
        The errors and the bounds.

    Raises:
        WrongResult: with the numbers, where the rule does not hold.

    Example:
        >>> x = torch.tensor([3.0, 4.0])
        >>> print(check_close(x, x.double(), x, x.abs(), torch.float32).error.maximum)
        0.0
    """
    _same_form(result, reference64, dtype, name)
    # What lies beyond the type's range rounds to an infinity, in the truth as in the result.
    truth = torch.where(reference64.to(dtype).isinf(), reference64.to(dtype).double(), reference64)
    _same_special_values(result, truth, name)
    bound = error_bound(
        truth, torch_result, magnitude, dtype, accumulator_roundoff=accumulator_roundoff
    )
    report = ErrorReport(_error(result, truth), _error(torch_result, truth), bound)
    if not (report.error.maximum <= bound.maximum and report.error.rms <= bound.rms):
        worst = _worst(result, truth)
        raise WrongResult(f"{name}: {report}; {worst}", "values")
    return report


def check_equal(result: Tensor, reference64: Tensor, dtype: torch.dtype, *, name: str) -> None:
    """Hold a result against the truth rounded to ``dtype``: every element ``==``.

    Raises:
        WrongResult: with the count of differing elements and the first of them.
    """
    _same_form(result, reference64, dtype, name)
    expected = reference64.to(dtype)
    differs = ~((result == expected) | (result.isnan() & expected.isnan()))
    if differs.any():
        at = tuple(int(i) for i in differs.nonzero()[0])
        raise WrongResult(
            f"{name}: {int(differs.sum())} of {result.numel()} elements differ; first at {at}: "
            f"expected {expected[at].item()}, got {result[at].item()}",
            "values",
        )


def _same_form(result: Tensor, reference64: Tensor, dtype: torch.dtype, name: str) -> None:
    if result.shape != reference64.shape:
        expected, got = tuple(reference64.shape), tuple(result.shape)
        raise WrongResult(f"{name}: expected shape {expected}, got {got}", "shape")
    if result.dtype != dtype:
        raise WrongResult(f"{name}: expected {dtype}, got {result.dtype}", "dtype")


def _same_special_values(result: Tensor, truth: Tensor, name: str) -> None:
    special = ~truth.isfinite() | ~result.isfinite()
    want, got = truth[special], result[special].double()
    same = (want == got) | (want.isnan() & got.isnan())
    if not same.all():
        at = tuple(int(i) for i in special.nonzero()[int((~same).nonzero()[0])])
        raise WrongResult(
            f"{name}: {int((~same).sum())} of {result.numel()} elements are NaN or infinite on one "
            f"side only; first at {at}: expected {truth[at].item()}, got {result[at].item()}",
            "values",
        )


def _sizes(values: Tensor) -> ErrorBound:
    if not values.numel():
        return ErrorBound(0.0, 0.0)
    return ErrorBound(values.abs().max().item(), values.square().mean().sqrt().item())


def _error(result: Tensor | None, truth: Tensor) -> ErrorBound:
    if result is None:
        return ErrorBound(0.0, 0.0)
    finite = truth.isfinite()
    difference = result.double()[finite] - truth[finite]
    if not difference.isfinite().all():
        return ErrorBound(math.inf, math.inf)
    return _sizes(difference)


def _worst(result: Tensor, truth: Tensor) -> str:
    difference = (result.double() - truth).abs().nan_to_num(nan=-1.0)
    at = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
    return f"worst at {at}: expected {truth[at].item():.9g}, got {result[at].item():.9g}"
