# SPDX-License-Identifier: BSD-3-Clause
"""The one list of problems that every battery of tests runs, by kind.

Each line is a problem in float32 and contiguous format; :mod:`cnnkern.testing.variants` gives it
other dtypes and formats. A line is there for the reason that its group names, so keep the groups
apart.
"""

from __future__ import annotations

__all__ = ["AVG_POOL", "CONV", "CONV_TRANSPOSE", "LONG_SUMS", "MAX_POOL", "edge_cases"]

CONV = {
    "plain": [
        "conv1d 2x3x17 5x3x3",
        "conv2d 2x3x9x11 4x3x3x3 bias",
        "conv3d 2x3x5x6x7 4x3x2x3x3 bias",
    ],
    "few channels": [  # first layers and single filters
        "conv2d 2x1x28x28 6x1x5x5 bias",
        "conv2d 1x3x23x23 8x3x7x7 stride=2 padding=3",
        "conv2d 2x4x9x9 1x4x3x3 padding=1 bias",
        "conv1d 2x1x64 16x1x10 stride=5",
        "conv3d 1x1x6x7x8 3x1x3x3x3 padding=1",
    ],
    "channels about vector widths": [
        "conv2d 1x7x6x6 9x7x3x3 padding=1",
        "conv2d 2x8x5x7 16x8x3x3 padding=1 bias",
        "conv2d 1x15x5x5 17x15x3x3 padding=1",
        "conv2d 1x16x6x5 8x16x3x3 padding=1 bias relu",
        "conv2d 1x17x5x6 31x17x3x3 padding=1",
        "conv2d 1x33x5x5 32x33x3x3 padding=1 bias",
        "conv2d 1x32x4x9 33x32x1x3 padding=0,1",
        "conv1d 2x31x19 15x31x3 padding=1",
        "conv3d 1x9x4x4x5 7x9x3x3x3 padding=1 bias",
    ],
    "widths about vector widths": [
        "conv2d 1x2x3x7 3x2x3x3 padding=1",
        "conv2d 1x2x3x8 3x2x3x3 padding=1",
        "conv2d 1x2x3x9 3x2x3x3 padding=1",
        "conv2d 1x2x3x15 3x2x3x3 padding=1",
        "conv2d 1x2x3x33 3x2x3x3 padding=1",
        "conv1d 1x4x257 4x4x3 padding=1",
    ],
    "1x1": [
        "conv2d 2x8x7x7 16x8x1x1 bias",
        "conv2d 2x5x7x9 3x5x1x1 stride=2",
        "conv2d 1x24x6x6 6x24x1x1 bias relu",
        "conv1d 3x12x11 7x12x1",
        "conv3d 1x6x3x4x5 10x6x1x1x1 stride=1,2,2",
        "conv2d 1x3x4x4 2x3x1x1 padding=2",
    ],
    "stride": [
        "conv2d 2x4x11x13 6x4x3x3 stride=2 padding=1 bias",
        "conv2d 1x3x13x17 5x3x3x3 stride=3,2 padding=0,1",
        "conv2d 1x3x12x12 8x3x4x4 stride=4",
        "conv2d 1x4x13x13 3x4x2x2 stride=5",  # gaps that no window reads
        "conv1d 1x2x31 3x2x3 stride=7 padding=2",
        "conv3d 1x3x7x8x9 4x3x3x3x3 stride=2,1,3 padding=1",
        "conv2d 1x2x5x5 3x2x3x3 stride=9",
    ],
    "dilation": [
        "conv2d 1x4x11x12 5x4x3x3 dilation=2 padding=2",
        "conv2d 1x3x13x13 4x3x3x3 dilation=3,2 padding=1 bias",
        "conv2d 1x3x14x13 4x3x3x2 dilation=2,5 stride=2,3 padding=3",
        "conv1d 2x5x40 6x5x2 dilation=16",
        "conv3d 1x2x7x7x9 3x2x2x3x3 dilation=2 padding=1,2,2",
        "conv2d 1x2x3x3 4x2x3x3 dilation=4 padding=4",  # one tap inside at a time
    ],
    "padding": [
        "conv2d 1x3x6x6 4x3x3x3 padding=2",
        "conv2d 1x3x5x4 4x3x3x3 padding=5",  # windows that lie in padding alone
        "conv2d 1x3x6x7 4x3x3x3 padding=1,0",
        "conv2d 1x3x6x7 4x3x3x3 padding=0:1,2:0",
        "conv2d 2x4x7x6 4x4x4x4 padding=1:2,1:2 bias",  # an even kernel's "same"
        "conv2d 1x3x8x9 5x3x3x5 stride=2 padding=0:1,3:1 dilation=1,2",
        "conv1d 2x3x12 4x3x3 padding=4:0 dilation=2",  # causal
        "conv3d 1x2x4x5x6 3x2x3x3x3 padding=0:2,1:0,2:1 bias",
    ],
    "even kernels": [
        "conv2d 1x3x8x8 4x3x2x2",
        "conv2d 1x3x9x8 4x3x4x2 stride=2,1 padding=1",
        "conv1d 1x3x16 4x3x6 padding=3",
    ],
    "oblong kernels": [
        "conv2d 1x6x7x9 5x6x1x7 padding=0,3",
        "conv2d 1x6x9x7 5x6x7x1 padding=3,0",
        "conv2d 1x2x3x40 3x2x3x11",
    ],
    "kernel as large as the input": [
        "conv2d 3x4x5x5 7x4x5x5 bias",
        "conv1d 2x3x9 4x3x9",
        "conv2d 1x2x3x3 4x2x5x5 padding=1",
    ],
    "groups": [
        "conv2d 2x6x7x7 4x3x3x3 padding=1 bias",
        "conv2d 1x8x7x6 12x2x3x3 stride=2 padding=1",
        "conv2d 1x32x5x5 32x4x3x3 padding=1",
        "conv2d 1x9x6x6 6x3x2x3 dilation=2 padding=1:2,0:1 bias relu",
        "conv1d 2x12x15 9x4x3 padding=1",
        "conv3d 1x4x4x5x5 6x2x3x3x3 padding=1 bias",
        "conv2d 1x6x5x5 9x2x1x1 bias",
    ],
    "depthwise": [
        "conv2d 2x8x9x9 8x1x3x3 padding=1 bias",
        "conv2d 1x17x8x9 17x1x3x3 stride=2 padding=1",
        "conv2d 1x33x6x7 33x1x5x5 padding=2 bias relu",
        "conv2d 1x5x9x9 5x1x7x7 padding=3",
        "conv2d 1x4x9x8 12x1x3x3 padding=1 bias",  # a multiplier of 3
        "conv2d 1x7x7x7 14x1x2x4 stride=1,3 padding=0:1,2:1",
        "conv2d 1x6x11x11 6x1x3x3 dilation=2,3 padding=2",
        "conv1d 2x16x33 16x1x5 padding=2 bias",
        "conv1d 1x9x20 18x1x4 stride=3",
        "conv3d 1x5x4x5x6 5x1x3x3x3 padding=1",
        "conv3d 1x3x5x5x5 6x1x2x3x2 stride=2 padding=1 bias",
        "conv2d 1x16x20x35 16x1x3x3 padding=1",
        "conv2d 2x40x19x21 40x1x3x3 padding=1 bias",
        "conv2d 1x72x30x9 72x1x5x5 stride=2 padding=2 relu",
        "conv2d 1x10x25x25 10x1x13x13 padding=6",
        "conv2d 1x3x33x34 9x1x5x3 stride=1,2 padding=2:1,0:1 dilation=2,1 bias",
        "conv2d 1x130x6x5 130x1x2x2 stride=2",
        "conv1d 3x24x501 48x1x7 padding=3 bias",
        "conv3d 1x20x6x9x9 20x1x3x3x3 padding=1 bias",
    ],
    "several blocks": [  # that share neither pixels, nor channels, nor filters evenly
        "conv2d 1x8x61x67 17x8x3x3 padding=1 bias",
        "conv2d 3x3x64x61 9x3x5x5 stride=2 padding=2",
        "conv2d 1x96x31x33 24x96x3x3 padding=1 relu",
        "conv2d 2x160x7x7 144x160x3x3 padding=1 bias",
        "conv2d 1x8x61x59 8x1x3x3 padding=1",
        "conv2d 5x12x19x23 12x4x3x3 stride=2 padding=1",
        "conv1d 1x16x3001 17x16x5 padding=2",
        "conv3d 1x4x11x17x19 8x4x3x3x3 padding=1",
    ],
    "smallest": [
        "conv1d 1x1x1 1x1x1",
        "conv2d 1x1x1x1 1x1x1x1 bias relu",
        "conv3d 1x1x1x1x1 1x1x1x1x1 padding=1",
        "conv2d 5x3x1x1 4x3x1x1 bias",
    ],
    "empty batch": [
        "conv1d 0x3x9 4x3x3",
        "conv2d 0x4x6x6 8x4x3x3 padding=1 bias relu",
        "conv3d 0x2x4x4x4 2x1x3x3x3",
    ],
    "networks": [  # layers of known networks on small maps
        "conv2d 2x1x28x28 6x1x5x5 bias relu",
        "conv2d 2x6x12x12 16x6x5x5 bias relu",
        "conv2d 1x3x31x31 16x3x11x11 stride=4 bias relu",
        "conv2d 1x16x8x8 16x16x3x3 padding=1 bias relu",
        "conv2d 1x64x8x8 16x64x1x1",
        "conv2d 1x16x7x7 32x16x3x3 stride=2 padding=1",
        "conv2d 1x24x9x9 24x1x3x3 stride=2 padding=1",
        "conv2d 1x12x7x7 12x1x7x7 padding=3 bias",
        "conv1d 1x1x160 12x1x10 stride=5",
        "conv3d 1x3x5x12x12 8x3x3x7x7 stride=1,2,2 padding=1,3,3",
    ],
}

