# SPDX-License-Identifier: BSD-3-Clause
"""Problems as text: both ways, canonical, and refused with the place of the mistake."""

from __future__ import annotations

import pickle

import cases
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnkern._C import ConvProblem, PoolProblem, parse
from cnnkern.problem import problem_of


def every_case() -> list[str]:
    return [
        line
        for table in (
            cases.CONV,
            cases.CONV_TRANSPOSE,
            cases.MAX_POOL,
            cases.AVG_POOL,
            cases.ADAPTIVE_MAX_POOL,
            cases.ADAPTIVE_AVG_POOL,
        )
        for lines in table.values()
        for line in lines
    ]


@pytest.mark.parametrize("text", every_case())
def test_printing_and_parsing_give_the_problem_back(text: str) -> None:
    problem = parse(text)
    assert parse(str(problem)) == problem
    assert str(parse(str(problem))) == str(problem)


CANONICAL = [
    "conv1d 4x1x16000 64x1x10 stride=5",
    "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=bfloat16 format=channels_last",
    "conv2d 8x64x56x56 64x1x3x3 stride=2,1 padding=1:2,0:1 dilation=1,2 bias relu",
    "conv2d 2x0x5x5 4x0x3x3 groups=2",
    "conv3d 2x4x5x6x7 4x2x1x3x3 padding=0,1,1",
    "adaptive_avg_pool2d 8x512x7x7 output=1",
    "adaptive_max_pool3d 2x3x5x37x62 output=5,7,7 dtype=bfloat16 format=channels_last",
    "conv_transpose1d 1x4x9 4x2x3 stride=2 output_padding=1 groups=2",
    "conv_transpose2d 8x64x28x28 64x128x2x2 stride=2 output_padding=1,0 bias relu dtype=float16",
    "conv_transpose2d 0x4x0x5 4x3x3x3",
    "max_pool2d 8x64x112x112 kernel=3 stride=2 padding=1 ceil",
    "max_pool3d 1x2x5x6x7 kernel=1,2,2 stride=2 padding=0,1:0,1 dilation=1,2,1 dtype=float64",
    "avg_pool2d 8x64x56x56 kernel=3 stride=2 ceil count_include_pad=false divisor=-3",
]


@pytest.mark.parametrize("text", CANONICAL)
def test_the_canonical_form_stays(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("words", "canonical"),
    [
        ("relu bias padding=1,1 stride=1", "padding=1 bias relu"),
        ("activation=relu bias=false groups=1", "relu"),
        ("tf32 bias", "bias tf32"),
        ("dtype=float32 format=contiguous dilation=1", ""),
        ("padding=same", "padding=1"),
        ("padding=same stride=4", "stride=4 padding=1,0"),
        ("padding=same stride=3,2", "stride=3,2 padding=0,0:1"),
        ("padding=same stride=2,5", "stride=2,5 padding=1,0:1"),
        ("padding=valid", ""),
    ],
)
def test_other_ways_to_say_a_convolution(words: str, canonical: str) -> None:
    shapes = "conv2d 1x2x9x12 4x2x3x3"
    assert str(parse(f"{shapes} {words}")) == f"{shapes} {canonical}".strip()


@pytest.mark.parametrize(
    ("words", "canonical"),
    [
        ("kernel_size=3 stride=3,3 ceil_mode=true", "kernel=3 ceil"),
        ("kernel=3,2 stride=3,2 ceil=false", "kernel=3,2"),
        ("kernel=3 divisor_override=2 count_include_pad=true", "kernel=3 divisor=2"),
    ],
)
def test_other_ways_to_say_a_pool(words: str, canonical: str) -> None:
    assert str(parse(f" avg_pool2d\t1x2x9x9 {words}\n")) == f"avg_pool2d 1x2x9x9 {canonical}"


