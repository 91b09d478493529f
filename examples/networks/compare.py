# SPDX-License-Identifier: BSD-3-Clause
"""How far a network's outputs and gradients stand from those in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from .decisions import Followed, Recorded

Values = dict[str, Tensor]


class Error(NamedTuple):
    """The largest error of any tensor and the root mean square of all, each in units of the
    tensor's own largest value or root mean square."""

    maximum: float
    rms: float

    def over(self, other: Error) -> Error:
        """In units of another's."""
        return Error(*(a / b if b else math.nan for a, b in zip(self, other, strict=True)))


class Pass(NamedTuple):
    """What a call and its backward gave."""

    outputs: Values
    gradients: Values


class Judged(NamedTuple):
    """How far a pass stood from its truth.

    Attributes:
        outputs: their error.
        gradients: that of the parameters' and the input's gradients.
        overruled: decisions of ReLUs and max pools that the float64 values would not have taken.
        margin: how far off the worst of them was; see ``decisions``.
    """

    outputs: Error
    gradients: Error
    overruled: int
    margin: float


def prepare(
    model: nn.Module, inputs: Sequence[Tensor], seed: int = 0, *, heads: bool = False
) -> nn.Module:
    """The model with weights under which values keep their size from layer to layer.

    Weights are drawn as for ReLUs, dropout is off, and batch normalisations know the mean and the
    variance of what they meet, as after a training.

    Args:
        model: changed in place and returned, in evaluation mode.
        inputs: what batch normalisations learn from.
        seed: of the weights.
        heads: whether the heads run that Inception v3 and GoogLeNet have for training alone.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    model.eval()
    if norms:
        for norm in norms:
            norm.train().momentum = 1.0
        with torch.no_grad():
            model(*inputs)
        model.eval()
        for norm in norms:  # of few values, a variance may be next to nothing
            norm.running_var.clamp_(min=norm.running_var.mean().item())
    model.training = heads and getattr(model, "aux_logits", False)  # of itself, not of its layers
    return model


def in_format(
    model: nn.Module, inputs: Sequence[Tensor], channels_last: bool
) -> tuple[nn.Module, list[Tensor]]:
    """Copies with contiguous tensors, or with the channels of images and videos last."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}

    def laid_out(tensor: Tensor) -> Tensor:
        format = formats.get(tensor.dim(), torch.contiguous_format)
        return tensor.detach().clone(memory_format=format)

    model = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data = laid_out(parameter)
    return model, [laid_out(tensor) for tensor in inputs]


class Truth:
    """The float64 passes of a model.

    Args:
        model: in any format; left as it is.
        inputs: what it is called with.
        seed: of the outputs' gradients.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[Tensor], seed: int = 0) -> None:
        self._model = copy.deepcopy(model).double()
        self._inputs = [inputs[0].double(), *inputs[1:]]
        self._seed = seed
        self._last: tuple[Recorded, Followed, Pass] | None = None

    def judge(
        self,
        model: nn.Module,
        inputs: Sequence[Tensor],
        within: AbstractContextManager[Any] | None = None,
    ) -> Judged:
        """Runs the model in its own dtype, and holds it against the pass that decides as it did.

        Args:
            model: as that of the truth, in any format.
            inputs: in any format.
            within: what to enter for the model's pass, such as ``cnnkern.override()``.
        """
        decided = Recorded()
        with within or nullcontext(), decided:
            values = run(model, inputs, self._seed)
        if self._last is None or not decided.same_as(self._last[0]):
            self._last = None  # its gradients may fill gigabytes
            followed = Followed(decided)
            with followed:
                true = run(self._model, self._inputs, self._seed)
            self._last = decided, followed, true
        _, followed, true = self._last
        return Judged(
            error(values.outputs, true.outputs),
            error(values.gradients, true.gradients),
            followed.overruled,
            followed.margin,
        )


def faults(ours: Judged, torchs: Judged, layers: int) -> list[str]:
    """In which ways ours is further from the truth than rounding explains.

    An error may be twice torch's and a rounding of float32 a layer more, as a maximum and as a root
    mean square; a decision may be off by 1e-4 more than twice the worst of torch's.

    Args:
        ours: of cnnkern.
        torchs: of torch on the same model and inputs.
        layers: how many the network has that have weights.
    """
    found = []
    for what, error, own in (
        ("outputs", ours.outputs, torchs.outputs),
        ("gradients", ours.gradients, torchs.gradients),
    ):
        for kind, e, o in zip(Error._fields, error, own, strict=True):
            allowed = 2 * o + layers * 2.0**-24
            if not e <= allowed:
                found.append(
                    f"{what}: {kind} error {e:.3g}, allowed {allowed:.3g}, torch's {o:.3g}"
                )
    if not ours.margin <= 2 * torchs.margin + 1e-4:
        found.append(
            f"a decision is off by {ours.margin:.3g}, torch's worst by {torchs.margin:.3g}"
        )
    return found


def count_layers(model: nn.Module) -> int:
    """How many modules have a weight."""
    return sum(isinstance(getattr(m, "weight", None), Tensor) for m in model.modules())


def run(model: nn.Module, inputs: Sequence[Tensor], seed: int = 0) -> Pass:
    """Calls the model and goes back, from gradients of its outputs that the seed decides.

    The first input gets a gradient too, called "input".
    """
    model.zero_grad()
    first = inputs[0].detach().clone().requires_grad_()
    outputs, _ = pytree.tree_flatten(model(first, *inputs[1:]))
    generator = torch.Generator().manual_seed(seed)
    grads = [torch.randn(y.shape, generator=generator).to(y.dtype) for y in outputs]
    torch.autograd.backward(outputs, grads)
    named = [("input", first), *model.named_parameters()]
    return Pass(
        {f"output {i}": y.detach() for i, y in enumerate(outputs)},
        {name: tensor.grad for name, tensor in named if tensor.grad is not None},
    )


def error(values: Values, true: Values) -> Error:
    """How far values stand from the truth, which must have the same names."""
    if values.keys() != true.keys():
        raise ValueError(f"expected {sorted(true)}, got {sorted(values)}")
    each = [_error(value, true[name]) for name, value in values.items()]
    return Error(max(e.maximum for e in each), math.sqrt(sum(e.rms**2 for e in each) / len(each)))


def _error(value: Tensor, true: Tensor) -> Error:
    off = value.double() - true
    return Error(
        _share(off.abs().max().item(), true.abs().max().item()),
        _share(off.square().mean().sqrt().item(), true.square().mean().sqrt().item()),
    )


def _share(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return math.inf if part else 0.0
