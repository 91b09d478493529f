# SPDX-License-Identifier: BSD-3-Clause
"""A model as a torch.fx graph that holds objects of its own and the model's tensors."""

from __future__ import annotations

import inspect
import math
import os
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.nn import Module

from .. import functional

__all__ = ["has_hooks", "trace"]

_RUN_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_HOOK_STATE = (
    *_RUN_HOOKS,
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)
# What only holds others, and is followed inside.
_HOLDERS = (
    Module,
    torch.nn.Sequential,
    torch.nn.ModuleList,
    torch.nn.ModuleDict,
    torch.nn.ParameterList,
    torch.nn.ParameterDict,
)


class Tracer(fx.Tracer):
    """Follows a model into all but its layers: what torch or cnnkern made, or what has hooks."""

    def __init__(self) -> None:
        searched: Any = (math, functional)
        super().__init__(autowrap_modules=searched)
        self.entered: list[tuple[str, Module]] = []

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Says whether a module stays one call."""
        return _is_layer(m) or has_hooks(m)

    def call_module(
        self,
        m: Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Remembers where the trace is; after a failure, where it was."""
        self.entered.append((self.path_of_module(m), m))
        out = super().call_module(m, forward, args, kwargs)
        self.entered.pop()
        return out


def trace(model: Module) -> fx.GraphModule:
    """Traces a model into modules of its own that hold the model's parameters and buffers.

    Arguments of ``forward`` whose default is None, a bool, a number or a string get that value.

    Raises:
        RuntimeError: it cannot be traced: at which layer, and why.
    """
    # A layer alone has no graph around it.
    root = torch.nn.Sequential(model) if _is_layer(model) else model
    root.training = model.training
    tracer = Tracer()
    if "forward" in vars(root):
        name = type(model).__name__
        raise RuntimeError(f"fuse: cannot trace the model ({name}): its forward was replaced")
    try:
        graph = tracer.trace(root, _defaults(root))
    except Exception as error:
        raise RuntimeError(_failure(tracer, model, error)) from error
    _name_as_before(root, graph)
    # It takes what the graph names by reference; then the layers are replaced.
    module = fx.GraphModule(root, graph, type(model).__name__)
    _own_layers(root, module)
    _keep_out_of_state(root, module)
    for name in _HOOK_STATE:
        getattr(module, name).update(getattr(root, name))
    module._is_full_backward_hook = root._is_full_backward_hook
    return module


def has_hooks(module: Module) -> bool:
    """Says whether something runs around a module's forward or backward."""
    return any(getattr(module, name) for name in _RUN_HOOKS)


def _is_layer(module: Module) -> bool:
    if isinstance(module, fx.GraphModule):
        return False
    if isinstance(module, torch.jit.ScriptModule):
        return True
    origins = [cls.__module__ for cls in type(module).__mro__ if cls not in _HOLDERS]
    return any(origin.startswith(("torch.", "cnnkern.nn.")) for origin in origins)


def _defaults(root: Module) -> dict[str, Any]:
    # A proxy in place of None would be taken for a tensor that was given.
    known = (type(None), bool, int, float, str)
    parameters = inspect.signature(type(root).forward).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, known)}


def _name_as_before(root: Module, graph: fx.Graph) -> None:
    # fx numbers the arguments that got a value, and a caller by keyword would not find them. And it
    # cannot pickle annotations that are text.
    names = inspect.signature(type(root).forward).parameters
    for node in graph.nodes:
        if isinstance(node.type, str):
            node.type = None
    for node in graph.find_nodes(op="placeholder"):
        target = str(node.target)
        before = target.rpartition("_")[0]
        if target not in names and before in names:
            node.target = before


def _failure(tracer: Tracer, model: Module, error: Exception) -> str:
    path, module = tracer.entered[-1] if tracer.entered else ("", model)
    at = f"{path} ({type(module).__name__})" if path else f"the model ({type(model).__name__})"
    frames = traceback.extract_tb(error.__traceback__)
    beside = (os.path.dirname(torch.__file__), __file__)
    theirs = [f for f in frames if not f.filename.startswith(beside)]
    line = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    reason = (str(error).splitlines() or [""])[0]
    return f"fuse: cannot trace {at}{line}: {type(error).__name__}: {reason}"


def _own_layers(root: Module, module: fx.GraphModule) -> None:
    copies: dict[int, Module] = {}
    targets = {str(node.target) for node in module.graph.find_nodes(op="call_module")}
    for target in sorted(targets, key=lambda path: path.count(".")):
        holder, _, name = target.rpartition(".")
        held = module.get_submodule(holder)._modules
        held[name] = _copied(root.get_submodule(target), copies)
    for path, holder_of_layers in module.named_modules():
        if type(holder_of_layers) is Module:  # made by fx
            holder_of_layers.training = root.get_submodule(path).training


def _keep_out_of_state(root: Module, module: fx.GraphModule) -> None:
    # fx makes buffers of all tensors that forward reads.
    for node in module.graph.find_nodes(op="get_attr"):
        path, _, name = str(node.target).rpartition(".")
        old, new = root.get_submodule(path), module.get_submodule(path)
        kept = name in old._buffers and name not in old._non_persistent_buffers_set
        if name in new._buffers and not kept:
            new._non_persistent_buffers_set.add(name)


def _copied(module: Module, copies: dict[int, Module]) -> Module:
    # Another object with the same parameters and buffers.
    if isinstance(module, torch.jit.ScriptModule):
        return module
    if id(module) not in copies:
        copy = copies[id(module)] = object.__new__(type(module))
        own = {k: v.copy() if isinstance(v, (dict, set)) else v for k, v in vars(module).items()}
        copy.__dict__.update(own)
        copy._modules.update(
            {k: m if m is None else _copied(m, copies) for k, m in module._modules.items()}
        )
    return copies[id(module)]
