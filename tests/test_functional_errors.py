# SPDX-License-Identifier: BSD-3-Clause
"""What torch refuses is refused with the same exception type, in a text with all its values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import cnnkern
from cnnkern.functional import _arguments as arguments

# Those that take other arguments have tests of their own.
APART = ("adaptive", "conv_block", "lp_pool", "max_unpool")
OPS = [op for op in cnnkern.functional.__all__ if not op.startswith(APART)]
HUGE = 2**70


def tensors(rank: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(2, 4, *(6,) * rank)
    w = torch.randn(4, 4, *(3,) * rank)
    return x.to(dtype), w.to(dtype)


def call(namespace: Any, op: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(namespace, op)(*args, **kwargs)


def refused(op: str, *args: Any, **kwargs: Any) -> tuple[type[BaseException], BaseException]:
    """Calls torch and cnnkern, which must both refuse; gives torch's type and our exception."""
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        call(F, op, *args, **kwargs)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        call(cnnkern.functional, op, *args, **kwargs)
    return theirs.type, ours.value


def assert_same_refusal(op: str, *args: Any, **kwargs: Any) -> None:
    expected, error = refused(op, *args, **kwargs)
    assert type(error) is expected, f"torch raises {expected.__name__}, got {error!r}"
    assert str(error).startswith(f"{op}"), error


STRIDES: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "too many": (1, 1, 1, 1),
    "empty": (),
    "float": 2.0,
    "bool": True,
    "string": "2",
    "none": None,
    "float inside": (2.0,),
    "overflow": HUGE,
    "overflow inside": (HUGE,),
}
PADDINGS: dict[str, Any] = {
    "negative": -1,
    "too many": (1, 1, 1, 1),
    "empty": (),
    "float": 1.0,
    "bool": True,
    "none": None,
    "upper case": "SAME",
    "causal": "causal",
}
GROUPS: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "no divisor": 3,
    "float": 2.0,
    "bool": True,
    "none": None,
    "string": "1",
}


@pytest.mark.parametrize("rank", [1, 2, 3])
class TestConv:
    @pytest.mark.parametrize("name", STRIDES)
    def test_stride(self, rank: int, name: str) -> None:
        assert_same_refusal(f"conv{rank}d", *tensors(rank), stride=STRIDES[name])

    @pytest.mark.parametrize("name", PADDINGS)
    def test_padding(self, rank: int, name: str) -> None:
        assert_same_refusal(f"conv{rank}d", *tensors(rank), padding=PADDINGS[name])

    @pytest.mark.parametrize("name", [*STRIDES, "reaches too far"])
    def test_dilation(self, rank: int, name: str) -> None:
        dilation = STRIDES.get(name, 4)
        assert_same_refusal(f"conv{rank}d", *tensors(rank), dilation=dilation)

    @pytest.mark.parametrize("name", GROUPS)
    def test_groups(self, rank: int, name: str) -> None:
        assert_same_refusal(f"conv{rank}d", *tensors(rank), groups=GROUPS[name])

    def test_shapes(self, rank: int) -> None:
        x, w = tensors(rank)
        op = f"conv{rank}d"
        spare = (slice(None),) * (rank + 1)
        assert_same_refusal(op, x[0, 0], w)
        assert_same_refusal(op, x[None, None], w)
        assert_same_refusal(op, x[:, :3], w)
        assert_same_refusal(op, x, w[:, :3])
        assert_same_refusal(op, x, w[0])
        assert_same_refusal(op, x, w[None])
        assert_same_refusal(op, x, w[(*spare, slice(0, 0))])
        assert_same_refusal(op, x[(*spare, slice(0, 2))], w)
        assert_same_refusal(op, x[(*spare, slice(0, 0))], w)

    def test_bias(self, rank: int) -> None:
        x, w = tensors(rank)
        for bias in (torch.ones(3), torch.ones(1, 4), torch.ones(()), torch.ones(4).double(), 1.0):
            assert_same_refusal(f"conv{rank}d", x, w, bias)

    def test_no_tensors(self, rank: int) -> None:
        x, w = tensors(rank)
        op = f"conv{rank}d"
        for bad in (None, [1.0], x.numpy(), 1):
            assert_same_refusal(op, bad, w)
            assert_same_refusal(op, x, bad)

    def test_dtypes(self, rank: int) -> None:
        x, w = tensors(rank)
        op = f"conv{rank}d"
        assert_same_refusal(op, x, w.double())
        assert_same_refusal(op, x.bfloat16(), w)
        assert_same_refusal(op, x.long(), w)

    def test_missing_and_unknown_arguments(self, rank: int) -> None:
        x, w = tensors(rank)
        for args, kwargs in (((x,), {}), ((x, w), {"strides": 1})):
            expected, error = refused(f"conv{rank}d", *args, **kwargs)
            assert type(error) is expected is TypeError


