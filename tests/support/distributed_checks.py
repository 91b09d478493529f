# SPDX-License-Identifier: BSD-3-Clause
"""What two processes do with half a batch each, against one that has it whole.

Each check is a function of the rank that runs in both processes; it raises what is wrong.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as TF
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import (
    Partial,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.parallel import DistributedDataParallel

import cnnkern.dtensor
from cnnkern import functional as F

from .ecosystem import batch, gradients, network

WORLD = 2
CHECKS: dict[str, Callable[[int], None]] = {}


def check(function: Callable[[int], None]) -> Callable[[int], None]:
    CHECKS[function.__name__] = function
    return function


def run(folder: Path) -> list[dict[str, str]]:
    """What each process says of each check: nothing, or its traceback."""
    torch.multiprocessing.spawn(_process, (str(folder),), nprocs=WORLD)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(WORLD)]


def _process(rank: int, folder: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD
    )
    said = {}
    for name, function in CHECKS.items():
        try:
            function(rank)
            said[name] = ""
        except Exception:
            said[name] = traceback.format_exc()
        dist.barrier()
    Path(folder, f"{rank}.json").write_text(json.dumps(said))
    dist.destroy_process_group()


def _mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (WORLD,))


def _model(normed: bool = True) -> Any:
    # Statistics of half a batch would be others, so the norm keeps its own.
    model = cnnkern.convert(network()).double().eval()
    if not normed:
        model.norm = nn.Identity()
    return model


def _images() -> tuple[Tensor, Tensor]:
    images, labels = batch(6)
    return images.double(), labels


def _wanted(model: nn.Module) -> dict[str, Tensor]:
    whole = {name: g.clone() for name, g in gradients(model, *_images()).items()}
    model.zero_grad()
    return whole


def _of_half(model: nn.Module, rank: int) -> dict[str, Tensor]:
    images, labels = _images()
    return gradients(model, images.chunk(WORLD)[rank], labels.chunk(WORLD)[rank])


def _same(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-13)


def _data_parallel(rank: int, **options: bool) -> None:
    model = _model()
    wanted = _wanted(model)
    parallel = DistributedDataParallel(model, **options)
    for _ in range(2):  # static_graph learns in the first
        got = _of_half(parallel, rank)
        assert len(got) == len(wanted)
        for name, gradient in got.items():
            _same(gradient, wanted[name.removeprefix("module.")])


@check
def data_parallel(rank: int) -> None:
    _data_parallel(rank)


@check
def data_parallel_static_graph(rank: int) -> None:
    _data_parallel(rank, static_graph=True)


@check
def data_parallel_bucket_view(rank: int) -> None:
    _data_parallel(rank, gradient_as_bucket_view=True)


@check
def fully_sharded(rank: int) -> None:
    model = _model()
    wanted = _wanted(model)
    one = _model()
    mesh = _mesh()
    for layer in (model.conv, model.depthwise, model.transposed):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(model.conv, cnnkern.nn.Conv2d)
    got = _of_half(model, rank)
    for name, gradient in got.items():
        _same(gradient.full_tensor(), wanted[name])
    torch.optim.SGD(model.parameters(), 0.1).step()
    gradients(one, *_images())
    torch.optim.SGD(one.parameters(), 0.1).step()
    for sharded, whole in zip(model.parameters(), one.parameters(), strict=True):
        _same(sharded.full_tensor(), whole.detach())


@check
def fully_sharded_in_bfloat16(rank: int) -> None:
    model, seen = _model(normed=False).float(), []  # torch's norm refuses mixed types
    model.depthwise.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    fully_shard(model, mesh=_mesh(), mp_policy=policy)
    images, labels = batch(6)
    for gradient in gradients(model, images, labels).values():
        assert gradient.dtype == torch.float32
        assert gradient.full_tensor().isfinite().all()
    assert seen == [torch.bfloat16]


@check
def sharded_batch(rank: int) -> None:
    cnnkern.dtensor.register()
    model, mesh = _model(normed=False), _mesh()  # torch gathers the batch for its own norm
    images, _ = _images()
    whole = model(images)
    slope = torch.randn(whole.shape, dtype=whole.dtype, generator=torch.Generator().manual_seed(4))
    names = [name for name, _ in model.named_parameters()]
    wanted = torch.autograd.grad(whole, list(model.parameters()), slope)
    distribute_module(model, mesh)
    with CommDebugMode() as communication:
        result = model(distribute_tensor(images, mesh, [Shard(0)]))
        split = distribute_tensor(slope, mesh, [Shard(0)])
        got = torch.autograd.grad(result, list(model.parameters()), split)
    counts = communication.get_comm_counts()
    assert not any("functional" in str(name) for name in counts), counts
    assert result.placements == (Shard(0),)
    _same(result.full_tensor(), whole.detach())
    for name, gradient, expected in zip(names, got, wanted, strict=True):
        assert gradient.placements == (Partial(),), name
        _same(gradient.full_tensor(), expected)


@check
def sharded_calls(rank: int) -> None:
    # Sizes that differ in their lists alone are told apart; batches need not divide.
    cnnkern.dtensor.register()
    mesh = _mesh()
    generator = torch.Generator().manual_seed(1)
    x, w, b = (torch.randn(s, generator=generator) for s in ((5, 2, 9, 9), (4, 2, 3, 3), (4,)))
    weight, bias = (distribute_tensor(t, mesh, [Replicate()]) for t in (w, b))
    for placement in (Shard(0), Shard(1), Shard(2), Replicate()):
        split = distribute_tensor(x, mesh, [placement])
        for stride in (1, 2):
            got = F.conv2d(split, weight, bias, stride=stride, activation="relu")
            wanted = TF.conv2d(x, w, b, stride=stride).relu()
            torch.testing.assert_close(got.full_tensor(), wanted, rtol=1e-5, atol=1e-5)
            joined = F.conv2d(split, weight, bias, stride=stride, residual=got, activation="relu")
            torch.testing.assert_close(joined.full_tensor(), 2 * wanted, rtol=1e-5, atol=1e-5)
            wide = F.conv_transpose2d(split, weight.transpose(0, 1), None, stride)
            wanted = TF.conv_transpose2d(x, w.transpose(0, 1), None, stride)
            torch.testing.assert_close(wide.full_tensor(), wanted, rtol=1e-5, atol=1e-5)
            if placement == Shard(0):
                assert got.placements == joined.placements == wide.placements == (Shard(0),)
        for size in (2, 3):
            pair = F.max_pool2d(split, size, return_indices=True)
            for mine, theirs in zip(pair, TF.max_pool2d(x, size, return_indices=True), strict=True):
                assert torch.equal(mine.full_tensor(), theirs)
            got = F.avg_pool2d(split, size, divisor_override=3)
            wanted = TF.avg_pool2d(x, size, divisor_override=3)
            torch.testing.assert_close(got.full_tensor(), wanted)


@check
def sharded_second_derivatives(rank: int) -> None:
    cnnkern.dtensor.register()
    mesh = _mesh()
    generator = torch.Generator().manual_seed(2)
    shapes = (4, 4, 6, 6), (4, 2, 3, 3)
    x, w = (torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes)

    def penalty(x: Tensor, w: Tensor) -> Tensor:
        pools = F.avg_pool2d(F.max_pool2d(F.conv2d(x, w, groups=2).pow(3), 2), 2)
        (slope,) = torch.autograd.grad(pools.sum(), x, create_graph=True)
        return slope.pow(2).sum()

    whole = [t.clone().requires_grad_() for t in (x, w)]
    parts = [
        distribute_tensor(t, mesh, [p]).requires_grad_()
        for t, p in zip((x, w), (Shard(0), Replicate()), strict=True)
    ]
    wanted = torch.autograd.grad(penalty(*whole), whole)
    for got, gradient in zip(torch.autograd.grad(penalty(*parts), parts), wanted, strict=True):
        _same(got.full_tensor(), gradient)
