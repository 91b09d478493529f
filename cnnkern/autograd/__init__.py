# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and pooling as torch.autograd.Function classes, with their backward passes in Python.

The functions of cnnkern.functional do not run through these: the operators carry their own
derivatives, in C++. These classes are for those who want a Function: to read it, to subclass it, to
change its backward. They differentiate to any order, run under torch.func (grad, vjp, vmap, jacrev)
and torch.compile, and compute and save only what a wanted gradient needs.

A small call that records a gradient took 104 us, the functional's 5 (1x1x4x4, one core of an AMD
EPYC (Zen 3), torch 2.13.0, 2026-11-21): arguments are checked in Python, and ``setup_context``,
which torch.func asks for, makes torch bind them there once more. Forward-mode derivatives
(torch.func.jvp) are the functional's alone: a Function that had one could not be compiled.

Tensors are batched, the weight's or the kernel's axes tell the rank. Arguments go by position and
have the meaning and the defaults that they have in cnnkern.functional.
"""

from .adaptive_pool import AdaptiveAvgPool, AdaptiveMaxPool
from .conv import Conv
from .conv_transpose import ConvTranspose
from .pool import AvgPool, MaxPool
from .unpool import MaxUnpool

__all__ = [
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AvgPool",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "MaxUnpool",
]
