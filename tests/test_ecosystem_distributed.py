# SPDX-License-Identifier: BSD-3-Clause
"""Two processes over gloo: DDP, FSDP2 and DTensors give what one process gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import distributed_checks


def test_two_processes(tmp_path: Path, subtests: pytest.Subtests) -> None:
    said = distributed_checks.run(tmp_path)
    assert [list(checks) for checks in said] == [list(distributed_checks.CHECKS)] * 2
    for name in distributed_checks.CHECKS:
        with subtests.test(name):
            for rank, checks in enumerate(said):
                assert not checks[name], f"process {rank}: {checks[name]}"
