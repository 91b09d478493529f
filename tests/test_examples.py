# SPDX-License-Identifier: BSD-3-Clause
"""Each example with small settings: what it shows is true, and every way to end it is clean."""

from __future__ import annotations

import importlib
import importlib.util
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cnnkern

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(
    path.stem
    for path in EXAMPLES.glob("*.py")
    if path.stem != "_common" and "from _common import" in path.read_text()
)


def load(name: str) -> ModuleType:
    """Imports an example as its neighbours see it."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module(name)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # as the examples; tests/conftest.py sets it back


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs an example to its end and returns what it printed; its picture must be one."""

    def run(name: str, *arguments: str) -> str:
        picture = tmp_path / f"{name}.png"
        assert load(name).main([*arguments, "--output", str(picture)]) == 0
        data = picture.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 10_000
        output = capsys.readouterr().out
        assert str(picture) in output.replace("\n", "")
        return output

    return run


def share(pattern: str, text: str) -> float:
    """Returns the percentage that a line tells, 0 to 1."""
    found = re.search(pattern, text)
    assert found, text
    return float(found[1]) / 100


def cells(text: str, first: str) -> list[str]:
    """Returns the columns of the table row that starts so."""
    (line,) = (line for line in text.splitlines() if line.strip().startswith(first))
    return re.split(r"\s{2,}", line.strip())


@pytest.fixture(scope="module")
def trained() -> nn.Sequential:
    """A network that has seen 1,000 digits once."""
    common, example = load("_common"), load("filters_and_feature_maps")
    torch.manual_seed(0)
    network = example.make_network()
    data = common.digits()
    common.train(network, data.train_images[:1000], data.train_labels[:1000], epochs=1, seed=0)
    return network


