# SPDX-License-Identifier: BSD-3-Clause
"""Plans for GPUs by their traits: no GPU is asked, so that every machine makes the same ones."""

from __future__ import annotations

import re

import cases
import pytest
import torch

import cnnkern
from cnnkern._C import Plan, device_names, device_traits, info, parse, plan, reported_traits
from cnnkern.cli.main import main

GPUS = ["H200", "H100", "A100", "L4", "RTX 4090"]
DIRECTIONS = ["forward", "input_grad", "weight_grad"]
DENSE = "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1"
DEPTHWISE = "conv2d 8x64x56x56 64x1x3x3 padding=1"
CONVOLUTIONS = cases.lines(cases.CONV, cases.CONV_TRANSPOSE)
POOLS = cases.lines(cases.MAX_POOL, cases.AVG_POOL)


def plan_of(
    text: str, direction: str = "forward", algorithm: str = "auto", device: str = "H200"
) -> Plan:
    return plan(parse(text), direction, algorithm, device=device)


def test_gpus_are_known_by_name() -> None:
    assert device_names() == GPUS
    facts = device_traits("h200")
    assert facts == device_traits("H200")
    assert (facts["cores"], facts["capability"], facts["l2_bytes"]) == (132, (9, 0), 50 << 20)
    assert device_traits("rtx-4090")["name"] == "RTX 4090"
    assert device_traits("cpu")["name"] == info()["isa"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("H300", "H200"),
        ("h20", "H200"),
        ("RTX 4080", "RTX 4090"),
        ("gpu", "cpu"),
        ("", ""),
        ("cuda12", ""),
        ("NVIDIA", ""),
    ],
)
def test_other_devices_are_refused_with_the_names(name: str, near: str) -> None:
    message = f"device: expected cpu, H200, H100, A100, L4 or RTX 4090, got '{name}'"
    message += f"; did you mean '{near}'?" if near else ""
    for call in (
        lambda: plan_of(DENSE, device=name),
        lambda: device_traits(name),
        lambda: cnnkern.explain(DENSE, device=name),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call()


@pytest.mark.parametrize(
    ("name", "float32", "float64", "matrix", "copied"),
    [  # data sheets: TFLOP/s, and 0.9 of the memory's GB/s
        ("H200", 67, 34, 989, 4320),
        ("H100", 67, 34, 989, 3015),
        ("A100", 19.5, 9.7, 312, 1835),
        ("L4", 30.3, 0.47, 121, 270),
        ("RTX 4090", 82.6, 1.29, 165, 907),
    ],
)
def test_rates_are_those_of_the_data_sheets(
    name: str, float32: float, float64: float, matrix: float, copied: float
) -> None:
    facts = device_traits(name)
    assert facts["float32_tflops"] == pytest.approx(float32, rel=0.01)
    assert facts["float64_tflops"] == pytest.approx(float64, rel=0.02)
    assert facts["matrix_tflops"] == matrix
    assert facts["copy_gb_s"] == pytest.approx(copied, rel=0.001)
    assert facts["block_shared_bytes"] < facts["sm_shared_bytes"]
    assert facts["l2_bytes"] < facts["memory_bytes"]


def test_a_whole_known_gpu_has_the_numbers_of_the_table() -> None:
    assert reported_traits("NVIDIA H200", (9, 0), 132) == device_traits("H200")
    assert reported_traits("NVIDIA GeForce RTX 4090", (8, 9), 128) == device_traits("RTX 4090")
    half = reported_traits("NVIDIA H200", (9, 0), 66, clock_khz=1_980_000)
    assert half["float32_tflops"] == pytest.approx(device_traits("H200")["float32_tflops"] / 2)


def test_another_gpu_is_what_it_reports() -> None:
    facts = reported_traits(
        "NVIDIA GeForce RTX 3090",
        (8, 6),
        82,
        clock_khz=1_695_000,
        memory_clock_khz=9_751_000,
        memory_bus_bits=384,
        l2_bytes=6 << 20,
        memory_bytes=24 << 30,
    )
    assert facts["name"] == "NVIDIA GeForce RTX 3090"
    assert facts["float32_tflops"] == pytest.approx(35.6, rel=0.01)
    assert facts["matrix_tflops"] == pytest.approx(71, rel=0.01)
    assert facts["copy_gb_s"] == pytest.approx(0.9 * 936, rel=0.001)
    assert (facts["l2_bytes"], facts["memory_bytes"]) == (6 << 20, 24 << 30)
    assert facts["block_shared_bytes"] == 99 << 10


@pytest.mark.parametrize("capability", [(8, 0), (8, 7), (9, 0), (11, 0), (12, 1), (99, 0)])
def test_what_a_gpu_does_not_report_is_assumed(capability: tuple[int, int]) -> None:
    facts = reported_traits("some GPU", capability, 0)
    assert facts["capability"] == capability
    for fact in ("cores", "clock_ghz", "copy_gb_s", "float64_tflops", "matrix_tflops"):
        assert facts[fact] > 0


def test_a_gpu_older_than_every_kernel_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"capability 8\.0 or newer.*got Tesla T4 of .* 7\.5;"):
        reported_traits("Tesla T4", (7, 5), 40)


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize(
    "text",
    [
        "conv2d 32x32x112x112 32x1x3x3 padding=1",  # MobileNet
        "conv2d 32x144x56x56 144x1x3x3 stride=2 dtype=bfloat16",
        "conv2d 8x96x56x56 96x1x7x7 padding=3 dtype=float16 format=channels_last",
        "conv_transpose2d 8x64x28x28 64x1x2x2 stride=2 groups=64",
    ],
)
def test_depthwise_layers_go_to_depthwise(text: str, device: str) -> None:
    for direction in DIRECTIONS:
        assert plan_of(text, direction, device=device).algorithm == "depthwise"


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize(
    "text",
    [  # ResNet's 3x3
        "conv2d 32x128x28x28 128x128x3x3 padding=1 dtype=float16 format=channels_last",
        "conv2d 32x256x14x14 256x256x3x3 padding=1 dtype=bfloat16 format=channels_last",
    ],
)
def test_16_bit_layers_go_to_tensor_cores(text: str, device: str) -> None:
    for direction in DIRECTIONS:
        plan = plan_of(text, direction, device=device)
        assert plan.algorithm == "implicit_gemm"
        assert plan.batch_invariant == (direction != "weight_grad")
    # By name as well: tensor cores make up for a matrix in memory.
    by_matrix = plan_of(text, "forward", "im2col", device).predicted_us
    assert by_matrix < plan_of(text, "forward", "direct", device).predicted_us