def test_a_convolution_has_the_words_of_its_caller() -> None:
    problem = parse("conv2d 8x64x56x55 128x32x3x2 stride=2,1 padding=1:0,2 bias dtype=float64")
    assert isinstance(problem, ConvProblem)
    assert (problem.op, problem.rank, problem.groups) == ("conv2d", 2, 2)
    assert problem.input_size == (8, 64, 56, 55)
    assert problem.weight_size == (128, 32, 3, 2)
    assert problem.output_size == (8, 128, 28, 58)
    assert problem.kernel_size == (3, 2)
    assert problem.stride == (2, 1)
    assert problem.padding == ((1, 0), (2, 2))
    assert (problem.dilation, problem.output_padding) == ((1, 1), (0, 0))
    assert (problem.bias, problem.relu, problem.transposed) == (True, False, False)
    assert (problem.dtype, problem.format) == ("float64", "contiguous")
    assert problem.directions() == ("forward", "input_grad", "weight_grad")


def test_a_transposed_convolution_has_the_words_of_its_caller() -> None:
    problem = parse("conv_transpose2d 8x64x28x27 64x16x3x2 stride=2 output_padding=1,0 groups=2")
    assert isinstance(problem, ConvProblem)
    assert (problem.op, problem.transposed, problem.groups) == ("conv_transpose2d", True, 2)
    assert problem.input_size == (8, 64, 28, 27)
    assert problem.weight_size == (64, 16, 3, 2)
    assert problem.output_size == (8, 32, 58, 54)
    assert problem.output_padding == (1, 0)


def test_a_pool_has_the_words_of_its_caller() -> None:
    problem = parse("avg_pool2d 8x64x57x56 kernel=3,2 padding=1 ceil divisor=7")
    assert isinstance(problem, PoolProblem)
    assert problem.input_size == (8, 64, 57, 56)
    assert problem.output_size == (8, 64, 20, 29)
    assert (problem.kernel_size, problem.stride) == ((3, 2), (3, 2))
    assert (problem.ceil_mode, problem.count_include_pad, problem.divisor) == (True, True, 7)
    assert problem.directions() == ("forward", "input_grad")


