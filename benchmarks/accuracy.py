# SPDX-License-Identifier: BSD-3-Clause
"""The largest errors of each of the CPU's algorithms on random problems, in units of torch's own.

    python benchmarks/accuracy.py --json benchmarks/results/DEVICE/beyond_suites/accuracy.json

Problems are drawn until so many are served by an algorithm, and verified as `cnnkern verify` does:
against float64, on small integers and on normal values. With 2,000 problems it takes minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from cnnkern import _C  # noqa: E402
from cnnkern.benchmark import beyond_suites  # noqa: E402
from cnnkern.benchmark.heading import device_of  # noqa: E402
from cnnkern.benchmark.machine import machine  # noqa: E402
from cnnkern.benchmark.results import Result  # noqa: E402
from cnnkern.benchmark.tables import plain_table  # noqa: E402
from cnnkern.cli.checks import check_file, check_packages  # noqa: E402
from cnnkern.cli.parser import Parser, launch, positive, seed  # noqa: E402
from cnnkern.problem import parse  # noqa: E402
from cnnkern.testing.directions import CPU_ALGORITHMS, DIRECTIONS  # noqa: E402
from cnnkern.testing.variants import DTYPES, FORMATS  # noqa: E402
from cnnkern.testing.verify import Outcome, verify_problem  # noqa: E402

CONVOLUTIONS = ("conv2d", "conv1d", "conv_transpose2d", "conv3d")
POOLS = ("max_pool2d", "avg_pool2d", "avg_pool1d", "adaptive_avg_pool2d", "avg_pool3d")
OF_POOLS = "pools"
WIDTH = 160  # of the table, where the output is no terminal


def parser() -> Parser:
    top = Parser(
        prog="accuracy.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--problems", type=positive, default=2000, help="of each (%(default)s)")
    top.add_argument("--seed", type=seed, default=0, help="of problems and tensors (%(default)s)")
    top.add_argument("--json", type=Path, metavar="FILE", help="for the worst cases")
    return top


def served(algorithm: str, count: int, seed: int) -> Iterator[str]:
    """Different problems that an algorithm serves in some direction, as many as are asked for."""
    found: set[str] = set()
    for problem in drawn(algorithm, count, seed):
        if problem in found or not (algorithm == OF_POOLS or serves(algorithm, problem)):
            continue
        found.add(problem)
        yield problem
        if len(found) == count:
            return


def drawn(algorithm: str, count: int, seed: int) -> Iterator[str]:
    """Problems without end."""
    # Only here, where the package that it needs is known to be there.
    from cnnkern.testing.problems import random_problems

    if algorithm == "winograd":
        generator = random.Random(seed)
        while True:
            yield str(parse(three_by_three(generator)))
    while True:
        yield from random_problems(
            count, seed, ops=POOLS if algorithm == OF_POOLS else CONVOLUTIONS
        )
        seed += 1


def three_by_three(generator: random.Random) -> str:
    """Filters of 3x3, few of which random problems have; some of many channels."""
    groups = generator.choice([1, 1, 1, 2, 3])
    c, k = generator.randint(4, 40), generator.randint(4, 40)
    if generator.random() < 0.2:
        groups, c = 1, generator.randint(512, 600)
        if generator.random() < 0.5:
            c, k = k, c
    sides = [generator.randint(1, 20) for _ in range(2)]
    pads = [[generator.randint(0, 2) for _ in range(2)] for _ in sides]
    sides = [max(side, 3 - sum(pad)) for side, pad in zip(sides, pads, strict=True)]
    words = [f"padding={','.join(f'{before}:{after}' for before, after in pads)}"]
    words += [word for word in ("bias", "relu") if generator.random() < 0.4]
    words += [f"dtype={generator.choice(DTYPES)}", f"format={generator.choice(FORMATS)}"]
    n = generator.randint(1, 4)
    shapes = f"{n}x{c * groups}x{sides[0]}x{sides[1]} {k * groups}x{c}x3x3"
    return f"conv2d {shapes} {' '.join(words)}"


def serves(algorithm: str, problem: str) -> bool:
    for direction in DIRECTIONS:
        try:
            _C.plan(parse(problem), direction, algorithm)
        except RuntimeError:
            continue
        return True
    return False


def lines(algorithm: str, outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """For each direction and dtype the worst cases."""
    for direction in DIRECTIONS:
        for dtype in DTYPES:
            group = [
                outcome
                for outcome in outcomes
                if outcome.direction == direction
                and outcome.verdict != "refused"
                and parse(outcome.problem).dtype == dtype
            ]
            if not group:
                continue
            passed = [outcome for outcome in group if outcome.verdict == "passed"]
            # What failed has no error to show: cnnkern verify says more of it.
            worst = max(group, key=lambda outcome: outcome.error_in_torchs)
            nearest = max(group, key=lambda outcome: outcome.error_share)
            yield {
                "algorithm": algorithm,
                "direction": direction,
                "dtype": dtype,
                "cases": len(group),
                "failed": len(group) - len(passed),
                "error_in_torchs": worst.error_in_torchs,
                "problem": worst.problem,
                "share_of_allowed": nearest.error_share,
                "nearest_problem": nearest.problem,
            }


def run(options: argparse.Namespace) -> int:
    check_packages(("hypothesis",), "verify")
    if options.json:
        check_file("--json", options.json, ("json",))
    rows: list[dict[str, Any]] = []
    for algorithm in (*CPU_ALGORITHMS, OF_POOLS):
        outcomes: list[Outcome] = []
        names = ["auto" if algorithm == OF_POOLS else algorithm]
        for problem in served(algorithm, options.problems, options.seed):
            outcomes += verify_problem(problem, algorithms=names, seed=options.seed)
        rows += lines(algorithm, outcomes)
        print(algorithm, file=sys.stderr)
    result = Result(machine("cpu"), {"problems": options.problems, "seed": options.seed}, {})
    data = {
        "about": f"{options.problems:,} random problems that an algorithm serves; root mean square "
        "errors against float64 in units of torch's own, and the largest share of what the rule "
        "allows an element",
        "machine": result.machine,
        "settings": result.settings,
        "rows": rows,
    }
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(device_of(result))
    console.print(plain_table(*beyond_suites.accuracy_lines(data)))
    if options.json:
        beyond_suites.write(options.json, data)
        print(f"Written: {options.json}")
    return 1 if any(row["failed"] for row in rows) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    return launch(parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
