# SPDX-License-Identifier: BSD-3-Clause
"""A pytest test for each of many problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .check import check_each, default_cases
from .check_results import CheckFailed, Results
from .variants import DTYPES, FORMATS

__all__ = ["Case", "Session", "cases", "session"]


@dataclass
class Session:
    """What :mod:`cnnkern.testing.plugin` knows of a run of pytest; all None without it."""

    seed: int | None = None  # takes the place of every decorator's own
    results: list[Results] | None = None  # of every case so far


session = Session()


@dataclass(frozen=True)
class Case:
    """A problem for a function to be checked on."""

    problem: str
    seed: int = 0

    def check(
        self,
        function: Callable[..., Tensor],
        *,
        gradients: bool = True,
        exact: bool = True,
        device: torch.device | str = "cpu",
    ) -> Results:
        """Hold a function against torch in float64 on this problem.

        The arguments are those of :func:`cnnkern.testing.check`. Where the function raises
        TypeError or NotImplementedError, which say that it does not serve the problem, the test is
        skipped.

        Raises:
            CheckFailed: an AssertionError, with a smaller problem that fails in the same way and
                the call that shows it.
        """
        results = check_each(
            function,
            [self.problem],
            seed=self.seed,
            gradients=gradients,
            exact=exact,
            device=device,
        )
        if session.results is not None:
            session.results.append(results)
        if results.failures:
            raise CheckFailed(str(results), results)
        for reason in results.not_served.values():
            import pytest

            pytest.skip(f"not served: {reason}")
        return results


def cases(
    op: str,
    *,
    random: int = 20,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
) -> Any:
    """A decorator that runs a pytest test for each of many problems, as its argument ``case``.

    The problems are the edge cases of the operator, in dtypes and formats that take turns, and
    random ones; a test's id is the problem's text::

        @cnnkern.testing.cases("conv2d", dtypes=["float32"])
        def test_mine(case):
            case.check(my_conv2d)

    Args:
        op: ``conv2d``, ``max_pool1d``, ...
        random: how many random problems; they need hypothesis.
        seed: of random problems and tensors; ``--cnnkern-seed`` of :mod:`cnnkern.testing.plugin`
            takes its place.
        dtypes: of float32, float64, float16, bfloat16.
        formats: of contiguous, channels_last.

    Raises:
        ValueError: there is no such operator.
        ImportError: random problems are asked for and hypothesis is not installed.
    """
    import pytest

    chosen = seed if session.seed is None else session.seed
    texts = default_cases(op, dtypes, formats, random, chosen)
    return pytest.mark.parametrize("case", [Case(text, chosen) for text in texts], ids=texts)
