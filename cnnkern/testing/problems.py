# SPDX-License-Identifier: BSD-3-Clause
"""Hypothesis strategies of problem texts: ranks, sizes, geometry, dtypes and formats at once.

Needs hypothesis (``pip install 'cnnkern[verify]'``)::

    @given(conv_problems())
    def test_mine(problem):
        check_problem(problem, mine)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from .. import _C
from .reference import Call, torch_serves
from .variants import DTYPES, FORMATS

__all__ = [
    "adaptive_problems",
    "conv_problems",
    "pool_problems",
    "problems_of",
    "random_problems",
    "transposed_problems",
]

# A call costs milliseconds however small the problem: let the sizes be worth it, but no more.
_MOST_ELEMENTS = 6000
_MOST_PRODUCTS = 2_000_000

_RANKS = (1, 2, 3)
_BATCHES = (1, 2, 3, 1, 2, 3, 1, 2, 3, 0)
_Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def conv_problems(
    draw: _Draw,
    ranks: Sequence[int] = _RANKS,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    as_torch: bool = False,
) -> str:
    """Convolutions over ``ranks`` axes.

    Args:
        draw: hypothesis's own; leave it out.
        ranks: of 1, 2 and 3.
        dtypes: of float32, float64, float16, bfloat16.
        formats: of contiguous, channels_last.
        as_torch: only what torch's function of that name takes: as much padding after as before,
            no fused ReLU.
    """
    rank = draw(st.sampled_from(ranks))
    axes = [draw(_axis(symmetric=as_torch)) for _ in range(rank)]
    for a in axes:
        span = a["dilation"] * (a["kernel"] - 1) + 1
        a["n"] = max(a["n"], span - a["before"] - a["after"])
    groups = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 9, 17, 40]))
    # Many groups stand for depthwise convolutions, whose channels fill vectors.
    per_group = 1 if groups > 8 else draw(st.sampled_from([1, 1, 2, 3, 4, 7, 8, 9, 17]))
    filters = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 16, 17]))
    n, c, k = draw(st.sampled_from(_BATCHES)), groups * per_group, groups * filters
    sizes, kernels = [a["n"] for a in axes], [a["kernel"] for a in axes]
    elements = max(n, 1) * c * math.prod(sizes)
    assume(elements <= _MOST_ELEMENTS)
    assume(elements * filters * math.prod(kernels) <= _MOST_PRODUCTS)
    words = _words(axes, "stride", "dilation") + _flags(draw, as_torch)
    words += _form(draw, rank, dtypes, formats)
    return " ".join([f"conv{rank}d", _shape(n, c, *sizes), _shape(k, per_group, *kernels), *words])


@st.composite
def transposed_problems(
    draw: _Draw,
    ranks: Sequence[int] = _RANKS,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    as_torch: bool = False,
) -> str:
    """Transposed convolutions; the arguments are those of :func:`conv_problems`."""
    rank = draw(st.sampled_from(ranks))
    axes = [draw(_axis(4, symmetric=as_torch)) for _ in range(rank)]
    for a in axes:
        a["n"] = min(a["n"], 9)
        a["output_padding"] = draw(st.integers(0, max(a["stride"], a["dilation"]) - 1))
        room = (a["n"] - 1) * a["stride"] + a["dilation"] * (a["kernel"] - 1) + a["output_padding"]
        assume(room >= a["before"] + a["after"])
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    per_group = draw(st.sampled_from([1, 2, 3, 8, 9]))
    filters = draw(st.sampled_from([1, 2, 3, 8]))
    n, sizes, kernels = (
        draw(st.sampled_from(_BATCHES)),
        [a["n"] for a in axes],
        [a["kernel"] for a in axes],
    )
    c = groups * per_group
    elements = max(n, 1) * c * math.prod(sizes)
    assume(elements * math.prod(a["stride"] for a in axes) <= _MOST_ELEMENTS)
    words = [f"groups={groups}", *_words(axes, "stride", "dilation", "output_padding")]
    words += _flags(draw, as_torch) + _form(draw, rank, dtypes, formats)
    weight = _shape(c, filters, *kernels)
    return " ".join([f"conv_transpose{rank}d", _shape(n, c, *sizes), weight, *words])


@st.composite
def pool_problems(
    draw: _Draw,
    kind: str,
    ranks: Sequence[int] = _RANKS,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    as_torch: bool = False,
) -> str:
    """Pools of a ``kind``, max or avg; the other arguments are those of :func:`conv_problems`."""
    rank = draw(st.sampled_from(ranks))
    axes = [draw(_axis(6, symmetric=as_torch)) for _ in range(rank)]
    dilated = kind == "max" and draw(st.booleans())
    for a in axes:
        a["dilation"] = a["dilation"] if dilated else 1
        half = (a["dilation"] * (a["kernel"] - 1) + 1) // 2 if kind == "max" else a["kernel"] // 2
        a["before"], a["after"] = min(a["before"], half), min(a["after"], half)
        span = a["dilation"] * (a["kernel"] - 1) + 1
        a["n"] = max(a["n"], span - a["before"] - a["after"], 1)
    c = draw(st.sampled_from([1, 2, 3, 5, 8, 9, 16, 17, 33]))
    n, sizes = draw(st.sampled_from(_BATCHES)), [a["n"] for a in axes]
    assume(max(n, 1) * c * math.prod(sizes) <= _MOST_ELEMENTS)
    words = _words(axes, "kernel", "stride", *(["dilation"] if kind == "max" else []))
    words += ["ceil"] * draw(st.booleans())
    if kind == "avg":
        words += ["count_include_pad=false"] * draw(st.booleans())
        words += [f"divisor={draw(st.integers(1, 9))}"] * (rank > 1 and draw(st.booleans()))
    words += _form(draw, rank, dtypes, formats)
    problem = " ".join([f"{kind}_pool{rank}d", _shape(n, c, *sizes), *words])
    assume(not as_torch or torch_serves(Call.parse(problem)))
    return problem


@st.composite
def adaptive_problems(
    draw: _Draw,
    kind: str,
    ranks: Sequence[int] = _RANKS,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    as_torch: bool = False,
) -> str:
    """Adaptive pools of a ``kind``, max or avg; torch takes them all.

    The other arguments are those of :func:`conv_problems`.
    """
    rank = draw(st.sampled_from(ranks))
    sizes, outputs = [], []
    for _ in range(rank):
        parts = draw(st.integers(1, 9))
        # Windows that share elements at their borders, that do not, and more than elements.
        size = draw(st.one_of(st.integers(1, 24), st.sampled_from([parts, 2 * parts, 3 * parts])))
        sizes.append(size)
        outputs.append(draw(st.sampled_from([parts, parts, parts, 1, size + parts])))
    n, c = draw(st.sampled_from(_BATCHES)), draw(st.sampled_from([1, 2, 3, 5, 8, 9, 16, 17, 33]))
    assume(max(n, 1) * c * max(math.prod(sizes), math.prod(outputs)) <= _MOST_ELEMENTS)
    words = [f"output={','.join(map(str, outputs))}", *_form(draw, rank, dtypes, formats)]
    return " ".join([f"adaptive_{kind}_pool{rank}d", _shape(n, c, *sizes), *words])


def problems_of(op: str, **options: Any) -> st.SearchStrategy[str]:
    """Problems of one operator, such as ``conv2d``; the options are those of its strategy.

    Raises:
        ValueError: there is no such operator.
    """
    kind, rank = op[:-2], op[-2:-1]
    if kind not in _STRATEGIES or op[-1:] != "d" or rank not in {"1", "2", "3"}:
        raise ValueError(f"expected an operator such as conv2d or max_pool1d, got {op!r}")
    strategy: st.SearchStrategy[str] = _STRATEGIES[kind](ranks=(int(rank),), **options)
    return strategy


def random_problems(
    count: int,
    seed: int = 0,
    *,
    ops: Sequence[str] = (),
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
    as_torch: bool = False,
) -> list[str]:
    """Draw problems, without a test around them.

    Args:
        count: how many; all are different.
        seed: the same one gives the same problems with the same version of hypothesis.
        ops: of which operators, such as ``conv2d``; by default of all.
        dtypes: of float32, float64, float16, bfloat16.
        formats: of contiguous, channels_last.
        as_torch: only what torch's function of that name takes.

    Returns:
        The texts, the operators taking turns; without ``ops`` convolutions twice as often.

    Example:
        >>> [problem.split()[0] for problem in random_problems(3, ops=["conv2d", "max_pool1d"])]
        ['conv2d', 'max_pool1d', 'conv2d']
    """
    turns = list(ops) or [f"{kind}{rank}d" for kind in _TURNS for rank in (2, 1, 3)]
    strategies = {
        op: problems_of(op, dtypes=dtypes, formats=formats, as_torch=as_torch) for op in turns
    }
    wanted = [turns[i % len(turns)] for i in range(count)]
    drawn = {
        op: iter(_drawn(strategy, wanted.count(op), seed * len(_TURNS) * 3 + turns.index(op)))
        for op, strategy in strategies.items()
    }
    return [next(drawn[op]) for op in wanted]


def _drawn(strategy: st.SearchStrategy[str], count: int, seed: int) -> list[str]:
    found: dict[str, None] = {}

    # The first that hypothesis draws are all but empty, and others come twice.
    @settings(
        max_examples=2 * count + 10,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(problem: str) -> None:
        found[str(_C.parse(problem))] = None

    while len(found) < count:
        hypothesis.seed(seed)(collect)()
        seed += 1_000_003
    return list(found)[len(found) - count :]


@st.composite
def _axis(draw: _Draw, largest_kernel: int = 5, symmetric: bool = False) -> dict[str, int]:
    """One axis of a window: its kernel, stride, dilation and padding."""
    before = draw(st.integers(0, 4))
    return {
        "n": draw(st.integers(1, 19)),
        "kernel": draw(st.integers(1, largest_kernel)),
        "stride": draw(st.integers(1, 4)),
        "dilation": draw(st.integers(1, 3)),
        "before": before,
        "after": before if symmetric else draw(st.integers(0, 4)),
    }


def _words(axes: list[dict[str, int]], *names: str) -> list[str]:
    padding = ",".join(f"{a['before']}:{a['after']}" for a in axes)
    lists = {name: ",".join(str(a[name]) for a in axes) for name in names}
    return [f"padding={padding}", *(f"{name}={value}" for name, value in lists.items())]


def _shape(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _flags(draw: _Draw, as_torch: bool) -> list[str]:
    words = ["bias"] if as_torch else ["bias", "relu"]
    return [word for word in words if draw(st.booleans())]


def _form(draw: _Draw, rank: int, dtypes: Sequence[str], formats: Sequence[str]) -> list[str]:
    # A sequence's only format is contiguous.
    format = draw(st.sampled_from(formats)) if rank > 1 else "contiguous"
    return [f"dtype={draw(st.sampled_from(dtypes))}", f"format={format}"]


_TURNS = ("conv", "max_pool", "conv_transpose", "conv", "avg_pool", "adaptive_max_pool",
          "adaptive_avg_pool")  # fmt: skip

_STRATEGIES: dict[str, Callable[..., st.SearchStrategy[str]]] = {
    "conv": conv_problems,
    "conv_transpose": transposed_problems,
    "max_pool": lambda **options: pool_problems("max", **options),
    "avg_pool": lambda **options: pool_problems("avg", **options),
    "adaptive_max_pool": lambda **options: adaptive_problems("max", **options),
    "adaptive_avg_pool": lambda **options: adaptive_problems("avg", **options),
}