CONV_TRANSPOSE = {
    "transposed": [
        "conv_transpose1d 2x3x9 3x4x3 stride=2 bias",
        "conv_transpose2d 2x4x5x5 4x3x2x2 stride=2 bias",
        "conv_transpose2d 1x8x4x4 8x5x4x4 stride=2 padding=1 bias relu",
        "conv_transpose2d 1x3x6x5 3x4x3x3",
        "conv_transpose2d 1x9x5x4 9x7x3x3 stride=2 padding=1 output_padding=1",
        "conv_transpose2d 1x2x4x5 2x3x3x2 stride=3,2 padding=1,0 output_padding=2,1 dilation=1,2",
        "conv_transpose2d 1x3x4x4 3x2x2x2 stride=4 bias",  # outputs that nothing reaches
        "conv_transpose2d 1x3x5x6 3x2x3x3 padding=1:0,2:1 stride=2 bias",
        "conv_transpose2d 1x6x4x5 6x2x3x3 stride=2 padding=1 groups=3 bias",
        "conv_transpose2d 1x8x5x5 8x1x3x3 stride=2 padding=1 output_padding=1 groups=8",
        "conv_transpose3d 1x3x3x4x3 3x2x2x3x2 stride=2 bias",
        "conv_transpose3d 1x4x3x3x4 4x1x3x3x3 padding=1 groups=2 stride=1,2,1 output_padding=0,1,0",
        "conv_transpose2d 1x16x30x31 16x9x4x4 stride=2 padding=1 bias",
        "conv_transpose2d 0x3x4x4 3x2x3x3 stride=2 bias",
    ],
}

