# SPDX-License-Identifier: BSD-3-Clause
"""A problem's output and gradients as they should be, and the sizes of the sums behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from .reference import Call, reference

__all__ = ["derivatives", "magnitudes", "one_thread", "truth"]

# Three slices hold a float64; products of two slices and 2**17 sums of those are exact in float64.
_SLICE_BITS = 18
_SLICES = 3


def derivatives(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    """The output and each tensor's gradient by torch, in the tensors' dtype.

    Args:
        call: the problem.
        tensors: input; weight and bias of a convolution.
        grad: the output's gradient, what a ReLU masks already masked.

    Returns:
        The output (with its ReLU) and a gradient for each tensor, in their order.
    """
    with one_thread():
        output, *gradients = _linear(call, tensors, grad)
    return [output.relu() if call.relu else output, *gradients]


def truth(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    """What :func:`derivatives` gives in float64, from operands as their dtype holds them.

    For float64 itself, where torch's result has the error that is to be judged, the sums are made
    of exact pieces: each operand is cut into slices of few bits.
    """
    if call.dtype != torch.float64:
        return derivatives(call, [t.double() for t in tensors], grad.double())
    sliced = _sliced_pool if call.is_pool else _sliced_conv
    with one_thread():
        output, *gradients = sliced(call, tensors, grad)
    return [output.relu() if call.relu else output, *gradients]


def magnitudes(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    """The same sums over absolute values. Which element a maximum picks depends on the signs."""
    if call.is_max:
        output, input_grad = derivatives(call, [tensors[0].double()], grad.double().abs())
        return [output.abs(), input_grad]
    return derivatives(call, [t.double().abs() for t in tensors], grad.double().abs())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small sums are faster on one thread than split, and the same on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _linear(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    leaves = [call.laid_out(tensor.detach()).requires_grad_() for tensor in tensors]
    with torch.enable_grad():
        output = reference(call, *leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, call.laid_out(grad))]


def _sliced_conv(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    inputs, weights, grads = (_slices(t) for t in (*tensors[:2], grad))
    # The smallest first: only the last additions round.
    pairs = sorted(product(range(_SLICES), repeat=2), key=sum, reverse=True)
    output, input_grad, weight_grad = (torch.zeros_like(t) for t in (grad, *tensors[:2]))
    for i, j in pairs:
        output += reference(call, inputs[i], weights[j])
        _, by_weight, by_input = _linear(call, [inputs[j], weights[j]], grads[i])
        input_grad += by_weight
        weight_grad += by_input
    if not call.bias:
        return [output, input_grad, weight_grad]
    axes = [0, *range(2, grad.dim())]
    bias_grad = torch.stack([part.sum(axes) for part in reversed(grads)]).sum(0)
    return [output + tensors[2].view(-1, *[1] * call.rank), input_grad, weight_grad, bias_grad]


def _sliced_pool(call: Call, tensors: list[Tensor], grad: Tensor) -> list[Tensor]:
    input_grad = torch.zeros_like(tensors[0])
    for part in reversed(_slices(grad)):
        input_grad += _linear(call, tensors, part)[1]
    if call.is_max:
        return [reference(call, tensors[0]), input_grad]
    output = torch.zeros_like(grad)
    for part in reversed(_slices(tensors[0])):
        output += reference(call, part)
    return [output, input_grad]


def _slices(tensor: Tensor) -> list[Tensor]:
    """The tensor as a sum of multiples of ever smaller powers of two, the largest first."""
    rest = tensor.detach().clone()
    peak = rest.abs().max() if rest.numel() else rest.new_tensor(1.0)
    unit = torch.exp2(torch.floor(torch.log2(peak.clamp(min=1e-300))) + 2)
    parts = []
    for _ in range(_SLICES):
        unit = unit * 2.0**-_SLICE_BITS
        parts.append((rest / unit).round() * unit)
        rest = rest - parts[-1]
    return parts
