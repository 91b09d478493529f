# SPDX-License-Identifier: BSD-3-Clause
"""``python -m cnnkern`` is the command ``cnnkern``."""

from __future__ import annotations

import sys

from cnnkern.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
