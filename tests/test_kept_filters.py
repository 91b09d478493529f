# SPDX-License-Identifier: BSD-3-Clause
"""Packed filters that are kept between calls: when, how many, and never those of other weights."""

from __future__ import annotations

import threading

import pytest
import torch

import cnnkern.functional as F
from cnnkern import _C

# By direct, by Winograd's algorithm, and transposed: x, w, the call.
LAYERS = {
    "direct": ((1, 256, 7, 7), (128, 256, 1, 1), lambda x, w: F.conv2d(x, w)),
    "winograd": ((1, 64, 14, 14), (64, 64, 3, 3), lambda x, w: F.conv2d(x, w, padding=1)),
    "transposed": ((1, 64, 7, 7), (64, 48, 4, 4), lambda x, w: F.conv_transpose2d(x, w, stride=2)),
}


@pytest.fixture(autouse=True)
def empty():
    _C.forget_kept_filters()
    yield
    _C.forget_kept_filters()


def layer(name: str):
    size, weight, call = LAYERS[name]
    return torch.randn(size), torch.randn(weight), call


@pytest.mark.parametrize("name", LAYERS)
def test_the_second_call_packs_for_the_third(name):
    x, w, call = layer(name)
    with torch.no_grad():
        first = call(x, w)
        assert _C.kept_filters() == {"count": 0, "bytes": 0, "found": 0}
        second = call(x, w)
        kept = _C.kept_filters()
        assert (kept["count"], kept["found"]) == (1, 0)
        assert kept["bytes"] >= w.nbytes
        third = call(x, w)
        assert _C.kept_filters()["found"] == 1
    assert first.equal(second)
    assert first.equal(third)
    # The same values elsewhere are the same weights.
    with torch.inference_mode():
        assert call(x, w.clone()).equal(first)
    assert _C.kept_filters()["found"] == 2


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.view(-1)[-1].neg_(),
        lambda w: w.data.view(-1)[7].neg_(),  # past the version counter
        lambda w: w.numpy().reshape(-1).__setitem__(12345, 1.5),
        lambda w: w.view(-1)[1:18:16].neg_(),  # the highest bits of what one lane of the hash reads
    ],
    ids=["in place", "data", "numpy", "two signs"],
)
def test_changed_weights_are_never_stale(name, change):
    x, w, call = layer(name)
    with torch.no_grad():
        for _ in range(3):
            before = call(x, w)
        change(w)
        after = call(x, w)
        assert not after.equal(before)
        assert after.equal(call(x.clone(), w.clone()))
    fresh = call(x, w)  # with gradients nothing is kept
    assert after.equal(fresh)


def test_what_filters_were_packed_for_is_told_apart():
    """The same values as other filters, in another layout, of another type, for another window."""
    values = torch.arange(128 * 256, dtype=torch.float32) % 17 - 8
    calls = [
        (values.view(128, 256, 1, 1), {}),
        (values.view(256, 128, 1, 1).transpose(0, 1), {}),
        (values.view(256, 128, 1, 1), {}),
        (values.view(128, 64, 2, 2), {}),
        (values.view(128, 64, 2, 2), {"dilation": 2}),
        (values.view(128, 64, 2, 2), {"groups": 2}),
        (values.view(torch.float64).view(64, 256, 1, 1), {}),
    ]
    with torch.no_grad():
        for _ in range(3):
            for w, options in calls:
                channels = w.shape[1] * options.get("groups", 1)
                x = torch.randint(-2, 3, (1, channels, 5, 5)).to(w.dtype)
                got = F.conv2d(x, w, **options)
                want = torch.nn.functional.conv2d(x.double(), w.double(), **options)
                assert torch.allclose(got.double(), want, rtol=1e-5, equal_nan=True)
    assert _C.kept_filters()["count"] >= 5


def test_training_and_large_batches_keep_nothing():
    x, w, call = layer("direct")
    w.requires_grad_()
    for _ in range(3):
        call(x, w).sum().backward()
        call(x, w)
    with torch.no_grad():
        large = torch.randn(64, 256, 7, 7)
        for _ in range(3):
            call(large, w)
    assert _C.kept_filters()["count"] == 0


def test_memory_has_a_limit():
    """A model too large keeps some of its filters, rather than each the place of the next."""
    weights = [torch.full((1024, 1024, 1, 1), float(i)) for i in range(45)]
    x = torch.ones(1, 1024, 2, 2)
    with torch.no_grad():
        for _ in range(3):
            for i, w in enumerate(weights):
                assert F.conv2d(x, w)[0, 0, 0, 0] == 1024 * i
    kept = _C.kept_filters()
    assert kept["bytes"] <= 128 << 20
    assert kept["count"] == 32
    assert kept["found"] == 32


def test_threads_share_what_is_kept():
    x, w, call = layer("direct")
    with torch.no_grad():
        want = call(x, w)
    wrong = []

    def work():
        with torch.no_grad():
            for i in range(50):
                mine = w if i % 2 else w + i
                if i % 2 and not call(x, mine).equal(want):
                    wrong.append(i)
                elif not i % 2:
                    call(x, mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert _C.kept_filters()["found"] > 0
