# SPDX-License-Identifier: BSD-3-Clause
"""A BatchNorm of fixed statistics as part of the convolution before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["fold", "is_batch_norm", "why_not_folded"]

_RANKS = {torch.nn.BatchNorm1d: 1, torch.nn.BatchNorm2d: 2, torch.nn.BatchNorm3d: 3}


def fold(conv: Any, norm: Any) -> None:
    """Gives a convolution a weight and a bias of its own that do what the BatchNorm after it does.

    With ``scale = gamma / sqrt(var + eps)`` they are ``weight scale`` and
    ``(bias - mean) scale + beta``, computed in float64 and rounded once.
    """
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        shift = -norm.running_mean.double()
        if conv.bias is not None:
            shift += conv.bias
        if norm.weight is not None:
            scale *= norm.weight
        shift *= scale
        if norm.bias is not None:
            shift += norm.bias
        old = conv.weight
        weight = _scaled(conv, old.double(), scale).to(old)
    learns = any(t is not None and t.requires_grad for t in (conv.bias, norm.weight, norm.bias))
    conv.weight = Parameter(
        weight.contiguous(memory_format=_format_of(old)), requires_grad=old.requires_grad
    )
    conv.bias = Parameter(shift.to(old), requires_grad=learns)


def why_not_folded(conv: Any, norm: Any, owners: dict[int, int]) -> str | None:
    """Says why a BatchNorm cannot be folded into a convolution; None where it can.

    Args:
        conv: any convolution layer.
        norm: a BatchNorm of torch.nn, alone on what the convolution makes.
        owners: how many modules hold a parameter, by its id.
    """
    if norm.training:
        return "is in train mode"
    if norm.running_mean is None or norm.running_var is None:
        return "has no running statistics"
    if conv.training:
        return "stays: the convolution is in train mode"
    if torch.nn.utils.parametrize.is_parametrized(conv):
        return "stays: the convolution is parametrized"
    kind, rank = type(norm), len(conv.kernel_size)
    if kind in _RANKS and _RANKS[kind] != rank:
        return f"takes no output of {rank} axes"
    if norm.num_features != conv.out_channels:
        return f"has {norm.num_features} features for {conv.out_channels} channels"
    if norm.running_var.dtype != conv.weight.dtype:
        return f"is {_text(norm.running_var)} where the convolution is {_text(conv.weight)}"
    if norm.running_var.device != conv.weight.device:
        return f"is on {norm.running_var.device}, the convolution on {conv.weight.device}"
    for name in ("weight", "bias"):
        if owners.get(id(getattr(conv, name)), 0) > 1:
            return f"stays: the convolution's {name} is another layer's, too"
    return None


def _scaled(conv: Any, weight: Tensor, scale: Tensor) -> Tensor:
    ones = [1] * len(conv.kernel_size)
    if not conv.transposed:
        return weight * scale.view(-1, 1, *ones)
    # (C, K / groups, ...), a group's channels below the other's.
    c, *taps = weight.shape
    g = conv.groups
    return (weight.view(g, c // g, *taps) * scale.view(g, 1, -1, *ones)).view(c, *taps)


def _format_of(tensor: Tensor) -> torch.memory_format:
    for rank, kept in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        other = tensor.dim() == rank and not tensor.is_contiguous()
        if other and tensor.is_contiguous(memory_format=kept):
            return kept
    return torch.contiguous_format


def _text(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def is_batch_norm(module: Module) -> bool:
    """Says whether a layer is a BatchNorm of torch's, or comes from one."""
    return isinstance(module, _BatchNorm)