def test_problems_are_values() -> None:
    a, b = parse("conv1d 1x2x3 4x2x1 stride=1"), parse("conv1d 1x2x3 4x2x1")
    assert a == b
    assert hash(a) == hash(b)
    assert a != parse("conv1d 1x2x3 4x2x1 bias")
    assert a != parse("max_pool1d 1x2x3 kernel=1")
    assert pickle.loads(pickle.dumps(a)) == a
    assert repr(a) == "<cnnkern problem: conv1d 1x2x3 4x2x1>"


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", "", "expected a problem, got an empty text"),
        ("convd 1x2", "convd", "expected an operator, got 'convd'; did you mean 'conv1d'?"),
        ("conv2d", None, "expected the shape of the input"),
        ("conv2d stride=2", "stride=2", "expected the shape of the input like"),
        ("conv2d 1x2x3x3 stride=2", "stride=2", "expected the shape of the weight like"),
        ("conv2d 1x2x3x3", None, "expected the shape of the weight"),
        ("conv2d 1x2xx3 4x2x3x3", "x3 4x2", "expected a whole number, got ''"),
        ("conv2d 1x2x-3x3 4x2x3x3", "-3x3", "expected a size >= 0, got -3"),
        ("conv2d 1x2x3 4x2x3x3", "1x2x3", "expected input of shape (N, C, H, W), got (1, 2, 3)"),
        ("conv2d 1x2x3x3 4x2x3", "4x2x3", "expected weight of shape (K, C/groups, R, S), got"),
        ("conv2d 1x2x3x3 4x2x3x3 strid=2", "strid=2", "'strid'; did you mean 'stride'? valid: str"),
        ("conv2d 1x2x3x3 4x2x3x3 zzz", "zzz", "unknown argument 'zzz'; valid: stride, padding"),
        ("conv2d 1x2x3x3 4x2x3x3 kernel=3", "kernel", "unknown argument 'kernel'"),
        ("conv2d 1x2x3x3 4x2x3x3 stride", "stride", "expected stride=..., got 'stride'"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=1 stride=1", "stride=1", "stride is given twice"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=1,2,3", "1,2,3", "expected one value or 2, got '1,2,3'"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=1,", "", "expected a whole number, got ''"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=1e30", "1e30", "expected a whole number, got '1e30'"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=9223372036854775808", "9223", "below 2^63"),
        ("conv2d 1x2x3x3 4x2x3x3 stride=0", "0", "conv2d: expected stride >= 1, got (0, 0)"),
        ("conv2d 1x2x3x3 4x2x3x3 padding=1:2:3", "1:2:3", "expected one padding or before:after"),
        ("conv2d 1x2x3x3 4x2x3x3 bias=yes", "yes", "expected true or false, got 'yes'"),
        ("conv2d 1x2x3x3 4x2x3x3 activation=gelu", "gelu", "expected activation=relu, got 'gelu'"),
        (
            "conv2d 1x2x3x3 4x2x3x3 tf32 dtype=float16",
            "float16",
            "tf32 is a precision of float32 alone, got dtype=float16",
        ),
        ("conv2d 1x2x3x3 4x2x3x3 dtype=float", "float", "did you mean 'float32'?"),
        ("conv2d 1x2x3x3 4x2x3x3 format=nhwc", "nhwc", "valid: contiguous, channels_last"),
        ("conv2d 1x2x3x3 4x2x5x3 dtype=float16", "4x2x5x3", "kernel size = 5, dilation = 1"),
        ("conv_transpose1d 1x2x3 2x2x3 padding=same", "same", "'same' padding does not apply"),
        ("conv_transpose1d 1x2x3 2x2x3 output_padding=1", "1", "expected output_padding smaller"),
        ("max_pool1d 1x2x3", None, "max_pool1d: expected kernel=..."),
        ("max_pool1d 1x2x3 kernel=2 count_include_pad", "count", "unknown argument"),
        ("avg_pool1d 1x2x3 kernel=2 divisor=2", "divisor", "unknown argument 'divisor'"),
        ("avg_pool2d 1x2x3x3 kernel=2 divisor=0", "0", "expected divisor other than 0, got 0"),
        ("conv1d é 1x1x1", "é", "expected the shape of the input like"),
    ],
)
def test_mistakes_are_shown_where_they_are(text: str, at: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=r"\^$") as caught:
        parse(text)
    sentence, shown, caret = str(caught.value).splitlines()
    assert message in sentence
    assert shown == "  " + text
    if at != "":
        column = len(text) if at is None else text.rindex(at)
        assert caret == "  " + " " * column + "^"


def test_a_lone_surrogate_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        parse("conv1d \ud800")


ALPHABET = st.sampled_from(
    [*"0123456789x=,:.- \n\té\0", "conv2d ", "conv_transpose1d ", "max_pool3d ", "avg_pool2d "]
    + ["stride=", "padding=", "kernel=", "output_padding=", "dilation=", "groups=", "bias", "ceil"]
    + ["dtype=", "1x2x3x4 ", "2x2x1x1 ", "9223372036854775807", "-1", "1e30", "same", "divisor="]
)


@given(st.lists(ALPHABET, max_size=12).map("".join) | st.text(max_size=40))
def test_any_text_is_a_problem_or_a_value_error(text: str) -> None:
    try:
        problem = parse(text)
    except ValueError:
        return
    assert parse(str(problem)) == problem


