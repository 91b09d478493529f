# SPDX-License-Identifier: BSD-3-Clause
"""A model's convolutions and pools to cnnkern's and back, by giving the layers another class.

A layer stays the object that it is: its parameters, hooks, parametrizations and mode, every other
place that holds it, and the optimizer go on as before.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch.nn import Module
from torch.nn.modules import conv, pooling
from torch.nn.utils.parametrize import is_parametrized

from . import nn
from .functional._arguments import DTYPES, dtype_text

__all__ = [
    "convert",
    "kind_of",
    "lost_by_revert",
    "revert",
    "why_not_converted",
    "why_not_reverted",
]

# What such a layer is at least: torch's own classes, and the base of torch.ao's.
_KINDS = (
    *(getattr(conv, name) for name in conv.__all__),
    *(getattr(pooling, name) for name in pooling.__all__),
    conv._ConvNd,
)
_NAMES = {kind.__name__: kind for kind in _KINDS}
_PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.UninitializedParameter)
# Where a forward of one's own may stand on a layer itself.
_REPLACEABLE = ("forward", "_conv_forward", "_call_impl")
# What cnnkern's layers have on themselves and torch's do not, with what stands for torch's way.
_EXTRAS = {"activation": None, "algorithm": "auto"}


def convert(model: Module) -> Module:
    """Makes a model's convolutions and pools cnnkern's, in place.

    The layers of exactly torch's classes become those of the same name in cnnkern.nn; nothing else
    of them changes. What is left as it is, and why, says :func:`cnnkern.coverage`: subclasses of
    them, which may compute something else, TorchScript, layers whose ``forward`` was replaced,
    those prepared for quantization or sharded by ``fully_shard``, and weights that are no plain
    tensors of float64, float32, float16 or bfloat16. Calling it again changes nothing more. A pool
    takes its dtype from its input: one that pools integers is torch's to keep, by
    :func:`revert` of that layer.

    Args:
        model: a module, which may be such a layer itself.

    Returns:
        The same model.

    Raises:
        TypeError: the model is no module.

    Example:
        >>> import torch, cnnkern
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5), torch.nn.MaxPool2d(2))
        >>> optimizer = torch.optim.SGD(model.parameters())  # goes on with the converted model
        >>> cnnkern.convert(model) is model
        True
        >>> isinstance(model[0], cnnkern.nn.Conv2d)
        True
    """
    require_module("convert", model)
    _change(
        [
            (module, _to_ours()[_own_class(module)])
            for module in model.modules()
            if _own_class(module) in _to_ours() and why_not_converted(module) is None
        ]
    )
    return model


def revert(model: Module) -> Module:
    """Makes a model's cnnkern layers torch's again, in place.

    A layer that does what torch's cannot (a fused ReLU, other paddings before than after, "same"
    with a stride) is left as it is; :func:`cnnkern.coverage` says so. A choice of algorithm is
    dropped with a warning.

    Args:
        model: a module, which may be such a layer itself.

    Returns:
        The same model.

    Raises:
        TypeError: the model is no module.

    Example:
        >>> import torch, cnnkern
        >>> model = cnnkern.convert(torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5)))
        >>> type(cnnkern.revert(model)[0]) is torch.nn.Conv2d
        True
    """
    require_module("revert", model)
    found = [
        (name, module)
        for name, module in model.named_modules()
        if _own_class(module) in _to_torch() and why_not_reverted(module) is None
    ]
    lost = [f"{name or 'the model'}: {lost_by_revert(module)}" for name, module in found]
    _change([(module, _to_torch()[_own_class(module)]) for _, module in found])
    for _, module in found:
        for extra in _EXTRAS:
            module.__dict__.pop(extra, None)
        if isinstance(module, conv._ConvNd):
            module._reversed_padding_repeated_twice = _border(module)
    for line in lost:
        if not line.endswith(": "):
            warnings.warn(f"revert: dropped what torch has not, {line}", stacklevel=2)
    return model


def kind_of(module: Module) -> type | None:
    """Gives torch's class of convolution or pool that a module is or comes from.

    Returns:
        A class of torch.nn; for what torch.ao derives from their common base, that base. None for
        any other module.

    Example:
        >>> kind_of(torch.nn.Conv2d(1, 1, 1)).__name__, kind_of(torch.nn.ReLU())
        ('Conv2d', None)
    """
    for cls in type(module).__mro__:
        if cls in _KINDS:
            return cls
    if isinstance(module, torch.jit.ScriptModule):
        return _NAMES.get(getattr(module, "original_name", ""))
    return _NAMES.get(type(module).__name__) if _is_quantized(module) else None


def why_not_converted(module: Module) -> str | None:
    """Says why :func:`convert` leaves a layer of torch as it is; None where it converts it."""
    kind = kind_of(module)
    if kind is None:
        return "is no convolution or pool"
    name, cls = kind.__name__, type(module)
    if isinstance(module, torch.jit.ScriptModule):
        return "is compiled by TorchScript"
    if _is_quantized(module):
        return "is quantized"
    if kind not in _to_ours():
        return f"is derived from {name}" if cls is not kind else f"cnnkern has no {name}"
    if _own_class(module) is not kind:
        if any(base.__name__ == "FSDPModule" for base in cls.__mro__):
            return "is sharded by fully_shard already: convert first"
        return f"is a subclass of torch.nn.{name}, which may compute something else"
    return _replaced(module) or _unserved(module)


def why_not_reverted(module: Module) -> str | None:
    """Says why :func:`revert` leaves a layer of cnnkern as it is; None where it reverts it."""
    ours = _own_class(module)
    if ours not in _to_torch():
        name = next((cls.__name__ for cls in type(module).__mro__ if cls in _ours()), None)
        if name is None:
            return "is no layer of cnnkern"
        if ours in _ours():
            return f"torch has no {name}"
        return f"is a subclass of cnnkern.nn.{name}"
    if getattr(module, "activation", None) is not None:
        return f"torch fuses no activation, this has {module.activation!r}"
    return _replaced(module) or _untorchlike_padding(module)


def lost_by_revert(module: Module) -> str:
    """Names what :func:`revert` drops of a layer, as ``algorithm='im2col'``; empty for nothing."""
    algorithm = getattr(module, "algorithm", "auto")
    return "" if algorithm == "auto" else f"algorithm={algorithm!r}"


def is_plain(tensor: torch.Tensor) -> bool:
    """Says whether a tensor computes as torch.Tensor does, not by rules of its own class."""
    return type(tensor) in _PLAIN or _is_plain(type(tensor))


def require_module(op: str, model: object) -> None:
    """Refuses what is no module.

    Raises:
        TypeError: saying what came instead.
    """
    if not isinstance(model, Module):
        came = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"{op}: expected model to be a torch.nn.Module, got {came}")


def _ours() -> set[type]:
    return {getattr(nn, name) for name in nn.__all__}


@functools.cache
def _to_ours() -> dict[type, type]:
    # By name, so that a layer that cnnkern.nn gains is converted from then on.
    return {
        getattr(torch.nn, name): getattr(nn, name) for name in nn.__all__ if hasattr(torch.nn, name)
    }


@functools.cache
def _to_torch() -> dict[type, type]:
    return {ours: theirs for theirs, ours in _to_ours().items()}


def _own_class(module: Module) -> type:
    # The class of a layer without what torch.nn.utils.parametrize put on top of it.
    return type(module).__bases__[0] if _is_injected(module) else type(module)


def _is_injected(module: Module) -> bool:
    cls = type(module)
    if not is_parametrized(module) or len(cls.__bases__) != 1:
        return False
    own = {name for name in vars(cls) if not name.startswith("__")}
    parametrized: Any = module.parametrizations
    return cls.__name__ == f"Parametrized{cls.__bases__[0].__name__}" and own <= set(parametrized)


def _is_quantized(module: Module) -> bool:
    return ".quantized." in type(module).__module__


def _change(wanted: list[tuple[Module, type]]) -> None:
    # All of them or none.
    done: list[tuple[Module, type]] = []
    try:
        for module, cls in wanted:
            done.append((module, type(module)))
            module.__class__ = _injected_over(module, cls) if _is_injected(module) else cls
    except BaseException:
        for module, before in done:
            module.__class__ = before
        raise


def _injected_over(module: Module, base: type) -> type:
    # A copy: deep copies of a parametrized module share one class, and only this one changes.
    old = type(module)
    body = {k: v for k, v in vars(old).items() if k not in ("__dict__", "__weakref__")}
    return type(old.__name__, (base,), body)


def _replaced(module: Module) -> str | None:
    for name in _REPLACEABLE:
        if name in module.__dict__:
            return f"{name} was replaced on the layer itself"
    return None


def _unserved(module: Module) -> str | None:
    if getattr(module, "qconfig", None) is not None:
        return "is prepared for quantization, which goes by torch's classes"
    for name, parameter in module.named_parameters():
        # First: another kind of tensor may not even tell its dtype.
        if not is_plain(parameter):
            return f"{name} is a {type(parameter).__name__}, no plain tensor"
        if parameter.dtype not in DTYPES:
            served = ", ".join(map(dtype_text, DTYPES))
            return f"{name} is {dtype_text(parameter.dtype)}; served are {served}"
        if parameter.layout != torch.strided:
            layout = str(parameter.layout).removeprefix("torch.")
            return f"{name} is {layout}; served is strided"
    return None


@torch.compiler.assume_constant_result  # type: ignore[misc]
def _is_plain(kind: type) -> bool:
    for cls in kind.__mro__:
        if cls in _PLAIN or cls.__module__.startswith(("torch.distributed.", "torch._subclasses.")):
            return True  # DTensor and fake tensors stand for plain ones
        if "__torch_function__" in vars(cls) or "__torch_dispatch__" in vars(cls):
            return False
    return True


def _untorchlike_padding(module: Any) -> str | None:
    padding = getattr(module, "padding", 0)
    if isinstance(padding, str):
        if not isinstance(module, conv._ConvNd):
            return f"torch's pools take no padding by name, this has {padding!r}"
        if padding == "same" and any(stride != 1 for stride in module.stride):
            return f'torch has no padding "same" with a stride, this has {tuple(module.stride)}'
    elif isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        return f"torch pads both sides alike, this has {tuple(padding)}"
    return None


def _border(module: conv._ConvNd) -> Any:
    # What torch's constructor computes of the padding for modes other than zeros.
    rank = len(module.kernel_size)
    if module.padding == "same":
        totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [side for t in reversed(totals) for side in (t // 2, t - t // 2)]
    if isinstance(module.padding, str):
        return [0] * (2 * rank)
    return tuple(p for p in reversed(module.padding) for _ in range(2))
