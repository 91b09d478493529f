# SPDX-License-Identifier: BSD-3-Clause
"""Edges of a photograph by convolutions with fixed weights, then one of them found by training.

Six 3 × 3 filters (vertical, horizontal, Sobel, Scharr, and their transposes) run as one conv2d over
the photograph of Grace Hopper that matplotlib ships. Below: gradient descent that starts at random
weights and sees only the photograph and its vertical edges arrives at the vertical filter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from _common import UsageError, console, figure, launch, make_parser, positive, print_table, save
from torch import Tensor

from cnnkern import functional as F

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def rows(text: str) -> Tensor:
    """Returns a matrix written row by row, ``/`` between the rows."""
    return torch.tensor([[float(value) for value in row.split()] for row in text.split("/")])


VERTICAL = rows("1 0 -1 / 1 0 -1 / 1 0 -1")
SOBEL = rows("1 0 -1 / 2 0 -2 / 1 0 -1")
SCHARR = rows("3 0 -3 / 10 0 -10 / 3 0 -3")
# A weight that is negative on the dark side: each answers bright left of dark, or bright above.
FILTERS = {
    "vertical": VERTICAL,
    "horizontal": VERTICAL.T,
    "Sobel, vertical": SOBEL,
    "Sobel, horizontal": SOBEL.T,
    "Scharr, vertical": SCHARR,
    "Scharr, horizontal": SCHARR.T,
}

STEP = rows("/".join(["10 10 10 0 0 0"] * 6))
PIXELS = rows("3 0 1 2 7 4 / 1 5 8 9 3 1 / 2 7 2 5 1 3 / 0 1 3 1 7 8 / 4 2 1 6 2 8 / 2 4 5 2 3 9")
# A portrait of Lincoln in 16 × 12 grey values.
LINCOLN = rows(
    "157 153 174 168 150 152 129 151 172 161 155 156 / 155 182 163 74 75 62 33 17 110 210 180 154 /"
    "180 180 50 14 34 6 10 33 48 106 159 181 / 206 109 5 124 131 111 120 204 166 15 56 180 /"
    "194 68 137 251 237 239 239 228 227 87 71 201 / 172 105 207 233 233 214 220 239 228 98 74 206 /"
    "188 88 179 209 185 215 211 158 139 75 20 169 / 189 97 165 84 10 168 134 11 31 62 22 148 /"
    "199 168 191 193 158 227 178 143 182 106 36 190 /"
    "205 174 155 252 236 231 149 178 228 43 95 234 /"
    "190 216 116 149 236 187 86 150 79 38 218 241 /"
    "190 224 147 108 227 210 127 102 36 101 255 224 /"
    "190 214 173 66 103 143 96 50 2 109 249 215 / 187 196 235 75 1 81 47 0 6 217 255 211 /"
    "183 202 237 145 0 0 12 108 200 138 243 236 / 195 206 123 207 177 121 123 200 175 13 96 218"
)


def photograph() -> Tensor:
    """Returns the photograph in grey: ``(600, 512)``, 0 to 1."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    try:
        with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
            return torch.from_numpy(np.asarray(image.convert("L"), dtype=np.float32) / 255)
    except FileNotFoundError as error:
        raise UsageError(f"this matplotlib came without its sample photograph: {error}") from None


def edges(image: Tensor) -> dict[str, Tensor]:
    """Returns what each filter answers, two pixels less on each axis than the image ``(H, W)``."""
    weight = torch.stack(list(FILTERS.values()))[:, None]
    return dict(zip(FILTERS, F.conv2d(image[None, None], weight)[0], strict=True))


def magnitude(found: dict[str, Tensor], name: str = "Sobel") -> Tensor:
    """Returns the length of the gradient that a filter and its transpose measure."""
    return torch.hypot(found[f"{name}, vertical"], found[f"{name}, horizontal"])


@dataclass
class Fit:
    """How a filter was found: its weights and their largest error after each step."""

    weights: list[Tensor]
    errors: list[float]

    def reached(self, error: float) -> int | None:
        """Returns the first step whose error is below, if any is."""
        return next((step for step, e in enumerate(self.errors) if e < error), None)


def learn(image: Tensor, wanted: Tensor, steps: int, seed: int) -> Fit:
    """Finds a filter by gradient descent with momentum on the squared error of its answers.

    Neighbouring pixels are nearly equal, so the error falls a thousand times faster along some
    weights than along others: without momentum this takes ten times the steps.

    Args:
        image: ``(H, W)``.
        wanted: the filter whose answers are to be met, 3 × 3.
        steps: how many.
        seed: of the first weights.
    """
    x = ((image - image.mean()) / image.std())[None, None]
    target = F.conv2d(x, wanted[None, None])
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(1, 1, 3, 3, generator=generator).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.05, momentum=0.95, nesterov=True)
    fit = Fit([], [])
    for _ in range(steps + 1):
        fit.weights.append(weight.detach()[0, 0].clone())
        fit.errors.append((fit.weights[-1] - wanted).abs().max().item())
        optimizer.zero_grad()
        (F.conv2d(x, weight) - target).square().mean().backward()
        optimizer.step()
    return fit


