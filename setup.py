# SPDX-License-Identifier: BSD-3-Clause
"""Builds the extension cnnkern._C from csrc; everything else stands in pyproject.toml.

Environment: CXX, MAX_JOBS, CNNKERN_CUDA (auto, 0 or 1), CUDA_HOME, CNNKERN_TOOLKIT (any or pypi).
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

import setuptools
from setuptools import setup


def stop(reason: str) -> None:
    raise SystemExit(f"cnnkern: {reason}")


if sys.version_info < (3, 10):  # noqa: UP036 (without pip nobody else has asked)
    stop(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}; call a newer one.")
try:
    import torch
    from torch.utils import cpp_extension
    from torch.utils.cpp_extension import BuildExtension, CppExtension
except ImportError as error:
    stop(
        f"torch cannot be imported ({error}); run `make build`, which installs it, or "
        "`pip install torch` and then `pip install --no-build-isolation .`"
    )

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
import cuda_toolkit  # noqa: E402 (of this folder, which pip does not put on the path)

BUILD_BYTES = 300 << 20
FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fopenmp", "-fvisibility=hidden"]
WARNINGS = ["-Wall", "-Wno-psabi", "-Wno-unknown-pragmas"]
NVCC_FLAGS = [
    "-O3",
    "-std=c++20",
    "-Xcompiler=-fvisibility=hidden",
    # Machine code of Ampere runs on Ada too; its PTX serves whatever comes after Hopper.
    "-gencode=arch=compute_80,code=[sm_80,compute_80]",
    "-gencode=arch=compute_90a,code=sm_90a",
]


def find_toolkit() -> "cuda_toolkit.Toolkit | None":
    """What to build CUDA with; None: not at all."""
    try:
        if not cuda_toolkit.is_asked_for():
            return None
        return cuda_toolkit.find(torch.version.cuda)
    except cuda_toolkit.BadSetting as error:
        stop(str(error))
    except cuda_toolkit.NoToolkit as error:
        if cuda_toolkit.choice() == "1":
            stop(f"CNNKERN_CUDA=1 asks for CUDA, but {error}")
        if cuda_toolkit.has_driver():
            print(f"cnnkern: this build has CPU kernels only: {error}", file=sys.stderr)
    return None


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


def host_compiler() -> list[str]:
    """nvcc's, where another one than g++ is named."""
    words = [word for word in os.environ.get("CXX", "").split() if "cache" not in word]
    return ["-ccbin", words[0]] if words else []


def configuration_changed(extension: CppExtension) -> bool:
    """Sees what no file's date tells: another torch, compiler or flag, a source that is gone."""
    flags = extension.extra_compile_args
    lines = [f"torch {torch.__version__}", f"CXX {os.environ.get('CXX', 'c++')}"]
    lines += [*flags["cxx"], *flags["nvcc"], *extension.extra_link_args, *extension.sources]
    text = "\n".join(lines) + "\n"
    path = ROOT / "build" / "configuration.txt"
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return True


def remove_stale_objects(folder: Path) -> None:
    """Removes the objects of .cu files whose headers changed, which torch's ninja rule only knows
    where torch itself has CUDA."""
    for note in folder.rglob("*.cu.o.d"):
        target = note.with_suffix("")
        headers = shlex.split(note.read_text().partition(" : ")[2].replace("\\\n", " "))
        if not target.exists():
            continue
        built = target.stat().st_mtime
        # A compiler cache writes paths relative to where the compiler runs.
        paths = [folder / header for header in headers]
        if not all(path.exists() and path.stat().st_mtime <= built for path in paths):
            target.unlink()


class Build(BuildExtension):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = False  # torch asks ninja, and links, even where nothing changed

    def build_extensions(self) -> None:
        check_machine()
        for extension in self.extensions:
            if configuration_changed(extension):
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        remove_stale_objects(Path(self.build_temp))
        self._name_objects_of_cuda_apart()
        try:
            super().build_extensions()
        except RuntimeError as error:
            stop(f"the build failed, its messages stand above ({error}); mend the first of them.")

    def _name_objects_of_cuda_apart(self) -> None:
        # conv.cu beside conv.cpp gives conv.cu.o beside conv.o.
        name = self.compiler.object_filenames

        def object_filenames(sources, *arguments, **options):
            objects = name(sources, *arguments, **options)
            pairs = zip(sources, objects, strict=True)
            return [o[:-2] + ".cu.o" if s.endswith(".cu") else o for s, o in pairs]

        self.compiler.object_filenames = object_filenames


class WithoutMetadata(setuptools.Distribution):
    """Reads no pyproject.toml, of which an extension built in place needs nothing."""

    def parse_config_files(self, *arguments: object, **options: object) -> None:
        pass


def distribution() -> dict[str, type]:
    # setuptools before 77 refuses how pyproject.toml states the license.
    old = int(setuptools.__version__.split(".")[0]) < 77
    return {"distclass": WithoutMetadata} if old and "build_ext" in sys.argv else {}


def files(*patterns: str) -> list[str]:
    """Those of csrc without the emulator, which only tests build."""
    found = [path for pattern in patterns for path in sorted(Path("csrc").rglob(pattern))]
    return [str(path) for path in found if "simt" not in path.parts]


def make_extension(toolkit: "cuda_toolkit.Toolkit | None") -> CppExtension:
    cxx = [*FLAGS, *WARNINGS, f"-DCNNKERN_CUDA={int(toolkit is not None)}"]
    nvcc: list[str] = []
    link = ["-fopenmp"]
    if toolkit is not None:
        # torch looks for a toolkit only where it has CUDA itself.
        cpp_extension.CUDA_HOME = str(toolkit.home)
        wrapper = [sys.executable, str(ROOT / "tools" / "nvcc_logged.py"), str(toolkit.nvcc)]
        os.environ["PYTORCH_NVCC"] = shlex.join(wrapper)
        cxx += ["-isystem", str(toolkit.include)]
        # The version stands in the command so that another compiler means another object.
        nvcc = [*NVCC_FLAGS, f"-DCNNKERN_NVCC={toolkit.version}", *host_compiler()]
        link += [f"-L{toolkit.library}", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
        link += ["-Wl,--exclude-libs,ALL"]
    return CppExtension(
        "cnnkern._C",
        [*files("*.cpp"), *(files("*.cu") if toolkit else [])],
        # Without these setuptools takes an extension whose headers changed for finished, and a
        # source distribution made without CUDA has no kernels.
        depends=[
            "setup.py",
            "requirements-cuda.txt",
            "tools/cuda_toolkit.py",
            "tools/nvcc_logged.py",
            *files("*.h", "*.cu"),
        ],
        extra_compile_args={"cxx": cxx, "nvcc": nvcc},
        extra_link_args=link,
    )


os.chdir(ROOT)
setup(ext_modules=[make_extension(find_toolkit())], cmdclass={"build_ext": Build}, **distribution())
