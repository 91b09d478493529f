# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and pooling layers for torch that explain what they run.

>>> import torch, cnnkern
>>> layer = cnnkern.nn.Conv2d(1, 6, 5, activation="relu")
>>> layer(torch.zeros(8, 1, 28, 28)).shape
torch.Size([8, 6, 24, 24])
"""

from __future__ import annotations

# Order matters: torch loads the libraries that the extension needs, the extension registers the
# operators that everything else binds.
import torch as _torch  # noqa: F401

from . import _C, autograd, functional, nn  # noqa: F401
from . import vmap as _vmap  # noqa: F401
from .benchmark.profile import profile
from .convert import convert, revert
from .coverage import coverage
from .explanation import explain
from .fuse import fuse
from .override import override
from .plans import load_plans
from .use import use

__all__ = [
    "autograd",
    "convert",
    "coverage",
    "explain",
    "functional",
    "fuse",
    "load_plans",
    "nn",
    "override",
    "profile",
    "revert",
    "use",
]
__version__ = "0.1.0"
