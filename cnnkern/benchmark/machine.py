# SPDX-License-Identifier: BSD-3-Clause
"""Where a measurement comes from: device, versions, commit, load, temperature."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from .. import _C

__all__ = ["device_name", "machine", "state"]

_FLAGS = re.compile(r"\b(sse4_2|avx\w*|fma|f16c|amx\w*)\b")
_VARIABLES = re.compile(
    r"(CNNKERN|OMP|MKL|DNNL|ONEDNN|KMP|THP|TORCH|CUDA|NVIDIA|MALLOC)_|LD_PRELOAD|GLIBC_TUNABLES"
)
_HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage"


def device_name(device: str) -> str:
    """In words: the GPU's name, or the processor's."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return _cpu_fact("model name") or platform.processor() or platform.machine()


def machine(device: str) -> dict[str, Any]:
    """What stays the same during a run."""
    info = _C.info()
    facts: dict[str, Any] = {
        "device": device_name(device),
        "kind": device.split(":", maxsplit=1)[0],
        "cpu": device_name("cpu"),
        "cpu_flags": sorted(set(_FLAGS.findall(_cpu_fact("flags")))),
        "isa": info["isa"],
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "huge_pages": _word_in_brackets(f"{_HUGE_PAGES}/enabled"),
        "huge_pages_defrag": _word_in_brackets(f"{_HUGE_PAGES}/defrag"),
        "huge_pages_from": info["huge_pages_from"],
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cnnkern": info["version"],
        "compiler": info["compiler"],
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "environment": {k: v for k, v in sorted(os.environ.items()) if _VARIABLES.match(k)},
    }
    if facts["kind"] == "cuda":
        p = torch.cuda.get_device_properties(device)
        cudnn: Any = torch.backends.cudnn
        facts |= {
            "capability": f"{p.major}.{p.minor}",
            "multiprocessors": p.multi_processor_count,
            "memory_bytes": p.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": cudnn.version(),
            "driver": _nvidia("driver_version"),
        }
    return facts


def state(device: str) -> dict[str, Any]:
    """What changes: load, other programs, temperature; to be taken before and after a run."""
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 2), "running": _others_running()}
    if device.startswith("cuda"):
        asked = ("temperature.gpu", "clocks.sm", "clocks.mem", "power.draw")
        return found | {name: _nvidia(name) for name in asked}
    degrees = [_number(p) / 1000 for p in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    clocks = [float(f) for f in re.findall(r"cpu MHz\s*: ([\d.]+)", _read("/proc/cpuinfo"))]
    if any(degrees):
        found["celsius"] = max(degrees)
    if clocks:
        found["mhz"] = round(max(clocks))
    return found


def _others_running() -> float:
    """Threads of other programs that run at this moment, on average over a tenth of a second."""
    counts = []
    for _ in range(10):
        found = re.search(r" (\d+)/\d+ ", _read("/proc/loadavg"))
        counts.append(max(0, int(found[1]) - 1) if found else 0)
        time.sleep(0.01)
    return sum(counts) / len(counts)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _number(path: Path) -> float:
    text = _read(path).strip()
    return float(text) if text.lstrip("-").isdigit() else 0.0


def _cpu_fact(name: str) -> str:
    found = re.search(rf"^{name}\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else ""


def _word_in_brackets(path: str) -> str:
    found = re.search(r"\[([\w+]+)\]", _read(path))
    return found[1] if found else "unknown"


def _commit() -> str:
    """Of the source tree that this package runs from; '+' where it was changed since."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return _read(root / "COMMIT").strip() or os.environ.get("COMMIT", "")
    commit = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "-uno")
    return commit + "+" * bool(changed)


def _nvidia(name: str) -> str:
    lines = _output("nvidia-smi", f"--query-gpu={name}", "--format=csv,noheader").splitlines()
    return lines[0] if lines else ""


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
