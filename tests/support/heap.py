# SPDX-License-Identifier: BSD-3-Clause
"""Runs problems in a process whose heap is checked: python -m support.heap, problems on stdin.

Started with glibc's debugging malloc, which fills what it hands out and aborts where a byte before
or after a block was written: outputs and workspaces get guards too.
"""

from __future__ import annotations

import sys

import torch

from cnnkern.testing import Call, check_equal, check_problem, derivatives, random_integers
from cnnkern.testing.directions import DIRECTIONS, draw, expected, run, serving


def main() -> None:
    torch.set_num_threads(2)
    count = 0
    for problem in sys.stdin.read().splitlines():
        call = Call.parse(problem)
        count += 1
        if call.is_pool:
            check_problem(problem)
            continue
        operands = draw(call, random_integers)
        doubles = [t.double() for t in operands.tensors]
        values = derivatives(call, doubles, operands.grad.double())
        for direction in DIRECTIONS:
            for algorithm in serving(call, direction):
                results = run(call, direction, operands, algorithm)
                for result, y64 in zip(results, expected(call, direction, values), strict=True):
                    check_equal(result, y64, call.dtype, name=f"{problem}: {direction}")
    print(f"{count} problems ok")


if __name__ == "__main__":
    main()
