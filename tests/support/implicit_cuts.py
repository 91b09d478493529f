# SPDX-License-Identifier: BSD-3-Clause
"""Implicit products on the emulator, cut as the plan would cut them on another device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cnnkern.testing.devices import emulator

TILES = ("large", "medium", "small")


@contextmanager
def cut_into(tile: str, split: bool = False) -> Iterator[None]:
    """Products that have no such cut keep the plan's."""
    simt = emulator()
    simt.implicit_cut(tile, split)
    try:
        yield
    finally:
        simt.implicit_cut("auto")
