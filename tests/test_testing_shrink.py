# SPDX-License-Identifier: BSD-3-Clause
"""Problems taken apart, made small, cut to size and drawn."""

from __future__ import annotations

import time

import pytest

from cnnkern import _C
from cnnkern.benchmark.suites import read_suite, suite_names
from cnnkern.testing import Call, shrink
from cnnkern.testing.edge_cases import edge_cases
from cnnkern.testing.fields import Fields
from cnnkern.testing.problems import random_problems
from cnnkern.testing.scale import scaled_down
from cnnkern.testing.variants import variants

LARGE = "conv2d 8x64x56x57 128x32x3x5 stride=2 padding=1:2,0:1 dilation=2 bias relu dtype=bfloat16 format=channels_last"  # noqa: E501


def test_every_problem_comes_together_again():
    problems = variants(edge_cases())
    assert len(problems) > 1000
    for problem in problems:
        assert Fields.of(problem).text() == str(_C.parse(problem))


@pytest.mark.parametrize(
    ("fails", "smallest"),
    [
        (lambda call: True, "conv1d 1x1x1 1x1x1"),
        (lambda call: call.bias, "conv1d 1x1x1 1x1x1 bias"),
        (lambda call: call.groups > 1, "conv1d 1x2x1 2x1x1"),
        (lambda call: call.input_size[1] >= 17, "conv1d 1x17x1 1x17x1"),
        (lambda call: call.input_size[0] > 4, "conv1d 5x1x1 1x1x1"),
        (lambda call: call.rank == 2 and call.channels_last, "conv2d 1x1x1x1 1x1x1x1 format=channels_last"),  # noqa: E501
        (lambda call: any(a != b for a, b in call.padding), "conv1d 1x1x1 1x1x1 padding=0:1"),
        (lambda call: 2 in call.dilation, "conv1d 1x1x2 1x1x1 dilation=2"),
        (lambda call: max(call.output_size[2:]) > 20, "conv1d 1x1x21 1x1x1"),
        (lambda call: str(call.dtype) == "torch.bfloat16", "conv1d 1x1x1 1x1x1 dtype=bfloat16"),
        (lambda call: call.text == str(_C.parse(LARGE)), str(_C.parse(LARGE))),
    ],
)  # fmt: skip
def test_the_smallest_is_found(fails, smallest):
    def tried(text):
        assert text == str(_C.parse(text))
        return fails(Call.parse(text))

    assert shrink(LARGE, tried) == smallest


@pytest.mark.parametrize(
    ("problem", "smallest"),
    [
        ("max_pool3d 2x5x9x9x9 kernel=3 stride=2 ceil padding=1", "max_pool1d 1x1x1 kernel=1"),
        ("avg_pool2d 2x5x9x9 kernel=3 divisor=7 ceil", "avg_pool1d 1x1x1 kernel=1"),
        ("conv_transpose2d 2x9x5x4 9x7x3x3 stride=2 padding=1 output_padding=1",
         "conv_transpose1d 1x1x1 1x1x1"),
    ],
)  # fmt: skip
def test_every_kind_of_problem_shrinks(problem, smallest):
    assert shrink(problem, lambda text: True) == smallest


def test_trials_and_time_are_bounded():
    calls = []

    def fails(text):
        calls.append(text)
        return False

    assert shrink(LARGE, fails, trials=5) == str(_C.parse(LARGE))
    assert len(calls) == 5
    began = time.monotonic()
    assert shrink(LARGE, lambda text: time.sleep(0.02), seconds=0.1) == str(_C.parse(LARGE))
    assert time.monotonic() - began < 1


def test_the_same_steps_every_time():
    runs = []
    for _ in range(2):
        steps = []
        shrink(LARGE, lambda text, to=steps: to.append(text) or "groups" in text or len(text) % 3)
        runs.append(steps)
    assert runs[0] == runs[1]


def test_no_problem_is_a_value_error():
    with pytest.raises(ValueError, match="did you mean 'stride'"):
        shrink("conv2d 1x1x5x5 1x1x3x3 strid=2", lambda text: True)


def test_scaled_layers_are_small_and_keep_their_structure():
    layers = [layer.problem for name in suite_names() for layer in read_suite(name)]
    assert len(layers) > 100
    for problem in layers:
        full, small = Fields.of(str(problem)), Fields.of(scaled_down(str(problem)))
        assert Fields.of(scaled_down(small.text())) == small
        call = Call.parse(small.text())
        products = call.input_size[0] * call.input_size[1] // call.groups
        for size in (*call.output_size[1:], *call.kernel_size):
            products *= size
        assert products < 2e7, small.text()
        assert (small.groups > 1) == (full.groups > 1)
        assert (small.channels == 1) == (full.channels == 1)
        for a, b in zip(full.axes, small.axes, strict=True):
            assert a.kernel == b.kernel
            assert (a.before, a.after) == (b.before, b.after)
            if small.kind != "conv_transpose":
                assert (a.size - b.size) % a.stride == 0


def test_random_problems_are_repeatable_distinct_and_of_every_kind():
    first = random_problems(48, seed=5)
    assert first == random_problems(48, seed=5)
    assert len(set(first)) == 48
    assert set(first).isdisjoint(random_problems(48, seed=6)[:5])
    assert len({problem.split()[0] for problem in first}) == 18
    assert random_problems(0) == []
    few = random_problems(6, ops=["max_pool1d", "conv3d"], dtypes=["float64"])
    assert {problem.split()[0] for problem in few} == {"max_pool1d", "conv3d"}
    assert {str(Call.parse(problem).dtype) for problem in few} == {"torch.float64"}
    with pytest.raises(ValueError, match=r"expected an operator such as conv2d.*got 'conv9d'"):
        random_problems(1, ops=["conv9d"])
