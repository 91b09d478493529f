# SPDX-License-Identifier: BSD-3-Clause
"""The error rule of cnnkern.testing.errors, for every algorithm alike."""

from __future__ import annotations

import pytest
import torch
from cases import CONV, CONV_TRANSPOSE, LONG_SUMS, lines, variants

from cnnkern.testing import (
    Call,
    check_close,
    check_problem,
    derivatives,
    error_bound,
    magnitudes,
    random_normal,
    truth,
)
from cnnkern.testing.directions import DIRECTIONS, draw, expected, run, serving


@pytest.mark.parametrize("problem", variants(lines(CONV, CONV_TRANSPOSE)), ids=str)
def test_function_and_its_gradients_are_accurate(problem):
    check_problem(problem)


@pytest.mark.parametrize("problem", variants(LONG_SUMS), ids=str)
def test_every_algorithm_sums_accurately(problem):
    call = Call.parse(problem)
    operands = draw(call, random_normal)
    tensors, grad = operands.tensors, operands.grad
    values = zip(*(f(call, tensors, grad) for f in (truth, derivatives, magnitudes)), strict=True)
    values = list(values)
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction):
            results = run(call, direction, operands, algorithm)
            for result, (y64, theirs, sums) in zip(
                results, expected(call, direction, values), strict=True
            ):
                name = f"{problem}: {direction}, {algorithm}"
                check_close(result, y64, theirs, sums, call.dtype, name=name)


class TestRule:
    """The rule itself is sharp: what it must refuse, it refuses."""

    CALL = Call.parse("conv2d 1x64x12x12 16x64x3x3 padding=1")

    def _values(self):
        operands = draw(self.CALL, random_normal)
        tensors, grad = operands.tensors, operands.grad
        return operands, [f(self.CALL, tensors, grad)[0] for f in (truth, derivatives, magnitudes)]

    def test_accepts_torch(self):
        _, (y64, theirs, sums) = self._values()
        report = check_close(theirs, y64, theirs, sums, torch.float32)
        assert report.in_units_of_torch == 1
        assert report.share_of_bound < 1

    def test_refuses_one_lost_tap(self):
        operands, (y64, theirs, sums) = self._values()
        operands.weight[0, 0, 0, 0] = 0
        wrong = run(self.CALL, "forward", operands)[0]
        with pytest.raises(AssertionError, match="max error"):
            check_close(wrong, y64, theirs, sums, torch.float32)

    def test_refuses_a_small_bias(self):
        _, (y64, theirs, sums) = self._values()
        bound = error_bound(y64, theirs, sums, torch.float32)
        # Under the bound of the maximum everywhere, over that of the root mean square.
        shifted = (y64 + 0.9 * bound.maximum).float()
        assert bound.rms < 0.9 * bound.maximum
        with pytest.raises(AssertionError, match="rms"):
            check_close(shifted, y64, theirs, sums, torch.float32)

    def test_refuses_operands_rounded_to_tf32(self):
        operands, (y64, theirs, sums) = self._values()
        for t in operands.tensors:
            t.copy_((t.view(torch.int32) & ~0x1FFF).view(torch.float32))
        with pytest.raises(AssertionError, match="max error"):
            check_close(run(self.CALL, "forward", operands)[0], y64, theirs, sums, torch.float32)

    def test_torch_rubbish_excuses_nothing(self):
        _, (y64, theirs, sums) = self._values()
        honest = error_bound(y64, None, sums, torch.float32)
        assert error_bound(y64, theirs * float("nan"), sums, torch.float32) == honest
        assert error_bound(y64, theirs * 2, sums, torch.float32) == honest

    def test_refuses_nan(self):
        _, (y64, theirs, sums) = self._values()
        wrong = theirs.clone()
        wrong[0, 3, 2, 1] = float("nan")
        with pytest.raises(AssertionError, match=r"NaN or infinite.*\(0, 3, 2, 1\)"):
            check_close(wrong, y64, theirs, sums, torch.float32)
