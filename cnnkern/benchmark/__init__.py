# SPDX-License-Identifier: BSD-3-Clause
"""Times convolutions and pools beside torch's, and beside what the machine can do."""

from __future__ import annotations

from .results import Result, Row, Spread, read_result, write_result

__all__ = ["Result", "Row", "Spread", "read_result", "write_result"]