# Long sums, where an accumulator's rounding shows; more of them than an exact test needs.
LONG_SUMS = [
    "conv2d 1x256x6x6 8x256x3x3 padding=1",
    "conv2d 1x512x4x4 16x512x3x3 padding=1 bias",
    "conv2d 2x2x64x64 3x2x3x3 padding=1",
    "conv1d 1x4x6000 4x4x3",
    "conv2d 4x8x40x40 8x1x3x3 padding=1",
    "conv2d 1x48x9x9 48x48x5x5 padding=2",
]

MAX_POOL = {
    "plain": [
        "max_pool1d 2x3x10 kernel=2",
        "max_pool2d 2x3x8x8 kernel=2",
        "max_pool3d 2x3x4x6x6 kernel=2",
    ],
    "overlapping": [
        "max_pool2d 2x5x9x9 kernel=3 stride=2",
        "max_pool2d 1x8x13x13 kernel=3 stride=2 padding=1",
        "max_pool2d 1x3x12x11 kernel=5 stride=1 padding=2",
        "max_pool1d 2x4x17 kernel=5 stride=1 padding=2",
        "max_pool3d 1x3x5x6x7 kernel=3 stride=1 padding=1",
    ],
    "channels and widths about vector widths": [
        "max_pool2d 1x7x6x15 kernel=3 stride=1 padding=1",
        "max_pool2d 1x8x5x16 kernel=2 stride=2",
        "max_pool2d 1x9x5x17 kernel=2 stride=1",
        "max_pool2d 1x16x4x31 kernel=3 stride=2 padding=1",
        "max_pool2d 1x17x4x33 kernel=2,3 stride=1,2 padding=1,0",
        "max_pool2d 1x33x5x5 kernel=3 stride=1 padding=1",
        "max_pool2d 1x31x3x67 kernel=3 stride=2 padding=1",
    ],
    "ceil": [
        "max_pool2d 1x3x5x5 kernel=2 ceil",
        "max_pool2d 1x4x10x11 kernel=3 stride=2 padding=1 ceil",
        "max_pool1d 1x3x11 kernel=3 stride=4 ceil",
        "max_pool3d 1x2x5x5x7 kernel=2,3,2 stride=2 padding=1,1,0 ceil",
    ],
    "dilation": [
        "max_pool2d 1x3x9x10 kernel=3 dilation=2 stride=1",
        "max_pool2d 1x3x11x9 kernel=2,3 dilation=3,2 stride=2 padding=1",
        "max_pool1d 2x3x20 kernel=4 dilation=3 stride=2 padding=2",
    ],
    "windows without an element": [  # torch's own backward writes out of bounds here
        "max_pool3d 1x2x1x6x6 kernel=2 stride=4,2,2 padding=1,0,0 dilation=2,1,3 ceil",
        "max_pool2d 1x3x1x7 kernel=2 stride=4,1 padding=1,0 dilation=2,1",
    ],
    "stride over the kernel": [
        "max_pool2d 1x3x13x14 kernel=2 stride=5,3",
        "max_pool1d 1x2x23 kernel=3 stride=7 padding=1",
    ],
    "padding that differs": [
        "max_pool2d 1x3x5x6 kernel=2 padding=0:1,1:0",
        "max_pool2d 1x4x9x9 kernel=3 stride=2 padding=0:1,1:0 ceil",
        "max_pool1d 1x3x13 kernel=2 padding=0:1",
    ],
    "large windows": [  # more than 256 taps, so wider argmax
        "max_pool2d 1x3x19x21 kernel=17",
        "max_pool2d 1x2x40x37 kernel=16,17 stride=7,5 padding=8",
        "max_pool1d 1x2x700 kernel=300 stride=100",
        "max_pool3d 1x2x8x9x8 kernel=7,7,8 stride=1",
        "max_pool2d 1x2x16x16 kernel=16",  # exactly 256
    ],
    "shared by threads": [
        "max_pool2d 2x17x57x61 kernel=3 stride=2 padding=1",
        "max_pool3d 1x5x13x31x33 kernel=3 stride=2 padding=1",
        "max_pool1d 2x7x5001 kernel=5 stride=3",
    ],
    "oblong": [
        "max_pool2d 1x3x7x9 kernel=1,3 stride=1 padding=0,1",
        "max_pool2d 1x3x9x7 kernel=3,1 stride=2,1 padding=1,0",
        "max_pool2d 1x6x6x6 kernel=6",
    ],
    "smallest": ["max_pool2d 1x1x1x1 kernel=1", "max_pool1d 1x1x5 kernel=1 stride=2"],
    "empty batch": ["max_pool2d 0x3x8x8 kernel=2", "max_pool1d 0x3x8 kernel=3 padding=1"],
    "networks": [
        "max_pool2d 2x6x24x24 kernel=2",
        "max_pool2d 1x16x27x27 kernel=3 stride=2",
        "max_pool2d 1x16x28x28 kernel=3 stride=2 padding=1",
    ],
}