@pytest.mark.parametrize("rank", [1, 2, 3])
class TestConvTranspose:
    @pytest.mark.parametrize("name", STRIDES)
    @pytest.mark.parametrize("argument", ["stride", "dilation"])
    def test_stride_and_dilation(self, rank: int, argument: str, name: str) -> None:
        kwargs = {argument: STRIDES[name]}
        assert_same_refusal(f"conv_transpose{rank}d", *tensors(rank), **kwargs)

    @pytest.mark.parametrize("name", [*PADDINGS, "all", "same"])
    def test_padding(self, rank: int, name: str) -> None:
        # An output of size 0 torch gives or refuses by backend; here it is refused.
        padding = PADDINGS.get(name, "same" if name == "same" else 5)
        assert_same_refusal(f"conv_transpose{rank}d", *tensors(rank), padding=padding)

    @pytest.mark.parametrize("name", GROUPS)
    def test_groups(self, rank: int, name: str) -> None:
        assert_same_refusal(f"conv_transpose{rank}d", *tensors(rank), groups=GROUPS[name])

    @pytest.mark.parametrize("value", [-1, 2, "1", 1.0, True, None, (1, 1, 1, 1)])
    def test_output_padding(self, rank: int, value: Any) -> None:
        op = f"conv_transpose{rank}d"
        assert_same_refusal(op, *tensors(rank), stride=2, output_padding=value)

    def test_shapes(self, rank: int) -> None:
        x, w = tensors(rank)
        op = f"conv_transpose{rank}d"
        spare = (slice(None),) * (rank + 1)
        assert_same_refusal(op, x[0, 0], w)
        assert_same_refusal(op, x[None, None], w)
        assert_same_refusal(op, x[:, :3], w)
        assert_same_refusal(op, x, w[0])
        assert_same_refusal(op, x, w[(*spare, slice(0, 0))])
        assert_same_refusal(op, x[(*spare, slice(0, 0))], w)
        assert_same_refusal(op, x, w, torch.ones(3))
        assert_same_refusal(op, x, w, torch.ones(1, 4))
        assert_same_refusal(op, x, w.double())
        assert_same_refusal(op, None, w)
        assert_same_refusal(op, x, None)
        assert_same_refusal(op, x, w, 1.0)


