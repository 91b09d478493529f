# SPDX-License-Identifier: BSD-3-Clause
"""Views that no kernel may take for dense: the same values behind odd strides."""

from __future__ import annotations

import torch
from torch import Tensor


def _sliced(t: Tensor) -> Tensor:
    n, c = t.shape[:2]
    wide = torch.full((2 * n, c + 3, *t.shape[2:]), float("nan"), dtype=t.dtype)
    view = wide[::2, 2 : 2 + c]
    view.copy_(t)
    return view


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1)


def _reversed_order(t: Tensor) -> Tensor:
    axes = list(range(t.dim()))[::-1]
    return t.permute(axes).contiguous().permute(axes)


def _last_axis_gaps(t: Tensor) -> Tensor:
    wide = torch.full((*t.shape, 3), float("nan"), dtype=t.dtype)
    wide[..., 1] = t
    return wide[..., 1]


def _one_element(t: Tensor) -> Tensor:
    """Strides 0 throughout: what ``y.sum().backward()`` passes."""
    return t.flatten()[:1].view(()).expand(t.shape)


def _one_sample(t: Tensor) -> Tensor:
    return t[:1].expand(t.shape)


def _overlapping(t: Tensor) -> Tensor:
    """Each row begins one element after the row before, as windows of a signal do."""
    rows, columns = t.shape[-2], t.shape[-1]
    flat = t.flatten()[: (t[..., 0, 0].numel() + 1) * (rows + columns)].clone()
    step, strides = rows + columns - 1, []
    for size in reversed(t.shape[:-2]):
        strides.insert(0, step)
        step *= size
    long = flat.repeat(step // max(flat.numel(), 1) + 2)
    return long.as_strided(t.shape, (*strides, 1, 1))


VIEWS = {
    "sliced": _sliced,
    "transposed": _transposed,
    "reversed order": _reversed_order,
    "gaps in the last axis": _last_axis_gaps,
    "one element": _one_element,
    "one sample": _one_sample,
    "overlapping": _overlapping,
}
