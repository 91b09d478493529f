# SPDX-License-Identifier: BSD-3-Clause
"""The set-up: what is built, what a second build does, and what a failed one says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkern

ROOT = Path(cnnkern.__file__).parents[1]
FILES = ("setup.py", "pyproject.toml", "requirements-cuda.txt", "README.md", "LICENSE")
TINY_MODULE = """
#include <Python.h>
#include "value.h"
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1};
PyMODINIT_FUNC PyInit__C() {
  PyObject* module = PyModule_Create(&definition);
  PyModule_AddIntConstant(module, "value", VALUE);
  return module;
}
"""


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    return run(command, folder, **{"CNNKERN_CUDA": "auto", **environment})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's own set-up around a module that compiles in a second."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    for path in (ROOT / "tools").glob("*.py"):
        shutil.copy(path, tmp_path / "tools")
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc" / "module.cpp").write_text(TINY_MODULE)
    (tmp_path / "csrc" / "value.h").write_text("#define VALUE 1\n")
    (tmp_path / "cnnkern").mkdir()
    (tmp_path / "cnnkern" / "__init__.py").touch()
    return tmp_path


def built_value(folder: Path) -> int:
    return int(
        run([sys.executable, "-c", "from cnnkern._C import value; print(value)"], folder).stdout
    )


@pytest.mark.slow
def test_second_build_does_only_what_changed(project: Path) -> None:
    assert build(project).returncode == 0
    (library,) = (project / "cnnkern").glob("_C*.so")
    assert built_value(project) == 1

    before = library.stat().st_mtime_ns
    again = build(project)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert library.stat().st_mtime_ns == before

    (project / "csrc" / "value.h").write_text("#define VALUE 2\n")
    assert build(project).returncode == 0
    assert built_value(project) == 2

    extra = project / "csrc" / "extra.cpp"
    extra.write_text("int cnnkern_extra_symbol() { return 1; }\n")
    assert build(project).returncode == 0
    assert b"cnnkern_extra_symbol" in library.read_bytes()
    extra.unlink()
    assert build(project).returncode == 0
    assert b"cnnkern_extra_symbol" not in library.read_bytes()


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"CXX": "/nowhere/c++"}, "the C++ compiler '/nowhere/c++' was not found; install g++"),
        ({"CNNKERN_CUDA": "yes"}, "CNNKERN_CUDA must be auto, 0 or 1, got 'yes'."),
        ({"CNNKERN_CUDA": "1", "CNNKERN_TOOLKIT": "mine"}, "CNNKERN_TOOLKIT must be any or pypi"),
    ],
)
def test_build_says_in_one_sentence_why_it_cannot(
    project: Path, environment: dict[str, str], text: str
) -> None:
    result = build(project, **environment)
    assert result.returncode == 1
    assert result.stderr.startswith(f"cnnkern: {text}")
    assert result.stderr.count("\n") == 1


def test_build_ends_with_a_sentence_when_the_compiler_fails(project: Path) -> None:
    (project / "csrc" / "value.h").write_text("#error out of order\n")
    result = build(project)
    assert result.returncode == 1
    assert "out of order" in result.stdout
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("cnnkern: the build failed")


@pytest.mark.parametrize(
    ("tool", "script", "text"),
    [
        ("python3", None, "'./python3' was not found; install Python 3.10 or newer"),
        ("python3", "exit 1", "'./python3' does not run"),
        (
            "python3",
            'case "$2" in *exit*) exit 1;; *) echo 3.9.18;; esac',
            "Python 3.10 or newer is needed, './python3' is 3.9.18",
        ),
        (
            "python3",
            'case "$2" in *ensurepip*) exit 1;; *) echo 3.12.1;; esac',
            "'./python3' has no venv module; install it (Debian: apt install python3-venv)",
        ),
        (
            "df",
            "printf 'head\\ndisk 100 90 10 90%% /\\n'",
            "the packages need 3000 MiB of disk, 10 MiB are free",
        ),
    ],
)
def test_environment_says_in_one_sentence_why_it_cannot(
    tmp_path: Path, tool: str, script: str | None, text: str
) -> None:
    if script is not None:
        fake = tmp_path / tool
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
    python = "./python3" if tool == "python3" else sys.executable
    result = run(
        [str(ROOT / "tools" / "make_venv.sh"), python, "venv"],
        tmp_path,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"cnnkern: {text}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()
