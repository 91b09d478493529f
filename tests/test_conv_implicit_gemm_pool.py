# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, bias, ReLU and max pool by one kernel on tensor cores, on the emulator."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from cases import variants
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.implicit_cuts import cut_into
from support.peak import allocated

from cnnkern import functional
from cnnkern.testing import (
    Call,
    check_equal,
    poisoned_allocations,
    random_integers,
    random_normal,
    reference,
)
from cnnkern.testing.devices import emulator, running
from cnnkern.testing.directions import Operands, draw, serving
from cnnkern.testing.problems import conv_problems

simt = emulator()
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(simt is None, reason="the emulator is not built: make emulator"),
]
DTYPES = ("float16", "bfloat16")

# A convolution and the words of the pool over it, most a little larger than a tile.
BLOCKS = [
    ("conv2d 2x32x19x21 40x32x3x3 padding=1 bias relu", "kernel=2"),  # steps
    ("conv2d 1x64x13x12 72x64x1x1 bias", "kernel=3 stride=1"),
    ("conv2d 1x8x23x26 16x8x3x3 padding=1 relu", "kernel=3 stride=2"),  # chunks
    ("conv2d 2x3x33x37 24x3x7x7 stride=2 padding=3 bias relu", "kernel=3 stride=2 padding=1"),
    ("conv2d 1x12x19x18 6x12x3x3 padding=1", "kernel=2"),  # halves of chunks
    ("conv2d 1x32x17x13 33x32x3x2 bias relu", "kernel=2 ceil"),
    ("conv2d 1x24x20x21 20x24x3x3 padding=1 bias", "kernel=2 stride=2 dilation=3"),
    ("conv2d 1x32x9x31 16x32x1x3", "kernel=1,3 stride=1,2 padding=0,1"),
    ("conv2d 1x32x16x20 16x32x3x3 bias", "kernel=3,2 stride=2,3 padding=1:0,0:1 ceil"),
    ("conv2d 1x32x40x49 33x32x4x5 stride=3,2 padding=2:1,0:3 dilation=1,2 bias", "kernel=2"),
    ("conv2d 1x64x12x13 96x32x3x3 padding=1 bias relu", "kernel=2"),  # groups
    ("conv2d 1x20x19x17 10x10x3x2 padding=1:0,2:1 bias", "kernel=3 stride=2"),  # packed groups
    ("conv2d 5x32x8x7 24x32x3x3 padding=1 bias relu", "kernel=2"),  # samples share tiles
    ("conv2d 3x32x7x7 24x32x3x3 padding=1 bias", "kernel=7"),  # one window an image
    ("conv2d 1x32x1x9 8x32x1x1", "kernel=2 stride=1 dilation=3 padding=2"),  # empty windows
    ("conv2d 1x32x3x40 8x32x1x1 stride=1,2000000000 bias", "kernel=1,4 stride=1 padding=0,2"),
    ("conv1d 2x5x300 7x5x9 padding=3 bias relu", "kernel=3 stride=2 padding=1"),
    ("conv3d 1x8x7x9x11 17x8x2x3x3 padding=1 bias relu", "kernel=2"),
    ("conv3d 2x32x6x5x6 12x32x1x1x1 bias", "kernel=3,2,2 stride=2,2,1 padding=1,0,1"),
]
# Their result goes another way: the pool's words, and those of the convolution.
REFUSED = [
    ("conv2d 1x32x14x14 16x32x3x3 padding=1", "kernel=12", "a window beyond a tile"),
    ("conv2d 1x8x28x28 16x8x1x1", "kernel=6 stride=1", "more than twice the tiles"),
    ("conv2d 1x128x20x20 16x128x3x3 padding=1", "kernel=4 stride=1", "more tiles of long sums"),
    ("conv2d 2x128x8x8 16x128x3x3 padding=1", "kernel=2", "sums of several parts"),
]


def _everywhere(blocks, each=3):
    """In the first `each` precisions of tensor cores; formats take turns."""
    chosen = []
    for turn, (conv, words) in enumerate(blocks):
        own = variants([conv], dtypes=("float32", *DTYPES))
        texts = [own[(turn + 2 * i) % len(own)] for i in range(each)]
        chosen += [(text if "dtype=" in text else f"{text} tf32", words) for text in texts]
    return chosen


def _pool(call: Call, words: str) -> Call:
    shape = "x".join(map(str, call.output_size))
    dtype = str(call.dtype).removeprefix("torch.")
    return Call.parse(f"max_pool{call.rank}d {shape} {words} dtype={dtype}")


def _convolve(call: Call, o: Operands, algorithm: str) -> torch.Tensor:
    lists = call.stride, call.flat_padding, call.dilation, call.groups
    return torch.ops.cnnkern.conv(o.input, o.weight, o.bias, *lists, call.relu, algorithm)


def _one(call: Call, pool: Call, o: Operands, algorithm="implicit_gemm", argmax=False):
    lists = call.stride, call.flat_padding, call.dilation, call.groups, *pool.window_lists
    flags = pool.ceil_mode, call.relu, argmax
    block = torch.ops.cnnkern.conv_block
    return block(o.input, o.weight, o.bias, *lists, *flags, algorithm)[0]