AVG_POOL = {
    "plain": [
        "avg_pool1d 2x3x10 kernel=2",
        "avg_pool2d 2x3x8x8 kernel=2",
        "avg_pool3d 2x3x4x6x6 kernel=2",
    ],
    "overlapping": [
        "avg_pool2d 2x5x9x9 kernel=3 stride=2",
        "avg_pool2d 1x8x13x12 kernel=3 stride=1 padding=1",
        "avg_pool2d 1x3x12x11 kernel=5 stride=1 padding=2 count_include_pad=false",
        "avg_pool1d 2x4x17 kernel=5 stride=1 padding=2",
        "avg_pool3d 1x3x5x6x7 kernel=3 stride=1 padding=1 count_include_pad=false",
    ],
    "channels and widths about vector widths": [
        "avg_pool2d 1x7x6x15 kernel=3 stride=1 padding=1",
        "avg_pool2d 1x16x5x16 kernel=2 stride=2",
        "avg_pool2d 1x17x4x33 kernel=2,3 stride=1,2 padding=1,0",
        "avg_pool2d 1x33x5x5 kernel=3 stride=1 padding=1",
        "avg_pool2d 1x9x3x67 kernel=3 stride=2 padding=1",
    ],
    "ceil": [
        "avg_pool2d 1x3x5x5 kernel=2 ceil",
        "avg_pool2d 1x4x10x11 kernel=3 stride=2 padding=1 ceil",
        "avg_pool2d 1x4x10x11 kernel=3 stride=2 padding=1 ceil count_include_pad=false",
        "avg_pool1d 1x3x11 kernel=3 stride=4 ceil",
        "avg_pool3d 1x2x5x5x7 kernel=2,3,2 stride=2 padding=1,1,0 ceil",
    ],
    "divisor": [
        "avg_pool2d 1x3x9x9 kernel=3 stride=2 padding=1 divisor=1",
        "avg_pool2d 1x3x9x9 kernel=3 stride=2 padding=1 ceil divisor=7",
        "avg_pool3d 1x2x5x6x6 kernel=2 divisor=4",
    ],
    "stride over the kernel": ["avg_pool2d 1x3x13x14 kernel=2 stride=5,3"],
    "padding that differs": [
        "avg_pool2d 1x3x5x6 kernel=2 padding=0:1,1:0",
        "avg_pool2d 1x4x9x9 kernel=3 stride=2 padding=0:1,1:0 ceil",
        "avg_pool2d 1x4x9x9 kernel=3 stride=2 padding=0:1,1:0 count_include_pad=false",
    ],
    "large windows": [
        "avg_pool2d 1x3x19x21 kernel=17",
        "avg_pool2d 2x9x7x7 kernel=7",
        "avg_pool1d 1x2x700 kernel=300 stride=100",
    ],
    "shared by threads": [
        "avg_pool2d 2x17x57x61 kernel=3 stride=2 padding=1",
        "avg_pool3d 1x5x13x31x33 kernel=3 stride=2 padding=1",
        "avg_pool1d 2x7x5001 kernel=5 stride=3",
    ],
    "smallest": ["avg_pool2d 1x1x1x1 kernel=1"],
    "empty batch": ["avg_pool2d 0x3x8x8 kernel=2"],
    "networks": ["avg_pool2d 1x12x35x35 kernel=3 stride=1 padding=1"],
}

