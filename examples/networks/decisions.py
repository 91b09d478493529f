# SPDX-License-Identifier: BSD-3-Clause
"""Which side of each kink a pass took, and passes that take the same.

A ReLU and a maximum have a kink where two of their pieces meet. Within rounding of it either side
is right, but the gradient jumps: two sound float32 passes of a deep network, with millions of such
decisions, differ by more than a float64 pass can tell from an error. So the truth of a pass is the
float64 pass that decides as it did, and how far off the float64 values a decision was is measured
as an error by itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# With the axes of a plane; torch pools over one axis as over planes one high.
_POOLS = {
    "max_pool2d_with_indices": 2,
    "max_pool3d_with_indices": 3,
    "adaptive_max_pool2d": 2,
    "adaptive_max_pool3d": 3,
}
# Those whose gradient is not of the result: it is bent where it is taken, not in the forward pass.
_BY_INPUT = ("hardtanh", "leaky_relu")
_UNKNOWN = ("prelu", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "threshold")
_KINKED = ("relu", *_BY_INPUT, *_POOLS)


class Recorded(TorchDispatchMode):
    """Notes the decisions of the ReLUs and max pools that run within it, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        taken = _taken(func, args, kwargs or {}, result)
        if taken is not None:
            self.taken.append(taken)
        return result

    def same_as(self, other: Recorded) -> bool:
        return len(self.taken) == len(other.taken) and all(
            torch.equal(a.flatten(), b.flatten())
            for a, b in zip(self.taken, other.taken, strict=True)
        )


class Followed(TorchDispatchMode):
    """Has ReLUs and max pools of torch decide as another pass did, within a forward and backward.

    Attributes:
        overruled: how many decisions were not those of the values.
        margin: how far off such a value was, at most, as a share of the largest beside it.
    """

    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self.overruled = 0
        self.margin = 0.0
        self._next = iter(recorded.taken)
        self._by_input: list[tuple[Tensor, Tensor, Tensor]] = []

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if raised[0] is None and next(self._next, None) is not None:
            raise RuntimeError("the other pass took more decisions than this one")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name.removesuffix("_backward") in _BY_INPUT and name.endswith("_backward"):
            return self._gradient(*args)
        kind = name.removesuffix("_")
        if kind not in _KINKED:
            return func(*args, **(kwargs or {}))
        values, taken = args[0].clone(), next(self._next)
        result = func(*args, **(kwargs or {}))
        if kind in _POOLS:
            taken, axes = taken.view(result[1].shape), _POOLS[kind]
            chosen = values.flatten(-axes).gather(-1, taken.flatten(-axes)).view(taken.shape)
            self._note(result[0] - chosen, values)
            return chosen, taken
        taken = taken.view(values.shape)
        low, high = _ends(kind, args)
        natural = _side(values, low, high)
        nearest = torch.where(torch.maximum(taken, natural) > 1, high, low)
        self._note(torch.where(taken != natural, (values - nearest).abs(), 0), values)
        if kind in _BY_INPUT:
            self._by_input.append((values, result.clone(), taken))
            return result
        positive = values.clamp(min=torch.finfo(values.dtype).tiny)
        return result.copy_(torch.where(taken > 0, positive, 0))

    def _gradient(self, grad: Tensor, of: Tensor, *how: Any) -> Tensor:
        for values, result, taken in self._by_input:
            if of.shape == values.shape and (of.equal(values) or of.equal(result)):
                slope = how[0] if len(how) == 2 and isinstance(how[1], bool) else 0.0
                return torch.where(taken == 1, grad, slope * grad)
        raise RuntimeError("a gradient of what this pass has not met")

    def _note(self, off: Tensor, values: Tensor) -> None:
        largest = values.abs().max().item()
        if largest and off.any():
            self.overruled += int(off.count_nonzero())
            self.margin = max(self.margin, off.max().item() / largest)


def _taken(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Tensor | None:
    space, name = func._schema.name.split("::")
    if space == "cnnkern":
        return _own_indices(func, args, kwargs, result[1]) if name == "max_pool" else None
    kind = name.removesuffix("_")
    if kind in _UNKNOWN:
        raise NotImplementedError(f"{name}: its decisions are not followed")
    if kind not in _KINKED:
        return None
    if kind in _POOLS:
        return result[1]
    return _side(result, *_ends(kind, args))


def _ends(kind: str, args: tuple[Any, ...]) -> tuple[float, float]:
    """Between which values the function's slope is 1."""
    if kind == "hardtanh":
        return args[1:3] if len(args) > 2 else (-1.0, 1.0)
    return 0.0, math.inf


def _side(values: Tensor, low: float, high: float) -> Tensor:
    """0 below both ends, 1 between them, 2 above; of a function's input or of its result."""
    return (values > low).to(torch.int8) + (values >= high)


def _own_indices(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], argmax: Tensor
) -> Tensor:
    # As torch has them: positions in the plane, of the operator's own bytes.
    names = [a.name for a in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    given |= {"argmax": argmax, "input_size": list(given["input"].shape)}
    op = torch.ops.cnnkern.max_pool_indices.default
    return op(**{a.name: given[a.name] for a in op._schema.arguments if a.name in given})
