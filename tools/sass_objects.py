# SPDX-License-Identifier: BSD-3-Clause
"""What the build's CUDA objects hold: for each kernel ptxas's report and its machine code counted.

An object `x.cu.o` has ptxas's report beside it in `x.cu.o.log` (tools/nvcc_logged.py).
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ELEMENTS = ("double", "float", "half", "bfloat16")
# Of compute capability 8.0 and 9.0 alike, by multiprocessor.
REGISTERS, WARPS, BLOCKS, PARTITIONS = 65536, 64, 32, 4

_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_ENTRY = re.compile(r"ptxas info    : Compiling entry function '(\S+)' for '(\w+)'")
_FUNCTION = re.compile(r"ptxas info    : Function properties for (\S+)")
_FRAME = re.compile(
    r"\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
)
_USED = re.compile(r"ptxas info    : Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


class NoReport(Exception):
    """Why the objects cannot be read: a sentence."""


class NoTool(NoReport):
    """A program is missing."""


@dataclass
class Kernel:
    """One instance of a kernel for one architecture."""

    source: str
    arch: str
    symbol: str
    name: str = ""
    family: str = ""
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    max_threads: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    loads: dict[int, int] = field(default_factory=dict)
    stores: dict[int, int] = field(default_factory=dict)

    @property
    def blocks(self) -> int | None:
        """Blocks of max_threads that a multiprocessor holds, shared memory aside."""
        if self.max_threads is None:
            return None
        return min(BLOCKS, self._warps_that_fit() // -(-self.max_threads // 32))

    @property
    def warps(self) -> int:
        blocks = self.blocks
        if blocks is None or self.max_threads is None:
            return self._warps_that_fit()
        return blocks * -(-self.max_threads // 32)

    @property
    def local_accesses(self) -> int:
        return self.counts.get("LDL", 0) + self.counts.get("STL", 0)

    def _warps_that_fit(self) -> int:
        # A warp's registers come in units of 256, and from the part of the file that is its own.
        size = -(-max(self.registers, 1) * 32 // 256) * 256
        return min(WARPS, REGISTERS // PARTITIONS // size * PARTITIONS)


@dataclass
class Report:
    kernels: list[Kernel]
    remarks: list[str]
    seconds: dict[str, float]
    nvcc: str


def read(sources: list[Path], folder: Path, jobs: int) -> Report:
    """Reads the objects that the build made in `folder` of these .cu files."""
    objects = [folder / f"{source.with_suffix('.cu.o')}" for source in sources]
    for source, target in zip(sources, objects, strict=True):
        log = Path(f"{target}.log")
        if not target.exists() or not log.exists():
            raise NoReport(f"{source} has no object in {folder}; build it: make sass.")
        if source.stat().st_mtime > target.stat().st_mtime:
            raise NoReport(f"{source} is newer than its object; build it again: make sass.")
    with ThreadPoolExecutor(jobs) as pool:
        lists = list(pool.map(_read_object, map(str, sources), objects))
    kernels = [kernel for found in lists for kernel in found]
    _name(kernels)
    logs = [Path(f"{target}.log").read_text() for target in objects]
    remarks = [
        f"{source}: {line.strip()}"
        for source, log in zip(sources, logs, strict=True)
        for line in log.splitlines()
        if re.search(r"\(C75\d\d\)", line)
    ]
    seconds = {
        str(source): float(match[1])
        for source, log in zip(sources, logs, strict=True)
        if (match := re.match(r"# ([\d.]+) seconds", log))
    }
    versions = {m for log in logs for m in re.findall(r"CNNKERN_NVCC=([\d.]+)", log[:4000])}
    return Report(kernels, remarks, seconds, " and ".join(sorted(versions)) or "unknown")


def _read_object(source: str, target: Path) -> list[Kernel]:
    found: dict[tuple[str, str], Kernel] = {}
    for kernel in _resources(source, Path(f"{target}.log").read_text()):
        found[kernel.arch, kernel.symbol] = kernel
    with tempfile.TemporaryDirectory() as scratch:
        _run([_tool("cuobjdump"), "-xelf", "all", str(target.resolve())], scratch)
        for cubin in sorted(Path(scratch).glob("*.cubin")):
            arch = cubin.name.split(".")[-2]
            threads = launch_bounds(cubin.read_bytes())
            for symbol, operations in _functions(
                _run([_tool("nvdisasm"), "-c", "-ndf", str(cubin)])
            ):
                if (arch, symbol) in found:
                    found[arch, symbol].max_threads = threads.get(symbol)
                    _count(found[arch, symbol], operations)
    missing = [k for k in found.values() if not k.counts]
    if missing:
        raise NoReport(f"{target} and its log differ: no code of {missing[0].symbol}; make clean.")
    return list(found.values())


def _resources(source: str, log: str) -> Iterator[Kernel]:
    """ptxas's report, entry by entry."""
    kernel: Kernel | None = None
    function = ""
    for line in log.splitlines():
        if entry := _ENTRY.match(line):
            kernel = Kernel(source, entry[2], entry[1])
        elif named := _FUNCTION.match(line):
            function = named[1]
        elif kernel is None:
            continue
        elif frame := _FRAME.match(line):
            # Functions that were not inlined are reported after their entry: theirs counts too.
            own = function == kernel.symbol
            kernel.stack = int(frame[1]) if own else max(kernel.stack, int(frame[1]))
            kernel.spill_stores += int(frame[2])
            kernel.spill_loads += int(frame[3])
        elif used := _USED.match(line):
            kernel.registers = int(used[1])
            shared = _SHARED.search(line)
            kernel.shared = int(shared[1]) if shared else 0
            yield kernel


