# SPDX-License-Identifier: BSD-3-Clause
"""One algorithm for all convolutions that a block of code calls."""

from __future__ import annotations

from types import TracebackType

from .functional import _arguments as arguments
from .functional._in_use import ACTIVE, IN_USE, Choice

__all__ = ["use"]


class use:
    """Within it, every convolution whose algorithm is "auto" takes the named one.

    Layers, functions and autograd Functions alike, and the gradients of what was called within,
    also where they are computed after it. Calls and layers that name an algorithm keep theirs. It
    holds for the thread that enters it, as ``torch.no_grad`` does; the innermost one counts. A
    function that torch.compile compiled guards on it and is compiled again for another choice.

    Args:
        algorithm: "direct", "depthwise", "im2col", "winograd" or "implicit_gemm"; "auto" lets the
            plan choose, as outside.
        otherwise: what happens to a problem that the algorithm cannot serve in all directions:
            None: the call raises the plan's reason; "auto": the plan chooses for that problem
            (torch.compile then compiles each size of its input by itself).

    Raises:
        ValueError: no algorithm has this name, or otherwise is neither None nor "auto".
        RuntimeError: by a call within, which the algorithm does not serve.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.Conv2d(4, 8, 3)
        >>> with cnnkern.use(algorithm="im2col"):
        ...     y = layer(torch.zeros(1, 4, 9, 9))
        >>> with cnnkern.use(algorithm="depthwise"):
        ...     layer(torch.zeros(1, 4, 9, 9))
        Traceback (most recent call last):
        RuntimeError: conv2d: algorithm depthwise does not serve this forward: C/groups is 4, ...
        >>> with cnnkern.use(algorithm="depthwise", otherwise="auto"):
        ...     y = layer(torch.zeros(1, 4, 9, 9))
    """

    def __init__(self, algorithm: str, *, otherwise: str | None = None) -> None:
        arguments.known_algorithm("use", algorithm)
        if otherwise not in (None, "auto"):
            raise ValueError(f"use: expected otherwise to be None or 'auto', got {otherwise!r}")
        self.algorithm = algorithm
        self.otherwise = otherwise

    def __enter__(self) -> use:
        IN_USE.choice = Choice(self.algorithm, self.otherwise, IN_USE.choice)
        ACTIVE.append(None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        choice = IN_USE.choice
        assert choice is not None
        IN_USE.choice = choice.before
        ACTIVE.pop()
