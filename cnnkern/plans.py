# SPDX-License-Identifier: BSD-3-Clause
"""Plan files: which algorithm serves a problem, as someone measured it and wrote it down.

A plan file is text. ``device`` opens the section of a device (an instruction set or a GPU, by the
name that ``cnnkern.explain`` ends with), and each of its lines is a problem with an algorithm for
some of its directions::

    device avx2
    conv2d 8x64x56x56 64x64x3x3 padding=1 -> forward im2col, weight_grad direct  # a comment

The environment variable ``CNNKERN_PLANS`` names the file that is in force from the start.
"""

from __future__ import annotations

import os

from . import _C

__all__ = ["load_plans"]


def load_plans(path: str | os.PathLike[str] | None) -> None:
    """Puts a plan file in force, in place of the one before.

    From the next call on, a convolution whose problem the file names for the device that runs it
    takes the named algorithm, unless the call itself names one. Bias and ReLU make no difference.
    The sections of other devices are read, and their problems checked, but never used here.

    Args:
        path: the file; None: no file, so that the rules choose again.

    Raises:
        ValueError: the file cannot be read, a line is no plan, a problem has two, or an algorithm
            does not serve; ``FILE:LINE:`` says where. The plans in force stay as they were.

    Example:
        >>> import pathlib, tempfile, cnnkern
        >>> path = pathlib.Path(tempfile.mkdtemp(), "plans.txt")
        >>> problem = "conv2d 1x64x9x9 64x64x3x3"
        >>> _ = path.write_text(f"device H200\\n{problem} -> forward direct\\n")
        >>> cnnkern.load_plans(path)
        >>> cnnkern.explain(problem, device="H200").plans[0].file == f"{path}:2"
        True
        >>> cnnkern.load_plans(None)
    """
    _C.load_plans(None if path is None else os.fspath(path))
