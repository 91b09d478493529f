# SPDX-License-Identifier: BSD-3-Clause
"""Runs known networks at their full size, as they are and converted, and shows what that changes.

For each: how many of its layers cnnkern.convert swaps and how many further calls cnnkern.override
serves; the largest error against float64 and, in brackets, its root mean square, both in units of
torch's own, of the outputs and of all gradients; the memory that a forward and backward need at
their peak; and torch's time divided by cnnkern's. Without names, all networks: some minutes.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich import progress as bars
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # a checkout that was built but not installed will do

import cnnkern  # noqa: E402
from cnnkern.cli.checks import check_file  # noqa: E402
from cnnkern.cli.parser import Parser, UsageError, positive, seconds, seed  # noqa: E402
from examples.networks.catalogue import NETWORKS  # noqa: E402
from examples.networks.compare import Error  # noqa: E402
from examples.networks.measure import WHATS, Task  # noqa: E402

WIDTH = 140  # of the table, where the output is no terminal


def parser() -> Parser:
    top = Parser(
        prog="check_networks.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("network", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    top.add_argument("--batch", type=positive, default=1, help="inputs at once (%(default)s)")
    top.add_argument("--channels-last", action="store_true", help="images and weights in NHWC")
    top.add_argument("--small", action="store_true", help="the small ones that the tests run")
    top.add_argument(
        "--threads", type=positive, default=torch.get_num_threads(), help="%(default)s"
    )
    top.add_argument("--no-times", action="store_true", help="where others use the machine too")
    top.add_argument("--seconds", type=seconds, default=10.0, help="for a network's times")
    top.add_argument("--seed", type=seed, default=0, help="of weights and inputs (%(default)s)")
    top.add_argument("--json", type=Path, help="a file for all that was measured")
    return top


def measured(task: Task) -> dict[str, Any]:
    """Measures in a process of its own; of one that fails, the last line that it said."""
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-m", "examples.networks.measure", json.dumps(asdict(task))],
        # Threads that wait must not spin, for where others use the machine too.
        env={"OMP_WAIT_POLICY": "passive", **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode < 0:
        return {"failed": f"{task.what}: ended by signal {-done.returncode}"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"failed": f"{task.what}: {last}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def check(tasks: Sequence[Task], whats: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields what is known of each network as soon as it is whole."""
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=40),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    silent = not console.is_terminal
    with bars.Progress(*columns, console=console, transient=True, disable=silent) as bar:
        shown = bar.add_task("", total=len(tasks) * len(whats))
        for number, task in enumerate(tasks):
            row: dict[str, Any] = {"network": task.network}
            for what in whats:
                bar.update(shown, description=f"{task.network}, {what}")
                row[what] = measured(replace(task, what=what))
                if "failed" in row[what]:
                    break
                task = replace(task, override=any(row["errors"]["calls_on_cnnkern"].values()))
                bar.advance(shown)
            bar.update(shown, completed=(number + 1) * len(whats))
            yield row


def table(rows: Sequence[dict[str, Any]]) -> Table:
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    found.add_column("network", no_wrap=True)
    for name in (
        "layers\nswapped",
        "calls\noverridden",
        "outputs: error\n/ torch's (rms)",
        "gradients: error\n/ torch's (rms)",
        "torch's peak\nMiB",
        "cnnkern's\nMiB",
        "torch's time /\ncnnkern's",
    ):
        found.add_column(name, justify="right")
    for row in rows:
        found.add_row(row["network"], *cells(row))
    return found


def cells(row: dict[str, Any]) -> Iterator[str]:
    errors = row["errors"]
    if "failed" in errors:
        return
    yield f"{errors['swapped']} of {errors['layers']}"
    served, refused = (sum(errors[f"calls_on_{side}"].values()) for side in ("cnnkern", "torch"))
    yield f"{served} of {served + refused}" if served + refused else "-"
    for what in ("outputs", "gradients"):
        ours, theirs = (Error(**errors[side][what]) for side in ("cnnkern", "torch"))
        units = ours.over(theirs)
        yield f"{units.maximum:.2f} ({units.rms:.2f})"
    for what in WHATS[1:3]:
        yield f"{row[what]['bytes'] / 2**20:,.0f}" if "bytes" in row.get(what, {}) else "-"
    yield f"{row['times']['ratio']:.2f}" if "ratio" in row.get("times", {}) else "-"


def wrong(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What failed, and what is further from float64 than rounding explains."""
    found = []
    for row in rows:
        found += [f"{row['network']}: {fault}" for fault in row["errors"].get("faults", [])]
        answers = (row[what] for what in WHATS if what in row)
        found += [f"{row['network']}: {a['failed']}" for a in answers if "failed" in a]
    return found


def run(options: argparse.Namespace) -> int:
    names = options.network or list(NETWORKS)
    if unknown := sorted(set(names) - set(NETWORKS)):
        near = difflib.get_close_matches(unknown[0], NETWORKS, n=1) or list(NETWORKS)
        raise UsageError(f"unknown network {unknown[0]!r}; expected {' or '.join(near)}")
    if options.json:
        check_file("--json", options.json)
    common = {
        key: getattr(options, key)
        for key in ("batch", "channels_last", "small", "seed", "threads", "seconds")
    }
    about = {"torch": torch.__version__, "cnnkern": cnnkern.__version__, **common}
    whats = WHATS[:3] if options.no_times else WHATS
    rows: list[dict[str, Any]] = []
    interrupted = False
    try:
        for row in check([Task(WHATS[0], name, **common) for name in names], whats):
            rows.append(row)
            if options.json:
                options.json.write_text(json.dumps({**about, "networks": rows}, indent=1) + "\n")
    except KeyboardInterrupt:
        interrupted = True
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    if rows:
        console.print(table(rows))
    faults = wrong(rows)
    for fault in faults:
        console.print(fault, markup=False, soft_wrap=True)
    if interrupted:
        console.print(f"Interrupted; {len(rows)} of {len(names)} networks were checked until then.")
    return 130 if interrupted else int(bool(faults))


def main(arguments: Sequence[str] | None = None) -> int:
    top = parser()
    try:
        return run(top.parse_args(arguments))
    except UsageError as error:
        print(f"{top.prog}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
