# SPDX-License-Identifier: BSD-3-Clause
"""Problems as tests of pytest, and the plugin that sums them up."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnkern
from cnnkern.testing.cases import cases, session
from cnnkern.testing.check import default_cases

pytest_plugins = ["pytester"]

TESTS = """
    import torch.nn.functional as F
    import cnnkern.testing

    def only_plain(x, w, b=None, padding=(0, 0), stride=(1, 1), groups=1):
        return F.conv2d(x, w, b, stride, padding, 1, groups)

    def wrong(*tensors, **keywords):
        return F.conv2d(*tensors, **keywords) * (1.5 if keywords.get("stride") == (2, 2) else 1)

    options = dict(random=4, dtypes=["float32"], formats=["contiguous"])

    @cnnkern.testing.cases("conv2d", seed=1, **options)
    def test_plain(case):
        case.check(only_plain)

    @cnnkern.testing.cases("conv2d", **options)
    def test_wrong(case):
        case.check(wrong)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest in a process of its own: pytester would have torch imported twice in this one."""
    pytester.makepyfile(TESTS)
    monkeypatch.setenv("PYTHONPATH", str(Path(cnnkern.__file__).parents[1]))

    def run_pytest(*arguments: str):
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run_pytest


def test_each_problem_is_a_test_failures_are_made_small_and_the_plugin_sums_up(run):
    chosen = "test_plain or (test_wrong and 6x4x3x3)"
    done = run("-p", "cnnkern.testing.plugin", "-rs", "-k", chosen)
    outcomes = done.parseoutcomes()
    assert outcomes["passed"] > 40
    assert outcomes["skipped"] > 5  # dilation
    assert outcomes["failed"] == 1
    done.stdout.fnmatch_lines(
        [
            "*test_wrong?conv2d 2x4x11x13 6x4x3x3 stride=2 padding=1 bias?*",
            "*smallest: conv2d 1x1x2x2 1x1x1x1 stride=2: output: * elements differ*",
            "*check_problem('conv2d 1x1x2x2 1x1x1x1 stride=2', wrong, integers=True)*",
            f"{sum(outcomes[name] for name in ('passed', 'skipped', 'failed'))} cases checked: "
            f"{outcomes['passed']} passed, {outcomes['skipped']} not served, 1 failed; "
            "largest error * times torch's own (*)",
            "*SKIPPED*not served: TypeError*'dilation'*",
        ]
    )


def test_the_seed_of_the_command_line_takes_the_place_of_the_decorators(run):
    done = run("-p", "cnnkern.testing.plugin", "--cnnkern-seed", "77", "--collect-only", "-q")
    shown = [line for line in done.outlines if "test_plain[" in line]
    usual, other = (default_cases("conv2d", ["float32"], ["contiguous"], 4, n) for n in (1, 77))
    assert usual[-4:] != other[-4:]
    assert [line.partition("test_plain[")[2].rstrip("]") for line in shown] == other


def test_a_seed_is_the_decorators_own_without_the_plugin():
    assert session.seed is None
    marked = cases("max_pool1d", seed=5, random=2)
    assert [case.seed for case in marked.args[1]] == [5] * len(marked.args[1])
    assert marked.kwargs["ids"] == [case.problem for case in marked.args[1]]