@pytest.mark.parametrize("device", GPUS)
def test_float32_goes_to_tensor_cores_where_tf32_is_allowed(device: str) -> None:
    text = "conv2d 32x128x28x28 128x128x3x3 padding=1 format=channels_last"
    for direction in DIRECTIONS:
        assert plan_of(f"{text} tf32", direction, device=device).algorithm == "implicit_gemm"
        exact = plan_of(text, direction, device=device)
        assert exact.algorithm != "implicit_gemm"
        assert dict(exact.refused)["implicit_gemm"] == (
            "dtype is float32, needs float16 or bfloat16, or torch's switch that allows tf32"
        )


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_1x1_layer_is_its_own_matrix(dtype: str, format: str, device: str) -> None:
    text = f"conv2d 32x256x56x56 64x256x1x1 dtype={dtype} format={format}"
    plan = plan_of(text, device=device)
    assert plan.algorithm == "im2col"
    assert plan.workspace_bytes == 64 * 256 * (4 if dtype == "float32" else 2)  # the weights' copy


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize(
    ("text", "directions"),
    [
        ("conv2d 32x3x224x224 64x3x7x7 stride=2 padding=3", ["forward"]),  # first layers
        ("conv2d 32x3x224x224 32x3x3x3 stride=2 padding=1", ["forward", "weight_grad"]),
        ("conv2d 2x1x28x28 6x1x5x5", ["forward", "weight_grad"]),
        ("conv2d 32x128x56x56 128x4x3x3 padding=1", DIRECTIONS),  # ResNeXt
    ],
)
def test_few_channels_go_to_direct(text: str, directions: list[str], device: str) -> None:
    for direction in directions:
        assert plan_of(text, direction, device=device).algorithm == "direct"


def test_float64_goes_where_the_gpu_has_units_for_it() -> None:
    text = "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=float64 format=channels_last"
    assert [plan_of(text, device=name).algorithm for name in ("H200", "A100")] == ["im2col"] * 2
    assert [plan_of(text, device=name).algorithm for name in ("L4", "RTX 4090")] == ["direct"] * 2
    assert plan_of(text, device="L4").predicted_us > 20 * plan_of(text, device="H200").predicted_us


