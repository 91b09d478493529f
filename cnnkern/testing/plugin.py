# SPDX-License-Identifier: BSD-3-Clause
"""A pytest plugin that sums up what the cases of :func:`cnnkern.testing.cases` found.

Opt in with ``pytest_plugins = ["cnnkern.testing.plugin"]`` in the top conftest.py, or with
``pytest -p cnnkern.testing.plugin``. It adds ``--cnnkern-seed``.
"""

from __future__ import annotations

from collections import Counter

import pytest

from cnnkern.testing.cases import session


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("cnnkern").addoption(
        "--cnnkern-seed",
        type=int,
        default=None,
        metavar="N",
        help="of the random problems and tensors of cnnkern.testing.cases (default: each test's)",
    )


def pytest_configure(config: pytest.Config) -> None:
    session.seed = config.getoption("--cnnkern-seed")
    session.results = []


def pytest_unconfigure() -> None:
    session.seed = session.results = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not session.results:
        return
    counts: Counter[str] = Counter()
    for results in session.results:
        counts.update(results.counts)
    worst = max(results.worst for results in session.results)
    line = f"{len(session.results)} cases checked: "
    line += ", ".join(f"{count} {name}" for name, count in counts.items())
    if worst[1]:
        line += f"; largest error {worst[0]:.2f} times torch's own ({worst[1]})"
    terminalreporter.section("cnnkern")
    terminalreporter.write_line(line)