def test_every_example_is_tested_and_told() -> None:
    here, told = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    assert len(NAMES) >= 8
    for name in NAMES:
        assert f'"{name}"' in here
        assert f"{name}.py" in told


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--output", "picture.gif"], "expected a name that ends in .png, .pdf, .svg"),
        (["--output", "nowhere/picture.png"], "'nowhere/picture.png' cannot be written"),
        (["--seed", "-1"], "--seed: expected a whole number from 0 to 2^63 - 1, got '-1'"),
    ],
)
def test_bad_arguments_end_in_one_line(
    name: str,
    arguments: list[str],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    example = load(name)
    monkeypatch.setattr(example, "run", lambda _: pytest.fail("it went on"))
    try:
        code: object = example.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_missing_packages_are_named(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("matplotlib", "rich") else found(name),
    )
    assert load(name).main([]) == 2
    error = capsys.readouterr().err
    assert "needs matplotlib and rich, not installed here; run pip install" in error


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_ends_with_130(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    example = load(name)
    monkeypatch.setattr(example, "run", interrupted)
    assert example.main([]) == 130
    assert capsys.readouterr().err.endswith(": interrupted\n")
    assert not list(tmp_path.iterdir())


def test_examples_import_without_the_packages_they_draw_with() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:2]\nfor name in ('matplotlib', 'rich', 'mlxtend'):"
    )
    code += " sys.modules[name] = None\nfor name in sys.argv[2:]: __import__(name)"
    root = Path(cnnkern.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, str(EXAMPLES), *NAMES], cwd=root, check=True)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 2, 5), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.MaxPool2d(2)],
        [nn.Conv2d(1, 2, 3, padding=1, dilation=2), nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 1, 3, 2)],
    ],
    ids=["plain", "padding, dilation, stride"],
)
def test_field_is_what_a_position_sees(layers: list[nn.Module]) -> None:
    field = load("_common").fields(layers)[-1]
    x = torch.rand(1, 1, 40, 40, requires_grad=True)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    layers = [nn.LPPool2d(1, m.kernel_size, m.stride) if isinstance(m, nn.MaxPool2d) else m
              for m in layers]  # fmt: skip # sums: each pixel of a window counts
    y = nn.Sequential(*layers)(x)
    for position in (0, y.shape[3] // 2):
        (seen,) = torch.autograd.grad(y[..., position].sum(), x, retain_graph=True)
        columns = seen.abs().sum((0, 1, 2)).nonzero().flatten().tolist()
        start = field.start(position)
        assert (columns[0], columns[-1]) == (max(start, 0), start + field.size - 1)


def test_filters_and_feature_maps(show, trained: nn.Sequential) -> None:
    output = show("filters_and_feature_maps", "--epochs", "2", "--train-digits", "1000")
    assert share(r"([\d.]+)% of 1,000 test digits right", output) > 0.7
    assert cells(output, "conv_1")[:4] == ["conv_1", "16 × 24 × 24", "416", "5 × 5"]
    assert cells(output, "conv_3")[:4] == ["conv_3", "16 × 3 × 3", "2,320", "20 × 20"]

    image = torch.rand(1, 28, 28)
    maps = load("filters_and_feature_maps").record(trained, image)
    assert list(maps) == [name for name, _ in trained.named_children()]
    weight, bias = trained.conv_1.weight, trained.conv_1.bias
    torch.testing.assert_close(maps["conv_1"], F.conv2d(image, weight, bias).relu().detach())
    assert torch.equal(maps["max_pool_1"], F.max_pool2d(maps["conv_1"], 2))
    assert not any(layer._forward_hooks for layer in trained)


def test_edge_detectors(show) -> None:
    example = load("edge_detectors")
    output = show("edge_detectors", "--steps", "400")
    assert cells(output, "vertical") == ["vertical", "0 30 30 0", "0 -30 -30 0", "-5 -4 0 8", "561"]
    assert cells(output, "Sobel, vertical")[1:] == [
        "0 40 40 0",
        "0 -40 -40 0",
        "-12 -8 5 16",
        "689",
    ]
    assert cells(output, "Sobel, horizontal")[-1] == "-353"
    assert "row 11, column 8, length 982.979" in output
    step = re.search(r"below 1e-3 since step (\d+)", output.replace("\n", " "))
    assert step is not None
    assert int(step[1]) < 400

    image = example.photograph()
    assert image.shape == (600, 512)
    found = example.edges(image)
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    expected = torch.hypot(*(F.conv2d(image[None, None], s[None, None]) for s in (sobel, sobel.T)))
    torch.testing.assert_close(example.magnitude(found), expected[0, 0])
    colours = example.hues(found)
    assert colours.shape == (598, 510, 3)
    assert 0 <= colours.min() <= colours.max() <= 1
    # what it learns is the filter it was given, not one that is written down somewhere
    scharr = example.learn(image[60:124, 190:254], example.SCHARR / 10, 600, seed=1)
    assert scharr.errors[0] > 0.5
    assert scharr.errors[-1] < 1e-2


def test_top_patches(show, trained: nn.Sequential) -> None:
    output = show("top_patches", "--epochs", "1", "--train-digits", "400")
    for name, size in (("conv_1", "5 × 5"), ("conv_2", "10 × 10"), ("conv_3", "20 × 20")):
        assert len(re.findall(rf"{name} +\d+ +{size} ", output)) == 6

    example = load("top_patches")
    images = load("_common").digits().train_images[:700]
    for name, count in (("conv_1", 1), ("conv_2", 3), ("conv_3", 5)):
        patches = example.top_patches(trained, name, images)
        layers = trained[:count]
        with torch.no_grad():
            best = layers(images).amax((2, 3)).topk(9, dim=0).values.T
            torch.testing.assert_close(patches.strength, best)
            for unit in range(16):
                # a patch alone makes the unit answer as the whole digit did: it is all the unit saw
                alone = layers(patches.pixels[unit][:, None])
                assert alone.shape == (9, 16, 1, 1)
                torch.testing.assert_close(
                    alone[:, unit, 0, 0], patches.strength[unit], rtol=1e-5, atol=1e-5
                )


def test_top_patches_needs_nine_digits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("top_patches", "deconvnet"):
        arguments = ["--train-digits", "8", "--output", str(tmp_path / "picture.png")]
        assert load(name).main(arguments) == 2
        assert "expected at least 9, one for each patch, got 8" in capsys.readouterr().err


def test_transfer_learning(show) -> None:
    output = show("transfer_learning", "--epochs", "1", "--new-epochs", "5", "--new-digits", "300")
    # conv, conv_weight_grad, conv_input_grad, max_pool, max_pool_grad
    assert cells(output, "everything trained")[1:] == ["3", "3", "2", "2", "2"]
    assert cells(output, "conv1 frozen")[1:] == ["3", "2", "1", "2", "1"]
    assert cells(output, "conv1, conv2 frozen")[1:] == ["3", "1", "-", "2", "-"]
    assert cells(output, "the trunk frozen")[1:] == ["3", "-", "-", "2", "-"]
    assert re.search(r"features on disk( +-){5} *\n", output)
    assert "losses at most 0.0e+00 apart, weights bit for bit the same" in output
    assert share(r"trunk run in each step .* ([\d.]+)%", output) > 0.6


def test_transfer_learning_counts_what_is_needed_alone() -> None:
    example = load("transfer_learning")
    trunk = example.make_trunk()
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])
    # the first layer alone: its gradient has to come all the way down
    assert example.kernels_of_a_step(trunk, ("conv1",), images, labels) == {
        "conv": 3, "max_pool": 2, "conv_weight_grad": 1, "conv_input_grad": 2, "max_pool_grad": 2,
    }  # fmt: skip
    assert [p.requires_grad for p in trunk.parameters()] == [True, True] + [False] * 4
    assert all(p.grad is None for p in trunk.parameters())


