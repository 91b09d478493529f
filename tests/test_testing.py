# SPDX-License-Identifier: BSD-3-Clause
"""The harness itself: it accepts what is right and names what is wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cnnkern import testing
from cnnkern.testing import Call, check_problem, guarded_like, poisoned_allocations

CONV = "conv2d 2x3x8x9 4x3x3x3 stride=2 padding=1 bias"


@pytest.mark.parametrize(
    "problem",
    [
        CONV,
        "conv1d 2x4x20 6x2x3 dilation=2 dtype=bfloat16",
        "conv3d 1x2x4x5x6 3x2x2x2x2 dtype=float64 format=channels_last",
        "conv_transpose2d 2x3x5x6 3x4x3x3 stride=2 output_padding=1",
        "max_pool2d 2x3x9x9 kernel=3 stride=2 ceil",
        "avg_pool2d 2x3x9x9 kernel=3 padding=1 count_include_pad=false",
    ],
)
def test_torch_passes(problem):
    function = getattr(F, problem.split()[0])
    for strided in (False, True):
        report = check_problem(problem, function, strided=strided)
        assert str(report).startswith(problem)
        assert all(error.share_of_bound <= 1 for error in report.errors.values())


def test_forward_alone():
    with torch.no_grad():
        report = check_problem(CONV, F.conv2d, gradients=False)
    assert list(report.errors) == ["output"]


def test_calls_are_made_in_the_words_of_torch():
    seen = {}

    def spy(*tensors, **keywords):
        seen.update(keywords)
        return F.conv2d(*tensors, **keywords)

    check_problem(CONV, spy)
    assert seen == {"stride": (2, 2), "padding": (1, 1)}


class Wrong:
    """Implementations with one fault each, by what the harness must say of them."""

    @staticmethod
    def output(x, w, b, **keywords):
        return F.conv2d(x, w, None, **keywords) + 0 * b.sum()

    @staticmethod
    def weight_grad(x, w, b, **keywords):
        y = F.conv2d(x, w, b, **keywords)
        half = F.conv2d(x.detach(), w, None, **keywords) / 2
        return y + half - half.detach()

    @staticmethod
    def dtype(x, w, b, **keywords):
        return F.conv2d(x, w, b, **keywords).double()

    @staticmethod
    def shape(x, w, b, stride, padding):
        return F.conv2d(x, w, b, stride)

    @staticmethod
    def overwritten_input(x, w, b, **keywords):
        y = F.conv2d(x.clone(), w, b, **keywords)
        with torch.no_grad():
            x.detach()[0, 0, 0, 0] = 1
        return y

    @staticmethod
    def write_past_the_end(x, w, b, **keywords):
        x.detach().as_strided((x.numel() + 1,), (1,), x.storage_offset())[-1] = 0
        return F.conv2d(x, w, b, **keywords)

    @staticmethod
    def read_past_the_end(x, w, b, **keywords):
        beyond = x.detach().as_strided((1,), (1,), x.storage_offset() + x.numel())
        return F.conv2d(x, w, b, **keywords) + 1e-30 * beyond

    @staticmethod
    def unwritten(x, w, b, **keywords):
        y = F.conv2d(x, w, b, **keywords)
        partly = torch.empty_like(y)
        partly[..., 1:, :] = y[..., 1:, :].detach()
        return y + (partly - y).detach()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (Wrong.output, r"output: max error .* worst at"),
        (Wrong.weight_grad, r"weight\.grad: max error"),
        (Wrong.dtype, r"expected torch\.float32, got torch\.float64"),
        (Wrong.shape, r"expected shape \(2, 4, 4, 5\), got \(2, 4, 3, 4\)"),
        (Wrong.overwritten_input, r"input: 1 elements of its buffer were written"),
        (Wrong.write_past_the_end, r"input: 1 elements of its buffer were written"),
        (Wrong.read_past_the_end, r"NaN or infinite on one side"),
        (Wrong.unwritten, r"NaN or infinite on one side"),
    ],
    ids=lambda f: getattr(f, "__name__", None),
)
def test_faults_are_named(function, message):
    with pytest.raises((AssertionError, RuntimeError), match=message):
        check_problem(CONV, function)


def test_integers_find_one_unit_in_the_last_place():
    def almost(*tensors, **keywords):
        y = F.conv2d(*tensors, **keywords)
        return y + (torch.nextafter(y, torch.tensor(1e9)) - y).detach()

    check_problem(CONV, almost)
    with pytest.raises(AssertionError, match=r"output: \d+ of 160 elements differ"):
        check_problem(CONV, almost, integers=True)


def test_bad_text_is_a_value_error():
    with pytest.raises(ValueError, match="strid"):
        check_problem("conv2d 1x1x5x5 1x1x3x3 strid=2")


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("size", [(3,), (2, 3), (2, 3, 4, 5), (0, 3, 2), ()])
def test_guarded_copies_hold_the_values(size, strided):
    t = torch.randn(size)
    guarded = guarded_like(t, strided=strided)
    assert torch.equal(guarded.tensor, t)
    assert guarded.buffer[:129].isnan().all()
    assert guarded.buffer[-129:].isnan().all()
    guarded.check()
    guarded.buffer[0] = 0
    with pytest.raises(AssertionError, match="the first at 0"):
        guarded.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_guarded_copies_keep_the_order_of_axes(dtype):
    t = torch.randn(2, 3, 4, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    dense, strided = guarded_like(t), guarded_like(t, strided=True)
    assert dense.tensor.stride() == t.stride()
    assert dense.tensor.data_ptr() % 8 != 0 or dtype == torch.float64
    assert sorted(range(4), key=strided.tensor.stride) == sorted(range(4), key=t.stride)


def test_allocations_are_poisoned_only_inside():
    was = torch.are_deterministic_algorithms_enabled()
    with poisoned_allocations():
        assert torch.empty(5).isnan().all()
        assert (torch.empty(5, dtype=torch.uint8) == 255).all()
    assert torch.are_deterministic_algorithms_enabled() == was


class TestTruth:
    """In float64 the truth is sharper than float64 sums are."""

    @pytest.mark.parametrize(
        "problem", ["conv2d 1x40x9x9 3x40x3x3 padding=1 bias", "avg_pool2d 1x2x9x9 kernel=5"]
    )
    def test_agrees_with_exact_rationals(self, problem):
        from fractions import Fraction

        call = Call.parse(problem + " dtype=float64")
        generator = torch.Generator().manual_seed(0)
        tensors = [
            testing.random_normal(size, call.dtype, generator)
            for size in call.tensor_sizes.values()
        ]
        grad = testing.random_normal(call.output_size, call.dtype, generator)
        output = testing.truth(call, tensors, grad)[0]
        padding = call.padding[0][0]
        x = F.pad(tensors[0], [padding] * 4)
        for k, p, q in ((0, 0, 0), (1, 0, 0)) if call.is_pool else ((0, 0, 0), (2, 4, 5)):
            r, s = call.kernel_size
            channel = x[0, k : k + 1] if call.is_pool else x[0]
            p0, q0 = p * call.stride[0], q * call.stride[1]
            window = channel[:, p0 : p0 + r, q0 : q0 + s].flatten().tolist()
            weights = [1.0] * len(window) if call.is_pool else tensors[1][k].flatten().tolist()
            exact = sum(Fraction(a) * Fraction(b) for a, b in zip(window, weights, strict=True))
            exact = exact / (r * s) if call.is_pool else exact + Fraction(tensors[2][k].item())
            error = abs(Fraction(output[0, k, p, q].item()) - exact)
            assert error <= abs(exact) * Fraction(1, 2**51)