@st.composite
def conv_texts(draw: st.DrawFn) -> str:
    def values(least: int, most: int, pairs: bool = False) -> str:
        one = st.integers(least, most).map(str)
        item = st.tuples(one, one).map(":".join) | one if pairs else one
        return draw(item | st.lists(item, min_size=rank, max_size=rank).map(",".join))

    def sizes(least: int, most: int, count: int) -> list[int]:
        return draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    groups = draw(st.integers(1, 3))
    k, c = groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    n, spatial = draw(st.integers(0, 3)), sizes(1, 40, rank)
    channels = k if transposed else c * groups
    words = ["conv_transpose" if transposed else "conv"]
    words[0] += f"{rank}d"
    words.append("x".join(map(str, [n, channels, *spatial])))
    words.append("x".join(map(str, [k, c, *sizes(1, 5, rank)])))
    words.append("stride=" + values(1, 50))
    words.append("dilation=" + values(1, 6))
    if draw(st.booleans()):
        words.append("padding=" + values(0, 9, pairs=True))
    if transposed:
        words += [f"groups={groups}", "output_padding=" + values(0, 3)]
    words += draw(st.lists(st.sampled_from(["bias", "relu"]), unique=True))
    words.append("dtype=" + draw(st.sampled_from(["float32", "float64", "float16", "bfloat16"])))
    return " ".join(words)


@given(conv_texts())
def test_every_problem_survives_its_text(text: str) -> None:
    try:
        problem = parse(text)
    except ValueError:
        return
    again = parse(str(problem))
    assert again == problem
    for name in ("input_size", "weight_size", "output_size", "stride", "padding", "dilation"):
        assert getattr(again, name) == getattr(problem, name), name


nn = torch.nn


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (
            nn.Conv2d(4, 8, 3, padding="same", groups=2),
            (2, 4, 9, 9),
            "2x4x9x9 8x2x3x3 padding=1 bias",
        ),
        (nn.Conv1d(4, 8, 3, 2, bias=False), (4, 9), "1x4x9 8x4x3 stride=2"),
        (
            nn.Conv2d(4, 8, 3, padding=(2, 1), padding_mode="reflect"),
            (2, 4, 9, 9),
            "2x4x13x11 8x4x3x3 bias",
        ),
        (
            nn.ConvTranspose2d(4, 8, 3, 2, 1, 1, groups=4),
            (2, 4, 9, 9),
            "2x4x9x9 4x2x3x3 stride=2 padding=1 output_padding=1 groups=4 bias",
        ),
        (nn.MaxPool3d((1, 2, 2)), (2, 4, 9, 9, 9), "2x4x9x9x9 kernel=1,2,2"),
        (
            nn.MaxPool1d(3, 2, 1, 1, ceil_mode=True),
            (2, 4, 9),
            "2x4x9 kernel=3 stride=2 padding=1 ceil",
        ),
        (
            nn.AvgPool2d(3, 2, 1, True, False, 5),
            (2, 4, 9, 9),
            "2x4x9x9 kernel=3 stride=2 padding=1 ceil count_include_pad=false divisor=5",
        ),
        (nn.AvgPool1d(3), (2, 4, 9), "2x4x9 kernel=3"),
        (nn.AdaptiveAvgPool2d((None, 4)), (2, 4, 9, 9), "2x4x9x9 output=9,4"),
        (nn.AdaptiveMaxPool1d(4), (4, 9), "1x4x9 output=4"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_have_problems(layer: nn.Module, shape: tuple[int, ...], text: str) -> None:
    input = torch.zeros(shape)
    problem = problem_of(layer, input)
    assert str(problem).split(" ", 1)[1] == text
    assert problem.output_size[1:] == tuple(layer(input).shape)[-problem.rank - 1 :]


def test_layers_take_dtype_and_format_from_the_input() -> None:
    input = torch.zeros(2, 3, 5, 5, dtype=torch.float64).to(memory_format=torch.channels_last)
    text = str(problem_of(nn.Conv2d(3, 4, 3, bias=False), input))
    assert text == "conv2d 2x3x5x5 4x3x3x3 dtype=float64 format=channels_last"


def test_other_layers_and_inputs_are_refused() -> None:
    with pytest.raises(TypeError, match="got Linear"):
        problem_of(nn.Linear(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="conv2d: expected input of 4 axes, got \\(2, 2\\)"):
        problem_of(nn.Conv2d(2, 2, 1), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="C/groups = 3"):
        problem_of(nn.Conv2d(2, 2, 1), torch.zeros(2, 3, 4, 4))
