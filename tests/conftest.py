# SPDX-License-Identifier: BSD-3-Clause
"""The same numbers in every run: two threads, fixed seeds, hypothesis without a clock."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

# Before torch loads its OpenMP: waiting threads must not spin where tests share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy
import pytest
import torch
from hypothesis import HealthCheck, settings

from cnnkern.testing.devices import BACKENDS, Backend, missing, running

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("repeatable")
torch.set_num_threads(2)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        choices=BACKENDS,
        help="where the backends' tests run; may be given again (default: wherever they can)",
    )
    parser.addoption("--share", default="0/1", help="I/N: of every N tests the one at place I")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place, shares = map(int, config.getoption("--share").split("/"))
    left = [item for i, item in enumerate(items) if i % shares != place]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = items[place::shares]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        usual = [name for name in BACKENDS if name != "cuda" or missing(name) is None]
        names = metafunc.config.getoption("backend") or usual
        marked = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in names]
        metafunc.parametrize("backend", marked, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The kernels that serve torch's tensors of ``backend.device`` during the test."""
    reason = missing(request.param)
    if reason is not None:
        pytest.skip(reason)
    call = getattr(request.node, "callspec", None)
    with running(request.param, call.params.get("problem", "") if call else "") as at_work:
        yield at_work


@pytest.fixture(autouse=True)
def _seeds() -> Iterator[None]:
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
