# SPDX-License-Identifier: BSD-3-Clause
"""Many problems on one function: what is counted, what fails, what is said."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F

from cnnkern.testing import CheckFailed, check, check_problem
from cnnkern.testing.check import default_cases
from cnnkern.testing.reference import Call, torch_serves

CONV = "conv2d 2x3x8x9 4x3x3x3 stride=2 padding=1 bias"


@pytest.mark.parametrize("op", ["conv1d", "conv_transpose2d", "max_pool3d", "avg_pool2d"])
def test_torch_passes(op):
    results = check(getattr(F, op), op=op, dtypes=["float32"], random=3)
    assert results.counts["failed"] == 0
    assert results.counts["passed"] > 5
    assert 0 < results.worst[0] < 5
    assert str(results).startswith(f"{results.counts['passed']} passed, 0 not served, 0 failed")


def test_default_cases_are_what_torch_can_say_in_the_dtypes_asked_for():
    texts = default_cases("max_pool2d", ["float64", "bfloat16"], ["channels_last"], 10, 3)
    calls = [Call.parse(text) for text in texts]
    assert len(calls) > 30
    assert all(map(torch_serves, calls))
    assert {call.dtype for call in calls} == {torch.float64, torch.bfloat16}
    assert all(call.channels_last for call in calls)


def test_one_text_and_a_generator_are_cases():
    assert check(F.conv2d, CONV).counts["passed"] == 1
    assert check(F.conv2d, (text for text in [CONV, CONV])).counts["passed"] == 2


def test_the_operator_is_read_from_the_name_or_asked_for():
    def fast_max_pool1d_v2(*tensors, **keywords):
        return F.max_pool1d(*tensors, **keywords)

    assert check(fast_max_pool1d_v2, dtypes=["float32"], random=0).counts["passed"] > 3
    with pytest.raises(ValueError, match=r"op: no operator in the function's name 'relu'"):
        check(F.relu)
    with pytest.raises(ValueError, match="op: expected such as conv2d or max_pool1d, got 'conv4d'"):
        check(F.relu, op="conv4d")
    with pytest.raises(ValueError, match="did you mean 'stride'"):
        check(F.conv2d, "conv2d 1x1x5x5 1x1x3x3 strid=2")


def test_what_is_not_served_is_counted_and_does_not_pass_alone():
    def without_groups(x, w, b=None, stride=1, padding=0):
        return F.conv2d(x, w, b, stride, padding)

    grouped = "conv2d 1x4x6x6 4x1x3x3"
    results = check(without_groups, [CONV, grouped], op="conv2d")
    assert results.counts == {"passed": 1, "not served": 1, "failed": 0}
    assert "unexpected keyword argument 'groups'" in results.not_served[grouped]
    with pytest.raises(CheckFailed, match=r"not one problem was served.*\n.*'groups'"):
        check(without_groups, grouped)


def test_no_autograd_is_said_in_so_many_words():
    def detached(*tensors, **keywords):
        return F.conv2d(*tensors, **keywords).detach()

    message = r"output: does not require grad, so its gradients cannot be tested.*gradients=False"
    with pytest.raises(CheckFailed, match=message):
        check(detached, CONV)
    assert check(detached, CONV, gradients=False).counts["passed"] == 1


def test_a_tensor_that_the_output_does_not_depend_on():
    def constant_weight(x, w, b, **keywords):
        return F.conv2d(x, w.detach(), b, **keywords)

    with pytest.raises(AssertionError, match=r"weight\.grad: is None: the output does not depend"):
        check_problem(CONV, constant_weight)


def test_what_a_function_raises_is_a_failure_that_shrinks_to_itself():
    def no_stride(x, w, b=None, stride=(1, 1), **keywords):
        if tuple(stride) != (1, 1):
            raise RuntimeError("stride must be 1")
        return F.conv2d(x, w, b, **keywords)

    with pytest.raises(CheckFailed, match="RuntimeError: stride must be 1") as caught:
        check(no_stride, CONV)
    (failure,) = caught.value.results.failures
    assert failure.kind == ("", "RuntimeError: stride must be #")
    assert failure.smallest == "conv2d 1x1x1x2 1x1x1x1 stride=1,2"
    assert failure.reproduce == (
        "check_problem('conv2d 1x1x1x2 1x1x1x1 stride=1,2', no_stride, integers=True)"
    )


def test_failures_are_grouped_and_three_kinds_are_made_small():
    def conv1d(x, w, b=None, **keywords):
        y = F.conv1d(x, w, None, **keywords)
        return y if b is None else y + 2 * b.view(-1, 1)

    cases = [f"conv1d 1x1x{n} 1x1x1 bias" for n in range(2, 7)]
    with pytest.raises(CheckFailed, match="and 2 more") as caught:
        check(conv1d, cases)
    failures = caught.value.results.failures
    assert len(failures) == 5
    assert failures[0].smallest == "conv1d 1x1x1 1x1x1 bias"
    assert [f.smallest == f.problem for f in failures] == [False, True, True, True, True]


def test_transforming_algorithms_are_not_asked_for_exact_results():
    def almost(*tensors, **keywords):
        y = F.conv2d(*tensors, **keywords)
        return y + (torch.nextafter(y, torch.tensor(1e9)) - y).detach()

    assert check(almost, CONV, exact=False).counts["passed"] == 1
    with pytest.raises(CheckFailed, match=r"elements differ"):
        check(almost, CONV)


def test_random_problems_without_hypothesis_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cnnkern.testing.problems", None)
    with pytest.raises(ImportError, match=r"pip install 'cnnkern\[verify\]', or pass random=0"):
        check(F.conv1d)
    assert default_cases("conv1d", ["float32"], ["contiguous"], 0, 0)
