# SPDX-License-Identifier: BSD-3-Clause
"""Plants each fault of the table in a copy of the package and shows that its tests turn red.

Run after a build: ``make mutations``. Only what holds the mutated file is compiled again; the rest
is linked from the objects of the build. A fault of a CUDA kernel is planted in the emulator, which
must be built too: ``make emulator``. Exits with 1 where a fault goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import torch
from table import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from cnnkern import _C  # noqa: E402

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
CONTROLS = (
    Mutation("nothing, to see that the tests pass", "cpu/conv_gather.cpp", "", ""),
    Mutation("nothing, on the emulator", "cuda/mma_tile.h", "", ""),
)


def is_emulated(mutation: Mutation) -> bool:
    return mutation.file.startswith("cuda/")


def build_flags() -> tuple[Path, dict[str, str]]:
    """The folder of the build's objects and the variables of its ninja file."""
    found = sorted(ROOT.glob("build/temp.*/build.ninja"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise SystemExit("mutations: there are no objects under build/; run `make build` first")
    lines = [line.partition(" = ") for line in found[-1].read_text().splitlines()]
    flags = {name: value for name, equals, value in lines if equals and not name.startswith(" ")}
    return found[-1].parent / "csrc", flags


def planted(mutation: Mutation, text: str) -> str:
    if not mutation.old:
        return text
    if text.count(mutation.old) != 1:
        raise SystemExit(
            f"mutations: {mutation.name}: expected {mutation.old!r} once in {mutation.file}, "
            f"got {text.count(mutation.old)} times; bring tests/mutations/table.py up to date"
        )
    return text.replace(mutation.old, mutation.new)


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def build(mutation: Mutation, place: Path) -> None:
    """A copy of the package in ``place`` that holds the fault."""
    shutil.copytree(ROOT / "csrc", place / "csrc")
    shutil.copytree(
        ROOT / "cnnkern", place / "cnnkern", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    for folder in ("tests", "docs"):
        if (ROOT / folder).exists():
            (place / folder).symlink_to(ROOT / folder)
    source = place / "csrc" / mutation.file
    fault = planted(mutation, source.read_text())
    if is_emulated(mutation):
        build_emulator(mutation, place, source, fault)
    else:
        source.write_text(fault)
        build_extension(mutation, place, source)


def build_emulator(mutation: Mutation, place: Path, source: Path, fault: str) -> None:
    """The package's own extension, and the emulator with the fault."""
    for made in (ROOT / "cnnkern").glob("_C*.so"):
        (place / "cnnkern" / made.name).symlink_to(made)
    for name in ("tools", "Makefile", ".venv"):
        (place / name).symlink_to(ROOT / name)
    target = Path("build/simt/checked/_simt.so")
    if not (ROOT / target).exists():
        raise SystemExit("mutations: the emulator is not built; run `make emulator` first")
    for folder in ("checked", "plain", "glue"):
        # Copied with their dates, sources too: make compiles what the fault is newer than.
        shutil.copytree(ROOT / "build/simt" / folder, place / "build/simt" / folder)
    for objects in (ROOT / "build").glob("temp.*"):
        (place / "build" / objects.name).symlink_to(objects)
    source.write_text(fault)
    done = run(["make", "-o", "build", str(target)], cwd=place)
    if done.returncode:
        raise SystemExit(f"mutations: {mutation.name} does not build:\n{done.stderr}")


def build_extension(mutation: Mutation, place: Path, source: Path) -> None:
    objects, flags = build_flags()
    replaced = place / "mutated.o"
    compiled = source.relative_to(place / "csrc")
    if compiled.suffix == ".h":  # of the kernels: those of the instruction set that runs here
        compiled = Path("cpu") / f"isa_{_C.info()['isa']}.cpp"
    compiler = flags.get("cxx", "c++").split()
    compile_flags = flags["cflags"].split() + flags["post_cflags"].split()
    done = run(
        [*compiler, *compile_flags, "-c", str(place / "csrc" / compiled), "-o", str(replaced)]
    )
    if done.returncode:
        raise SystemExit(f"mutations: {mutation.name} does not compile:\n{done.stderr}")
    kept = (objects / compiled).with_suffix(".o")
    # Of sources that are gone, objects may be left behind.
    rest = [
        o for o in sorted(objects.rglob("*.o"))
        if o != kept and (ROOT / "csrc" / o.relative_to(objects)).with_suffix(".cpp").exists()
    ]  # fmt: skip
    libraries = [f"-L{Path(torch.__file__).parent / 'lib'}"]
    libraries += [f"-l{name}" for name in ("c10", "torch", "torch_cpu", "torch_python")]
    target = place / "cnnkern" / f"_C{SUFFIX}"
    command = [*compiler, "-shared", *map(str, [replaced, *rest]), *libraries, "-fopenmp"]
    done = run([*command, "-o", str(target)])
    if done.returncode:
        raise SystemExit(f"mutations: {mutation.name} does not link:\n{done.stderr}")


def test(mutation: Mutation, place: Path, files: list[str]) -> tuple[bool, str]:
    """Whether the tests pass, and their last line."""
    settings = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "-c", os.devnull]
    paths = [str(Path("tests") / name) for name in files]
    environment = os.environ | {"PYTHONPATH": str(place)}
    command = [sys.executable, "-m", "pytest", *settings, f"--rootdir={place}", *paths]
    done = run(command, cwd=place, env=environment)
    if done.returncode not in (0, 1) and done.returncode > 0:
        raise SystemExit(f"mutations: {mutation.name}: pytest itself failed:\n{done.stdout}")
    # A crash of the process is a red test too.
    last = done.stdout.strip().splitlines()[-1] if done.returncode >= 0 else "the process died"
    return done.returncode == 0, last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of faults; all by default")
    names = parser.parse_args().names
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    controls = [c for c in CONTROLS if any(is_emulated(m) == is_emulated(c) for m in chosen)]
    unnoticed = 0
    for mutation in (*controls, *chosen):
        began, control = time.monotonic(), mutation in CONTROLS
        alike = [m for m in chosen if is_emulated(m) == is_emulated(mutation)]
        files = sorted({m.tests for m in alike}) if control else [mutation.tests]
        with tempfile.TemporaryDirectory() as folder:
            build(mutation, Path(folder))
            passed, last = test(mutation, Path(folder), files)
        wrong = passed != control
        unnoticed += wrong
        verdict = ("green" if passed else "red") + (", WRONG" if wrong else "")
        seconds = time.monotonic() - began
        print(f"{mutation.name:<40} {verdict:<14} {seconds:5.0f} s  {last}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    raise SystemExit(main())
