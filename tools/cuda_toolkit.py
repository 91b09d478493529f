#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Finds the CUDA toolkit that the extension is built with, and installs one where none is.

    python tools/cuda_toolkit.py      # what `make build` does before it builds

A toolkit is PyPI packages in the environment (requirements-cuda.txt) as well as an installation.
Environment: CNNKERN_CUDA (auto, 0, 1), CNNKERN_TOOLKIT (any, or pypi: the packages only),
CUDA_HOME.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements-cuda.txt"
PYPI_MAJOR = "13"  # of requirements-cuda.txt; a torch without CUDA gets the same
INSTALLED_MIB = 400

# Files that a build needs, and the package of PyPI that has each.
HEADERS = {
    "cuda_runtime.h": "nvidia-cuda-runtime",
    "crt/host_config.h": "nvidia-cuda-crt",
    "nv/target": "nvidia-cuda-cccl",
}
STATIC_RUNTIME = "libcudart_static.a"


class NoToolkit(Exception):
    """Why there is none to build with: the rest of a sentence."""


class BadSetting(Exception):
    """An environment variable with a value that means nothing: a sentence."""


@dataclass(frozen=True)
class Toolkit:
    nvcc: Path
    home: Path
    version: str

    @property
    def include(self) -> Path:
        return self._folder(self.home, "include", "targets/*/include", has="cuda_runtime.h")

    @property
    def library(self) -> Path:
        return self._folder(self.home, "lib64", "lib", "targets/*/lib", has=STATIC_RUNTIME)

    def check(self) -> None:
        """Raise NoToolkit where a part is missing."""
        parts = {name: [self.include / name] for name in HEADERS}
        parts["nv/target"].append(self.include / "cccl" / "nv" / "target")
        parts[STATIC_RUNTIME] = [self.library / STATIC_RUNTIME]
        for name, places in parts.items():
            if not any(place.exists() for place in places):
                package = HEADERS.get(name, "nvidia-cuda-runtime")
                raise NoToolkit(
                    f"the CUDA toolkit {self.version} in {self.home} has no {name} (PyPI: "
                    f"{package}); complete it, or name another one in CUDA_HOME."
                )

    @staticmethod
    def _folder(home: Path, *patterns: str, has: str) -> Path:
        folders = [folder for pattern in patterns for folder in sorted(home.glob(pattern))]
        return next((f for f in folders if (f / has).exists()), home / patterns[0])


def choice() -> str:
    """CNNKERN_CUDA: auto, 0 or 1."""
    value = os.environ.get("CNNKERN_CUDA", "auto")
    if value not in ("auto", "0", "1"):
        raise BadSetting(f"CNNKERN_CUDA must be auto, 0 or 1, got {value!r}.")
    return value


def only_pypi() -> bool:
    value = os.environ.get("CNNKERN_TOOLKIT", "any")
    if value not in ("any", "pypi"):
        raise BadSetting(f"CNNKERN_TOOLKIT must be any or pypi, got {value!r}.")
    return value == "pypi"


def is_asked_for() -> bool:
    """Whether a build should look for a toolkit at all."""
    return choice() != "0"


def find(torch_cuda: str | None) -> Toolkit:
    """The toolkit of the CUDA major that torch was built with (None: built without CUDA)."""
    major = torch_cuda.split(".")[0] if torch_cuda else PYPI_MAJOR
    found = []
    for nvcc in _compilers(major):
        toolkit = _toolkit(nvcc)
        if toolkit is None:
            continue
        if toolkit.version.split(".")[0] == major:
            toolkit.check()
            return toolkit
        found.append(toolkit)
    remedy = f"install CUDA {major} and name its folder in CUDA_HOME"
    if major == PYPI_MAJOR:
        remedy = "`pip install -r requirements-cuda.txt` (`make build` does so) or " + remedy
    if found:
        needs = f"torch is of CUDA {torch_cuda}" if torch_cuda else "this version is tested with"
        raise NoToolkit(
            f"{found[0].nvcc} is of CUDA {found[0].version}, but {needs}"
            f"{'' if torch_cuda else f' CUDA {major}'}; {remedy}."
        )
    places = "the environment's packages"
    if not only_pypi():
        places = f"CUDA_HOME, {places}, PATH or /usr/local/cuda"
    raise NoToolkit(f"there is no nvcc in {places}; {remedy}.")


