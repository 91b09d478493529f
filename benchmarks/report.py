# SPDX-License-Identifier: BSD-3-Clause
"""Writes benchmarks/README.md and the README's table of speed from the committed results.

python benchmarks/report.py           # or: make report
python benchmarks/report.py --check   # changes nothing; exit code 1 where they do not agree
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cnnkern.benchmark.overview import between_markers, overview, read_devices, speed

ROOT = Path(__file__).resolve().parent.parent


def wanted(root: Path) -> dict[Path, str]:
    """What each file should hold, from the results under a root.

    Raises:
        OSError: a file cannot be read.
        ValueError: a result is none of this version, or the README has no markers; one line.
    """
    devices = read_devices(root / "benchmarks" / "results")
    readme = root / "README.md"
    try:
        text = between_markers(readme.read_text(encoding="utf-8"), speed(devices))
    except ValueError as error:
        raise ValueError(f"'{readme}': {error}") from None
    return {readme: text, root / "benchmarks" / "README.md": overview(devices)}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing, fail where a file is out of date"
    )
    options = parser.parse_args(arguments)
    try:
        texts = wanted(root)
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    stale = [
        path
        for path, text in texts.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if options.check:
            print(
                f"report: '{path}' is not what the results say; run: make report", file=sys.stderr
            )
        else:
            path.write_text(texts[path], encoding="utf-8")
            print(f"Written: {path}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
