# SPDX-License-Identifier: BSD-3-Clause
"""Builds the extension cnnkern._C from all of csrc; everything else stands in pyproject.toml.

Environment: CXX, MAX_JOBS, CNNKERN_CUDA (auto, 0 or 1).
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup


def stop(reason: str) -> None:
    raise SystemExit(f"cnnkern: {reason}")


if sys.version_info < (3, 10):  # noqa: UP036 (without pip nobody else has asked)
    stop(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}; call a newer one.")
try:
    import torch
    from torch.utils.cpp_extension import BuildExtension, CppExtension
except ImportError as error:
    stop(
        f"torch cannot be imported ({error}); run `make build`, which installs it, or "
        "`pip install torch` and then `pip install --no-build-isolation .`"
    )

ROOT = Path(__file__).resolve().parent
BUILD_BYTES = 300 << 20
FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fopenmp", "-fvisibility=hidden"]
WARNINGS = ["-Wall", "-Wno-psabi", "-Wno-unknown-pragmas"]


def check_cuda() -> None:
    choice = os.environ.get("CNNKERN_CUDA", "auto")
    if choice not in ("auto", "0", "1"):
        stop(f"CNNKERN_CUDA must be auto, 0 or 1, got {choice!r}.")
    if choice != "1":
        return
    if shutil.which("nvcc") is None:
        stop(
            "CNNKERN_CUDA=1 asks for CUDA, but there is no nvcc on PATH; this version has CPU "
            "kernels only, so unset CNNKERN_CUDA."
        )
    stop(
        "CNNKERN_CUDA=1 asks for CUDA, but this version has CPU kernels only; unset CNNKERN_CUDA "
        "to build those."
    )


def check_machine() -> None:
    compiler = os.environ.get("CXX", "c++").split()[0]
    if shutil.which(compiler) is None:
        stop(
            f"the C++ compiler {compiler!r} was not found; install g++ (Debian: apt install g++) "
            "or name another one in CXX."
        )
    free = shutil.disk_usage(ROOT).free
    if free < BUILD_BYTES:
        stop(
            f"the build needs {BUILD_BYTES >> 20} MiB of disk, {free >> 20} MiB are free in "
            f"{ROOT}; make room and run it again."
        )


def configuration_changed(sources: list[str]) -> bool:
    """Sees what no file's date tells: another torch, compiler or flag, a source that is gone."""
    lines = [f"torch {torch.__version__}", f"CXX {os.environ.get('CXX', 'c++')}", *FLAGS, *sources]
    text = "\n".join(lines) + "\n"
    path = ROOT / "build" / "configuration.txt"
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return True


class Build(BuildExtension):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = False  # torch asks ninja, and links, even where nothing changed

    def build_extensions(self) -> None:
        check_cuda()
        check_machine()
        for extension in self.extensions:
            if configuration_changed(extension.sources):
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        try:
            super().build_extensions()
        except RuntimeError as error:
            stop(f"the build failed, its messages stand above ({error}); mend the first of them.")


os.chdir(ROOT)
extension = CppExtension(
    "cnnkern._C",
    sorted(str(path) for path in Path("csrc").rglob("*.cpp")),
    # Without these setuptools takes an extension whose headers changed for finished.
    depends=["setup.py", *sorted(str(path) for path in Path("csrc").rglob("*.h"))],
    extra_compile_args=FLAGS + WARNINGS,
    extra_link_args=["-fopenmp"],
)
setup(ext_modules=[extension], cmdclass={"build_ext": Build})
