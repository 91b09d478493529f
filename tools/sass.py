#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds what the CUDA kernels take of the machine against a committed budget.

    make sass                  # fails where a kernel takes more than its budget
    make sass ARGS=--update    # writes what the kernels take now as the budget

Reads the objects of the build: registers, stack, spills, occupancy, widths of loads and stores,
instruction counts. Spills and remarks of ptxas (C75xx) fail whatever the budget says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sass_objects import Kernel, NoReport, NoTool, Report, read

ROOT = Path(__file__).resolve().parents[1]
BUDGET = ROOT / "benchmarks" / "sass_budget.json"
RESULT = ROOT / "build" / "sass" / "report.json"
ARCHS = ("sm_80", "sm_90a")
# Counted where a kernel has them: products on tensor cores, and what feeds these.
TENSOR = {"mma": ("HMMA", "HGMMA", "DMMA"), "ldmatrix": ("LDSM",), "cp_async": ("LDGSTS",)}
Entry = dict[str, int]


def by_family(kernels: list[Kernel]) -> dict[str, dict[str, list[Kernel]]]:
    families: dict[str, dict[str, list[Kernel]]] = {}
    for kernel in sorted(kernels, key=lambda k: (k.family, k.arch, k.name)):
        families.setdefault(kernel.family, {}).setdefault(kernel.arch, []).append(kernel)
    return families


def counted(kernel: Kernel, what: str) -> int:
    return sum(kernel.counts.get(name, 0) for name in TENSOR[what])


def entry(kernels: list[Kernel]) -> Entry:
    """What one family of kernels takes on one architecture: its instances' worst and widest."""
    tensor = {what: max(counted(k, what) for k in kernels) for what in TENSOR}
    return {
        "registers": max(k.registers for k in kernels),
        "stack": max(k.stack for k in kernels),
        "shared": max(k.shared for k in kernels),
        "load": max(max(k.loads, default=0) for k in kernels),
        "store": max(max(k.stores, default=0) for k in kernels),
        **{what: count for what, count in tensor.items() if count},
    }


def budget_of(report: Report) -> dict[str, Any]:
    families = by_family(report.kernels)
    kernels = {f: {a: entry(ks) for a, ks in archs.items()} for f, archs in families.items()}
    return {"nvcc": report.nvcc, "kernels": kernels}


def faults(report: Report, budget: dict[str, Any]) -> list[str]:
    """Sentences on what is over the budget."""
    found = [f"ptxas remarks: {remark}" for remark in report.remarks]
    for k in report.kernels:
        if k.spill_stores or k.spill_loads:
            found.append(
                f"{k.name} on {k.arch} spills: {k.spill_stores} bytes of stores, "
                f"{k.spill_loads} of loads"
            )
    same_compiler = report.nvcc == budget.get("nvcc")
    budgets = budget.get("kernels", {})
    for family, archs in by_family(report.kernels).items():
        for arch, kernels in archs.items():
            allowed = budgets.get(family, {}).get(arch)
            if allowed is None:
                found.append(f"{family} on {arch} is not in the budget")
                continue
            found += _over(family, arch, kernels, allowed, same_compiler)
    return found


def _over(
    family: str, arch: str, kernels: list[Kernel], allowed: Entry, same_compiler: bool
) -> list[str]:
    found = []

    def compare(what: str, value: Callable[[Kernel], int], unit: str) -> None:
        worst = max(kernels, key=value)
        if value(worst) > allowed[what]:
            found.append(
                f"{worst.name} on {arch} takes {value(worst)} {unit}, {allowed[what]} are budgeted"
            )

    compare("stack", lambda k: k.stack, "bytes of local memory")
    if not allowed["stack"]:
        for k in kernels:
            if k.local_accesses and not k.stack:
                found.append(
                    f"{k.name} on {arch} has {k.local_accesses} local accesses, 0 budgeted"
                )
    if same_compiler:
        compare("registers", lambda k: k.registers, "registers")
        compare("shared", lambda k: k.shared, "bytes of static shared memory")
        for name in TENSOR.keys() & allowed.keys():
            compare(name, lambda k, name=name: counted(k, name), f"instructions of {name}")
    taken = entry(kernels)
    for what in ("load", "store"):
        if taken[what] < allowed[what]:
            found.append(
                f"{family} on {arch}: the widest {what} has {taken[what]} bytes, "
                f"{allowed[what]} are budgeted"
            )
    return found


def has_cuda() -> bool:
    """Whether the last build had CUDA."""
    path = Path("build") / "configuration.txt"
    return path.exists() and "-DCNNKERN_CUDA=1" in path.read_text().split()


