# SPDX-License-Identifier: BSD-3-Clause
"""The wheel: what it holds, and that it runs where it is installed.

tools/check_packages.py without --wheel also builds the source distribution, in clean environments.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cnnkern
from tools import check_packages

ROOT = Path(cnnkern.__file__).parents[1]


@pytest.mark.slow
def test_wheel_runs_where_it_is_installed() -> None:
    """With the extension that is there: nothing is compiled."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_packages.py", "--wheel"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ran the demo" in done.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("cnnkern/nn/conv.py", r"lacks cnnkern/nn/conv\.py"),
        ("cnnkern/benchmark/suites/resnet50.txt", r"lacks cnnkern/benchmark/suites/resnet50\.txt"),
        ("+tests/test_nn.py", r"holds tests/test_nn\.py, which nobody needs"),
        ("+cnnkern/gone.py", r"holds cnnkern/gone\.py, which nobody needs"),
    ],
)
def test_wheel_with_too_little_or_too_much_is_refused(
    tmp_path: Path, change: str, says: str
) -> None:
    version = check_packages.stated_version()
    info = f"cnnkern-{version}.dist-info"
    names = check_packages.of_the_package()
    names |= {check_packages.library(), f"{info}/licenses/LICENSE"}
    names |= {
        f"{info}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    }
    wheel = tmp_path / "cnnkern.whl"

    def write(some: set[str]) -> None:
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in some:
                stated = f"Version: {version}\nLicense-Expression: BSD-3-Clause\n"
                archive.writestr(name, stated if name.endswith("METADATA") else "")

    write(names)
    check_packages.check_wheel(wheel)
    write(names | {change[1:]} if change.startswith("+") else names - {change})
    with pytest.raises(check_packages.Failed, match=says):
        check_packages.check_wheel(wheel)
