# SPDX-License-Identifier: BSD-3-Clause
"""The build of CUDA: which toolkit it takes, what a changed header rebuilds, what `make sass` holds
the kernels to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cnnkern

ROOT = Path(cnnkern.__file__).parents[1]
FILES = ("setup.py", "pyproject.toml", "requirements-cuda.txt", "README.md", "LICENSE")
sys.path.insert(0, str(ROOT / "tools"))
import cuda_toolkit  # noqa: E402
import sass  # noqa: E402
import sass_objects  # noqa: E402
from cuda_toolkit import NoToolkit  # noqa: E402
from sass_objects import Kernel, Report  # noqa: E402

MODULE = """
#include <Python.h>
#if CNNKERN_CUDA
int value();
#else
int value() { return -1; }
#endif
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1};
PyMODINIT_FUNC PyInit__C() {
  PyObject* module = PyModule_Create(&definition);
  PyModule_AddIntConstant(module, "value", value());
  return module;
}
"""
KERNELS = """
#include "value.h"
namespace {
template <class T>
__global__ void __launch_bounds__(256) scale(T* x, T a) { x[threadIdx.x] *= a; }
__global__ void __launch_bounds__(64) wide(float4* x, const float4* y) { x[threadIdx.x] = *y; }
__global__ void __launch_bounds__(1024, 2) spilling(float* x) {
  float v[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) v[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 96; ++i) x[i * 1024 + threadIdx.x] = v[i] * v[(i * 7 + 5) % 96];
}
}  // namespace
int value() {
  scale<double><<<1, 256>>>(nullptr, 1);
  wide<<<1, 64>>>(nullptr, nullptr);
  spilling<<<1, 1024>>>(nullptr);
  return VALUE;
}
"""


def toolkit_or_skip() -> cuda_toolkit.Toolkit:
    try:
        return cuda_toolkit.find(torch.version.cuda)
    except NoToolkit as error:
        pytest.skip(str(error))


def fake_nvcc(home: Path, version: str) -> Path:
    nvcc = home / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo "release, V{version}";; esac\n'
        f'echo "#\\$ _HERE_={nvcc.parent}" >&2\n'
    )
    nvcc.chmod(0o755)
    return nvcc


def complete(home: Path) -> None:
    for name in ("include/cuda_runtime.h", "include/crt/host_config.h", "include/cccl/nv/target",
                 "lib/libcudart_static.a"):  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    """Leaves no nvcc to be found but these."""

    def leave(*compilers: Path) -> None:
        monkeypatch.setattr(cuda_toolkit, "_compilers", lambda major: list(compilers))

    return leave


def test_toolkit_of_torchs_major_is_taken(tmp_path: Path, only) -> None:
    old, new = fake_nvcc(tmp_path / "old", "12.4.131"), fake_nvcc(tmp_path / "new", "13.1.20")
    complete(tmp_path / "old")
    complete(tmp_path / "new")
    only(tmp_path / "nowhere" / "nvcc", old, new)
    found = cuda_toolkit.find("13.0")
    assert (found.nvcc, found.home, found.version) == (new, tmp_path / "new", "13.1.20")
    assert found.library == tmp_path / "new" / "lib"
    assert cuda_toolkit.find(None) == found
    assert cuda_toolkit.find("12.6").nvcc == old


def test_no_toolkit_is_said_with_what_to_do(tmp_path: Path, only) -> None:
    only(tmp_path / "nvcc")
    with pytest.raises(NoToolkit, match=r"^there is no nvcc in .*requirements-cuda.txt.*CUDA_HOME"):
        cuda_toolkit.find(None)
    with pytest.raises(NoToolkit, match=r"^there is no nvcc in .*; install CUDA 12 and name"):
        cuda_toolkit.find("12.8")


def test_another_major_is_said_with_both(tmp_path: Path, only) -> None:
    only(fake_nvcc(tmp_path, "12.4.131"))
    with pytest.raises(NoToolkit, match=r"nvcc is of CUDA 12.4.131, but torch is of CUDA 13.0; "):
        cuda_toolkit.find("13.0")
    with pytest.raises(NoToolkit, match=r"but this version is tested with CUDA 13; "):
        cuda_toolkit.find(None)


@pytest.mark.parametrize(
    ("part", "package"),
    [
        ("include/cuda_runtime.h", "nvidia-cuda-runtime"),
        ("include/crt/host_config.h", "nvidia-cuda-crt"),
        ("include/cccl/nv/target", "nvidia-cuda-cccl"),
        ("lib/libcudart_static.a", "nvidia-cuda-runtime"),
    ],
)
def test_missing_part_is_named(tmp_path: Path, only, part: str, package: str) -> None:
    only(fake_nvcc(tmp_path, "13.0.88"))
    complete(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(NoToolkit, match=rf"has no .*{Path(part).name} \(PyPI: {package}\)"):
        cuda_toolkit.find(None)


def test_packages_are_installed_where_cuda_is_wanted(
    tmp_path: Path, only, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def pip(command, **_):
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    def install(choice: str, *, driver: bool) -> int:
        calls.clear()
        monkeypatch.setenv("CNNKERN_CUDA", choice)
        monkeypatch.setattr(cuda_toolkit, "has_driver", lambda: driver)
        with monkeypatch.context() as patch:
            patch.setattr(cuda_toolkit.subprocess, "run", pip)
            patch.setattr(cuda_toolkit, "missing_packages", lambda: ["nvidia-cuda-nvcc==13.0.88"])
            cuda_toolkit.install()
        return len(calls)

    monkeypatch.setenv("CNNKERN_TOOLKIT", "any")
    monkeypatch.setattr(cuda_toolkit, "torch_cuda", lambda: None)
    only()
    assert install("0", driver=True) == 0
    assert install("auto", driver=False) == 0
    assert install("auto", driver=True) == 1
    assert install("1", driver=False) == 1
    assert calls[0][-1] == "nvidia-cuda-nvcc==13.0.88"
    monkeypatch.setattr(cuda_toolkit, "find", lambda cuda: None)
    assert install("1", driver=True) == 0
    monkeypatch.setenv("CNNKERN_TOOLKIT", "pypi")
    assert install("1", driver=True) == 1


@pytest.mark.parametrize(("choice", "status"), [("1", 1), ("auto", 0)])
def test_failed_installation_stops_only_who_asked(
    only, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], choice, status
) -> None:
    only()
    monkeypatch.setenv("CNNKERN_CUDA", choice)
    monkeypatch.setattr(cuda_toolkit, "has_driver", lambda: True)
    monkeypatch.setattr(cuda_toolkit, "missing_packages", lambda: ["nvidia-cuda-nvcc==0"])
    monkeypatch.setattr(cuda_toolkit, "INSTALLED_MIB", 1 << 40)
    monkeypatch.setattr(cuda_toolkit, "torch_cuda", lambda: "13.0")
    assert cuda_toolkit.main() == status
    error = capsys.readouterr().err
    assert "the CUDA compiler needs " in error
    assert ("CPU kernels only" in error) is (choice == "auto")


def test_torchs_cuda_is_read_without_importing_it() -> None:
    assert cuda_toolkit.torch_cuda() == torch.version.cuda


def test_short_names() -> None:
    mangled = "void cnnkern::cuda::(anonymous namespace)::pool<__half, int, (int)3, (bool)1>(int*)"
    assert sass_objects.short_name(mangled) == ("pool<half, int, 3, true>", "pool half")
    assert sass_objects.short_name("fill(float*, int)") == ("fill", "fill")


def test_occupancy() -> None:
    def kernel(registers: int, threads: int | None) -> Kernel:
        return Kernel("", "sm_80", "", registers=registers, max_threads=threads)

    assert (kernel(32, 256).blocks, kernel(32, 256).warps) == (8, 64)
    assert (kernel(128, 256).blocks, kernel(128, 256).warps) == (2, 16)
    assert (kernel(255, 384).blocks, kernel(255, 384).warps) == (0, 0)
    assert (kernel(168, 384).blocks, kernel(168, 384).warps) == (1, 12)
    assert (kernel(40, None).blocks, kernel(40, None).warps) == (None, 48)


def test_budget_names_each_excess() -> None:
    kernel = Kernel("a.cu", "sm_80", "f", "f<half, 3>", "f half", registers=40, loads={16: 2, 2: 1})
    report = Report([kernel], [], {}, "13.0.88")
    budget = sass.budget_of(report)
    assert sass.faults(report, budget) == []

    kernel.registers, kernel.stack, kernel.spill_loads, kernel.loads = 41, 8, 4, {8: 1}
    report.remarks.append("a.cu: ptxas info : (C7510) Potential Performance Loss: serialized")
    text = "\n".join(sass.faults(report, budget))
    for part in (
        "takes 41 registers, 40 are budgeted",
        "takes 8 bytes of local memory, 0 are budgeted",
        "f<half, 3> on sm_80 spills: 0 bytes of stores, 4 of loads",
        "the widest load has 8 bytes, 16 are budgeted",
        "(C7510)",
    ):
        assert part in text
    assert "f half on sm_80 is not in the budget" in sass.faults(report, {})[-1]
    # Another compiler allocates registers otherwise.
    report.nvcc = "13.2.10"
    assert "registers" not in "\n".join(sass.faults(report, budget))


@pytest.mark.slow
def test_build_rebuilds_what_changed_and_sass_finds_what_it_should(tmp_path: Path) -> None:
    toolkit = toolkit_or_skip()
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("tools", "csrc", "cnnkern", "benchmarks"):
        (tmp_path / folder).mkdir()
    for path in (ROOT / "tools").glob("*.py"):
        shutil.copy(path, tmp_path / "tools")
    sources = {"kernels.cpp": MODULE, "kernels.cu": KERNELS, "value.h": "#define VALUE 1\n"}
    for name, text in sources.items():
        (tmp_path / "csrc" / name).write_text(text)

    def python(*arguments: str, cuda: str = "1") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CNNKERN_CUDA": cuda, "CNNKERN_TOOLKIT": "any"}
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, check=False)  # fmt: skip

    def built(cuda: str = "1") -> tuple[int, str]:
        result = python("setup.py", "--quiet", "build_ext", "--inplace", cuda=cuda)
        assert result.returncode == 0, result.stdout + result.stderr
        value = python("-c", "from cnnkern._C import value; print(value)").stdout
        return int(value), result.stdout

    assert built()[0] == 1
    (target,) = tmp_path.glob("build/temp*/csrc/kernels.cu.o")
    assert built() == (1, "")

    first = target.stat().st_mtime_ns
    (tmp_path / "csrc" / "unrelated.h").touch()
    assert built()[0] == 1
    assert target.stat().st_mtime_ns == first
    (tmp_path / "csrc" / "value.h").write_text("#define VALUE 2\n")
    assert built()[0] == 2

    result = python("tools/sass.py")
    assert result.returncode == 1
    assert "spilling on sm_80 spills: " in result.stderr
    assert "spilling on sm_90a spills: " in result.stderr
    assert "scale double on sm_90a is not in the budget" in result.stderr
    assert python("tools/sass.py", "--update", "--quiet").returncode == 1  # spills stay forbidden
    stderr = python("tools/sass.py", "--quiet").stderr
    assert "wide" not in stderr
    assert "budgeted" not in stderr
    report = json.loads((tmp_path / "build" / "sass" / "report.json").read_text())
    assert report["nvcc"] == toolkit.version
    kernels = {(k["name"], k["arch"]): k for k in report["kernels"]}
    assert len(kernels) == 6
    wide = kernels["wide", "sm_90a"]
    assert (wide["loads"], wide["stores"], wide["max_threads"]) == ({"16": 1}, {"16": 1}, 64)
    assert kernels["scale<double>", "sm_80"]["counts"]["DMUL"] == 1
    assert kernels["spilling", "sm_80"]["counts"]["BAR"] == 1

    assert built("0")[0] == -1
    assert built("1")[0] == 2
