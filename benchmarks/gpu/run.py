# SPDX-License-Identifier: BSD-3-Clause
"""Runs the stages of benchmarks/gpu_run.sh, each in processes of its own with a time limit.

Leaves run.json (the machine, what became of each stage), a log of each stage, bench.json and
summary.txt, which is printed last.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from summary import lines_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STAGES = ("build", "test", "sanitize", "bench", "probe")
# Seconds; build's is what a change to it must keep on 16 cores.
LIMITS = {"build": 180, "test": 240, "sanitize": 180, "bench": 300, "probe": 540}
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
SHORTEST = 5
DRY_TESTS = 4


@dataclass
class Outcome:
    """What became of a stage: passed, failed, skipped or timeout."""

    status: str
    note: str = ""
    seconds: float = 0.0
    limit: int = 0
    details: dict[str, Any] | None = None


class Run:
    """The folder for results, and the time that is left."""

    def __init__(self, out: Path, dry: bool, seconds: int) -> None:
        self.out, self.dry, self.seconds = out, dry, seconds
        self.start = time.monotonic()
        self.limit = 0.0

    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.start)

    def command(
        self, log: Path, *arguments: str, limit: float | None = None, **environment: str
    ) -> tuple[int | None, str]:
        """Exit status (None: out of time) and output, which goes to the log too."""
        limit = self.limit - time.monotonic() if limit is None else limit
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            status: int | None
            try:
                status = process.wait(max(limit, 1))
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _end(process)
            output.seek(0)
            text = output.read()
        with log.open("a") as file:
            file.write(f"$ {' '.join(arguments)}\n{text}\n[exit {status}]\n")
        return status, text


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def build(run: Run, log: Path) -> Outcome:
    if run.dry:
        if not is_up_to_date():
            return Outcome("failed", "the extension is older than its sources: make build")
        status, _ = run.command(log, *_python("-c", "import cnnkern"))
        return Outcome("failed" if status else "passed", "dry: the extension is up to date")
    build = _python("setup.py", "--quiet", "build_ext", "--inplace")
    status, text = run.command(log, *build, CNNKERN_CUDA="1")
    last = text.strip().splitlines()[-1:] or [""]
    return _outcome(status, last[0] if status else "")


def is_up_to_date() -> bool:
    configuration = ROOT / "build" / "configuration.txt"
    libraries = list((ROOT / "cnnkern").glob("_C*.so"))
    if not libraries or not configuration.exists():
        return False
    lines = configuration.read_text().splitlines()
    sources = [ROOT / line for line in lines if line.startswith("csrc/")]
    built = max(path.stat().st_mtime for path in libraries)
    return all(path.exists() and path.stat().st_mtime <= built for path in sources)


def test(run: Run, log: Path) -> Outcome:
    status, _ = run.command(log, *_python("-c", "import pytest, hypothesis"))
    if status:
        return Outcome("skipped", "pytest or hypothesis is missing: pip install pytest hypothesis")
    backend = "emulated" if run.dry else "cuda"
    base = _python("-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "--color=no")
    select = ["-m", backend, "--backend", backend]
    tests = ["tests"]
    if run.dry:
        files = sorted(map(str, (ROOT / "tests").glob("test_backend_*.py")))
        status, text = run.command(log, *base, *select, "--collect-only", *files)
        found = [line for line in text.splitlines() if "::" in line]
        if status or not found:
            return Outcome("failed", "no test names the emulator")
        tests = found[:: -(-len(found) // DRY_TESTS)]
    report = run.out / "test.xml"
    status, _ = run.command(
        log, *base, *select, "--continue-on-collection-errors", f"--junitxml={report}", *tests
    )
    if not report.exists():
        return _outcome(status, "pytest left no report: see test.log")
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    report.unlink()
    note = ", ".join(f"{count} {name}" for name, count in counts.items())
    outcome = _outcome(status, note)
    if outcome.status == "passed" and counts["skipped"] == counts["tests"]:
        outcome.status = "skipped"
    outcome.details = counts
    return outcome


def sanitizer() -> str | None:
    packages = Path(sys.prefix).glob("lib/python3*/site-packages/nvidia/cu13/bin")
    places = [shutil.which("compute-sanitizer"), "/usr/local/cuda/bin/compute-sanitizer"]
    places += [str(folder / "compute-sanitizer") for folder in packages]
    return next((p for p in places if p and os.access(p, os.X_OK)), None)


def sanitize(run: Run, log: Path) -> Outcome:
    program = _python(str(HERE / "selection.py"), *(["--dry"] if run.dry else []))
    tool = sanitizer()
    missing = "compute-sanitizer is missing: pip install nvidia-cuda-sanitizer-api"
    if run.dry or tool is None:
        # The selection itself must run, whatever watches it.
        status, text = run.command(log, *program)
        last = (text.strip().splitlines() or [""])[-1]
        if status != 0:
            return _outcome(status, last)
        return Outcome("skipped", f"{'no GPU' if run.dry else missing}; unwatched: {last}")
    results = {}
    each = max((run.limit - time.monotonic()) / len(SANITIZERS), SHORTEST)
    for name in SANITIZERS:
        options = ["--tool", name, "--error-exitcode", "9", "--print-limit", "20"]
        if name == "memcheck":
            options += ["--padding", "256"]
        if name != "initcheck":  # which must see every kernel that writes
            options += ["--kernel-name", "kns=cnnkern"]
        status, text = run.command(
            log, tool, *options, *program, limit=each, PYTORCH_NO_CUDA_MEMORY_CACHING="1"
        )
        ends = [line.strip("= ") for line in text.splitlines() if "SUMMARY" in line]
        results[name] = {"exit": status, "summary": ends[-1] if ends else "no summary"}
    bad = [name for name, result in results.items() if result["exit"] != 0]
    note = f"failed: {', '.join(bad)}" if bad else f"clean: {', '.join(SANITIZERS)}"
    return Outcome("failed" if bad else "passed", note, details=results)


def bench(run: Run, log: Path) -> Outcome:
    result = run.out / "bench.json"
    result.unlink(missing_ok=True)
    seconds = max(run.limit - time.monotonic() - 20, SHORTEST)  # what a last row may take
    status, text = run.command(
        log,
        *_python(str(HERE / "bench.py"), "--out", str(result), "--seconds", f"{seconds:.0f}"),
        *(["--dry"] if run.dry else []),
    )
    return _outcome(status, (text.strip().splitlines() or [""])[-1])


def probe(run: Run, log: Path) -> Outcome:
    script = ROOT / ".probe" / "gpu_probe" / "run.sh"
    if run.dry or not script.exists():
        why = "dry" if run.dry else "there is no .probe/gpu_probe"
        return Outcome("skipped", why)
    with tempfile.TemporaryDirectory() as folder:
        seconds = f"{max(run.limit - time.monotonic() - 15, SHORTEST):.0f}"
        status, text = run.command(log, "bash", str(script), folder, PROBE_SECONDS=seconds)
        with tarfile.open(run.out / "probe.tar.gz", "w:gz") as archive:
            archive.add(folder, "probe")
    return _outcome(status, (text.strip().splitlines() or [""])[-1])


def _outcome(status: int | None, note: str) -> Outcome:
    if status is None:
        return Outcome("timeout", note)
    return Outcome("passed" if status == 0 else "failed", note)


def machine() -> dict[str, Any]:
    """What the results depend on; asked in a process of its own, for a broken CUDA may crash it."""
    code = (
        "import json, torch\n"
        "found = torch.cuda.is_available()\n"
        "p = torch.cuda.get_device_properties(0) if found else None\n"
        "print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda,\n"
        "  'cudnn': torch.backends.cudnn.version() if found else None,\n"
        "  'device': p.name if p else None,\n"
        "  'capability': f'{p.major}.{p.minor}' if p else None,\n"
        "  'sms': p.multi_processor_count if p else None,\n"
        "  'memory_bytes': p.total_memory if p else None}))\n"
    )
    asked = _output(*_python("-c", code)).splitlines()
    found: dict[str, Any] = json.loads(asked[-1]) if asked else {"torch": None, "device": None}
    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {
        **found,
        "driver": driver.splitlines()[0] if driver else None,
        "nvcc": next((w for w in _output("nvcc", "--version").split() if w[:1] == "V"), None),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def commit() -> str:
    """Of git, else of the variable or file COMMIT that goes with a bare copy."""
    named = ROOT / "COMMIT"
    text = named.read_text() if named.exists() else ""
    return (
        _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
        or os.environ.get("COMMIT", "")
        or text.strip()
        or "unknown"
    )


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def main(arguments: list[str]) -> int:
    dry = "--dry" in arguments
    words = [word for word in arguments if word != "--dry"]
    names = [w for w in words if w in STAGES] or os.environ.get("STAGES", "").split()
    folders = [w for w in words if w not in STAGES]
    unknown = [name for name in names if name not in STAGES]
    if unknown or len(folders) > 1 or any(f.startswith("-") for f in folders):
        print(f"expected [--dry] [OUTDIR] and stages of {', '.join(STAGES)}; got "
              f"{' '.join(unknown or folders)}", file=sys.stderr)  # fmt: skip
        return 2
    out = Path(folders[0] if folders else os.environ.get("OUT") or "gpu_run_out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, dry, int(os.environ.get("RUN_SECONDS", 570)))
    found = machine()
    if not dry and found["device"] is None:
        print("torch sees no GPU; to try this script without one: --dry", file=sys.stderr)
        return 1
    stages: dict[str, Outcome] = {}
    functions: dict[str, Callable[[Run, Path], Outcome]] = {
        "build": build, "test": test, "sanitize": sanitize, "bench": bench, "probe": probe
    }  # fmt: skip
    for name in STAGES:
        if names and name not in names:
            continue
        limit = int(min(LIMITS[name], run.left()))
        start = time.monotonic()
        run.limit = start + limit
        log = out / f"{name}.log"
        log.unlink(missing_ok=True)
        if limit < SHORTEST:
            stages[name] = Outcome("skipped", "no time was left")
        else:
            try:
                stages[name] = functions[name](run, log)
            except Exception as error:  # one stage must not lose the others' results
                stages[name] = Outcome("failed", f"{type(error).__name__}: {error}")
        stages[name].seconds = round(time.monotonic() - start, 1)
        stages[name].limit = limit
        print(f"{name}: {stages[name].status}, {stages[name].seconds} s", flush=True)
        result = {"dry": dry, "machine": found, "stages": {k: asdict(v) for k, v in stages.items()}}
        (out / "run.json").write_text(json.dumps(result, indent=1) + "\n")
    lines = lines_of(out)
    (out / "summary.txt").write_text("\n".join(lines) + "\n")
    print("", *lines, sep="\n")
    return 1 if any(s.status in ("failed", "timeout") for s in stages.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
