# SPDX-License-Identifier: BSD-3-Clause
"""Examples that were worked out by hand: exact numbers, in both formats, alone and in a batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cnnkern import functional as f


def rows(text: str) -> Tensor:
    """A matrix written row by row, rows apart by a slash."""
    return torch.tensor([[float(v) for v in row.split()] for row in text.split("/")])


B5 = rows("1 1 1 0 0 / 0 1 1 1 0 / 0 0 1 1 1 / 0 0 1 1 0 / 0 1 1 0 0")
STEP = rows("/".join(["10 10 10 0 0 0"] * 6))
I6 = rows("3 0 1 2 7 4/1 5 8 9 3 1/2 7 2 5 1 3/0 1 3 1 7 8/4 2 1 6 2 8/2 4 5 2 3 9")
I7 = rows(
    "2 3 7 4 6 2 9 / 6 6 9 8 7 4 3 / 3 4 8 3 8 9 7 / 7 8 3 6 6 3 4 / 4 2 1 8 3 4 6 /"
    "3 2 4 1 9 8 3 / 0 1 3 9 2 1 4"
)
P4 = rows("1 1 2 4 / 5 6 7 8 / 3 2 1 0 / 1 2 3 4")
P5 = rows("3 3 2 1 0 / 0 0 1 3 1 / 3 1 2 2 3 / 2 0 0 2 2 / 2 0 0 0 1")
LIN = rows(
    "157 153 174 168 150 152 129 151 172 161 155 156 / 155 182 163 74 75 62 33 17 110 210 180 154 /"
    "180 180 50 14 34 6 10 33 48 106 159 181 / 206 109 5 124 131 111 120 204 166 15 56 180 /"
    "194 68 137 251 237 239 239 228 227 87 71 201 / 172 105 207 233 233 214 220 239 228 98 74 206 /"
    "188 88 179 209 185 215 211 158 139 75 20 169 / 189 97 165 84 10 168 134 11 31 62 22 148 /"
    "199 168 191 193 158 227 178 143 182 106 36 190 /"
    "205 174 155 252 236 231 149 178 228 43 95 234 / 190 216 116 149 236 187 86 150 79 38 218 241 /"
    "190 224 147 108 227 210 127 102 36 101 255 224 / 190 214 173 66 103 143 96 50 2 109 249 215 /"
    "187 196 235 75 1 81 47 0 6 217 255 211 / 183 202 237 145 0 0 12 108 200 138 243 236 /"
    "195 206 123 207 177 121 123 200 175 13 96 218"
)
X = rows("1 0 1 / 0 1 0 / 1 0 1")
V = rows("1 0 -1 / 1 0 -1 / 1 0 -1")
H = V.T
SOBEL = rows("1 0 -1 / 2 0 -2 / 1 0 -1")
SCHARR = rows("3 0 -3 / 10 0 -10 / 3 0 -3")
F7 = rows("3 4 4 / 1 0 2 / -1 0 3")
E4 = rows("-5 -4 0 8 / -10 -2 2 3 / 0 -2 -4 -7 / -3 -2 -3 -16")
E7 = rows("91 100 88 / 69 91 117 / 44 72 74")


@pytest.fixture(params=["contiguous", "channels_last"])
def last(request):
    return request.param == "channels_last"


@pytest.fixture(params=[1, 3], ids=["alone", "three"])
def count(request):
    return request.param


@pytest.fixture
def image(last, count):
    """Puts a matrix, or a volume of channels, into a batch of the format under test."""

    def make(pixels: Tensor, axes: int = 2) -> Tensor:
        batch = pixels.reshape(1, -1, *pixels.shape[-axes:]).repeat(count, *[1] * (axes + 1))
        if last and axes > 1:
            kind = torch.channels_last if axes == 2 else torch.channels_last_3d
            batch = batch.contiguous(memory_format=kind)
        return batch

    return make


def one(batch: Tensor) -> Tensor:
    """The sample that the whole batch must consist of."""
    for sample in batch[1:]:
        assert torch.equal(sample, batch[0])
    return batch[0].squeeze(0)


def kernel(pixels: Tensor) -> Tensor:
    return pixels[None, None]


def conv(image, pixels, filter, *args, **keywords) -> Tensor:
    return one(f.conv2d(image(pixels), kernel(filter), *args, **keywords))


def test_e1_crosses(image):
    assert torch.equal(conv(image, B5, X), rows("4 3 4 / 2 4 3 / 2 3 4"))


def test_e1g_gradients(image, count):
    x, w, b = image(B5).requires_grad_(), kernel(X).requires_grad_(), torch.zeros(1)
    f.conv2d(x, w, b.requires_grad_()).sum().backward()
    assert torch.equal(w.grad[0, 0], count * rows("6 7 6 / 4 7 7 / 4 6 6"))
    assert b.grad.item() == 9 * count
    by_hand = rows("1 1 2 1 1 / 1 2 3 2 1 / 2 3 5 3 2 / 1 2 3 2 1 / 1 1 2 1 1")
    assert torch.equal(one(x.grad), by_hand)


@pytest.mark.parametrize(("pixels", "sign"), [(STEP, 1), (STEP.flip(1), -1)])
def test_e2_edge_from_bright_to_dark_is_positive(image, pixels, sign):
    assert torch.equal(conv(image, pixels, V), sign * rows("/".join(["0 30 30 0"] * 4)))


@pytest.mark.parametrize(
    ("filter", "row"), [(H, "0 0 0 0"), (SOBEL, "0 40 40 0"), (SCHARR, "0 160 160 0")]
)
def test_e3_other_edge_filters(image, filter, row):
    assert torch.equal(conv(image, STEP, filter), rows("/".join([row] * 4)))


def test_e4_vertical_edges(image):
    assert torch.equal(conv(image, I6, V), E4)


def test_e4r_relu(image):
    fused = conv(image, I6, V, activation="relu")
    assert torch.equal(fused, rows("0 0 0 8 / 0 0 2 3 / 0 0 0 0 / 0 0 0 0"))
    x, y = image(I6).requires_grad_(), image(I6).requires_grad_()
    f.conv2d(x, kernel(V), activation="relu").sum().backward()
    f.conv2d(y, kernel(V)).relu().sum().backward()
    assert torch.equal(x.grad, y.grad)


@pytest.mark.parametrize("padding", [1, "same"])
def test_e4s_same(image, padding):
    assert torch.equal(
        conv(image, I6, V, padding=padding),
        rows(
            "-5 -5 -6 -1 6 10 / -12 -5 -4 0 8 11 / -13 -10 -2 2 3 11 / -10 0 -2 -4 -7 10 /"
            "-7 -3 -2 -3 -16 12 / -6 0 -2 1 -9 5"
        ),
    )


@pytest.mark.parametrize(
    ("filter", "result"),
    [
        (H, "-7 -11 2 4 / 10 17 9 -3 / 4 5 -1 -7 / -7 -6 1 2"),
        (SOBEL, "-12 -8 5 16 / -10 0 3 5 / -3 -2 -8 -14 / 0 -6 -4 -18"),
        (SCHARR, "-64 -40 35 80 / -30 8 13 23 / -21 -6 -40 -70 / 12 -34 -16 -62"),
    ],
)
def test_e5_other_filters(image, filter, result):
    assert torch.equal(conv(image, I6, filter), rows(result))


def test_e6_how_often_each_pixel_is_used(image):
    x = image(I6).requires_grad_()
    f.conv2d(x, torch.ones(1, 1, 3, 3)).sum().backward()
    used = torch.tensor([1.0, 2, 3, 3, 2, 1])
    assert torch.equal(one(x.grad), used.outer(used))


def test_e7_strided(image):
    assert torch.equal(conv(image, I7, F7, stride=2), E7)


def test_e7_is_no_flip_and_no_transposition(image):
    flipped = rows("72 108 115 / 45 73 79 / 34 71 48")
    transposed = rows("70 117 110 / 56 60 88 / 36 60 65")
    assert torch.equal(conv(image, I7, F7.flip(0, 1), stride=2), flipped)
    assert torch.equal(conv(image, I7, F7.T.contiguous(), stride=2), transposed)


def test_e7b_other_strides(image):
    y = conv(image, I7, F7)
    assert y[0].tolist() == [91, 80, 100, 84, 88]
    assert y[4].tolist() == [44, 72, 72, 63, 74]
    assert torch.equal(conv(image, I7, F7, stride=3), rows("91 84 / 80 93"))


def test_e7c_padded(image):
    result = rows("24 29 12 -2 / 80 106 92 30 / 70 79 93 21 / 22 45 82 37")
    assert torch.equal(conv(image, I7, F7, stride=2, padding=1), result)


def test_e7d_dilated(image):
    result = rows("82 65 120 / 125 102 83 / 89 72 106")
    assert torch.equal(conv(image, I7, F7, dilation=2), result)
    assert torch.equal(conv(image, I7, F7, dilation=2, stride=2), rows("82 120 / 89 106"))


def test_e7t_transposed_is_the_adjoint(image):
    y = f.conv_transpose2d(image(E7), kernel(F7), stride=2)
    assert y.shape[2:] == (7, 7)
    assert (one(y) * I7).sum().item() == E7.square().sum().item() == 65352


def test_e8_even_kernel_on_an_oblong(image):
    data, filter = torch.arange(1.0, 13).view(3, 4), rows("1 10 / 100 1000")
    assert torch.equal(conv(image, data, filter), rows("6521 7632 8743 / 10965 12076 13187"))


def test_e9_volume_is_the_sum_of_its_channels(image):
    volume, filters = torch.stack([I6, I6.T, I6.flip(1)]), torch.stack([V, H, V])
    result = rows("-18 -14 4 10 / -17 -6 2 11 / 7 4 -6 -10 / 21 4 -8 -29")
    assert torch.equal(one(f.conv2d(image(volume), filters[None])), result)
    parts = f.conv2d(image(volume), filters[:, None], groups=3)
    assert torch.equal(one(parts).sum(0), result)


def test_e10_sequence(image):
    x = torch.tensor([3.0, 0, 1, 2, 7, 4])
    y = f.conv1d(image(x, 1), torch.tensor([[[1.0, 0, -1]]]))
    assert one(y).flatten().tolist() == [2, -2, -6, -2]
    assert one(f.max_pool1d(image(x, 1), 2)).flatten().tolist() == [3, 2, 7]


def test_e11_cube(image):
    cube = torch.arange(27.0).view(3, 3, 3)
    sums = [52, 60, 76, 84, 124, 132, 148, 156]
    y = f.conv3d(image(cube, 3), torch.ones(1, 1, 2, 2, 2))
    assert one(y).flatten().tolist() == sums
    largest = f.max_pool3d(image(cube, 3), 2, stride=1)
    assert one(largest).flatten().tolist() == [13, 14, 16, 17, 22, 23, 25, 26]
    means = f.avg_pool3d(image(cube, 3), 2, stride=1)
    assert one(means).flatten().tolist() == [s / 8 for s in sums]


def test_e12_shifted_image_gives_a_shifted_result(image):
    assert torch.equal(conv(image, I6.roll((1, 1), (0, 1)), V)[1:, 1:], E4[:3, :3])


def test_e13_edges_of_a_portrait(image):
    assert LIN.sum() == 27773
    across, down = conv(image, LIN, SOBEL), conv(image, LIN, SOBEL.T.contiguous())
    assert across.shape == down.shape == (14, 10)
    assert across[0].tolist() == [97, 367, 216, 48, 129, 64, -235, -469, -234, 42]
    assert down[0].tolist() == [47, 375, 548, 532, 527, 502, 479, 421, 230, 22]
    assert (across.sum(), down.sum()) == (689, -353)
    assert (across.min(), across.max()) == (-962, 775)
    assert (down.min(), down.max()) == (-898, 739)
    assert across.double().square().sum() == 15441959
    assert down.double().square().sum() == 17153799
    slope = (across.square() + down.square()).sqrt()
    assert divmod(int(slope.argmax()), 10) == (11, 8)
    assert slope.max().item() == pytest.approx(982.979, abs=1e-3)


def test_p1_max_pool_and_indices(image):
    y, indices = f.max_pool2d(image(P4), 2, return_indices=True)
    assert torch.equal(one(y), rows("6 8 / 3 4"))
    assert torch.equal(one(indices), rows("5 7 / 8 15").long())


def test_p2_average_and_l2_pool(image):
    assert torch.equal(one(f.avg_pool2d(image(P4), 2)), rows("3.25 5.25 / 2 2"))
    l2 = one(f.lp_pool2d(image(P4), 2, 2))
    assert torch.equal(l2, rows("63 133 / 18 26").sqrt())
    torch.testing.assert_close(l2, rows("7.9373 11.5326 / 4.2426 5.0990"), rtol=0, atol=5e-5)
    assert one(f.avg_pool2d(image(P4), 4)).item() == 3.125


def test_p3_gradient_and_unpooling(image):
    x = image(P4).requires_grad_()
    y, indices = f.max_pool2d(x, 2, return_indices=True)
    y.sum().backward(retain_graph=True)
    assert torch.equal(one(x.grad), rows("0 0 0 0 / 0 1 0 1 / 1 0 0 0 / 0 0 0 1"))
    wide = f.max_unpool2d(y, indices, 2)
    assert torch.equal(one(wide), rows("0 0 0 0 / 0 6 0 8 / 3 0 0 0 / 0 0 0 4"))
    assert torch.equal(one(f.max_pool2d(wide, 2)), one(y))
    (switched,) = torch.autograd.grad(wide, x, image(P4))
    assert torch.equal(one(switched), one(wide))


def test_p4a_overlapping_average(image):
    y = one(f.avg_pool2d(image(P5), 3, 1))
    ninths = rows("15 15 15 / 9 11 16 / 10 7 12")
    torch.testing.assert_close(y, ninths / 9, rtol=0, atol=1e-6)
    assert torch.equal((y * 10).round(), rows("17 17 17 / 10 12 18 / 11 8 13"))


def test_p4b_overlapping_maximum(image):
    assert torch.equal(one(f.max_pool2d(image(P5), 3, 1)), rows("3 3 3 / 3 3 3 / 3 2 3"))


def test_p4c_first_of_equals_and_overlaps_that_add_up(image):
    x = image(P5).requires_grad_()
    y, indices = f.max_pool2d(x, 3, 1, return_indices=True)
    y.sum().backward()
    assert torch.equal(one(indices), rows("0 1 8 / 10 8 8 / 10 12 14").long())
    by_hand = rows("1 1 0 0 0 / 0 0 0 3 0 / 2 0 1 0 1 / 0 0 0 0 0 / 0 0 0 0 0")
    assert torch.equal(one(x.grad), by_hand)


def test_p4d_gradient_of_the_average(image):
    x = image(P5).requires_grad_()
    f.avg_pool2d(x, 3, 1).sum().backward()
    used = torch.tensor([1.0, 2, 3, 2, 1])
    torch.testing.assert_close(one(x.grad) * 9, used.outer(used), rtol=1e-6, atol=0)


def test_p5a_padding_never_wins(image):
    expected = torch.full((5, 5), -1.0)
    expected[2, 4] = -2
    assert torch.equal(one(f.max_pool2d(image(-P5 - 1), 3, 1, 1)), expected)


def test_p5b_padding_counted_or_not(image):
    counted = one(f.avg_pool2d(image(P5), 3, 1, 1))[0, 0]
    inside = one(f.avg_pool2d(image(P5), 3, 1, 1, count_include_pad=False))[0, 0]
    assert counted.item() == pytest.approx(6 / 9)
    assert inside.item() == 1.5


def test_p5c_floor_and_ceil(image):
    assert torch.equal(one(f.max_pool2d(image(P5), 2)), rows("3 3 / 3 2"))
    ceil = rows("3 3 1 / 3 2 3 / 2 0 1")
    assert torch.equal(one(f.max_pool2d(image(P5), 2, ceil_mode=True)), ceil)
    assert torch.equal(one(f.max_pool2d(image(P5), 2, padding="same")), ceil)
    means = one(f.avg_pool2d(image(P5), 2, ceil_mode=True))
    assert torch.equal(means, rows("1.5 1.75 .5 / 1.5 1.5 2.5 / 1 0 1"))


def test_k1_even_kernel_pads_one_more_after(image):
    x, w = torch.arange(1.0, 7), torch.tensor([[[1.0, 10, 100, 1000]]])
    y = one(f.conv1d(image(x, 1), w, padding="same"))
    assert y.flatten().tolist() == [3210, 4321, 5432, 6543, 654, 65]


def test_k2_same_with_a_stride_is_not_padding_one(image):
    same = conv(image, I6, V, padding="same", stride=2)
    assert torch.equal(same, rows("-5 0 11 / 0 -4 10 / 0 1 5"))
    assert torch.equal(conv(image, I6, V, padding=((0, 1), (0, 1)), stride=2), same)
    symmetric = conv(image, I6, V, padding=1, stride=2)
    assert torch.equal(symmetric, rows("-5 -6 6 / -13 -2 3 / -7 -2 -16"))


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float64, 2**53), (torch.float16, 2048), (torch.bfloat16, 256)]
)
def test_exact_in_every_dtype_while_the_numbers_fit(dtype, limit):
    for pixels, filter, stride in ((B5, X, 1), (I6, V, 1), (STEP, SCHARR, 1), (I7, F7, 2)):
        exact = f.conv2d(kernel(pixels), kernel(filter), stride=stride)
        assert exact.abs().max() <= limit
        y = f.conv2d(kernel(pixels).to(dtype), kernel(filter).to(dtype), stride=stride)
        assert torch.equal(y.float(), exact)


def test_filter_is_found_by_descent():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 1, 8, 8, generator=generator)
    target = f.conv2d(x, kernel(V))
    w = torch.zeros(1, 1, 3, 3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        (f.conv2d(x, w) - target).square().mean().backward()
        optimizer.step()
    assert (w[0, 0] - V).abs().max() < 1e-3


def test_transposed_is_the_adjoint_for_any_geometry():
    # <conv(x), y> = <x, conv_transpose(y)> for any geometry: the adjoint in small integers.
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 5, (2, 4, 9, 8), generator=generator).float()
    w = torch.randint(-4, 5, (6, 2, 3, 2), generator=generator).float()
    y = f.conv2d(x, w, stride=(2, 1), padding=1, groups=2, dilation=(1, 2))
    z = torch.randint(-4, 5, y.shape, generator=generator).float()
    back = f.conv_transpose2d(z, w, None, (2, 1), 1, (0, 0), 2, (1, 2))
    assert back.shape == x.shape
    assert (y * z).sum() == (x * back).sum()
