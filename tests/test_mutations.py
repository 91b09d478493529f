# SPDX-License-Identifier: BSD-3-Clause
"""The faults of tests/mutations still fit the sources; ``make mutations`` plants them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutations.table import MUTATIONS

CSRC = Path(__file__).parents[1] / "csrc"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_fault_fits(mutation):
    text = (CSRC / mutation.file).read_text()
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert (Path(__file__).parent / mutation.tests).exists()