def _compilers(major: str) -> list[Path]:
    """Where an nvcc may be, the first choice first."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia" / f"cu{major}"
    if only_pypi():
        return [packages / "bin" / "nvcc"]
    named = [os.environ[n] for n in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(n)]
    homes = [*map(Path, named), packages]
    on_path = shutil.which("nvcc")
    paths = [home / "bin" / "nvcc" for home in homes]
    return [*paths, *([Path(on_path)] if on_path else []), Path("/usr/local/cuda/bin/nvcc")]


def _toolkit(nvcc: Path) -> Toolkit | None:
    if not nvcc.is_file():
        return None
    stated = re.search(r"\bV(\d+\.\d+\.\d+)", _output(str(nvcc), "--version"))
    if stated is None:
        return None
    # nvcc on PATH may be a link or a script: it knows best where its parts are.
    dry = _output(str(nvcc), "--dryrun", "-c", "-x", "cu", "/dev/null", "-o", "/dev/null")
    here = re.search(r"^#\$ _HERE_=(.+)$", dry, re.MULTILINE)
    folder = Path(here[1]) if here else nvcc.resolve().parent
    return Toolkit(nvcc, folder.parent, stated[1])


def _output(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return result.stdout + result.stderr


def has_driver() -> bool:
    if Path("/proc/driver/nvidia/version").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def torch_cuda() -> str | None:
    """torch.version.cuda, without the seconds that `import torch` takes."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text()
    stated = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return stated[1] if stated else None


def missing_packages() -> list[str]:
    """The lines of requirements-cuda.txt that this environment does not meet."""
    lines = REQUIREMENTS.read_text().splitlines()
    pins = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [pin for pin in pins if not _is_met(*pin.split("=="))]


def _is_met(name: str, version: str) -> bool:
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    if installed == version:
        return True
    # A torch with CUDA brings its own runtime, and needs that version.
    try:
        needs = metadata.requires("torch") or []
    except metadata.PackageNotFoundError:
        return False
    return any(re.match(re.escape(name) + r"\b(?!-)", need) for need in needs)


def install() -> None:
    """Install the packages where CUDA is wanted and no other toolkit serves."""
    if choice() == "0":
        return
    if choice() == "auto" and not has_driver():
        return
    cuda = torch_cuda()
    if (cuda or PYPI_MAJOR).split(".")[0] != PYPI_MAJOR:
        return  # setup.py says what to do
    if not only_pypi():
        try:
            find(cuda)
            return
        except NoToolkit:
            pass
    pins = missing_packages()
    if not pins:
        return
    free = shutil.disk_usage(sysconfig.get_path("purelib")).free >> 20
    if free < INSTALLED_MIB:
        raise NoToolkit(
            f"the CUDA compiler needs {INSTALLED_MIB} MiB of disk, {free} MiB are free; make room "
            "and run it again, or build for the CPU alone: CNNKERN_CUDA=0."
        )
    print("Installing the CUDA compiler: once, about half a minute", flush=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([*pip, "--no-input", *pins], check=False).returncode:
        raise NoToolkit(
            "pip could not install the packages of requirements-cuda.txt, its messages stand "
            "above; mend that (network, disk), or build for the CPU alone: CNNKERN_CUDA=0."
        )


def main() -> int:
    try:
        install()
    except BadSetting as error:
        print(f"cnnkern: {error}", file=sys.stderr)
        return 1
    except NoToolkit as error:
        # Where nobody asked for CUDA the CPU's kernels are better than none.
        asked = choice() == "1"
        without = "" if asked else "this build has CPU kernels only: "
        print(f"cnnkern: {without}{error}", file=sys.stderr)
        return int(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