POOL_KERNELS: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "too many": (1, 1, 1, 1),
    "float": 2.0,
    "string": "2",
    "none": None,
    "larger than the input": 7,
    "empty": (),
}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg"])
class TestPool:
    @pytest.mark.parametrize("name", POOL_KERNELS)
    def test_kernel(self, kind: str, rank: int, name: str) -> None:
        assert_same_refusal(f"{kind}_pool{rank}d", tensors(rank)[0], POOL_KERNELS[name])

    @pytest.mark.parametrize("value", [0, -1, (1, 1, 1, 1), 2.0, "2"])
    def test_stride(self, kind: str, rank: int, value: Any) -> None:
        assert_same_refusal(f"{kind}_pool{rank}d", tensors(rank)[0], 2, value)

    @pytest.mark.parametrize("value", [-1, 2, (1, 1, 1, 1), 1.0, None])
    def test_padding(self, kind: str, rank: int, value: Any) -> None:
        assert_same_refusal(f"{kind}_pool{rank}d", tensors(rank)[0], 3, 1, value)

    def test_shapes(self, kind: str, rank: int) -> None:
        x = tensors(rank)[0]
        op = f"{kind}_pool{rank}d"
        # torch's avg_pool2d stumbles over too few axes with an IndexError: an accident.
        if op != "avg_pool2d":
            assert_same_refusal(op, x[0, 0], 2)
        assert_same_refusal(op, x[None, None], 2)
        assert_same_refusal(op, x[:, :0], 2)
        assert_same_refusal(op, x[..., :0], 2)
        assert_same_refusal(op, x[0, :0], 2)

    def test_types(self, kind: str, rank: int) -> None:
        x = tensors(rank)[0]
        op = f"{kind}_pool{rank}d"
        for dtype in (torch.bool, torch.complex64):
            assert_same_refusal(op, x.to(dtype), 2)
        for bad in (None, [1.0], x.numpy()):
            assert_same_refusal(op, bad, 2)
        for flag in (None, 1, "no"):
            assert_same_refusal(op, x, 2, ceil_mode=flag)


def test_max_pool_dilation() -> None:
    for rank in (1, 2, 3):
        for dilation in (0, -1, 3, 1.0, True, (1, 1, 1, 1)):
            assert_same_refusal(f"max_pool{rank}d", tensors(rank)[0], 3, 1, 0, dilation)