def _two(call: Call, pool: Call, o: Operands, algorithm="implicit_gemm"):
    between = _convolve(call, o, algorithm)
    max_pool = torch.ops.cnnkern.max_pool
    return max_pool(between, *pool.window_lists, pool.ceil_mode, False, [])[0]


def _launches(function, *arguments) -> int:
    simt.reset_stats()
    function(*arguments)
    return simt.stats()["launches"]


def _is_fused(call: Call, pool: Call, o: Operands, algorithm="implicit_gemm") -> bool:
    """Whether a block starts no more kernels than its convolution."""
    return _launches(_one, call, pool, o, algorithm) == _launches(_convolve, call, o, algorithm)


def _same(a: torch.Tensor, b: torch.Tensor) -> None:
    """The same bits, signs of zeros and all, but for what a NaN carries."""
    assert a.stride() == b.stride()
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(a.signbit() & ~a.isnan(), b.signbit() & ~b.isnan())


def _aligned(o: Operands) -> Operands:
    return Operands(o.input.clone(), o.weight.clone(), o.bias, o.grad)


def _check_block(problem: str, words: str, seed: int = 0) -> None:
    """Integers are exact, at addresses of every kind; other values have the bits of two kernels."""
    call = Call.parse(problem)
    pool = _pool(call, words)
    odd = draw(call, random_integers, seed=seed)
    between = reference(call, *(t.double() for t in odd.tensors))
    y64 = reference(pool, between.relu() if call.relu else between)
    for operands in (odd, _aligned(odd)):
        with poisoned_allocations():
            y = _one(call, pool, operands)
        check_equal(y, y64, call.dtype, name=f"{problem} | {words}")
    normal = draw(call, random_normal, seed=seed)
    _same(_one(call, pool, normal), _two(call, pool, normal))
    for guarded in (*odd.guards, *normal.guards):
        guarded.check()


@pytest.mark.parametrize(("problem", "words"), _everywhere(BLOCKS))
def test_has_the_numbers_of_two_kernels(problem, words):
    with running("emulated", problem):
        _check_block(problem, words)
        call = Call.parse(problem)
        pool = _pool(call, words)
        assert _is_fused(call, pool, draw(call, random_integers))


# Of a whole tile and more, along both sides.
LARGE = [
    ("conv2d 1x32x14x19 136x32x3x3 padding=1 bias relu", "kernel=2"),
    ("conv2d 2x96x15x13 72x96x1x1", "kernel=3 stride=2 padding=1"),
]


@pytest.mark.parametrize(("problem", "words"), _everywhere(LARGE))
def test_the_tiles_of_large_layers(problem, words):
    with running("emulated", problem), cut_into("large"):
        _check_block(problem, words)


@pytest.mark.parametrize(("problem", "words"), _everywhere([BLOCKS[3], BLOCKS[12]], 2))
def test_a_launch_a_sample_gives_the_same(problem, words):
    """As where offsets of a whole batch would not fit int32."""
    with running("emulated", problem):
        simt.always_wide(True)
        try:
            _check_block(problem, words)
        finally:
            simt.always_wide(False)


@pytest.mark.parametrize("activation", ["relu", ""])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("words", ["kernel=2", "kernel=3 stride=2 padding=1"])
def test_what_is_not_finite(words, value, activation):
    problem = f"conv2d 2x32x15x17 24x32x3x3 padding=1 bias {activation} dtype=float16"
    call = Call.parse(problem)
    pool = _pool(call, words)
    with running("emulated", problem):
        o = draw(call, random_normal)
        o.input[0, 3, 5, 7] = value
        o.input[1, :, 14, 16] = value
        o.bias[5] = value
        y = _one(call, pool, o)
        assert not y.isfinite().all()
        _same(y, _two(call, pool, o))


def test_filters_whose_columns_lie_side_by_side():
    problem = "conv2d 1x32x10x12 40x32x3x3 padding=1 bias relu dtype=bfloat16 format=channels_last"
    call = Call.parse(problem)
    pool = _pool(call, "kernel=2")
    with running("emulated", problem):
        o = draw(call, random_normal)
        across = o.weight.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        _same(
            _one(call, pool, Operands(o.input, across, o.bias, o.grad)),
            _two(call, pool, _aligned(o)),
        )


def test_a_sample_has_the_same_bits_in_every_batch():
    problem = "conv2d 5x32x8x7 24x32x3x3 padding=1 bias dtype=float16"
    call = Call.parse(problem)
    with running("emulated", problem):
        o = draw(call, random_normal)
        pool = _pool(call, "kernel=2")
        whole = _one(call, pool, o)
        for i in range(5):
            one = Operands(o.input[i : i + 1], o.weight, o.bias, o.grad)
            assert torch.equal(whole[i : i + 1], _one(call, pool, one))


