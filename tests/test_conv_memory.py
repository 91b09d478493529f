# SPDX-License-Identifier: BSD-3-Clause
"""What a convolution reads, writes, keeps and runs: what it must, and nothing else."""

from __future__ import annotations

import pytest
import torch
from cases import CONV, CONV_TRANSPOSE, lines, variants
from support.recording import Operators, saved_tensors
from support.views import VIEWS

from cnnkern.testing import Call, check_equal, check_problem, derivatives, random_integers
from cnnkern.testing.directions import DIRECTIONS, Operands, draw, expected, run, serving

PROBLEMS = lines(CONV, CONV_TRANSPOSE)
FEW = [
    "conv2d 2x3x9x11 4x3x3x3 bias",
    "conv2d 3x8x7x7 8x1x3x3 padding=1 bias",
    "conv2d 2x6x7x7 9x2x3x2 stride=2 padding=0:1,1:0 bias",
    "conv1d 2x5x19 7x5x3 dilation=2 bias",
    "conv3d 2x3x4x5x6 5x3x2x3x3 padding=1 bias",
    "conv_transpose2d 2x4x5x5 4x3x3x3 stride=2 bias",
]


@pytest.mark.parametrize("problem", variants(PROBLEMS, dtypes=("float32", "bfloat16")), ids=str)
def test_strided_and_poisoned(problem):
    check_problem(problem, integers=True, strided=True)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("problem", FEW, ids=str)
def test_odd_views(problem, view):
    call = Call.parse(problem)
    dense = draw(call, random_integers)
    seen = Operands(
        *(VIEWS[view](t) for t in (dense.input, dense.weight)), dense.bias, VIEWS[view](dense.grad)
    )
    before = [t.clone() for t in (seen.input, seen.weight, seen.grad)]
    values = derivatives(call, [t.double() for t in seen.tensors], seen.grad.double())
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction):
            for result, y64 in zip(
                run(call, direction, seen, algorithm),
                expected(call, direction, values),
                strict=True,
            ):
                check_equal(result, y64, call.dtype, name=f"{problem}: {direction}, {algorithm}")
    for was, now in zip(before, (seen.input, seen.weight, seen.grad), strict=True):
        assert torch.equal(was, now)


@pytest.mark.parametrize(
    "problem", variants([p for p in FEW if "1d" not in p], ("float32",)), ids=str
)
def test_format_is_the_inputs(problem):
    call = Call.parse(problem)
    operands = draw(call, random_integers)
    kind = {
        False: torch.contiguous_format,
        True: (torch.channels_last, torch.channels_last_3d)[call.rank - 2],
    }
    x = operands.input.requires_grad_()
    y = call.run(_function(call), [x, operands.weight, operands.bias])
    assert y.is_contiguous(memory_format=kind[call.channels_last])
    y.backward(operands.grad)
    assert x.grad.is_contiguous(memory_format=kind[call.channels_last])


def _function(call):
    import cnnkern.functional

    return getattr(cnnkern.functional, call.op)


def _leaves(problem, needs):
    call = Call.parse(problem)
    operands = draw(call, random_integers)
    leaves = dict(zip(("input", "weight", "bias"), operands.tensors, strict=True))
    for name in needs:
        leaves[name].requires_grad_()
    return call, leaves, operands.grad


NEEDS = {
    (): [],
    ("input",): ["weight"],
    ("weight",): ["input"],
    ("bias",): [],
    ("weight", "bias"): ["input"],
    ("input", "bias"): ["weight"],
    ("input", "weight"): ["input", "weight"],
    ("input", "weight", "bias"): ["input", "weight"],
}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("needs", NEEDS, ids=lambda needs: "+".join(needs) or "nothing")
@pytest.mark.parametrize("problem", FEW, ids=str)
def test_saves_only_what_a_gradient_needs(problem, needs, relu):
    call, leaves, _ = _leaves(problem + " relu" * relu, needs)
    with saved_tensors() as saved:
        output = call.run(_function(call), list(leaves.values()))
    expected_pointers = [leaves[name].data_ptr() for name in NEEDS[needs]]
    expected_pointers += [output.data_ptr()] if relu and needs else []
    assert sorted(t.data_ptr() for t in saved) == sorted(expected_pointers)


def test_saves_nothing_without_gradients():
    call, leaves, _ = _leaves(FEW[0] + " relu", ("input", "weight", "bias"))
    with torch.no_grad(), saved_tensors() as saved:
        call.run(_function(call), list(leaves.values()))
    assert saved == []


@pytest.mark.parametrize("needs", [n for n in NEEDS if n], ids="+".join)
@pytest.mark.parametrize("problem", FEW, ids=str)
def test_runs_only_the_gradients_asked_for(problem, needs):
    call, leaves, grad = _leaves(problem, needs)
    output = call.run(_function(call), list(leaves.values()))
    with Operators() as operators:
        gradients = torch.autograd.grad(output, [leaves[name] for name in needs], grad)
    by_input = "conv" if call.is_transposed else "conv_input_grad"
    wanted = [by_input] * ("input" in needs) + ["conv_weight_grad"] * ("weight" in needs)
    assert operators.names == wanted
    for name, args in operators.calls:
        if name == "conv_weight_grad" and not call.is_transposed:
            assert args[-2] is ("bias" in needs)  # whether the bias gradient comes along
    values = derivatives(call, [t.double() for t in leaves.values()], grad.double())
    by_name = dict(zip(leaves, values[1:], strict=True))
    for name, gradient in zip(needs, gradients, strict=True):
        check_equal(gradient, by_name[name], call.dtype, name=name)


def test_grad_of_one_leaf_among_all_runs_one_operator():
    call, leaves, grad = _leaves(FEW[0], ("input", "weight", "bias"))
    output = call.run(_function(call), list(leaves.values()))
    with Operators() as operators:
        torch.autograd.grad(output, leaves["input"], grad)
    assert operators.names == ["conv_input_grad"]


def test_in_place_change_of_what_was_saved_is_caught():
    call, leaves, grad = _leaves(FEW[0], ("input", "weight"))
    output = call.run(_function(call), list(leaves.values()))
    with torch.no_grad():
        leaves["input"].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward(grad)


def test_second_backward_is_refused():
    call, leaves, grad = _leaves(FEW[0], ("input", "weight"))
    output = call.run(_function(call), list(leaves.values()))
    output.backward(grad)
    with pytest.raises(RuntimeError, match="second time"):
        output.backward(grad)


def test_graph_is_freed_with_its_output():
    import gc
    import weakref

    call, leaves, _ = _leaves(FEW[0] + " relu", ("input", "weight", "bias"))
    output = call.run(_function(call), list(leaves.values()))
    alive = weakref.ref(leaves["input"])
    leaves.clear()
    del output
    gc.collect()
    assert alive() is None
