# SPDX-License-Identifier: BSD-3-Clause
"""The same bits on any number of threads, in any batch, from any thread, in any process."""

from __future__ import annotations

import concurrent.futures
import multiprocessing

import pytest
import torch

from cnnkern import _C, functional
from cnnkern.testing import Call, random_normal
from cnnkern.testing.directions import DIRECTIONS, Operands, draw, run, serving

# Large enough that two threads share each of them.
CONVS = [
    "conv2d 8x16x24x24 24x16x3x3 padding=1 bias relu",
    "conv2d 8x16x24x24 24x16x3x3 padding=1 bias format=channels_last",
    "conv2d 8x48x20x20 48x1x5x5 padding=2 bias",
    "conv2d 8x48x20x20 48x1x5x5 padding=2 format=channels_last",
    "conv2d 8x32x14x14 32x8x3x3 stride=2 padding=1 dtype=bfloat16",
    "conv2d 8x3x40x40 8x3x7x7 stride=2 padding=3 dtype=float64",
    "conv2d 8x40x15x15 24x40x1x1 bias dtype=float16",
    "conv1d 8x16x700 16x16x5 dilation=3",
    "conv3d 8x4x8x12x12 8x4x3x3x3 padding=1",
    "conv_transpose2d 8x16x14x14 16x8x4x4 stride=2 padding=1 bias",
    "conv2d 8x128x6x6 16x128x3x3 padding=1",
]
POOLS = [
    "max_pool2d 8x16x40x40 kernel=3 stride=2 padding=1",
    "max_pool2d 8x16x40x40 kernel=3 stride=2 padding=1 format=channels_last",
    "max_pool3d 8x4x12x16x16 kernel=3 stride=1 padding=1 dtype=bfloat16",
    "avg_pool2d 8x16x40x40 kernel=3 stride=1 padding=1",
    "avg_pool2d 8x16x40x40 kernel=3 stride=1 padding=1 format=channels_last",
    "avg_pool1d 8x16x2000 kernel=5 stride=2",
]


def bits(tensors) -> list[bytes]:
    return [t.detach().contiguous().view(torch.uint8).numpy().tobytes() for t in tensors]


def pooled(call: Call, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    y = call.run(getattr(functional, call.op), [x])
    return [y, *torch.autograd.grad(y, x, grad)]


def conv_tasks(call: Call):
    """Everything there is to run, as functions without arguments."""
    operands = draw(call, random_normal)
    return {
        f"{direction}, {algorithm}": lambda d=direction, a=algorithm: run(call, d, operands, a)
        for direction in DIRECTIONS
        for algorithm in serving(call, direction)
    }


def pool_tasks(call: Call):
    generator = torch.Generator().manual_seed(0)
    x = call.laid_out(random_normal(call.input_size, call.dtype, generator))
    grad = call.laid_out(random_normal(call.output_size, call.dtype, generator))
    return {"forward and gradient": lambda: pooled(call, x, grad)}


def tasks(problem: str):
    call = Call.parse(problem)
    return pool_tasks(call) if call.is_pool else conv_tasks(call)


@pytest.mark.parametrize("problem", CONVS + POOLS, ids=str)
def test_same_bits_on_any_number_of_threads(problem):
    for name, task in tasks(problem).items():
        torch.set_num_threads(1)
        alone = bits(task())
        for threads in (2, 2, 3, 1):
            torch.set_num_threads(threads)
            assert bits(task()) == alone, f"{name}, {threads} threads"


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize("problem", CONVS, ids=str)
def test_same_bits_in_any_batch(problem, direction):
    call, checked = Call.parse(problem), 0
    operands = draw(call, random_normal)
    for algorithm in serving(call, direction):
        if not _C.plan(_C.parse(problem), direction, algorithm).batch_invariant:
            continue
        whole = run(call, direction, operands, algorithm)[0]
        for first, count in ((0, 1), (3, 2), (2, 5)):
            few = slice(first, first + count)
            part = Operands(operands.input[few], operands.weight, operands.bias, operands.grad[few])
            size = (count, *call.input_size[1:])
            smaller = _with_batch(call, size, count)
            result = run(smaller, direction, part, algorithm)[0]
            assert bits([result]) == bits([whole[few]]), f"{algorithm}, samples {few}"
        checked += 1
    assert checked


def _with_batch(call: Call, input_size, count: int) -> Call:
    words = call.text.split()
    words[1] = "x".join(map(str, input_size))
    return Call.parse(" ".join(words))


def test_weight_gradient_claims_no_batch_invariance():
    for problem in CONVS:
        plan = _C.plan(_C.parse(problem), "weight_grad")
        assert not plan.batch_invariant


@pytest.mark.parametrize("problem", POOLS, ids=str)
def test_pools_give_the_same_bits_in_any_batch(problem):
    call = Call.parse(problem)
    generator = torch.Generator().manual_seed(0)
    x = call.laid_out(random_normal(call.input_size, call.dtype, generator))
    grad = call.laid_out(random_normal(call.output_size, call.dtype, generator))
    whole = pooled(call, x, grad)
    for few in (slice(0, 1), slice(3, 5), slice(2, 7)):
        part = pooled(call, x[few], grad[few])
        assert bits(part) == bits([t[few] for t in whole])


def test_eight_threads_call_at_once():
    work = [task for problem in CONVS + POOLS for task in tasks(problem).values()]
    expected = [bits(task()) for task in work]

    def one_round(start: int) -> bool:
        order = [(start * 5 + i) % len(work) for i in range(len(work))]
        return all(bits(work[i]()) == expected[i] for i in order)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one_round, range(16)))


def test_eight_threads_train_at_once():
    x, w = torch.randn(2, 4, 9, 9), torch.randn(6, 4, 3, 3)

    def gradients(_: int) -> list[bytes]:
        leaves = [t.clone().requires_grad_() for t in (x, w)]
        y = functional.max_pool2d(functional.conv2d(*leaves, activation="relu"), 2)
        y.square().sum().backward()
        return bits([t.grad for t in leaves])

    expected = gradients(0)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(gradients, range(200)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("problem", [CONVS[0], CONVS[2], POOLS[0], POOLS[3]], ids=str)
def test_fork_after_use(problem):
    # The parent's worker threads do not live in the child, where waiting for them never ends.
    torch.set_num_threads(2)
    work = tasks(problem)
    expected = [bits(task()) for task in work.values()]
    context = multiprocessing.get_context("fork")
    ours, childs = context.Pipe(duplex=False)

    def in_child() -> None:
        childs.send([bits(task()) for task in work.values()])

    child = context.Process(target=in_child)
    child.start()
    try:
        assert ours.poll(30), "the child hangs"
        assert ours.recv() == expected
    finally:
        child.kill()
        child.join()


def test_thread_count_is_torchs():
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert _C.info()["threads"] == threads


def test_deterministic_mode_refuses_nothing():
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        for problem in CONVS[:3] + POOLS[:4]:
            for task in tasks(problem).values():
                task()
    finally:
        torch.use_deterministic_algorithms(was)