@pytest.mark.parametrize("format", ["contiguous", "channels_last"])
def test_shared_memory_has_no_bank_conflicts(format):
    with running("emulated"):
        weights = ("136x32x3x3", "24x8x3x3", "24x4x3x3")
        for tile, weight, dtype in product(("large", "medium"), weights, DTYPES):
            channels = weight.split("x")[1]
            text = f"conv2d 1x{channels}x16x16 {weight} padding=1 dtype={dtype} format={format}"
            call = Call.parse(text)
            operands = draw(call, random_integers)
            simt.reset_stats()
            with cut_into(tile):
                _one(call, _pool(call, "kernel=3 stride=2"), operands)
            counted = simt.stats()
            assert counted["ldmatrix"] > 0
            assert counted["ldmatrix_conflicts"] == 0, text


@pytest.mark.parametrize(("problem", "words", "why"), REFUSED, ids=lambda p: str(p))
def test_other_windows_go_the_other_way(problem, words, why):
    problem += " dtype=float16"
    call = Call.parse(problem)
    pool = _pool(call, words)
    with running("emulated", problem):
        o = draw(call, random_normal)
        assert not _is_fused(call, pool, o), why
        _same(_one(call, pool, o), _two(call, pool, o))


def test_other_algorithms_and_training_go_the_other_way():
    problem = "conv2d 2x32x12x12 16x32x3x3 padding=1 bias relu"
    with running("emulated", problem):  # no tf32
        call = Call.parse(problem)
        o, pool = draw(call, random_normal), _pool(call, "kernel=2")
        assert not _is_fused(call, pool, o, "auto")
    call = Call.parse(f"{problem} dtype=float16")
    with running("emulated", problem):
        o, pool = draw(call, random_normal), _pool(call, "kernel=2")
        assert _is_fused(call, pool, o)
        assert not _is_fused(call, pool, o, "direct")
        assert not _is_fused(call, pool, o, "im2col")
        alone = _launches(_convolve, call, o, "implicit_gemm")
        assert _launches(_one, call, pool, o, "implicit_gemm", True) > alone
        _same(_one(call, pool, o), _one(call, pool, o, argmax=True))


def test_a_layer_in_training_and_in_inference_has_the_same_bits():
    with running("emulated"):
        x = torch.randn(2, 32, 15, 13, dtype=torch.float16)
        w = torch.randn(16, 32, 3, 3, dtype=torch.float16, requires_grad=True)
        arguments = {"pool_size": 3, "pool_stride": 2, "algorithm": "implicit_gemm"}
        trained = functional.conv_block2d(x, w, **arguments)
        with torch.no_grad():
            assert torch.equal(functional.conv_block2d(x, w, **arguments), trained)
        (grad,) = torch.autograd.grad(trained.sum(), w)
        assert grad.isfinite().all()


def test_nothing_lies_between_the_layers():
    problem = "conv2d 2x32x32x32 64x32x1x1 bias relu dtype=float16 format=channels_last"
    call = Call.parse(problem)
    pool = _pool(call, "kernel=2")
    with running("emulated", problem):
        o = _aligned(draw(call, random_integers))
        result = 2 * math.prod(pool.output_size)
        # The room for packed filters is asked for, needed or not.
        most, _ = allocated(lambda: _one(call, pool, o))
        assert result <= most <= result + 2 * o.weight.numel() + 4096
        most, _ = allocated(lambda: _one(call, pool, o, argmax=True))
        assert most >= result + 2 * math.prod(call.output_size)
        simt.reset_stats()
        _one(call, pool, o)
        counted = simt.stats()
        # Each result once, in runs of 16 bytes; filters are read where they are.
        assert counted["bytes_stored"] == result
        assert counted["widest_store"] == 16


@st.composite
def blocks(draw, dtypes):
    """A convolution and the words of a max pool over its result."""
    problem = draw(conv_problems(dtypes=dtypes))
    call = Call.parse(problem)
    words = ["ceil"] * draw(st.booleans())
    axes = []
    for size in call.output_size[2:]:
        kernel, dilation = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2]))
        span = dilation * (kernel - 1) + 1
        pads = [draw(st.integers(0, span // 2)) for _ in range(2)]
        assume(size + sum(pads) >= span)
        axes.append((kernel, draw(st.integers(1, 4)), dilation, f"{pads[0]}:{pads[1]}"))
    for name, values in zip(
        ("kernel", "stride", "dilation", "padding"), zip(*axes, strict=True), strict=True
    ):
        words.append(f"{name}={','.join(map(str, values))}")
    return problem, " ".join(words)


@settings(max_examples=100)
@given(blocks(DTYPES), st.integers(0, 99))
def test_random_blocks(block, seed):
    _check_random(*block, seed)


@settings(max_examples=50)
@given(blocks(("float32",)), st.integers(0, 99))
def test_random_blocks_in_tf32(block, seed):
    _check_random(f"{block[0]} tf32", block[1], seed)


def _check_random(problem: str, words: str, seed: int) -> None:
    call = Call.parse(problem)
    with running("emulated", problem):
        if "implicit_gemm" in serving(call, "forward", "H200") and math.prod(call.output_size):
            _check_block(problem, words, seed)