def test_transfer_learning_keeps_features_on_disk(tmp_path: Path) -> None:
    example = load("transfer_learning")
    trunk, images = example.make_trunk(), torch.rand(7, 1, 28, 28)
    example.write_features(trunk, images, tmp_path / "features.npy")
    features = example.read_features(tmp_path / "features.npy")
    with torch.no_grad():
        torch.testing.assert_close(features, trunk(images))
    assert (tmp_path / "features.npy").stat().st_size == 7 * 288 * 4 + 128


def test_localisation(show) -> None:
    output = show("localisation", "--steps", "240")
    rows = [line.split() for line in output.splitlines() if re.match(r" +(40|240) ", line)]
    (first, last) = rows
    assert float(last[4]) > 0.45  # mean IoU; the average box alone has 0.2
    assert float(last[4]) > float(first[4])
    assert float(re.findall(r"IoU (0\.\d+):", output)[0]) == pytest.approx(float(last[4]), abs=1e-3)


def test_localisation_draws_tight_boxes_and_knows_overlap() -> None:
    example = load("localisation")
    pictures = example.draw_shapes(200, seed=3)
    assert set(pictures.labels.tolist()) == {0, 1, 2}
    edges = (pictures.boxes * 48).round().int().tolist()
    for image, label, (left, top, right, bottom) in zip(
        pictures.images[:, 0], pictures.labels.tolist(), edges, strict=True
    ):
        assert 0 <= left < right <= 48
        assert 0 <= top < bottom <= 48
        outside = image.clone()
        outside[top:bottom, left:right] = 0
        assert abs(outside.sum().item()) < 0.15 * 48 * 5  # five sigma of the noise
        filled = {0: 1.0, 1: torch.pi / 4, 2: 0.5}[label]
        mean = image[top:bottom, left:right].mean().item()
        assert 0.5 * filled - 0.15 < mean < filled + 0.15

    def box(*values: float) -> Tensor:
        return torch.tensor([values])

    one = box(0, 0, 0.5, 0.5)
    assert example.iou(one, one).item() == 1
    assert example.iou(one, box(0.25, 0, 0.75, 0.5)).item() == pytest.approx(1 / 3)
    assert example.iou(one, box(0.5, 0.5, 1, 1)).item() == 0
    assert example.iou(one, box(0.4, 0.4, 0.1, 0.1)).item() == 0  # inside out: no area


