# SPDX-License-Identifier: BSD-3-Clause
"""Which calls after a convolution become part of it, and why the next one does not."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.nn import Module
from torch.nn.modules import conv as convs
from torch.nn.utils.parametrize import is_parametrized

from .. import functional, nn
from ..convert import (
    _own_class,
    _replaced,
    _to_torch,
    kind_of,
    why_not_converted,
)
from .fold import is_batch_norm, why_not_folded
from .trace import has_hooks

__all__ = ["Chain", "chains"]

_CONVOLUTIONS = tuple(getattr(convs, name) for name in convs.__all__)
_RELUS = (torch.nn.functional.relu, torch.nn.functional.relu_, torch.relu, torch.relu_)
_ADDITIONS = (operator.add, torch.add)
_POOLS: tuple[Any, ...] = (
    torch.nn.functional.max_pool2d,
    torch.max_pool2d,
    functional.max_pool2d,
)
_POOL_ARGUMENTS = {
    "kernel_size": None,
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "return_indices": False,
}
# Worth a word where one follows a convolution and cannot be fused: the layers of these modules, and
# the functions that are called like them.
_KINDS = ("activation", "batchnorm", "instancenorm", "normalization", "pooling")
_LAYERS: tuple[type, ...] = tuple(
    getattr(module, name)
    for module in (getattr(torch.nn.modules, kind) for kind in _KINDS)
    for name in getattr(module, "__all__", ())
)
_NAMES = {
    name
    for name in dir(torch.nn.functional)
    for layer in _LAYERS
    if name.strip("_").replace("_", "") == layer.__name__.lower()
} | {
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "sigmoid",
    "tanh",
    "max_pool2d_with_indices",
}
# Calls whose result may be the same memory: functions, methods and layers in small letters.
_VIEWS = {
    *("alphadropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "identity", "to"),
    *("contiguous", "flatten", "reshape", "unflatten", "view", "view_as"),
    *("movedim", "permute", "squeeze", "swapaxes", "t", "transpose", "unsqueeze"),
    *("chunk", "getitem", "narrow", "select", "split", "unbind"),
}


@dataclass(frozen=True)
class _Model:
    # What is traced: its layers by path, the order of its calls, how many modules hold a parameter.
    modules: dict[str, Module]
    order: dict[fx.Node, int]
    owners: dict[int, int]


@dataclass
class Chain:
    """A call of a convolution with the calls after it that it can do, too.

    ``reason`` says why nothing, or nothing more, could be done; it is empty where nothing that a
    convolution could do follows.
    """

    name: str
    node: fx.Node
    norm: fx.Node | None = None
    addition: fx.Node | None = None
    relu: fx.Node | None = None
    pool: fx.Node | None = None
    pooling: dict[str, Any] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def adds(self) -> bool:
        """Whether something is added to the convolution's result, by itself or by fusing."""
        return self.addition is not None or self.node.kwargs.get("residual") is not None

    def other(self, addition: fx.Node) -> Any:
        """Gives what an addition adds to the convolution's result."""
        first, second = addition.args
        return second if first in (self.node, self.norm) else first


def chains(traced: fx.GraphModule, owners: dict[int, int]) -> Iterable[Chain]:
    """Goes through the calls of a traced model, in the order of their execution.

    Args:
        traced: what trace made.
        owners: how many modules of the whole model hold a parameter, by its id.

    Yields:
        One chain for each convolution, layer or function, and for each layer that hides some.
    """
    modules = dict(traced.named_modules(remove_duplicate=False))
    order = {node: i for i, node in enumerate(traced.graph.nodes)}
    model = _Model(modules, order, owners)
    called = Counter(
        id(part)
        for node in traced.graph.find_nodes(op="call_module")
        for part in modules[str(node.target)].modules()
    )
    read = {str(node.target) for node in traced.graph.find_nodes(op="get_attr")}
    seen: set[str] = set()
    for node in traced.graph.nodes:
        name = str(node.target)
        if node.op == "call_function" and _is_conv_function(node):
            yield Chain(node.name, node, reason=f"calls the function {node.target.__name__}")
        if node.op != "call_module" or name in seen:
            continue
        seen.add(name)
        module = modules[name]
        if kind_of(module) not in _CONVOLUTIONS:
            if any(kind_of(part) in _CONVOLUTIONS for part in module.modules()):
                hooks = "has hooks and " if has_hooks(module) else ""
                reason = f"{hooks}is called as a whole: {type(module).__name__}"
                yield Chain(name, node, reason=reason)
            continue
        chain = Chain(name, node, reason=_unfit(module) or "")
        if not chain.reason and called[id(module)] > 1:
            chain.reason = f"is called {called[id(module)]} times"
        if not chain.reason and any(path.startswith(f"{name}.") for path in read):
            chain.reason = "its parameters are used by themselves, too"
        if not chain.reason:
            _follow(chain, module, model)
        yield chain


