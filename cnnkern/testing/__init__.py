# SPDX-License-Identifier: BSD-3-Clause
"""A correctness harness for convolution and pooling kernels, ours and anyone's.

:func:`check` holds any function with the signature of one of torch.nn.functional's against torch in
float64 on many problems, given as text, and makes small what fails; :func:`check_problem` does so
for one problem; :func:`cases` makes a pytest test of each. The other names are their parts.

Example:
    >>> import torch.nn.functional as F
    >>> from cnnkern.testing import check_problem
    >>> report = check_problem("max_pool2d 2x3x9x9 kernel=3 stride=2", F.max_pool2d)
    >>> report.errors["output"].error.maximum
    0.0
"""

from __future__ import annotations

from .cases import Case, cases
from .check import check
from .check_problem import Report, check_problem
from .check_results import CheckFailed, Results
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
from .shrink import shrink
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
    "Case",
    "CheckFailed",
    "ErrorBound",
    "ErrorReport",
    "Guarded",
    "Report",
    "Results",
    "WrongResult",
    "cases",
    "check",
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
    "shrink",
    "truth",
    "unit_roundoff",
]