def _functions(text: str) -> Iterator[tuple[str, list[str]]]:
    symbol = ""
    operations: list[str] = []
    for line in text.splitlines():
        if line.startswith("//---") and ".text." in line:
            if symbol:
                yield symbol, operations
            symbol, operations = line.split(".text.")[1].split()[0], []
        elif match := _INSTRUCTION.match(line):
            operations.append(match[1])
    if symbol:
        yield symbol, operations


def _count(kernel: Kernel, operations: list[str]) -> None:
    counts: Counter[str] = Counter()
    for operation, times in Counter(operations).items():
        base, *modifiers = operation.split(".")
        counts["all"] += times if base != "NOP" else 0
        counts[base] += times
        if base in ("LDG", "LDGSTS"):
            _add(kernel.loads, width(modifiers), times)
        elif base == "STG":
            _add(kernel.stores, width(modifiers), times)
    counts.pop("NOP", None)
    kernel.counts = dict(sorted(counts.items()))


def _add(widths: dict[int, int], key: int, times: int) -> None:
    widths[key] = widths.get(key, 0) + times


def width(modifiers: list[str]) -> int:
    """Bytes that a thread moves with LDG.E.64 and its like."""
    for name, size in (("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if name in modifiers:
            return size
    return 4


def launch_bounds(cubin: bytes) -> dict[str, int]:
    """The threads of a block that each kernel was compiled for, where it says so."""
    sections = list(_sections(cubin))
    bounds = {}
    for name, data in sections:
        if not name.startswith(".nv.info."):
            continue
        at = 0
        while at + 4 <= len(data):
            kind, attribute, value = struct.unpack_from("<BBH", data, at)
            at += 4
            if kind != 4:  # the value stands in the entry itself
                continue
            if attribute == 5 and value == 12:  # EIATTR_MAX_THREADS
                x, y, z = struct.unpack_from("<3I", data, at)
                bounds[name.removeprefix(".nv.info.")] = x * y * z
            at += value
    return bounds


def _sections(elf: bytes) -> Iterator[tuple[str, bytes]]:
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, kind, _, _, offset, length in headers:
        start = strings + name
        text = elf[start : elf.index(b"\0", start)].decode()
        yield text, b"" if kind == 8 else elf[offset : offset + length]  # NOBITS has no bytes


def _name(kernels: Iterable[Kernel]) -> None:
    kernels = list(kernels)
    symbols = sorted({kernel.symbol for kernel in kernels})
    demangled = _run([_tool("c++filt")], text="\n".join(symbols)).splitlines()
    names = dict(zip(symbols, demangled, strict=True))
    for kernel in kernels:
        kernel.name, kernel.family = short_name(names[kernel.symbol])


def short_name(demangled: str) -> tuple[str, str]:
    """`pool<half, int, 3>`, and its family `pool half`: instances that one budget serves."""
    text = re.sub(r"\(anonymous namespace\)::|\bcnnkern::|\bcuda::", "", demangled)
    text = re.sub(r"\b__nv_bfloat16\b", "bfloat16", text.replace("__half", "half"))
    text = text.replace("(bool)0", "false").replace("(bool)1", "true")
    text = re.sub(r"\((?:unsigned )?(?:int|long)\)(-?\d)", r"\1", text)
    text = re.sub(r"^(?:void|static|auto) ", "", text)
    depth, end = 0, len(text)
    for i, letter in enumerate(text):
        if letter == "(" and depth == 0:
            end = i
            break
        depth += (letter == "<") - (letter == ">")
    name = text[:end]
    base, _, arguments = name.partition("<")
    words = re.findall(r"\w+", arguments)
    element = next((word for word in words if word in ELEMENTS), "")
    return name, f"{base.split('::')[-1]} {element}".strip()


def _tool(name: str) -> str:
    packages = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin" / name
    places = [str(packages), shutil.which(name), f"/usr/local/cuda/bin/{name}"]
    for place in places:
        if place and Path(place).exists():
            return place
    remedy = "install binutils" if name == "c++filt" else "`pip install -r requirements-cuda.txt`"
    raise NoTool(f"there is no {name} to read machine code with; {remedy}.")


def _run(command: list[str], folder: str | None = None, text: str | None = None) -> str:
    result = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise NoReport(f"{command[0]} failed: {result.stderr.strip()}")
    return result.stdout