def _follow(chain: Chain, conv: Any, model: _Model) -> None:
    last = chain.node
    while not chain.reason:
        users = [_User(node, model.modules) for node in last.users]
        if len(users) != 1:
            known = [
                u.label
                for u in users
                if u.kind and not u.unfit(last) and not _why_not_next(chain, conv, u, model)
            ]
            if known:
                chain.reason = f"its result goes to {len(users)} places, not only {known[0]}"
            break
        (user,) = users
        if not user.kind:
            break
        why = user.unfit(last) or _why_not_next(chain, conv, user, model)
        if why is not None:
            chain.reason = f"{user.label} {why}"
            break
        setattr(chain, user.kind, user.node)
        chain.done.append(f"{user.label} {'folded' if user.kind == 'norm' else 'fused'}")
        last = user.node
    if not chain.done and not chain.reason:
        chain.reason = "nothing follows that it could do, too"


def _why_not_next(chain: Chain, conv: Any, user: _User, model: _Model) -> str | None:
    has_relu = chain.relu is not None or getattr(conv, "activation", None) is not None
    if user.kind in ("norm", "addition"):
        done = {"a ReLU": has_relu, "a pool": chain.pool, "an addition": chain.adds}
        for before, there in done.items():
            if there:
                return f"stands after {before}"
        if user.kind == "addition":
            return _why_not_added(chain, conv, user, model)
        return why_not_folded(conv, user.module, model.owners)
    if user.kind == "relu":
        return "is a second one" if has_relu else None
    if user.kind == "pool":
        if kind_of(conv) is not torch.nn.Conv2d:
            return "is fused after Conv2d only"
        if chain.pool is not None:
            return "is a second one"
        if chain.adds:
            return "stands after an addition"
        arguments = user.pooling()
        if any(isinstance(a, fx.Node) for v in arguments.values() for a in _flat(v)):
            return "has arguments that are computed"
        if arguments.pop("return_indices"):
            return "returns indices, too"
        if has_relu and _is_changed(user.node, model.modules):
            return (
                "makes what is changed in place later, and a fused ReLU needs it for its gradient"
            )
        chain.pooling = arguments
        return None
    return "is no BatchNorm, addition, ReLU or MaxPool2d"


def _why_not_added(chain: Chain, conv: Any, user: _User, model: _Model) -> str | None:
    if kind_of(conv) not in (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d):
        return "is fused after Conv1d, Conv2d and Conv3d only"
    if conv.padding_mode != "zeros":
        return f"is not fused where padding_mode is {conv.padding_mode!r}"
    other = chain.other(user.node)
    if not isinstance(other, fx.Node) or other in (chain.node, chain.norm):
        return "adds no other tensor"
    # A convolution cannot wait for what it adds; of two branches it is the later one's.
    if model.order[other] > model.order[chain.node]:
        return f"adds {other.name}, which comes after the convolution"
    between = range(model.order[chain.node] + 1, model.order[user.node])
    for node, place in model.order.items():
        if place in between and node is not chain.norm and _writes(node, model.modules):
            return f"stands behind {node.name}, which changes something in place"
    return None


