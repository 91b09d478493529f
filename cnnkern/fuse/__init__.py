# SPDX-License-Identifier: BSD-3-Clause
"""A model with its convolutions doing what follows: BatchNorm, additions, ReLU, max pooling."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import fx
from torch.nn import Module

from .. import nn
from ..convert import _change, convert, require_module
from .chains import Chain, chains
from .fold import fold
from .trace import trace

__all__ = ["fuse"]


def fuse(model: Module) -> fx.GraphModule:
    """Gives a model whose convolutions do BatchNorm, addition, ReLU and pool after them, too.

    Traces the model by torch.fx, then, wherever nothing else uses what lies between:

    - In evaluation mode a BatchNorm with running statistics is folded into the weight and bias of
      the convolution before it (1-3 axes, transposed too). In train mode it stays.
    - What is added to a convolution's result becomes its ``residual``, where it is there before:
      of the two branches that a network joins, the one that comes later does the addition.
    - A ReLU (layer, function or method) after a convolution becomes its ``activation="relu"``.
    - MaxPool2d after Conv2d, with a ReLU between, after, or none, makes both a
      :class:`cnnkern.nn.ConvBlock2d`.

    Convolutions that got something to do become cnnkern's, as :func:`cnnkern.convert` would make
    them; all else stays as it was, and can be converted before or after. What was done at each
    convolution, and why not more, prints :func:`cnnkern.coverage`; it is kept in
    ``meta["cnnkern_fusions"]``, which deep copies take along and torch's pickling does not.

    The model itself is left as it was. Its parameters and buffers are shared, not copied, except
    the weights and biases that a BatchNorm was folded into, so that training one trains the other.
    As always with torch.fx: the mode at the time of the call is built in, arguments with a default
    of None, a bool, a number or a string keep that value, ``x += y`` makes a new ``x``, and of the
    model's methods only ``forward`` remains. A single layer as model is called "0" in the result.

    Args:
        model: a module that torch.fx can trace: what it does must not depend on values or shapes.

    Returns:
        A module that takes the same arguments and gives the same results, rounding aside.

    Raises:
        TypeError: the model is no module.
        RuntimeError: it cannot be traced: at which layer, in which line, and why.

    Source:
        S. Ioffe and C. Szegedy, Batch normalization, 2015, section 3.1: with fixed statistics it
        is one linear transform.

    Example:
        >>> import torch, cnnkern
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        ...     torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU6(),
        ... ).eval()
        >>> print(cnnkern.coverage(cnnkern.fuse(model)))
        name  layer                   runs on
        0     cnnkern.nn.ConvBlock2d  cnnkern (revert keeps it: torch has no ConvBlock2d)
        4     torch.nn.Conv2d         torch, can be converted
        <BLANKLINE>
        2 convolution or pooling layers: 1 on cnnkern, 1 on torch that can be converted.
        <BLANKLINE>
        fused at  what
        0         BatchNorm2d 1 folded, ReLU 2 fused, MaxPool2d 3 fused
        4         nothing: ReLU6 5 is no BatchNorm, addition, ReLU or MaxPool2d
    """
    require_module("fuse", model)
    owners = Counter(
        id(p) for m in model.modules() for p in m._parameters.values() if p is not None
    )
    fused = trace(model)
    found = list(chains(fused, owners))
    for chain in found:
        if chain.done:
            _apply(fused, chain)
    fused.delete_all_unused_submodules()
    fused.recompile()
    fused.meta["cnnkern_fusions"] = [(c.name, ", ".join(c.done), c.reason) for c in found]
    return fused


def _apply(fused: fx.GraphModule, chain: Chain) -> None:
    conv: Any = convert(fused.get_submodule(chain.name))
    if chain.norm is not None:
        fold(conv, fused.get_submodule(str(chain.norm.target)))
    if chain.addition is not None:
        residual = chain.other(chain.addition)
        chain.node.kwargs = {**chain.node.kwargs, "residual": residual}
    if chain.relu is not None:
        conv.activation = "relu"
    if chain.pool is not None:
        _change([(conv, nn.ConvBlock2d)])
        # Not the class's default, which is a ReLU.
        conv.activation = getattr(conv, "activation", None)
        p = chain.pooling
        conv.pool_size, conv.pool_stride = p["kernel_size"], p["stride"]
        conv.pool_padding, conv.pool_dilation = p["padding"], p["dilation"]
        conv.ceil_mode = p["ceil_mode"]
    for node in (chain.norm, chain.addition, chain.relu, chain.pool):
        if node is not None:
            node.replace_all_uses_with(chain.node)
            fused.graph.erase_node(node)
