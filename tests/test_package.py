# SPDX-License-Identifier: BSD-3-Clause
"""The package as it is installed: its types, its version."""

from __future__ import annotations

import re
from pathlib import Path

import cnnkern

ROOT = Path(cnnkern.__file__).parents[1]


def test_package_is_typed() -> None:
    folder = Path(cnnkern.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_C.pyi").exists()


def test_version_is_the_same_everywhere() -> None:
    stated = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert stated is not None
    assert cnnkern.__version__ == stated[1]
    assert f"## {stated[1]}" in (ROOT / "CHANGELOG.md").read_text()
