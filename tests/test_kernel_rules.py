# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel must not do where a compiler would let it: read from the sources.

Each rule keeps a kernel within what the emulator sees, what a graph captures, or what gives the
same bits every time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CUDA = Path(__file__).resolve().parent.parent / "csrc" / "cuda"
SOURCES = sorted(p for p in CUDA.rglob("*") if p.suffix in (".cu", ".cuh", ".h", ".cpp"))
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)

# What must not stand in csrc/cuda, why, and the files that may hold it all the same.
FORBIDDEN = {
    r"\basm\b": ("PTX outside arch/ has no model", lambda p: p.parent.name == "arch"),
    r"__shared__": ("shared memory comes from CK_SMEM", lambda p: p.name == "launch.h"),
    r"<<<": ("kernels start by launch()", lambda p: p.name == "launch.h"),
    r"\bmem(cpy|set|move)\b": ("the emulator does not see it", lambda p: p.parent.name == "arch"),
    # A maximum of integers is the same in every order.
    r"\batomic(?!Max\(claims)\w+\(": (
        "the order of atomics is not repeatable",
        lambda p: False,
    ),
    r"\bvolatile\b|__threadfence": (
        "blocks do not wait for each other",
        lambda p: p.parent.name == "arch",
    ),
    r"cuda(Malloc|Free|DeviceSynchronize|StreamSynchronize|Memcpy)\w*": (
        "a graph cannot capture it",
        lambda p: False,
    ),
    r"#include <(torch|ATen|c10)/": ("kernels know no torch", lambda p: False),
    r"\bprintf\(": ("a kernel does not print", lambda p: False),
}


def code_of(path: Path) -> str:
    return COMMENT.sub("", path.read_text())


def device_code_of(path: Path) -> str:
    """The same, without exits of which the source says that all threads of a block take them."""
    return COMMENT.sub("", re.sub(r"\breturn;\s*// the whole block[^\n]*", "", path.read_text()))


def bodies(code: str) -> Iterator[str]:
    """The body of every device function, nested braces and all."""
    for found in re.finditer(r"__(?:global|device)__", code):
        start = code.find("{", found.end())
        if start < 0 or ";" in code[found.end() : start]:
            continue
        depth, end = 1, start + 1
        while depth and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        yield code[start:end]


def returns_before_a_barrier(code: str) -> list[str]:
    """Bodies in which a thread may leave while others still meet at a barrier."""
    guilty = []
    for body in bodies(code):
        last = max(body.rfind("__syncthreads()"), body.rfind("__syncwarp("))
        # A lambda's return leaves the lambda.
        outside = re.sub(r"\[[&=]?\][^{;]*\{[^{}]*\}", "", body[:last] if last > 0 else "")
        if re.search(r"\breturn\s*;", outside):
            guilty.append(body[:120])
    return guilty


def test_there_are_kernels() -> None:
    assert any("__global__" in code_of(path) for path in SOURCES)


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=str)
def test_nothing_forbidden(pattern: str) -> None:
    reason, allowed = FORBIDDEN[pattern]
    for path in SOURCES:
        found = re.search(pattern, code_of(path))
        assert not found or allowed(path), f"{path.name}: {found.group()!r}: {reason}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_no_thread_leaves_before_a_barrier(path: Path) -> None:
    assert not returns_before_a_barrier(device_code_of(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_kernels_start_by_launch(path: Path) -> None:
    code = code_of(path)
    for name in re.findall(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)", code):
        assert not re.search(rf"\b{name}\s*<<<", code)


def test_the_rules_see_what_they_forbid() -> None:
    wrong = """
    __global__ void f(int n) {
      if (threadIdx.x >= n) return;
      __syncthreads();
    }"""
    right = """
    __global__ void f(int n) {
      auto g = [&](int i) { return; };
      __syncthreads();
      if (threadIdx.x >= n) return;
    }"""
    assert returns_before_a_barrier(wrong)
    assert not returns_before_a_barrier(right)
    for pattern, text in {
        r"\basm\b": 'asm volatile("bar.sync 0;");',
        r"__shared__": "__shared__ float tile[32];",
        r"<<<": "f<<<1, 32>>>(x);",
        r"\batomic(?!Max\(claims)\w+\(": "atomicAdd(sum, 1.f); atomicMax(x, y);",
    }.items():
        assert pattern in FORBIDDEN
        assert re.search(pattern, COMMENT.sub("", text))