def hues(found: dict[str, Tensor]) -> NDArray[np.float64]:
    """Returns a colour picture: the gradient's direction as hue, its length as brightness."""
    from matplotlib.colors import hsv_to_rgb

    across, down = found["Sobel, vertical"], found["Sobel, horizontal"]
    angle = (torch.atan2(down, across) / (2 * torch.pi)) % 1
    length = magnitude(found)
    value = (length / length.quantile(0.995)).clamp(max=1).sqrt()
    colours: NDArray[np.float64] = hsv_to_rgb(
        torch.stack([angle, torch.full_like(angle, 0.75), value], 2).numpy()
    )
    return colours


def draw_fit(places: Sequence[Axes], fit: Fit) -> None:
    """Draws the weights at some steps and how their error falls."""
    from cnnkern.benchmark.style import ACCENT, GREY

    last = len(fit.weights) - 1
    for place, step in zip(places[:-1], (0, min(10, last), min(50, last), last), strict=True):
        place.imshow(fit.weights[step].numpy(), cmap="RdBu_r", vmin=-1.5, vmax=1.5)
        for (row, column), value in np.ndenumerate(fit.weights[step].numpy()):
            colour = "white" if abs(value) > 0.9 else "black"
            place.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
        place.set_title(f"weights after {step} steps")
        place.set_axis_off()
    places[-1].semilogy(fit.errors, color=ACCENT)
    places[-1].axhline(1e-3, color=GREY, linewidth=0.8, linestyle=":")
    places[-1].set_title("largest error of a weight, by step")


def draw(image: Tensor, found: dict[str, Tensor], fit: Fit) -> Figure:
    """Draws the photograph, its edges, and how a filter was learned."""
    canvas = figure(14, 11)
    upper, lower = canvas.subfigures(2, 1, height_ratios=[3.1, 1])
    places = upper.subplots(2, 4).flat
    pictures: list[tuple[str, Tensor, dict[str, Any]]] = [
        ("the photograph", image, {"cmap": "gray"})
    ]
    for name in ("vertical", "horizontal", "Sobel, vertical", "Sobel, horizontal",
                 "Scharr, vertical"):  # fmt: skip
        limit = found[name].abs().quantile(0.995).item()
        pictures.append((name, found[name], {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}))
    length = magnitude(found)
    pictures.append(
        ("Sobel, length", length, {"cmap": "gray_r", "vmax": length.quantile(0.995).item()})
    )
    for place, (title, values, options) in zip(places, pictures, strict=False):
        place.imshow(values.numpy(), **options)
        place.set_title(title)
        place.set_axis_off()
    places = list(upper.axes)
    places[-1].imshow(hues(found))
    places[-1].set_title("Sobel, direction as colour")
    places[-1].set_axis_off()
    draw_fit(lower.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.7]), fit)
    return canvas


def as_text(row: Tensor) -> str:
    """Returns whole numbers with blanks between."""
    return " ".join(f"{value:.0f}" for value in row.tolist())


def run(options: argparse.Namespace) -> None:
    """Prints known answers and what was learned, draws the photograph's edges."""
    step, mirrored, pixels = (edges(image) for image in (STEP, STEP.flip(1), PIXELS))
    lincoln = edges(LINCOLN)
    length = magnitude(lincoln)
    top = divmod(int(length.argmax()), length.shape[1])
    print_table(
        ("filter", "bright to dark, first row", "dark to bright", "6 × 6 pixels, first row",
         "Lincoln, sum"),
        [
            (name, as_text(step[name][0]), as_text(mirrored[name][0]), as_text(pixels[name][0]),
             as_text(lincoln[name].sum()[None]))
            for name in FILTERS
        ],
    )  # fmt: skip
    console().print(
        f"Lincoln's steepest point: row {top[0]}, column {top[1]}, length {length.max():.3f}"
    )
    image = photograph()
    found = edges(image)
    fit = learn(image[60:188, 190:318], VERTICAL, options.steps, options.seed)
    near = fit.reached(1e-3)
    console().print(
        "Learning the vertical filter from the face in the photograph: largest "
        f"error {fit.errors[0]:.2f} at random, {fit.errors[-1]:.1e} after "
        f"{options.steps} steps"
        + (f", below 1e-3 since step {near}" if near is not None else "; more --steps help")
    )
    save(lambda: draw(image, found, fit), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "edge_detectors.png")
    parser.add_argument(
        "--steps", type=positive, default=400, help="of gradient descent (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