def test_augmentation(show) -> None:
    output = show("augmentation", "--epochs", "1", "--train-digits", "60", "--workers", "2")
    for name in ("none", "mirror", "rotate", "crop", "colour shift", "noise", "all but mirror"):
        assert re.match(r"[\d.]+%", cells(output, name)[3])


def test_augmentation_pays_on_changed_digits() -> None:
    example, common = load("augmentation"), load("_common")
    data = common.digits()
    images, labels = example.coloured(data.train_images[:300], 0), data.train_labels[:300]
    hard = example.hardened(example.coloured(data.test_images, 1), data.test_labels, 0)
    none, every = (
        common.accuracy(example.fit(changed, 15, 0)[0], hard, data.test_labels)
        for changed in (
            example.Changed(images, labels, example.named_changes(name), 0)
            for name in ("none", example.ALL)
        )
    )
    assert every > none + 0.1


def test_augmentation_is_the_same_with_any_number_of_workers() -> None:
    example = load("augmentation")
    images, labels = torch.rand(120, 3, 28, 28), torch.arange(120) % 10
    data = example.Changed(images, labels, example.named_changes(example.ALL), seed=5)
    one, two = (list(example.load(data, 2, workers)) for workers in (0, 2))
    assert len(one) == 6
    assert [len(labels) for _, labels in one] == [50, 50, 20] * 2
    for (a, a_labels), (b, b_labels) in zip(one, two, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a_labels, b_labels)
    assert not torch.equal(data[3][0], data[3 + 120][0])  # anew in the next epoch
    assert data[3][1] == data[3 + 120][1]


def test_augmentations_do_what_they_say() -> None:
    example = load("augmentation")
    image = torch.rand(3, 28, 28)

    def many(name: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        return [example.CHANGES[name](image, generator) for _ in range(20)]

    assert {torch.equal(found, image) for found in many("mirror")} == {True, False}
    assert all(
        torch.equal(found, image) or torch.equal(found, image.flip(2)) for found in many("mirror")
    )
    for found in many("colour shift"):
        moved = (found - image).flatten(1)
        torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))
        assert moved.abs().max() <= 60 / 255 + 1e-6
    assert max((found - image).std().item() for found in many("noise")) < 0.21
    around = F.pad(image[None], (3,) * 4, mode="replicate")[0]
    windows = around.unfold(1, 28, 1).unfold(2, 28, 1).flatten(1, 2).unbind(1)
    assert all(any(torch.equal(found, window) for window in windows) for found in many("crop"))
    spot = torch.zeros(3, 28, 28)
    spot[:, 14, 26] = 1  # 12.5 pixels right of the middle
    generator = torch.Generator().manual_seed(1)
    rows = [int(example.rotate(spot, generator)[0].sum(1).argmax()) for _ in range(40)]
    assert max(abs(row - 13.5) for row in rows) <= 12.5 * 0.343 + 1.5  # the sine of 20 degrees
    assert min(rows) <= 11
    assert max(rows) >= 16


def arguments(folder: Path, *more: str) -> list[str]:
    """Returns those of a short training."""
    return [
        *("--checkpoint", str(folder / "training.pt"), "--output", str(folder / "training.png")),
        *("--epochs", "4", "--train-digits", "500", "--every", "3", *more),
    ]