@pytest.mark.parametrize("text", cases.variants(CONVOLUTIONS, ("float32", "float64", "bfloat16")))
def test_a_gpu_takes_the_fastest_that_serves(text: str) -> None:
    problem = parse(text)
    for device in GPUS:
        for direction in problem.directions():
            made = plan(problem, direction, device=device)
            refused = dict(made.refused)
            assert {made.algorithm, *refused} == {"depthwise", "direct", "im2col", "implicit_gemm"}
            served = {made.algorithm: made}
            for name, reason in refused.items():
                assert re.search(r"\d", reason), (name, reason)
                if reason.startswith("would take"):
                    assert reason.endswith(f"; {made.algorithm} is predicted faster")
                    served[name] = plan(problem, direction, name, device=device)
                else:
                    with pytest.raises(RuntimeError, match=re.escape(reason)):
                        plan(problem, direction, name, device=device)
            assert "direct" in served
            assert made.predicted_us == min(one.predicted_us for one in served.values())
            for name, one in served.items():
                assert one.algorithm == name
                check_costs(one, problem.dtype, device)


def check_costs(made: Plan, dtype: str, device: str) -> None:
    """No prediction is below what bytes and FLOPs take; no workspace is beyond its bound."""
    facts = device_traits(device)
    tflops = {
        "float32": facts["float32_tflops"],
        "float64": facts["float32_tflops"] * facts["matrix_fp64_share"],
    }.get(dtype, facts["matrix_tflops"])
    tflops = max(tflops, facts["float64_tflops"] if dtype == "float64" else 0)
    floor = max(made.bytes / (facts["copy_gb_s"] * 1e3), made.flops / (tflops * 1e6))
    assert facts["call_us"] + floor <= made.predicted_us * (1 + 1e-9) < 1e9
    assert made.bound in ("FLOPs", "bytes")
    assert 0 <= made.workspace_bytes <= 96 << 20
    invariant = made.algorithm != "im2col" and made.direction != "weight_grad"
    assert made.batch_invariant == invariant


