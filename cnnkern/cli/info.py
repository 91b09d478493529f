# SPDX-License-Identifier: BSD-3-Clause
"""Says what was built and what this machine offers; with --json for a bug report."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import cnnkern
from cnnkern import _C
from cnnkern.benchmark.machine import device_name
from cnnkern.explanation import _aligned, _binary
from cnnkern.testing.variants import DTYPES

HELP = "what was built and what this machine offers"

# Between them they are served by every algorithm in every direction that it has.
PROBES = {
    "conv": ("conv2d 2x8x9x9 8x8x3x3", "conv2d 2x8x9x9 8x1x3x3"),
    "conv_transpose": (
        "conv_transpose2d 2x8x9x9 8x8x3x3",
        "conv_transpose2d 2x8x9x9 8x1x3x3 groups=8",
    ),
    "max_pool": ("max_pool2d 2x8x9x9 kernel=3",),
    "avg_pool": ("avg_pool2d 2x8x9x9 kernel=3",),
}
PACKAGES = ("numpy", "rich", "matplotlib", "plotly", "jinja2", "scipy", "hypothesis", "mlxtend",
            "torchvision")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> int:
    facts = collect()
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_text(facts)))
    return 0


def collect() -> dict[str, Any]:
    """Everything that ``cnnkern info`` says, of types that JSON has."""
    built = _C.info()
    return {
        "cnnkern": {"version": built["version"], "path": str(Path(cnnkern.__file__).parent)},
        "build": {
            "compiler": built["compiler"],
            "torch": built["torch"],
            "openmp": built["openmp"],
            "cuda": built.get("cuda_runtime"),
            "cuda_architectures": list(built.get("cuda_architectures", ())),
        },
        "cpu": {
            "model": device_name("cpu"),
            "cores": len(os.sched_getaffinity(0)),
            "threads": built["threads"],
            "instruction_set": built["isa"],
            "instruction_sets": list(built["isas"]),
        },
        "gpus": list(_gpus()),
        "torch": {
            "version": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": _cudnn(),
            "onednn": _onednn(),
        },
        "python": {"version": platform.python_version(), "system": platform.platform()},
        "plan_file": _C.plan_file(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("CNNKERN_")},
        "packages": {name: _version(name) for name in PACKAGES},
        "algorithms": list(_algorithms(bool(built["cuda"]))),
    }


def _algorithms(cuda: bool) -> Iterator[dict[str, Any]]:
    """Which algorithm serves which directions by dtype, as the plans of some problems say."""
    devices = {"cpu": "cpu"} | ({"cuda": "H200"} if cuda else {})
    for kind, device in devices.items():
        for operator, texts in PROBES.items():
            found: dict[str, dict[str, list[str]]] = {}
            for dtype in DTYPES:
                for text in texts:
                    for algorithm, direction in _serving(f"{text} dtype={dtype}", device):
                        directions = found.setdefault(algorithm, {}).setdefault(dtype, [])
                        if direction not in directions:
                            directions.append(direction)
            for algorithm, dtypes in found.items():
                yield {
                    "device": kind,
                    "operator": operator,
                    "algorithm": algorithm,
                    "directions": dtypes,
                }


def _serving(text: str, device: str) -> Iterator[tuple[str, str]]:
    problem = _C.parse(text)
    for direction in problem.directions():
        chosen = _C.plan(problem, direction, device=device)
        for name in sorted([chosen.algorithm, *(name for name, _ in chosen.refused)]):
            try:
                _C.plan(problem, direction, name, device=device)
            except RuntimeError:
                continue
            yield name, direction


def _gpus() -> Iterator[dict[str, Any]]:
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        yield {
            "name": facts.name,
            "capability": f"{facts.major}.{facts.minor}",
            "multiprocessors": facts.multi_processor_count,
            "memory_bytes": facts.total_memory,
        }


def _cudnn() -> int | None:
    cudnn: Any = torch.backends.cudnn
    return cudnn.version() if cudnn.is_available() else None


def _onednn() -> str | None:
    # Named as it was called before oneDNN.
    found = re.search(r"MKL-DNN v([\w.]+)", torch.__config__.show())
    return found[1] if found else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(facts: dict[str, Any]) -> Iterator[str]:
    for section in ("cnnkern", "build", "cpu", "torch", "python"):
        named = {name.replace("_", " "): value for name, value in facts[section].items()}
        yield from _section(section, named)
    for number, gpu in enumerate(facts["gpus"]):
        memory = {"memory": _binary(gpu["memory_bytes"])}
        kept = {name: value for name, value in gpu.items() if name != "memory_bytes"}
        yield from _section(f"gpu {number}", kept | memory)
    if not facts["gpus"]:
        yield from _section("gpu", {})
    plans = facts["plan_file"] or {"plans": {}}
    counts = {f"plans for {device}": count for device, count in plans["plans"].items()}
    path = {name: value for name, value in plans.items() if name == "path"}
    yield from _section("plan file", path | counts)
    yield from _section("environment", facts["environment"])
    yield from _section("packages", facts["packages"])
    yield "algorithms"
    rows = [
        (row["device"], row["operator"], row["algorithm"], dtypes, directions)
        for row in facts["algorithms"]
        for directions, dtypes in _by_directions(row["directions"])
    ]
    yield from ("  " + line for line in _aligned(rows))


def _by_directions(dtypes: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """The directions and, with commas between, the dtypes that have just these."""
    found: dict[str, list[str]] = {}
    for dtype, directions in dtypes.items():
        found.setdefault(", ".join(directions), []).append(dtype)
    for text, names in found.items():
        yield text, "every dtype" if names == list(DTYPES) else ", ".join(names)


def _section(title: str, facts: dict[str, Any]) -> Iterator[str]:
    rows = [(name, _value(value)) for name, value in facts.items()]
    yield title
    yield from ("  " + line for line in _aligned(rows or [("none",)]))
    yield ""


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
