# SPDX-License-Identifier: BSD-3-Clause
"""Output sizes, paddings and parameter counts that textbooks print."""

from __future__ import annotations

import pytest
import torch

from cnnkern import functional as f
from cnnkern import nn


def conv_size(n, kernel, **keywords):
    return f.conv1d(torch.ones(1, 1, n), torch.ones(1, 1, kernel), **keywords).shape[2]


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "out"),
    [
        (5, 3, 1, 0, 3),
        (28, 3, 1, 0, 26),
        (7, 3, 1, 0, 5),
        (7, 3, 2, 0, 3),
        (7, 3, 3, 0, 2),  # 2.33 rounds down
        (7, 3, 1, 1, 7),
        (6, 3, 1, 0, 4),
        (32, 5, 1, 2, 32),
        (32, 5, 1, 0, 28),
        (227, 11, 4, 0, 55),
        (224, 7, 2, 3, 112),
    ],
)
def test_sizes(n, kernel, stride, padding, out):
    assert conv_size(n, kernel, stride=stride, padding=padding) == out


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), (7, 3)])
def test_odd_kernels_keep_the_size(kernel, padding):
    assert conv_size(17, kernel, padding=padding) == conv_size(17, kernel, padding="same") == 17


def test_what_no_window_reads_has_no_gradient():
    x = torch.ones(1, 1, 7, 7, requires_grad=True)
    f.conv2d(x, torch.ones(1, 1, 3, 3), stride=3).sum().backward()
    assert (x.grad[..., 6, :] == 0).all()
    assert (x.grad[..., 6] == 0).all()
    assert (x.grad[..., :6, :6] == 1).all()


# n, kernel, stride, dilation, output, before, after
SAME = [
    (5, 3, 1, 1, 5, 1, 1),
    (5, 3, 2, 1, 3, 1, 1),
    (6, 3, 2, 1, 3, 0, 1),
    (7, 3, 2, 1, 4, 1, 1),
    (7, 3, 3, 1, 3, 1, 1),
    (28, 3, 2, 1, 14, 0, 1),
    (28, 5, 1, 1, 28, 2, 2),
    (6, 4, 1, 1, 6, 1, 2),
    (10, 3, 1, 2, 10, 2, 2),
    (224, 7, 2, 1, 112, 2, 3),
    (227, 11, 4, 1, 57, 4, 4),
]


@pytest.mark.parametrize(("n", "kernel", "stride", "dilation", "out", "before", "after"), SAME)
def test_same_padding(n, kernel, stride, dilation, out, before, after):
    x, w = torch.randn(1, 1, n), torch.randn(1, 1, kernel)
    y = f.conv1d(x, w, padding="same", stride=stride, dilation=dilation)
    pairs = f.conv1d(x, w, padding=((before, after),), stride=stride, dilation=dilation)
    assert y.shape[2] == out
    assert torch.equal(y, pairs)


@pytest.mark.parametrize(("n", "out"), [(5, 3), (13, 7)])
def test_same_padding_of_pools(n, out):
    x = -torch.rand(1, 2, n, n) - 1
    for pool in (f.max_pool2d, f.avg_pool2d):
        y = pool(x, 2, padding="same")
        assert y.shape[2:] == (out, out)
        # Not counted, and never the largest: the corner is the one element that its window holds.
        assert torch.equal(y[..., -1, -1], x[..., -1, -1])
    assert torch.equal(f.max_pool2d(x, 2, padding="same"), f.max_pool2d(x, 2, ceil_mode=True))


@pytest.mark.parametrize(
    ("n", "padding", "stride", "out"),
    [(4, "valid", 1, 2), (5, "same", 1, 5), (5, "valid", 2, 2), (5, "same", 2, 3)],
)
def test_valid_and_same(n, padding, stride, out):
    assert conv_size(n, 3, padding=padding, stride=stride) == out


def test_pool_of_two_halves():
    for n in (4, 12, 224):
        for pool in (f.max_pool2d, f.avg_pool2d):
            assert pool(torch.ones(1, 1, n, n), 2).shape == (1, 1, n // 2, n // 2)


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (nn.Conv2d(3, 10, 5, padding=2), 760),
        (nn.Conv2d(3, 10, 3), 280),
        (nn.Conv2d(3, 6, 5), 456),
        (nn.Conv2d(3, 5, 5), 380),
        (nn.Conv2d(1, 32, 3), 320),
        (nn.Conv2d(32, 64, 3), 18_496),
        (nn.Conv2d(64, 64, 3), 36_928),
        (nn.Conv2d(6, 16, 5), 2_416),
        (nn.Conv2d(96, 256, 5, groups=2), 256 * (48 * 25 + 1)),
        (nn.Conv2d(8, 8, 3, groups=8, bias=False), 72),
        (nn.MaxPool2d(2), 0),
        (nn.AvgPool2d(2), 0),
    ],
    ids=str,
)
def test_parameters(layer, count):
    assert sum(p.numel() for p in layer.parameters()) == count


