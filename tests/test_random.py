# SPDX-License-Identifier: BSD-3-Clause
"""Random problems over everything at once: ranks, sizes, geometry, dtypes, formats, layouts."""

from __future__ import annotations

import math

from cases import DTYPES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cnnkern.testing import Call, check_equal, check_problem, derivatives, random_integers
from cnnkern.testing.directions import DIRECTIONS, draw, expected, run, serving

# A call costs milliseconds however small the problem: let the sizes be worth it, but no more.
MOST_ELEMENTS = 6000
MOST_PRODUCTS = 2_000_000

quick = settings(max_examples=150, suppress_health_check=list(HealthCheck))


@st.composite
def axis(draw, largest_kernel: int = 5) -> dict:
    """One axis of a window: its kernel, stride, dilation and padding."""
    return {
        "n": draw(st.integers(1, 19)),
        "kernel": draw(st.integers(1, largest_kernel)),
        "stride": draw(st.integers(1, 4)),
        "dilation": draw(st.integers(1, 3)),
        "before": draw(st.integers(0, 4)),
        "after": draw(st.integers(0, 4)),
    }


def _words(axes: list[dict], *names: str) -> list[str]:
    padding = ",".join(f"{a['before']}:{a['after']}" for a in axes)
    lists = {name: ",".join(str(a[name]) for a in axes) for name in names}
    return [f"padding={padding}", *(f"{name}={value}" for name, value in lists.items())]


def _shape(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _tail(draw, rank: int) -> list[str]:
    formats = ("contiguous", "channels_last") if rank > 1 else ("contiguous",)
    return [f"dtype={draw(st.sampled_from(DTYPES))}", f"format={draw(st.sampled_from(formats))}"]


@st.composite
def conv_problems(draw) -> str:
    rank = draw(st.integers(1, 3))
    axes = [draw(axis()) for _ in range(rank)]
    for a in axes:
        span = a["dilation"] * (a["kernel"] - 1) + 1
        a["n"] = max(a["n"], span - a["before"] - a["after"])
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 9, 17, 40]))
    # Many groups stand for depthwise convolutions, whose channels fill vectors.
    per_group = 1 if groups > 8 else draw(st.sampled_from([1, 1, 2, 3, 4, 7, 8, 9, 17]))
    filters = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 16, 17]))
    n, c, k = draw(st.integers(0, 3)), groups * per_group, groups * filters
    sizes, kernels = [a["n"] for a in axes], [a["kernel"] for a in axes]
    elements = max(n, 1) * c * math.prod(sizes)
    assume(elements <= MOST_ELEMENTS)
    assume(elements * filters * math.prod(kernels) <= MOST_PRODUCTS)
    flags = [word for word in ("bias", "relu") if draw(st.booleans())]
    words = _words(axes, "stride", "dilation") + flags + _tail(draw, rank)
    weight = _shape(k, per_group, *kernels)
    return " ".join([f"conv{rank}d", _shape(n, c, *sizes), weight, *words])


@st.composite
def transposed_problems(draw) -> str:
    rank = draw(st.integers(1, 3))
    axes = [draw(axis(4)) for _ in range(rank)]
    for a in axes:
        a["n"] = min(a["n"], 9)
        a["output_padding"] = draw(st.integers(0, max(a["stride"], a["dilation"]) - 1))
        room = (a["n"] - 1) * a["stride"] + a["dilation"] * (a["kernel"] - 1) + a["output_padding"]
        assume(room >= a["before"] + a["after"])
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    per_group = draw(st.sampled_from([1, 2, 3, 8, 9]))
    filters = draw(st.sampled_from([1, 2, 3, 8]))
    n, sizes, kernels = draw(st.integers(0, 3)), [a["n"] for a in axes], [a["kernel"] for a in axes]
    elements = max(n, 1) * groups * per_group * math.prod(sizes)
    assume(elements * math.prod(a["stride"] for a in axes) <= MOST_ELEMENTS)
    flags = [word for word in ("bias", "relu") if draw(st.booleans())]
    words = _words(axes, "stride", "dilation", "output_padding") + flags + _tail(draw, rank)
    return " ".join(
        [
            f"conv_transpose{rank}d",
            _shape(n, groups * per_group, *sizes),
            _shape(groups * per_group, filters, *kernels),
            f"groups={groups}",
            *words,
        ]
    )


@st.composite
def pool_problems(draw, kind: str) -> str:
    rank = draw(st.integers(1, 3))
    axes = [draw(axis(6)) for _ in range(rank)]
    dilated = kind == "max" and draw(st.booleans())
    for a in axes:
        a["dilation"] = a["dilation"] if dilated else 1
        half = (a["dilation"] * (a["kernel"] - 1) + 1) // 2 if kind == "max" else a["kernel"] // 2
        a["before"], a["after"] = min(a["before"], half), min(a["after"], half)
        span = a["dilation"] * (a["kernel"] - 1) + 1
        a["n"] = max(a["n"], span - a["before"] - a["after"], 1)
    c = draw(st.sampled_from([1, 2, 3, 5, 8, 9, 16, 17, 33]))
    n, sizes = draw(st.integers(0, 3)), [a["n"] for a in axes]
    assume(max(n, 1) * c * math.prod(sizes) <= MOST_ELEMENTS)
    words = _words(axes, "kernel", "stride", *(["dilation"] if kind == "max" else []))
    words += ["ceil"] * draw(st.booleans())
    if kind == "avg":
        words += ["count_include_pad=false"] * draw(st.booleans())
        words += [f"divisor={draw(st.integers(1, 9))}"] * (rank > 1 and draw(st.booleans()))
    return " ".join([f"{kind}_pool{rank}d", _shape(n, c, *sizes), *words, *_tail(draw, rank)])


def _check_every_algorithm(problem: str, seed: int) -> None:
    call = Call.parse(problem)
    operands = draw(call, random_integers, seed=seed)
    values = derivatives(call, [t.double() for t in operands.tensors], operands.grad.double())
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction):
            results = run(call, direction, operands, algorithm)
            for result, y64 in zip(results, expected(call, direction, values), strict=True):
                name = f"{problem}: {direction}, {algorithm}"
                check_equal(result, y64, call.dtype, name=name)


@quick
@given(conv_problems(), st.booleans(), st.integers(0, 99))
def test_conv(problem, strided, seed):
    check_problem(problem, strided=strided, seed=seed)
    _check_every_algorithm(problem, seed)


@quick
@given(transposed_problems(), st.booleans(), st.integers(0, 99))
def test_conv_transpose(problem, strided, seed):
    check_problem(problem, strided=strided, seed=seed)
    _check_every_algorithm(problem, seed)


@quick
@given(pool_problems("max"), st.booleans(), st.integers(0, 99))
def test_max_pool(problem, strided, seed):
    check_problem(problem, strided=strided, seed=seed)
    check_problem(problem, strided=strided, seed=seed, integers=True)


@quick
@given(pool_problems("avg"), st.booleans(), st.integers(0, 99))
def test_avg_pool(problem, strided, seed):
    check_problem(problem, strided=strided, seed=seed)