class _User:
    # A call on what a convolution made: kind is empty for what has nothing to do with fusing.

    def __init__(self, node: fx.Node, modules: dict[str, Module]) -> None:
        self.node = node
        self.module = modules[str(node.target)] if node.op == "call_module" else None
        if self.module is not None:
            self.label = f"{type(self.module).__name__} {node.target}"
            self.kind = _kind_of_layer(self.module)
        else:
            name = getattr(node.target, "__name__", str(node.target))
            self.label, self.kind = name, _kind_of_call(node, name)

    def unfit(self, before: fx.Node) -> str | None:
        first = self.node.args[:1] == (before,)
        if self.kind == "addition":
            writes = _writes(self.node, {})  # into its first operand
            first = (first or not writes) and len(self.node.args) == 2 and not self.node.kwargs
        if not first:
            return "takes it in an unusual way"
        if self.module is None or self.kind == "other":
            return None
        if any(torch.nn.parameter.is_lazy(p) for p in self.module.parameters()):
            return "is not initialised yet: call the model once"
        if is_parametrized(self.module):
            return "is parametrized"
        if type(self.module).__module__.split(".")[0] not in ("torch", "cnnkern"):
            return "is of a class that may compute something else"
        return "has hooks" if has_hooks(self.module) else _replaced(self.module)

    def pooling(self) -> dict[str, Any]:
        if self.module is not None:
            found = {name: getattr(self.module, name) for name in _POOL_ARGUMENTS}
        else:
            given = dict(zip(_POOL_ARGUMENTS, self.node.args[1:], strict=False))
            found = {**_POOL_ARGUMENTS, **given, **self.node.kwargs}
        # torch's functions take an empty list for None.
        return {**found, "stride": None if found["stride"] in ((), []) else found["stride"]}


def _kind_of_layer(module: Module) -> str:
    if is_batch_norm(module):
        return "norm"
    if isinstance(module, torch.nn.ReLU):
        return "relu"
    if isinstance(module, torch.nn.MaxPool2d):
        return "pool"
    return "other" if isinstance(module, _LAYERS) else ""


def _kind_of_call(node: fx.Node, name: str) -> str:
    if node.op == "call_method":
        if name in ("add", "add_"):
            return "addition"
        return "relu" if name in ("relu", "relu_") else "other" if name in _NAMES else ""
    if node.op != "call_function":
        return ""
    if any(node.target is addition for addition in _ADDITIONS):
        return "addition"
    if any(node.target is relu for relu in _RELUS):
        return "relu"
    if any(node.target is pool for pool in _POOLS):
        return "pool"
    return "other" if name in _NAMES else ""


def _is_conv_function(node: fx.Node) -> bool:
    name = getattr(node.target, "__name__", "")
    return name in functional.__all__ and name.startswith("conv")


def _is_changed(node: fx.Node, modules: dict[str, Module]) -> bool:
    # Whether something writes into what a call made, also through other views of it.
    for user in node.users:
        if _writes(user, modules):
            return True
        if _name_of(user, modules).lower() in _VIEWS and _is_changed(user, modules):
            return True
    return False


def _writes(node: fx.Node, modules: dict[str, Module]) -> bool:
    module = modules[str(node.target)] if node.op == "call_module" else None
    if getattr(module, "inplace", node.kwargs.get("inplace", "out" in node.kwargs)):
        return True
    name = _name_of(node, modules)
    return name.endswith("_") and not name.endswith("__")


def _name_of(node: fx.Node, modules: dict[str, Module]) -> str:
    call = type(modules[str(node.target)]) if node.op == "call_module" else node.target
    return str(getattr(call, "__name__", call))


def _unfit(conv: Module) -> str | None:
    own = _own_class(conv)
    if any(torch.nn.parameter.is_lazy(p) for p in conv.parameters()):
        return "is not initialised yet: call the model once"
    if has_hooks(conv):
        return "has hooks"
    if own in _to_torch():
        return _replaced(conv)
    if own is nn.ConvBlock2d:
        return "is a block already"
    return why_not_converted(conv)


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _flat(part)
    else:
        yield value
