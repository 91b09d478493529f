# SPDX-License-Identifier: BSD-3-Clause
"""A correctness harness for convolution and pooling kernels, ours and anyone's.

:func:`check_problem` runs a problem, given as text, on any function and holds it against torch in
float64; the other names are its parts.

Example:
    >>> import torch.nn.functional as F
    >>> from cnnkern.testing import check_problem
    >>> report = check_problem("max_pool2d 2x3x9x9 kernel=3 stride=2", F.max_pool2d)
    >>> report.errors["output"].error.maximum
    0.0
"""

from __future__ import annotations

from .check_problem import Report, check_problem
from .errors import (
    ErrorBound,
    ErrorReport,
    WrongResult,
    check_close,
    check_equal,
    error_bound,
    unit_roundoff,
)
from .reference import Call, reference
from .tensors import (
    Guarded,
    guarded_like,
    poisoned_allocations,
    random_integers,
    random_normal,
)
from .truth import derivatives, magnitudes, truth

__all__ = [
    "Call",
    "ErrorBound",
    "ErrorReport",
    "Guarded",
    "Report",
    "WrongResult",
    "check_close",
    "check_equal",
    "check_problem",
    "derivatives",
    "error_bound",
    "guarded_like",
    "magnitudes",
    "poisoned_allocations",
    "random_integers",
    "random_normal",
    "reference",
    "truth",
    "unit_roundoff",
]