ADAPTIVE_MAX_POOL = {
    "global": [
        "adaptive_max_pool1d 2x3x10 output=1",
        "adaptive_max_pool2d 2x9x7x7 output=1",
        "adaptive_max_pool3d 1x3x4x5x6 output=1",
        "adaptive_max_pool2d 1x3x19x21 output=1",
    ],
    "windows of one size": [
        "adaptive_max_pool1d 2x3x12 output=4",
        "adaptive_max_pool2d 1x16x12x8 output=3,4",
        "adaptive_max_pool3d 1x2x4x6x6 output=2,3,6",
        "adaptive_max_pool2d 1x5x9x7 output=9,7",
    ],
    "windows of different sizes": [
        "adaptive_max_pool1d 2x5x17 output=5",
        "adaptive_max_pool2d 2x3x37x62 output=7",
        "adaptive_max_pool2d 1x8x13x13 output=6",
        "adaptive_max_pool2d 1x17x10x11 output=4,3",
        "adaptive_max_pool2d 1x33x5x7 output=3,5",
        "adaptive_max_pool3d 1x3x5x7x9 output=2,3,4",
        "adaptive_max_pool3d 1x9x7x6x5 output=3,4,2",
    ],
    "different sizes along some axes": [
        "adaptive_max_pool2d 1x4x12x13 output=4,5",
        "adaptive_max_pool2d 1x18x13x12 output=5,4",
        "adaptive_max_pool3d 1x2x5x8x6 output=3,4,2",
        "adaptive_max_pool2d 2x3x11x9 output=4,9",
    ],
    "more windows than elements": [
        "adaptive_max_pool1d 2x3x4 output=9",
        "adaptive_max_pool2d 1x5x3x5 output=7,10",
        "adaptive_max_pool2d 1x16x3x2 output=8,5",
        "adaptive_max_pool3d 1x2x2x3x4 output=3,7,2",
    ],
    "one wide": [
        "adaptive_max_pool2d 2x3x17x1 output=5,1",
        "adaptive_max_pool2d 2x3x1x17 output=1,5",
        "adaptive_max_pool2d 1x9x1x1 output=3",
        "adaptive_max_pool2d 1x1x13x13 output=5",
    ],
    "large windows": [
        "adaptive_max_pool2d 1x3x39x41 output=2",
        "adaptive_max_pool1d 1x2x701 output=2",
        "adaptive_max_pool2d 1x8x61x35 output=3,2",
        "adaptive_max_pool3d 1x2x13x15x17 output=2",
    ],
    "shared by threads": [
        "adaptive_max_pool2d 2x17x57x61 output=13,14",
        "adaptive_max_pool1d 2x7x5001 output=40",
        "adaptive_max_pool3d 1x3x19x41x43 output=5,6,7",
    ],
    "smallest": ["adaptive_max_pool2d 1x1x1x1 output=1", "adaptive_max_pool1d 1x1x1 output=3"],
    "empty": [
        "adaptive_max_pool2d 0x3x8x7 output=3",
        "adaptive_max_pool1d 2x3x8 output=0",
        "adaptive_max_pool2d 2x3x8x7 output=3,0",
    ],
}

ADAPTIVE_AVG_POOL = {
    name: [line.replace("max", "avg") for line in group]
    for name, group in ADAPTIVE_MAX_POOL.items()
}


def edge_cases(*ops: str) -> list[str]:
    """The problems of some operators, in their order; by default of all.

    >>> edge_cases("avg_pool1d")[:2]
    ['avg_pool1d 2x3x10 kernel=2', 'avg_pool1d 2x4x17 kernel=5 stride=1 padding=2']
    """
    every = [line for kind in _KINDS for group in kind.values() for line in group] + LONG_SUMS
    return [line for line in every if not ops or line.split()[0] in ops]


_KINDS = (CONV, CONV_TRANSPOSE, MAX_POOL, AVG_POOL, ADAPTIVE_MAX_POOL, ADAPTIVE_AVG_POOL)