def losses(folder: Path) -> list[float]:
    """Returns what the checkpoint remembers."""
    found: list[float] = torch.load(folder / "training.pt", weights_only=True)["losses"]
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A short training from its first step to its last."""
    folder = tmp_path_factory.mktemp("training")
    torch.set_num_threads(1)
    assert load("training").main(arguments(folder)) == 0
    found = losses(folder)
    assert len(found) == 40
    assert found[-1] < 0.8 * found[0]
    return folder, found


def test_killed_training_goes_on_bit_for_bit(
    tmp_path: Path, uninterrupted: tuple[Path, list[float]]
) -> None:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "training.py"), *arguments(tmp_path, "--slow", "0.2")],
        stdout=subprocess.DEVNULL,
        cwd=EXAMPLES.parent,
    )
    deadline = time.monotonic() + 120
    done = 0
    while done < 6 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        if (tmp_path / "training.pt").exists():
            done = len(losses(tmp_path))  # is replaced whole: never half of one
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(losses(tmp_path))
    assert 6 <= done < 40
    assert load("training").main(arguments(tmp_path, "--resume")) == 0
    assert losses(tmp_path) == uninterrupted[1]


def test_training_goes_on_after_ctrl_c(
    tmp_path: Path,
    uninterrupted: tuple[Path, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = load("training")
    step = example.Training.step

    def interrupted(self, images: Tensor, labels: Tensor) -> None:
        if len(self.losses) == 16:
            raise KeyboardInterrupt
        step(self, images, labels)

    with monkeypatch.context() as patch:
        patch.setattr(example.Training, "step", interrupted)
        assert example.main(arguments(tmp_path)) == 130
    assert "--resume goes on from" in capsys.readouterr().out
    assert len(losses(tmp_path)) == 15
    assert not (tmp_path / "training.png").exists()
    assert example.main(arguments(tmp_path, "--resume")) == 0
    output = capsys.readouterr().out
    assert "Goes on after step 15" in output
    assert cells(output, "keys of the state_dict")[1:] == ["8", "8"]
    assert cells(output, "torch.nn: other answers")[-1] == "0"
    assert cells(output, "back in cnnkern.nn")[-1] == "0"
    assert losses(tmp_path) == uninterrupted[1]
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_training_refuses_what_it_cannot_resume(
    tmp_path: Path, uninterrupted: tuple[Path, list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("training")
    assert example.main(arguments(tmp_path, "--resume")) == 2
    assert "--resume: there is no checkpoint" in capsys.readouterr().err
    (tmp_path / "training.pt").write_bytes(b"not a checkpoint")
    assert example.main(arguments(tmp_path, "--resume")) == 2
    assert "is no checkpoint of this" in capsys.readouterr().err
    assert example.main(arguments(uninterrupted[0], "--resume", "--seed", "1")) == 2
    assert "is of another training: expected {'epochs': 4, 'seed': 1" in capsys.readouterr().err


def test_deconvnet(show) -> None:
    output = show("deconvnet", "--epochs", "1", "--train-digits", "400")
    for name in ("conv_1", "conv_2", "conv_3"):
        rows = re.findall(rf"{name} +\d+ +[\d.]+ +(\S+) +(\S+) +(\S+)", output)
        assert len(rows) == 4
        # nothing is read back outside of what the unit saw, and most of it is where the ink is
        assert {row[0] for row in rows} == {"100%"}
        for _, on_ink, ink in rows:
            assert int(on_ink[:-1]) > int(ink[:-1])


def test_deconvnet_undoes_pools_at_their_switches_and_convolutions_by_their_weights(
    trained: nn.Sequential,
) -> None:
    example = load("deconvnet")
    images = load("_common").digits().test_images[:5]
    with torch.no_grad():
        x = trained[0](images)
        pooled, (switches,) = example.forward(trained[1:2], x)
        back = example.backward(trained[1:2], pooled, [switches])
        # the maxima stand where they stood, all else is zero
        assert torch.equal(back[back != 0], x[back != 0])
        assert torch.equal(F.max_pool2d(back, 2), pooled)
        assert (back != 0).sum() <= pooled.numel()

        maps, switches = example.forward(trained[:5], images)
        torch.testing.assert_close(maps, trained[:5](images))
        alone = example.strongest_alone(maps, 3)
        assert torch.equal(alone.flatten(1).sum(1), maps[:, 3].amax((1, 2)))
        assert (alone != 0).flatten(1).sum(1).max() <= 1

        # behind one convolution a unit reads back its filter, as strong as it answered
        first = trained[0](images)
        unit = int(first.amax((2, 3)).min(0).values.argmax())
        found = example.reconstruct(trained, "conv_1", images, unit)
        for picture, answer in zip(found[:, 0], first[:, unit], strict=True):
            top, left = divmod(int(answer.argmax()), answer.shape[1])
            expected = torch.zeros(28, 28)
            expected[top : top + 5, left : left + 5] = answer.max() * trained[0].weight[unit, 0]
            torch.testing.assert_close(picture, expected)


def test_deconvnet_follows_the_gradient_where_no_relu_cuts() -> None:
    example = load("deconvnet")
    layers = load("filters_and_feature_maps").make_network()[:3].double()
    with torch.no_grad():
        for layer in (layers[0], layers[2]):
            layer.weight.abs_()  # everything on the way back is positive, so no ReLU cuts
            layer.bias.fill_(0.1)
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    maps, switches = example.forward(layers, images)
    direction = torch.rand_like(maps)
    (gradient,) = torch.autograd.grad((maps * direction).sum(), images)
    torch.testing.assert_close(example.backward(layers, direction, switches), gradient)


def test_per_sample_gradients(show) -> None:
    output = show("per_sample_gradients", "--epochs", "1", "--train-digits", "640")
    assert cells(output, "Conv2d 3.weight")[1] == "16 × 1 × 3 × 3"  # depthwise
    assert cells(output, "Conv2d 8.weight")[1] == "32 × 8 × 3 × 3"  # four groups
    limit = cells(output, "clipped  ")[1]
    assert cells(output, "clipped, noise")[1] == limit
    assert float(cells(output, "SGD")[1]) > float(limit)
    assert re.search(r"vmap \d+ ms, loop \d+ ms", output)


def test_per_sample_gradients_equal_a_loop_and_are_clipped() -> None:
    example = load("per_sample_gradients")
    network = example.make_network(3)
    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 4
    assert all(type(m) is cnnkern.nn.Conv2d for m in convolutions)
    images, labels = torch.rand(9, 1, 28, 28), torch.arange(9)
    found, expected = (way(network, images, labels) for way in (example.by_vmap, example.by_loop))
    assert list(found) == [name for name, _ in network.named_parameters()]
    for name in found:
        assert found[name].shape == (9, *network.get_parameter(name).shape)
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=2e-6 * scale)

    norms = example.norms(found)
    one = torch.cat([g[4].flatten() for g in expected.values()]).norm()
    torch.testing.assert_close(norms[4], one)
    limit = norms.median().item()
    after = example.norms(example.clipped(found, limit))
    torch.testing.assert_close(after, norms.clamp(max=limit))
    assert 0 < (norms > limit).sum() < 9


def test_private_training_is_sgd_where_nothing_is_clipped() -> None:
    example, common = load("per_sample_gradients"), load("_common")
    images, labels = torch.rand(128, 1, 28, 28), torch.arange(128) % 10
    private, plain = example.make_network(0), example.make_network(0)
    sway = example.train_privately(private, images, labels, epochs=1, limit=1e6, noise=0.0, seed=2)
    assert sway < 1e6
    optimizer = torch.optim.SGD(plain.parameters(), lr=example.RATE)
    for chosen in common.batches(128, example.BATCH, 1, 2):
        optimizer.zero_grad()
        F.cross_entropy(plain(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    for ours, theirs in zip(private.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
