# SPDX-License-Identifier: BSD-3-Clause
"""How every picture of cnnkern looks."""

from __future__ import annotations

from typing import Any

__all__ = ["ACCENT", "GREY", "INK", "PALE", "STYLE"]

INK, GREY, PALE, ACCENT = "#1b2733", "#6b7785", "#f2b880", "#1f5fa8"
STYLE: Any = {  # for matplotlib's rc_context
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "svg.hashsalt": "cnnkern",  # the same picture is the same file
}
