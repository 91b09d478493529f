# SPDX-License-Identifier: BSD-3-Clause
"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["code", "table"]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; what a cell has of Markdown's own bars stays in its cell.

    >>> print(table(["layer", "ours"], [["a|b", "1.0"]]))
    | layer | ours |
    | --- | --- |
    | a\\|b | 1.0 |
    """
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in [head, *lines]]
    escaped.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def code(text: str) -> str:
    """As code, or a dash where there is nothing."""
    return f"`{text}`" if text else "-"
