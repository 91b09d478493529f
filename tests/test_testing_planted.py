# SPDX-License-Identifier: BSD-3-Clause
"""Wrong kernels, planted: each is caught, and shrunken to a problem with a handful of outputs."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cnnkern.testing import Call, CheckFailed, check, check_problem, verify
from cnnkern.testing.edge_cases import edge_cases
from cnnkern.testing.verify import smallest_failure, verify_problem

LARGEST_OUTPUT = 3


def by_unfolding(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """conv2d as people write it; right."""
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    (n, c, h, width), (k, _, r, s) = x.shape, w.shape
    p = (h - dilation[0] * (r - 1) - 1) // stride[0] + 1
    q = (width - dilation[1] * (s - 1) - 1) // stride[1] + 1
    y = 0
    for i in range(r):
        for j in range(s):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (p - 1) * stride[0] + 1, stride[0])
            tap = x[:, :, rows, left : left + (q - 1) * stride[1] + 1 : stride[1]]
            tap = tap.reshape(n, groups, c // groups, p, q)
            weights = w[:, :, i, j].reshape(groups, k // groups, c // groups)
            y = y + torch.einsum("ngcpq,gkc->ngkpq", tap, weights).reshape(n, k, p, q)
    return y if b is None else y + b.view(1, -1, 1, 1)


class Wrong:
    """Functions with one fault each, by the operator that they should be."""

    @staticmethod
    def conv2d_swaps_the_padding(x, w, b=None, padding=(0, 0), **keywords):
        return by_unfolding(x, w, b, padding=padding[::-1], **keywords)

    @staticmethod
    def conv2d_drops_the_last_tap(x, w, b=None, **keywords):
        kept = torch.ones_like(w)
        kept[..., -1, -1] = 0 if w[0, 0].numel() > 1 else 1
        return by_unfolding(x, w * kept, b, **keywords)

    @staticmethod
    def conv2d_takes_the_next_group(x, w, b=None, groups=1, **keywords):
        return by_unfolding(x.roll(x.shape[1] // groups, 1), w, b, groups=groups, **keywords)

    @staticmethod
    def conv2d_sums_in_16_bits(x, w, b=None, **keywords):
        y = 0
        for c in range(x.shape[1]):  # without groups
            one = F.conv2d(x[:, c : c + 1], w[:, c : c + 1], None, **keywords)
            y = (y + one.half().to(x.dtype)).half().to(x.dtype)
        return y if b is None else y + b.view(1, -1, 1, 1)

    @staticmethod
    def max_pool2d_pads_with_zeros(x, kernel_size, stride=None, padding=0, **keywords):
        px = F.pad(x, (padding[1], padding[1], padding[0], padding[0])) if padding else x
        return F.max_pool2d(px, kernel_size, stride, **keywords)

    @staticmethod
    def avg_pool2d_counts_the_padding(x, kernel_size, count_include_pad=True, **keywords):
        return F.avg_pool2d(x, kernel_size, count_include_pad=True, **keywords)

    @staticmethod
    def conv2d_ignores_strides(x, w, b=None, **keywords):
        dense = torch.empty(x.shape).stride()
        return F.conv2d(x.as_strided(x.shape, dense, x.storage_offset()), w, b, **keywords)

    @staticmethod
    def conv1d_forgets_a_sample_in_the_weight_gradient(x, w, b=None, **keywords):
        with torch.no_grad():
            rest = F.conv1d(x, w, None, **keywords)
        right, short = F.conv1d(x, w.detach(), b, **keywords), F.conv1d(x[1:], w, None, **keywords)
        return right + F.pad(short - rest[1:], (0, 0, 0, 0, 1, 0))


USERS = [
    (Wrong.conv2d_swaps_the_padding, {"cases": "conv2d 1x32x4x9 33x32x1x3 padding=0,1"}),
    (Wrong.conv2d_drops_the_last_tap, {"dtypes": ["float32"]}),
    (Wrong.conv2d_takes_the_next_group, {"cases": "conv2d 1x9x6x6 6x3x2x3 dilation=2 bias"}),
    (Wrong.conv2d_sums_in_16_bits, {"cases": "conv2d 2x64x9x9 5x64x3x3 padding=1"}),
    (Wrong.max_pool2d_pads_with_zeros, {"dtypes": ["float32"]}),
    (Wrong.avg_pool2d_counts_the_padding, {"dtypes": ["float32"]}),
    (Wrong.conv2d_ignores_strides, {"dtypes": ["float32"]}),
    (Wrong.conv1d_forgets_a_sample_in_the_weight_gradient, {"dtypes": ["float32"]}),
]


def _told(fault: str, first: str, smallest: str) -> None:
    print(f"\n{fault}\n    first:    {first}\n    smallest: {smallest}")


@pytest.mark.parametrize(("function", "options"), USERS, ids=[f[0].__name__ for f in USERS])
def test_faults_of_users_are_caught_and_made_small(function, options):
    if "cases" not in options:
        # A few edge cases suffice, and spare the time of all.
        options = options | {"random": 10, "formats": ["contiguous"]}
    with pytest.raises(CheckFailed) as caught:
        check(function, **options)
    for failure in caught.value.results.failures[:1]:
        _told(function.__name__, failure.problem, failure.smallest)
        assert max(Call.parse(failure.smallest).output_size[2:]) <= LARGEST_OUTPUT
        assert failure.reproduce in str(caught.value)
        with pytest.raises(AssertionError):
            eval(failure.reproduce, {"check_problem": check_problem, failure.function: function})


def test_the_right_one_passes():
    def conv2d(*tensors, **keywords):
        return by_unfolding(*tensors, **keywords)

    cases = edge_cases("conv2d")[:20]
    results = check(conv2d, cases)
    assert results.counts == {"passed": 18, "not served": 2, "failed": 0}
    assert all("relu" in problem for problem in results.not_served)
    assert "not served, 2 times: TypeError: by_unfolding() got an unexpected" in str(results)


def _tail(call, direction, algorithm, operands, results):
    if direction == "forward" and call.output_size[1] % 8:
        results[0][:, -1] *= 2


def _border(call, direction, algorithm, operands, results):
    if direction == "forward" and call.output_size[-1] > 1:
        results[0][..., -1] = math.nan


def _beyond(call, direction, algorithm, operands, results):
    x = operands.input
    if direction == "weight_grad":
        x.as_strided((1,), (1,), x.storage_offset() + x.numel())[0] = 1


def _sample(call, direction, algorithm, operands, results):
    if direction == "weight_grad" and call.input_size[0] > 1:
        lost = Call.parse(call.text.replace(f" {call.input_size[0]}x", " 1x", 1))
        few = type(operands)(operands.input[:1], operands.weight, None, operands.grad[:1])
        results[0] -= RUN(lost, direction, few, algorithm)[0]


def _stride(call, direction, algorithm, operands, results):
    if direction == "input_grad" and 2 in call.stride:
        results[0] += 1


RUN = verify.run
OURS = [
    (_tail, "forward", "conv2d 2x8x9x9 13x8x3x3 padding=1 bias"),
    (_border, "forward", "conv2d 2x8x9x9 16x8x3x3 padding=1 bias relu"),
    (_beyond, "weight_grad", "conv2d 1x17x8x9 17x1x3x3 stride=2 padding=1"),
    (_sample, "weight_grad", "conv3d 3x3x5x6x7 4x3x2x3x3"),
    (_stride, "input_grad", "conv2d 2x4x11x13 6x4x3x3 stride=2 padding=1 format=channels_last"),
]


@pytest.mark.parametrize(
    ("fault", "direction", "problem"), OURS, ids=lambda v: getattr(v, "__name__", "")
)
def test_faults_of_our_kernels_are_caught_and_made_small(fault, direction, problem, monkeypatch):
    def faulty(call, asked, operands, algorithm):
        results = RUN(call, asked, operands, algorithm)
        fault(call, asked, algorithm, operands, results)
        return results

    assert all(o.verdict == "passed" for o in verify_problem(problem, algorithms=["direct"]))
    monkeypatch.setattr(verify, "run", faulty)
    outcomes = verify_problem(problem, algorithms=["direct"])
    failed = [outcome for outcome in outcomes if outcome.verdict == "failed"]
    assert [outcome.direction for outcome in failed] == [direction]
    found = smallest_failure(failed[0])
    _told(fault.__name__, problem, found.smallest.problem)
    assert max(Call.parse(found.smallest.problem).output_size[2:]) <= LARGEST_OUTPUT
    assert (found.smallest.kind, found.smallest.direction) == (failed[0].kind, direction)
