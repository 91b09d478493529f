# SPDX-License-Identifier: BSD-3-Clause
"""What may know what: read from the includes and the imports, so that it stays true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "cnnkern"

# What csrc/cuda shows to C++ that knows no CUDA.
HOST_SIDE = (
    "conv_depthwise",
    "conv_direct",
    "conv_im2col",
    "conv_im2col_blocks",
    "conv_implicit_gemm",
    "conv_implicit_gemm_cut",
    "conv_implicit_gemm_pool",
    "conv_implicit_gemm_pool_tiles",
    "launch_error",
    "max_unpool",
    "pool",
    "sizes",
    "tensors",
    "wide",
)

# A folder of csrc: the folders, or single files of them, that it may include.
MAY_INCLUDE = {
    "problem": {"problem"},
    "cpu": {"problem", "cpu"},
    "plan": {
        "problem",
        "plan",
        "cpu/isa.h",
        "cpu/conv.h",
        "cpu/conv_blocking.h",
        "cpu/conv_pixels.h",
        "cpu/conv_winograd.h",
        "cuda/conv_direct.h",
        "cuda/conv_depthwise.h",
        "cuda/conv_im2col_blocks.h",
        "cuda/conv_implicit_gemm.h",
        "cuda/conv_implicit_gemm_cut.h",
    },
    "ops": {
        "problem",
        "plan",
        "ops",
        "cpu/parallel.h",
        "cpu/conv.h",
        "cpu/huge_pages.h",
        "cpu/max_unpool.h",
        "cpu/pool.h",
    }
    | {f"cuda/{name}.h" for name in HOST_SIDE}
    | {"simt/simt.h"},  # the tensors of an emulated device
    "python": {
        "problem",
        "plan",
        "ops",
        "python",
        "cpu/flops.h",
        "cpu/huge_pages.h",
        "cpu/isa.h",
    },
    "cuda": {"problem", "cuda", "simt"},  # simt in place of nvcc
    "simt": {
        "simt",
        "cuda/conv_direct.h",
        "cuda/conv_implicit_gemm_cut.h",
        "cuda/max_unpool.h",
        "cuda/wide.h",
        "ops/cuda_implicit_gemm.h",
        "ops/cuda_operators.h",
        "ops/cuda_workspace.h",
    },
}
WITHOUT_TORCH = {"problem", "cpu", "plan", "cuda"}
OF_TORCH = re.compile(r"(torch|ATen|c10|pybind11|caffe2)/|Python\.h")

# A module of the package may import those of its own layer and of lower ones.
LAYERS = [
    {"_C"},
    {"functional"},
    {"autograd", "nn", "vmap", "dtensor", "onnx"},
    {"problem", "explanation", "plans", "device_table"},
    {"convert", "coverage", "fuse", "override", "use"},
    {"testing"},
    {"benchmark"},
    {"cli", "demo", "__main__"},
]


def sources(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix in (".cpp", ".h", ".cu", ".cuh")
    )


def includes(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file includes, and whether it is ours."""
    text = path.read_text()
    for quoted, angled in re.findall(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', text, re.M):
        yield quoted or angled, bool(quoted)


@pytest.mark.parametrize("folder", sorted(MAY_INCLUDE))
def test_includes_follow_the_arrows(folder: str) -> None:
    files = sources(CSRC / folder)
    assert files
    for path in files:
        for name, ours in includes(path):
            if not ours:
                assert folder not in WITHOUT_TORCH or not OF_TORCH.match(name), f"{path}: <{name}>"
                continue
            target = (path.parent / name).resolve()
            assert target.is_file(), f"{path}: {name} is no file beside it"
            inner = target.relative_to(CSRC)
            allowed = MAY_INCLUDE[folder]
            assert inner.parts[0] in allowed or inner.as_posix() in allowed, f"{path}: {name}"


def test_every_folder_of_csrc_has_its_arrows() -> None:
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(MAY_INCLUDE)
    assert not [path for path in sources(CSRC) if path.parent == CSRC]


def test_pybind11_is_in_one_file_and_the_slow_header_in_none() -> None:
    names = {path.name: [name for name, _ in includes(path)] for path in sources(CSRC)}
    users = {
        path.relative_to(CSRC).as_posix()
        for path in sources(CSRC)
        if any(name.startswith("pybind11/") for name, _ in includes(path))
    }
    assert users == {"python/module.cpp", "simt/module.cpp"}
    assert not [file for file, of in names.items() if "torch/extension.h" in of]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The modules of cnnkern that a file imports: "nn", or "" for the package itself."""
    inside = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = inside[:-1]  # of the file, also where it is an __init__
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] if len(base) == 1 else base for alias in node.names]
        else:
            continue
        for parts in names:
            if parts[0] == "cnnkern":
                yield parts[1] if len(parts) > 1 else ""


def layer_of(name: str) -> int:
    for number, layer in enumerate(LAYERS):
        if name in layer:
            return number
    pytest.fail(f"cnnkern.{name} has no layer yet")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path: Path) -> None:
    name = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if name == "__init__":
        return
    own = layer_of(name)
    for other in imported(path):
        # Only what stands on top may know the whole.
        assert (own == len(LAYERS) - 1) if other == "" else (layer_of(other) <= own), other
