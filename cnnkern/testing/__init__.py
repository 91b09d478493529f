# SPDX-License-Identifier: BSD-3-Clause
"""A correctness harness for convolution and pooling kernels, ours and anyone's.

:func:`check` runs a problem, given as text, on any function and holds it against torch in float64;
the other names are its parts.

Example:
    >>> import torch.nn.functional as F
    >>> from cnnkern.testing import check
    >>> report = check("max_pool2d 2x3x9x9 kernel=3 stride=2", F.max_pool2d)
    >>> report.errors["output"].error.maximum
    0.0
"""

from __future__ import annotations

from .check import Report, check
from .errors import (
    ErrorBound,
    ErrorReport,
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
    "check",
    "check_close",
    "check_equal",
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
