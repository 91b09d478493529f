# SPDX-License-Identifier: BSD-3-Clause
"""Which layers of a model run on cnnkern, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.nn import Module

from . import nn
from .convert import (
    kind_of,
    lost_by_revert,
    require_module,
    why_not_converted,
    why_not_reverted,
)
from .explanation import _aligned

__all__ = ["Coverage", "CoveredLayer", "Fusion", "coverage"]


@dataclass(frozen=True)
class CoveredLayer:
    """A convolution or pool of a model.

    ``places`` is how many names it has in the model, of which ``name`` is the first. ``state`` is
    ``"cnnkern"``, ``"torch"`` (:func:`cnnkern.convert` would convert it) or ``"kept"``. ``reason``
    says why it is kept; for a layer of cnnkern, what :func:`cnnkern.revert` could not take back.
    """

    name: str
    layer: str
    places: int
    state: str
    reason: str = ""

    @property
    def text(self) -> str:
        """What runs it, in words."""
        if self.state == "torch":
            return "torch, can be converted"
        if self.state == "kept":
            return f"kept: {self.reason}"
        return f"cnnkern ({self.reason})" if self.reason else "cnnkern"


@dataclass(frozen=True)
class Fusion:
    """What :func:`cnnkern.fuse` did at a convolution; ``reason`` says why nothing, or not more."""

    name: str
    done: str
    reason: str = ""

    @property
    def text(self) -> str:
        """Both in words."""
        if not self.done:
            return f"nothing: {self.reason}"
        return f"{self.done}; {self.reason}" if self.reason else self.done


@dataclass(frozen=True)
class Coverage:
    """What :func:`cnnkern.coverage` found; ``print`` it, or walk ``layers`` and ``fusions``."""

    layers: tuple[CoveredLayer, ...]
    fusions: tuple[Fusion, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many layers are in each state: ``{"cnnkern": 53, "torch": 0, "kept": 1}``."""
        found = Counter(layer.state for layer in self.layers)
        return {state: found[state] for state in ("cnnkern", "torch", "kept")}

    def __str__(self) -> str:
        parts = [*self._table(), self._foot()]
        if self.fusions:
            rows = [("fused at", "what")]
            rows += [(f.name, f.text) for f in self.fusions]
            parts += ["", *_aligned(rows)]
        return "\n".join(parts)

    def _table(self) -> Iterable[str]:
        if not self.layers:
            return []
        shared = any(layer.places > 1 for layer in self.layers)
        rows = [("name", "layer", *["places"] * shared, "runs on")]
        for layer in self.layers:
            places = [str(layer.places)] * shared
            rows.append((layer.name or "(the model)", layer.layer, *places, layer.text))
        return [*_aligned(rows), ""]

    def _foot(self) -> str:
        if not self.layers:
            return "The model has no convolution or pooling layers."
        n, counts = len(self.layers), self.counts
        parts = [f"{counts['cnnkern']} on cnnkern"]
        parts += [f"{counts['torch']} on torch that can be converted"] * bool(counts["torch"])
        parts += [f"{counts['kept']} kept"] * bool(counts["kept"])
        return f"{n} convolution or pooling layer{'' if n == 1 else 's'}: {', '.join(parts)}."


def coverage(model: Module) -> Coverage:
    """Says which of a model's layers run on cnnkern and which do not, reading it as it stands.

    Args:
        model: any module. What :func:`cnnkern.fuse` made shows its fusions, too.

    Returns:
        A row for each convolution and pooling layer, in the order of their names; ``print`` it.
        Calls of torch.nn.functional are no layers: :func:`cnnkern.override` reports those.

    Raises:
        TypeError: the model is no module.

    Example:
        >>> import torch, cnnkern
        >>> class Scaled(torch.nn.Conv2d):
        ...     def forward(self, input):
        ...         return 2 * super().forward(input)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5), Scaled(6, 6, 3))
        >>> print(cnnkern.coverage(cnnkern.convert(model)))
        name  layer                runs on
        0     cnnkern.nn.Conv2d    cnnkern
        1     ...Scaled  kept: is a subclass of torch.nn.Conv2d, which may compute something else
        <BLANKLINE>
        2 convolution or pooling layers: 1 on cnnkern, 1 kept.
    """
    require_module("coverage", model)
    places = _places(model)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if kind_of(module) is not None or isinstance(module, _OURS)
    ]
    rows = tuple(_row(name, module, places[id(module)]) for name, module in found)
    return Coverage(rows, tuple(_fusions(model)))


_OURS = tuple(getattr(nn, name) for name in nn.__all__)


def _row(name: str, module: Module, places: int) -> CoveredLayer:
    if isinstance(module, _OURS):
        kept, lost = why_not_reverted(module), lost_by_revert(module)
        reason = f"revert keeps it: {kept}" if kept else f"revert drops {lost}" if lost else ""
        return CoveredLayer(name, _class_text(module), places, "cnnkern", reason)
    kept = why_not_converted(module)
    state = "torch" if kept is None else "kept"
    return CoveredLayer(name, _class_text(module), places, state, kept or "")


def _class_text(module: Module) -> str:
    cls = type(module)
    if cls in _OURS:
        return f"cnnkern.nn.{cls.__name__}"
    if cls.__module__.startswith("torch.nn.modules."):
        return f"torch.nn.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _places(model: Module) -> Counter[int]:
    # How many names each module has, where a shared block gives several to all within it.
    order: list[Module] = []
    seen: set[int] = set()

    def walk(module: Module) -> None:
        seen.add(id(module))
        for child in _children(module):
            if id(child) not in seen:
                walk(child)
        order.append(module)

    walk(model)
    places, done = Counter({id(model): 1}), set()
    for module in reversed(order):
        done.add(id(module))
        for child in _children(module):
            # A module that holds one of its own parents gives it no further name.
            if id(child) not in done:
                places[id(child)] += places[id(module)]
    return places


def _children(module: Module) -> list[Module]:
    return [child for child in module._modules.values() if child is not None]


def _fusions(model: Module) -> Iterable[Fusion]:
    for path, module in model.named_modules():
        meta: Any = getattr(module, "meta", None)
        rows = meta.get("cnnkern_fusions", ()) if isinstance(meta, dict) else ()
        for name, done, reason in rows:
            yield Fusion(f"{path}.{name}" if path else name, done, reason)