def print_table(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="CUDA kernels, sm_80 / sm_90a where they differ", title_justify="left")
    table.add_column("kernel", no_wrap=True)
    for name in ("instances", "registers", "warps/SM", "stack", "spills", "smem", "load B",
                 "store B", "instructions", "FMA", "MMA", "LDGSTS", "LDS+STS", "BAR"):  # fmt: skip
        table.add_column(name, justify="right")

    def cell(archs: dict[str, list[Kernel]], value: Callable[[list[Kernel]], object]) -> str:
        texts = [str(value(archs[a])) if a in archs else "-" for a in ARCHS]
        return texts[0] if len(set(texts)) == 1 else " / ".join(texts)

    def most(*names: str) -> Callable[[list[Kernel]], int]:
        return lambda ks: max(sum(k.counts.get(n, 0) for n in names) for k in ks)

    for family, archs in by_family(report.kernels).items():
        table.add_row(
            family,
            cell(archs, len),
            cell(archs, lambda ks: _range([k.registers for k in ks])),
            cell(archs, lambda ks: _range([k.warps for k in ks])),
            cell(archs, lambda ks: max(k.stack for k in ks)),
            cell(archs, lambda ks: max(k.spill_stores + k.spill_loads for k in ks)),
            cell(archs, lambda ks: max(k.shared for k in ks)),
            cell(archs, lambda ks: _range([max(k.loads, default=0) for k in ks])),
            cell(archs, lambda ks: _range([max(k.stores, default=0) for k in ks])),
            cell(archs, lambda ks: _range([k.counts["all"] for k in ks])),
            cell(archs, most("FFMA", "DFMA")),
            cell(archs, most(*TENSOR["mma"])),
            cell(archs, most("LDGSTS")),
            cell(archs, most("LDS", "STS", "LDSM")),
            cell(archs, most("BAR")),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def write_report(report: Report, found: list[str]) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**dataclasses.asdict(k), "warps": k.warps, "blocks": k.blocks} for k in report.kernels]
    text = {"nvcc": report.nvcc, "seconds": report.seconds, "faults": found,
            "remarks": report.remarks, "kernels": rows}  # fmt: skip
    RESULT.write_text(json.dumps(text, indent=1) + "\n")


def write_budget(budget: dict[str, Any]) -> None:
    lines = [f"  {json.dumps(f)}: {json.dumps(e)}" for f, e in sorted(budget["kernels"].items())]
    joined = ",\n".join(lines)
    BUDGET.write_text(f'{{"nvcc": "{budget["nvcc"]}", "kernels": {{\n{joined}\n}}}}\n')


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the budget")
    parser.add_argument(
        "--if-built",
        action="store_true",
        help="hold only a build that has CUDA, by the budget's compiler, to it",
    )
    parser.add_argument("--quiet", action="store_true", help="print no table")
    parser.add_argument("--objects", type=Path, help="the build's folder of objects")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    if options.if_built and not has_cuda():
        return 0
    tag = f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    folder = options.objects or Path("build") / tag
    jobs = int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1)
    sources = sorted(path for path in Path("csrc").rglob("*.cu") if "simt" not in path.parts)
    try:
        report = read(sources, folder, jobs)
    except NoReport as error:
        print(f"cnnkern: {error}", file=sys.stderr)
        return 0 if options.if_built and isinstance(error, NoTool) else 1
    if options.update:
        write_budget(budget_of(report))
    budget = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    found = faults(report, budget)
    write_report(report, found)
    if not options.quiet:
        print_table(report)
    instances = len({(k.source, k.symbol) for k in report.kernels})
    print(
        f"{instances} kernels of {len(sources)} files for {' and '.join(ARCHS)}, nvcc "
        f"{report.nvcc}, compiled in {sum(report.seconds.values()):.0f} s of CPU; "
        f"{len(found)} over budget; {RESULT.relative_to(ROOT)}"
    )
    if report.nvcc != budget.get("nvcc"):
        print(f"The budget is of nvcc {budget.get('nvcc')}: registers are not held to it.")
    gone = sorted(set(budget.get("kernels", {})) - {k.family for k in report.kernels})
    if gone:
        print(f"In the budget, but gone: {', '.join(gone)}")
    for fault in found:
        print(f"cnnkern: {fault}", file=sys.stderr)
    if found:
        print("cnnkern: mend the kernels, or accept what they take: make sass ARGS=--update",
              file=sys.stderr)  # fmt: skip
        return 0 if options.if_built and report.nvcc != budget.get("nvcc") else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
