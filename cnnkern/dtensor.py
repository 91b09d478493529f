# SPDX-License-Identifier: BSD-3-Clause
"""The operators on DTensors whose batch is split over the processes of a mesh.

torch.distributed.tensor must be told how an operator of others may be sharded. Here: along the
batch, weights and biases whole on every process; the gradients of these are then sums that are
still to be taken over the processes, which DTensor does where they are used. Any other placement
is brought into one of these forms first. Not imported with cnnkern.

Example:
    >>> import cnnkern.dtensor
    >>> cnnkern.dtensor.register()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard
from torch.distributed.tensor._op_schema import RuntimeSchemaInfo
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.experimental import register_sharding

__all__ = ["register"]

# Placements of the results, then of the arguments: None for what is no tensor.
_Form = tuple[list[Placement | None], list[Placement | None]]

_OPS: Any = torch.ops.cnnkern
_RETURN_ARGMAX = 5  # among max_pool's arguments that are no tensors
_BATCH, _WHOLE, _SUM = Shard(0), Replicate(), Partial()


def _forms(results: Sequence[Placement], tensors: Sequence[Placement | None], rest: int) -> _Form:
    return list(results), [*tensors, *[None] * rest]


def _map(result: Any, weight: Any, bias: Any, *rest: Any) -> list[_Form]:
    # conv and conv_input_grad: (tensor, weight, bias or None, ...)
    whole = None if bias is None else _WHOLE
    forms = [_forms([p], [p, _WHOLE, whole], len(rest)) for p in (_WHOLE, _BATCH)]
    if bias is None and not rest[-2]:  # a linear map without ReLU takes sums as they are
        forms.append(_forms([_SUM], [_SUM, _WHOLE, None], len(rest)))
    return forms


def _map_and_add(input: Any, weight: Any, bias: Any, residual: Any, *rest: Any) -> list[_Form]:
    whole = None if bias is None else _WHOLE
    return [_forms([p], [p, _WHOLE, whole, p], len(rest)) for p in (_WHOLE, _BATCH)]


def _weight_grad(grad_output: Any, input: Any, *rest: Any) -> list[_Form]:
    of_bias = _SUM if rest[-2] else _WHOLE  # of size 0 where nobody asked for it
    return [
        _forms([_WHOLE, _WHOLE], [_WHOLE, _WHOLE], len(rest)),
        _forms([_SUM, of_bias], [_BATCH, _BATCH], len(rest)),
    ]


def _max_pool(input: Any, *rest: Any) -> list[_Form]:
    argmax = _BATCH if rest[_RETURN_ARGMAX] else _WHOLE
    return [
        _forms([_WHOLE, _WHOLE], [_WHOLE], len(rest)),
        _forms([_BATCH, argmax], [_BATCH], len(rest)),
    ]


def _of_images(tensors: int) -> Callable[..., list[_Form]]:
    # Each image by itself: all tensors are split alike.
    def rule(*args: Any) -> list[_Form]:
        return [_forms([p], [p] * tensors, len(args) - tensors) for p in (_WHOLE, _BATCH)]

    return rule


_RULES: dict[str, Callable[..., list[_Form]]] = {
    "conv": _map,
    "conv_add": _map_and_add,
    "conv_input_grad": _map,
    "conv_weight_grad": _weight_grad,
    "max_pool": _max_pool,
    "max_pool_grad": _of_images(2),
    "max_pool_gather": _of_images(2),
    "max_pool_indices": _of_images(1),
    "avg_pool": _of_images(1),
    "avg_pool_grad": _of_images(1),
}

# Which argument is the whole result's size: each process is called with that of its part.
_SIZES = {"conv_input_grad": 3, "max_pool_grad": 2, "avg_pool_grad": 1}


def _indices_of_part(specs: Sequence[Any], schema: Any) -> Any:
    # max_pool_indices(argmax, input_size, ...): the batch of the size follows that of the argmax.
    argmax, size, *rest = schema.args_schema
    local = compute_local_shape_and_global_offset(
        specs[0].shape, specs[0].mesh, specs[0].placements
    )[0]
    return type(schema)(schema.op, (argmax, [local[0], *size[1:]], *rest), schema.kwargs_schema)


def _tensors(op: Any) -> int:
    return sum("Tensor" in str(argument.type) for argument in op._schema.arguments)


@cache
def register() -> None:
    """Lets every operator of cnnkern run on DTensors that are sharded along their batch.

    Call it once, before the first such call; more do no harm. A model is prepared by
    ``torch.distributed.tensor.distribute_module(model, mesh)``, its input by
    ``distribute_tensor(input, mesh, [Shard(0)])``. Gradients of the parameters are DTensors, too:
    ``parameter.grad.full_tensor()`` is the whole.

    Raises:
        ImportError: torch was built without torch.distributed.

    Source:
        torch.distributed.tensor.experimental.register_sharding, which torch calls experimental.
    """
    propagator: Any = DTensor._op_dispatcher.sharding_propagator
    for name, rule in _RULES.items():
        op = getattr(_OPS, name).default
        register_sharding(op)(rule)
        # What it decides is kept by arguments; register_sharding would leave the lists out of that.
        propagator.register_op_strategy(
            op,
            propagator.op_strategy_funcs[op],
            RuntimeSchemaInfo(_tensors(op)),
        )
        if name in _SIZES:
            propagator.op_to_shape_and_stride_idx[op] = _SIZES[name]
    propagator.op_to_scalar_shape_adjuster[_OPS.max_pool_indices.default] = _indices_of_part
