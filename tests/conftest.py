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

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("repeatable")
torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def _seeds() -> Iterator[None]:
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