def test_avg_pool_divisor() -> None:
    for rank in (2, 3):
        x = tensors(rank)[0]
        for divisor in (0, 2.0, True, "2"):
            assert_same_refusal(f"avg_pool{rank}d", x, 2, divisor_override=divisor)
        for flag in (None, 1):
            assert_same_refusal(f"avg_pool{rank}d", x, 2, count_include_pad=flag)
        torch.testing.assert_close(
            call(cnnkern.functional, f"avg_pool{rank}d", x, 2, divisor_override=-3),
            call(F, f"avg_pool{rank}d", x, 2, divisor_override=-3),
        )


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
@pytest.mark.parametrize("op", OPS)
def test_unsupported_dtypes_are_named(op: str, dtype: torch.dtype) -> None:
    x, w = tensors(int(op[-2]), dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(NotImplementedError, match=f"^{op}: .*float32.*got {name}"):
        call(cnnkern.functional, op, x, w if op.startswith("conv") else 2)


@pytest.mark.parametrize("op", [op for op in OPS if op.startswith("conv")])
def test_unknown_names_list_the_known_ones(op: str) -> None:
    x, w = tensors(int(op[-2]))
    with pytest.raises(ValueError, match=f"^{op}: expected activation .*'relu'.*got 'tanh'"):
        call(cnnkern.functional, op, x, w, activation="tanh")
    with pytest.raises(ValueError, match=f"^{op}: expected algorithm .*'direct'.*got 'fast'"):
        call(cnnkern.functional, op, x, w, algorithm="fast")


def test_paddings_beyond_torch_are_checked_too() -> None:
    x, w = tensors(2)
    conv2d: Callable[..., Any] = cnnkern.functional.conv2d
    for padding in (((1, 1),), ((1, 1), (1, 1), (1, 1)), ((1, 1, 1), (1, 1))):
        with pytest.raises(
            RuntimeError, match=r"conv2d: expected padding of one \(before, after\)"
        ):
            conv2d(x, w, padding=padding)
    for padding in (((1, 1), 1), ((1.0, 1), (1, 1)), (1, (1, 1)), ((True, 1), (1, 1))):
        with pytest.raises(TypeError, match="conv2d: expected padding"):
            conv2d(x, w, padding=padding)
    with pytest.raises(RuntimeError, match=r"^conv2d.*padding"):
        conv2d(x, w, padding=((1, 1), (1, -1)))
    with pytest.raises(RuntimeError, match=r"max_pool2d.*half"):
        cnnkern.functional.max_pool2d(x, 3, padding=((0, 2), (0, 0)))


def test_texts_have_expected_and_got() -> None:
    x, w = torch.randn(1, 64, 8, 8), torch.randn(64, 16, 3, 3)
    with pytest.raises(RuntimeError) as error:
        cnnkern.functional.conv2d(x, w, groups=2)
    text = str(error.value)
    for part in ("conv2d: expected weight", "C/groups = 32", "(64, 16, 3, 3)", "groups = 2"):
        assert part in text
    assert "\n" not in text.strip()


def test_devices_may_not_mix() -> None:
    x, w = tensors(2)
    with pytest.raises(RuntimeError, match="conv2d: expected weight on the device of input"):
        cnnkern.functional.conv2d(x, w.to("meta"))
    with pytest.raises(RuntimeError, match="conv2d: expected bias on the device of input"):
        cnnkern.functional.conv2d(x, w, torch.ones(4, device="meta"))


@pytest.mark.parametrize("op", OPS)
def test_sizes_that_overflow_are_refused(op: str) -> None:
    rank = int(op[-2])
    x, w = (t.to("meta") for t in tensors(rank))
    second = w if op.startswith("conv") else 2
    huge = {"stride": 2**62} if "transpose" in op else {"padding": 2**62}
    with pytest.raises((RuntimeError, ValueError), match=op):
        call(cnnkern.functional, op, x, second, **huge)


@pytest.mark.parametrize("op", OPS)
def test_signature_is_torchs_plus_keywords(op: str) -> None:
    ours = inspect.signature(getattr(cnnkern.functional, op)).parameters
    positional = {
        "conv": ["input", "weight", "bias=None", "stride=1", "padding=0", "dilation=1", "groups=1"],
        "conv_transpose": [
            "input",
            "weight",
            "bias=None",
            "stride=1",
            "padding=0",
            "output_padding=0",
            "groups=1",
            "dilation=1",
        ],
        "max_pool": [
            "input",
            "kernel_size",
            "stride=None",
            "padding=0",
            "dilation=1",
            "ceil_mode=False",
            "return_indices=False",
        ],
        "avg_pool": [
            "input",
            "kernel_size",
            "stride=None",
            "padding=0",
            "ceil_mode=False",
            "count_include_pad=True",
            *(["divisor_override=None"] if op != "avg_pool1d" else []),
        ],
    }[op[:-2]]
    empty = inspect.Parameter.empty
    got = [
        p.name if p.default is empty else f"{p.name}={p.default}"
        for p in ours.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert got == positional
    extras = [p.name for p in ours.values() if p.kind is p.KEYWORD_ONLY]
    own = {"conv": ["padding_mode", "residual"], "conv_transpose": []}.get(op[:-2])
    assert extras == ([] if own is None else [*own, "activation", "algorithm"])
    # torch's builtins tell their signature in the first line of their docstrings.
    first_line = (getattr(F, op).__doc__ or "").strip().split("\n")[0]
    if first_line.startswith(f"{op}("):
        assert first_line.split(")")[0] == f"{op}({', '.join(positional)}"


@pytest.mark.parametrize("value", [2, (2,), [2], torch.Size([2]), torch.tensor(2)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_value_serves_all_axes(rank: int, value: Any) -> None:
    x, w = tensors(rank)
    for op, args in (
        (f"conv{rank}d", (x, w, None, value, value, value)),
        (f"conv_transpose{rank}d", (x, w, None, value, value)),
        (f"max_pool{rank}d", (x, value, value)),
        (f"max_pool{rank}d", (x, value, ())),
        (f"avg_pool{rank}d", (x, value, [])),
    ):
        torch.testing.assert_close(
            call(cnnkern.functional, op, *args), call(F, op, *args), rtol=1e-4, atol=1e-4
        )


def test_algorithm_names_are_the_plans() -> None:
    problem = cnnkern._C.parse("conv2d 1x4x6x6 4x4x3x3")
    known = set()
    for device in ("cpu", "H200"):
        plan = cnnkern._C.plan(problem, "forward", device=device)
        known |= {plan.algorithm, *(name for name, _ in plan.refused)}
    assert known == set(arguments.ALGORITHMS) - {"auto"}