def _summary(layers, x):
    for layer in layers:
        x = layer(x)
        yield tuple(x.shape[1:]), sum(p.numel() for p in layer.parameters())


def test_digit_network():
    relu = {"activation": "relu"}
    network = [
        nn.Conv2d(1, 32, 3, **relu),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, **relu),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, **relu),
        torch.nn.Flatten(),
        torch.nn.Linear(576, 64),
        torch.nn.Linear(64, 10),
    ]
    rows = list(_summary(network, torch.rand(1, 1, 28, 28)))
    assert [shape for shape, _ in rows] == [
        (32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 5, 5), (64, 3, 3), (576,), (64,), (10,),
    ]  # fmt: skip
    assert sum(count for _, count in rows) == 93_322
    convs = [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]
    rows = list(_summary(convs, torch.rand(1, 1, 28, 28)))
    assert [shape[1] for shape, _ in rows] == [26, 24, 22]
    assert sum(count for _, count in rows) == 55_744


def test_lenet():
    network = [
        nn.Conv2d(1, 6, 5), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), torch.nn.Flatten(), torch.nn.Linear(120, 84),
        torch.nn.Linear(84, 10),
    ]  # fmt: skip
    rows = list(_summary(network, torch.rand(1, 1, 32, 32)))
    assert [shape for shape, _ in rows[:5]] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1),
    ]  # fmt: skip
    assert sum(count for _, count in rows) == 61_706


def test_audio_network_sizes():
    # Convolutions over time alone, of width 4; 599 frames of 128 bands.
    x, frames = torch.rand(1, 8, 599), []
    for pool in (4, 2, 2, None):
        x = f.conv1d(x, torch.rand(8, 8, 4))
        frames.append(x.shape[2])
        if pool:
            x = f.max_pool1d(x, pool)
            frames.append(x.shape[2])
    assert frames == [596, 149, 146, 73, 70, 35, 32]


def test_even_kernels_of_a_keypoint_network():
    x = torch.rand(1, 1, 96, 96)
    for kernel, after_conv, after_pool in ((3, 94, 47), (2, 46, 23), (2, 22, 11)):
        x = f.conv2d(x, torch.rand(1, 1, kernel, kernel))
        assert x.shape[2:] == (after_conv, after_conv)
        x = f.max_pool2d(x, 2)
        assert x.shape[2:] == (after_pool, after_pool)


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "extra"),
    [(5, 2, 2, 0, 0), (7, 4, 2, 1, 0), (6, 3, 2, 1, 1), (4, 3, 3, 2, 2)],
)
def test_transposed_sizes(n, kernel, stride, padding, extra):
    w = torch.ones(1, 1, kernel)
    y = f.conv_transpose1d(torch.ones(1, 1, n), w, None, stride, padding, extra)
    assert y.shape[2] == (n - 1) * stride - 2 * padding + (kernel - 1) + extra + 1


# Smaller batches of well-known layers with their published outputs: C H W, K R S, stride, padding.
LAYERS = [
    ((3, 227, 227), (4, 11, 11), 4, 0, (55, 55)),
    ((3, 224, 224), (4, 7, 7), 2, 3, (112, 112)),
    ((4, 27, 27), (4, 5, 5), 1, 2, (27, 27)),
    ((4, 56, 56), (4, 3, 3), 2, 1, (28, 28)),
    ((4, 17, 17), (4, 1, 7), 1, (0, 3), (17, 17)),
    ((4, 17, 17), (4, 7, 1), 1, (3, 0), (17, 17)),
    ((4, 35, 35), (4, 3, 3), 2, 0, (17, 17)),
]


@pytest.mark.parametrize(("input", "weight", "stride", "padding", "out"), LAYERS)
def test_sizes_of_known_layers(input, weight, stride, padding, out):
    w = torch.ones(weight[0], input[0], *weight[1:])
    assert f.conv2d(torch.ones(1, *input), w, None, stride, padding).shape[2:] == out


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "ceil", "out"),
    [
        (55, 3, 2, 0, False, 27),
        (112, 3, 2, 1, False, 56),
        (75, 2, 2, 0, True, 38),
        (19, 3, 1, 1, False, 19),
        (11, 2, 2, 0, False, 5),
    ],
)
def test_sizes_of_known_pools(n, kernel, stride, padding, ceil, out):
    x = torch.ones(1, 1, n, n)
    assert f.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil).shape[2:] == (out, out)
    assert f.avg_pool2d(x, kernel, stride, padding, ceil).shape[2:] == (out, out)
