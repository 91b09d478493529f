# SPDX-License-Identifier: BSD-3-Clause
"""A result as a run of the benchmark leaves it, with numbers that tests know."""

from __future__ import annotations

from cnnkern.benchmark.results import Result, Row

MACHINE = {
    "device": "Test CPU <9>", "kind": "cpu", "isa": "avx2", "threads": 2, "torch": "2.13.0",
    "cnnkern": "0.1.0", "commit": "abc123", "date": "2026-11-21T17:30:00+00:00",
}  # fmt: skip
LIMITS = {"flops": {"float32": 2e11, "bfloat16": 1e11}, "copy": [[1 << 20, 4e10], [1 << 28, 1e10]]}
LAYERS = {  # name: problem, torch's time / ours
    "conv1": ("conv2d 8x3x32x32 16x3x3x3 padding=1", 4.0),
    "conv2": ("conv2d 8x16x32x32 16x16x3x3 padding=1", 1.0),
    "depthwise": ("conv2d 8x16x32x32 16x1x3x3 padding=1", 0.5),
    "pool": ("max_pool2d 8x16x32x32 kernel=2", 8.0),
}
HOSTILE = "a[red]b</script><b>|x"  # markup of rich, of HTML and of Markdown


def row(
    layer: str, direction: str = "forward", format: str = "contiguous", **changed: object
) -> Row:
    """A row of LAYERS that passed: ours takes 100 us, 100 to 110 in the middle rounds."""
    problem, ratio = LAYERS[layer]
    ours = [100.0, 100.0, 110.0]
    values: dict[str, object] = {
        "suite": "net", "name": layer, "direction": direction, "dtype": "float32", "format": format,
        "problem": problem + (" format=channels_last" if format == "channels_last" else ""),
        "algorithm": "auto", "verdict": "passed", "plan": "direct", "workspace_bytes": 2048,
        "flops": 4e6, "bytes": 1e6, "bound": "FLOPs", "floor_us": 20.0, "error_in_torchs": 0.75,
        "times_us": {"cnnkern": ours, "torch": [time * ratio for time in ours]},
    }  # fmt: skip
    return Row(**(values | changed))  # type: ignore[arg-type]


def result(*rows: Row, **changed: object) -> Result:
    """A result of these rows; by default one of every kind that there is."""
    chosen = list(rows) or [
        *(
            row(name, direction, format)
            for name in LAYERS
            for direction in ("forward", "input_grad")
            for format in ("contiguous", "channels_last")
        ),
        row("conv1", "weight_grad", verdict="failed", note="3 of 9 values differ", times_us={}),
        row("conv2", "weight_grad", verdict="refused", note="no memory for <it>", times_us={}),
        row("depthwise", "weight_grad", verdict="untrustworthy", note="99 % zeros"),
        row("conv1", suite="other", name=HOSTILE),
    ]
    values = {"machine": MACHINE, "settings": {"seed": 0}, "limits": LIMITS, "rows": chosen}
    return Result(**(values | changed))  # type: ignore[arg-type]