@pytest.mark.parametrize("text", POOLS)
def test_pools_are_planned_on_a_gpu(text: str) -> None:
    problem = parse(text)
    for device in GPUS:
        for direction in problem.directions():
            made = plan(problem, direction, device=device)
            assert (made.algorithm, made.workspace_bytes) == ("direct", 0)
            assert made.batch_invariant
            facts = device_traits(device)
            floor = made.bytes / (facts["copy_gb_s"] * 1e3)
            assert facts["call_us"] + floor <= made.predicted_us * (1 + 1e-9) < 1e9


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("algorithm", ["direct", "im2col", "depthwise"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_workspace_on_a_gpu_is_bounded_whatever_the_batch(
    algorithm: str, direction: str, dtype: str
) -> None:
    channels = "1x3x3" if algorithm == "depthwise" else "64x3x3"

    def workspace(n: int, size: int) -> int:
        text = f"conv2d {n}x64x{size}x{size} 64x{channels} padding=1 dtype={dtype}"
        return plan_of(text, direction, algorithm, "H200").workspace_bytes

    for size in (7, 56, 1000):
        assert workspace(1, size) <= workspace(64, size) == workspace(4096, size) <= 96 << 20
        if algorithm == "im2col":
            assert workspace(1, size) > 0


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("format", ["contiguous", "channels_last"])
def test_workspace_of_an_implicit_product_is_bounded(format: str, direction: str) -> None:
    def workspace(n: int, size: int) -> int:
        text = f"conv2d {n}x64x{size}x{size} 64x64x3x3 padding=1 dtype=float16 format={format}"
        return plan_of(text, direction, "implicit_gemm", "H200").workspace_bytes

    for size in (7, 56, 300):
        assert 0 < workspace(1, size) <= workspace(64, size) == workspace(4096, size) <= 96 << 20
    if format == "contiguous":
        with pytest.raises(
            RuntimeError, match=r"channels side by side has \d+ MiB, needs at most 32"
        ):
            workspace(1, 1000)


def test_implicit_gemm_refuses_with_its_reasons() -> None:
    for text, direction, reason in (
        (DEPTHWISE, "forward",
         "dtype is float32, needs float16 or bfloat16, or torch's switch that allows tf32"),
        (f"{DEPTHWISE} tf32", "forward", "C/groups is 1, needs at least 2; C = 64, groups = 64"),
        ("conv2d 1x8x9x9 8x8x3x3 dtype=float64", "forward",
         "dtype is float64, needs float16, bfloat16 or tf32"),
        ("conv1d 1x8x99 8x8x33 dtype=float16", "forward",
         "an axis of the kernel has 33 taps, needs at most 32"),
        ("conv2d 1x4096x9x9 4096x2048x3x3 dtype=float16", "weight_grad",
         "the float32 sums of the weights have 288 MiB, needs at most 64 MiB"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=f"{re.escape(reason)}$"):
            plan_of(text, direction, "implicit_gemm", "A100")


# 3x3 layers of ResNet-50 in bfloat16, channels last: on an H200, A100, L4 and RTX 4090, the tile of
# the forward product and into how many blocks a sum is split.
@pytest.mark.parametrize(
    ("text", "cuts"),
    [  # many tiles of 64 filters; as many waves as 3.0 of smaller tiles, or 1.5 of large ones
        ("32x64x56x56 64x64x3x3", [("128x64", 1)] * 4),
        ("32x128x28x28 128x128x3x3", [("128x64", 1), *[("128x128", 1)] * 3]),
        ("32x256x14x14 256x256x3x3", [("128x128", 1)] * 4),
        # 52 large tiles, or 104 smaller ones: fewer than an A100 has multiprocessors
        ("32x512x7x7 512x512x3x3", [("128x64", 1), ("128x64", 1), ("128x128", 1), ("128x64", 1)]),
        ("256x512x7x7 512x512x3x3", [("128x128", 1)] * 4),
        # one image: a few tiles, whose sums are split
        ("1x256x14x14 256x256x3x3", [("64x64", 4), ("64x64", 4), ("128x64", 4), ("64x64", 4)]),
        ("1x512x7x7 512x512x3x3", [("64x64", 8)] * 4),
    ],
)
def test_a_product_is_cut_by_the_device(text: str, cuts: list[tuple[str, int]]) -> None:
    problem = f"conv2d {text} padding=1 dtype=bfloat16 format=channels_last"
    devices = ("H200", "A100", "L4", "RTX 4090")
    for device, cut in zip(devices, cuts, strict=True):
        made = plan_of(problem, "forward", "implicit_gemm", device)
        assert (made.tile, made.split) == cut, device
        assert made.batch_invariant


def test_what_is_not_cut_has_no_tile() -> None:
    for algorithm in ("direct", "im2col"):
        made = plan_of(DENSE, "forward", algorithm)
        assert (made.tile, made.split) == ("", 1)


def test_large_filters_of_a_weight_gradient_take_several_passes() -> None:
    text = "conv2d 8x2048x9x9 2048x2048x3x3 dtype=float16 format=channels_last"
    made = plan_of(text, "weight_grad", "implicit_gemm")
    assert (made.tile, made.split) == ("128x128", 1)
    assert 60 << 20 < made.workspace_bytes <= 64 << 20


def test_im2col_refuses_on_a_gpu_with_its_reasons() -> None:
    for text, reason in (
        (DEPTHWISE, "C/groups is 1, needs at least 2; C = 64, groups = 64"),
        (
            "conv2d 8x128x56x56 128x4x3x3",
            "each of 32 groups is a matrix product, needs at most 16; C = 128, groups = 32",
        ),
        (
            "conv2d 1x4096x64x4096 8x4096x64x64",
            "one row has a matrix of 258112 MiB, needs at most 1024 MiB; C = 4096, groups = 1, "
            "kernel 1x64x64",
        ),
    ):
        with pytest.raises(RuntimeError, match=f"{re.escape(reason)}$"):
            plan_of(text, "forward", "im2col", "A100")
        assert dict(plan_of(text, device="A100").refused)["im2col"] == reason


def test_a_faster_gpu_is_predicted_to_be_faster() -> None:
    times = [plan_of(DEPTHWISE, device=name).predicted_us for name in ("H200", "H100", "A100")]
    assert times == sorted(times)
    assert (
        plan_of(DEPTHWISE, device="H200").predicted_us
        < plan_of(DEPTHWISE, device="cpu").predicted_us
    )


def test_explanation_on_a_gpu() -> None:
    text = "conv2d 32x256x14x14 256x256x3x3 padding=1 dtype=bfloat16 format=channels_last"
    lines = str(cnnkern.explain(text, device="a100")).splitlines()
    row = next(line.split() for line in lines if line.startswith("forward "))
    assert row[1:4] == ["implicit_gemm", "128x128", "1"]
    assert row[-1] == "yes"  # batch-invariant
    assert any(
        re.match(r"  direct +would take .*; implicit_gemm is predicted faster", x) for x in lines
    )
    assert lines[-1].startswith("Predictions are of nominal rates, A100 with 108 multiprocessors;")
    layer = torch.nn.Conv2d(64, 64, 3, groups=64)
    made = cnnkern.explain(layer, torch.zeros(1, 64, 9, 9), device="L4", algorithm="direct").plans
    assert {one.algorithm for one in made} == {"direct"}


def test_the_command_explains_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *DEPTHWISE.split(), "--device", "rtx 4090"]) == 0
    assert "RTX 4090 with 128 multiprocessors" in capsys.readouterr().out
    assert main(["explain", "--device", "tpu", *DEPTHWISE.split()]) == 2
    assert "expected cpu, H200, H100, A100, L4 or RTX 4090" in capsys.readouterr().err
