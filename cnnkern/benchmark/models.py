# SPDX-License-Identifier: BSD-3-Clause
"""Models by name: torchvision's, and those that a user's file builds."""

from __future__ import annotations

import copy
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_model"]

_FORMS = "torchvision:NAME or FILE.py:FUNCTION"
_IMAGES = (8, 3, 224, 224)
_VIDEOS = (8, 3, 16, 112, 112)
_LARGE_VIDEOS = (8, 3, 16, 224, 224)
_SIZES = {
    "inception_v3": (8, 3, 299, 299),
    "quantized_inception_v3": (8, 3, 299, 299),
    "ssd300_vgg16": (8, 3, 300, 300),
    "ssdlite320_mobilenet_v3_large": (8, 3, 320, 320),
    "swin_v2_b": (8, 3, 256, 256),
    "swin_v2_s": (8, 3, 256, 256),
    "swin_v2_t": (8, 3, 256, 256),
    "mc3_18": _VIDEOS,
    "r2plus1d_18": _VIDEOS,
    "r3d_18": _VIDEOS,
    "mvit_v1_b": _LARGE_VIDEOS,
    "mvit_v2_s": _LARGE_VIDEOS,
    "s3d": _LARGE_VIDEOS,
    "swin3d_b": _LARGE_VIDEOS,
    "swin3d_s": _LARGE_VIDEOS,
    "swin3d_t": _LARGE_VIDEOS,
}


def load_model(text: str, input_size: Sequence[int] | None = None) -> tuple[nn.Module, Tensor]:
    """Builds a model and an input that it takes.

    Args:
        text: ``torchvision:resnet50``, any of ``torchvision.models``, which gets random weights
            and evaluation mode and downloads nothing; or ``path/to/file.py:build``, a function
            without arguments that returns a module or ``(module, input)``.
        input_size: of the input, with its batch; by default that which comes with the module, else
            8 images of 224x224 or what the network of that name is known for.

    Returns:
        The model, in the mode that its builder left it in, and a random input on the device and in
        the dtype of the model's first parameter.

    Raises:
        ValueError: nothing of that name, the file or its function fails, what it returns is no
            module, or the model raises on the input. All in one line.

    Example:
        >>> model, input = load_model("torchvision:resnet18", (1, 3, 64, 64))
        >>> input.shape, model.training
        (torch.Size([1, 3, 64, 64]), False)
    """
    source, _, name = text.rpartition(":")
    if source == "torchvision":
        built, usual = _from_torchvision(text, name), _SIZES.get(name, _IMAGES)
    elif source.endswith(".py") and name:
        built, usual = _from_file(text, Path(source), name), _IMAGES
    else:
        raise ValueError(f"unknown model {text!r}; expected {_FORMS}")
    model, input = _model_and_input(text, built, usual, input_size)
    _check_runs(text, model, input)
    return model, input


def _model_and_input(
    text: str, built: Any, usual: Sequence[int], input_size: Sequence[int] | None
) -> tuple[nn.Module, Tensor]:
    is_pair = isinstance(built, tuple) and len(built) == 2
    model, input = built if is_pair else (built, None)
    if not isinstance(model, nn.Module) or (is_pair and not isinstance(input, Tensor)):
        got = ", ".join(type(part).__name__ for part in built) if is_pair else type(built).__name__
        raise ValueError(f"{text}: expected a torch.nn.Module, or it and a Tensor, got {got}")
    if input is not None and input_size is None:
        return model, input
    like = input if input is not None else next(model.parameters(), torch.empty(0))
    size = tuple(usual if input_size is None else input_size)
    if min(size, default=1) < 1:
        raise ValueError(f"{text}: expected input_size of at least 1 along each axis, got {size}")
    values = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return model, values.to(like.device, like.dtype)


def _from_torchvision(text: str, name: str) -> nn.Module:
    models = _torchvision_models(text)
    names = models.list_models()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {len(names)}"
        raise ValueError(f"{text}: torchvision.models has no {name!r}; {hint}")
    options: dict[str, Any] = {"weights": None}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        options["weights_backbone"] = None  # by default it would be downloaded
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # which takes many seconds
    model: nn.Module = models.get_model(name, **options)
    return model.eval()


_operators: list[torch.library.Library] = []  # what is defined lives as long as this


def _torchvision_models(text: str) -> Any:
    try:
        importlib.import_module("torchvision")
        return importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise ValueError(f"{text}: cannot import torchvision: {_one_line(error)}") from None
        raise ValueError(f"{text}: torchvision is not installed: pip install torchvision") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _operators:
            raise ValueError(f"{text}: cannot import torchvision: {_one_line(error)}") from None
    # Its operators were compiled for another torch and did not load. Networks need none of them,
    # the import only that two are declared.
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _operators.append(library)
    for op in ("nms", "qnms"):
        library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    return _torchvision_models(text)


def _from_file(text: str, path: Path, name: str) -> Any:
    if not path.is_file():
        raise ValueError(f"{text}: there is no file {str(path)!r}")
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # as python FILE.py would, for what lies beside it
    try:
        function = getattr(_imported(path), name, None)
        built = function() if callable(function) else None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{text}: {_where(error, path)}: {_one_line(error)}") from error
    finally:
        sys.path.remove(folder)
    if not callable(function):
        raise ValueError(f"{text}: {path} has no function {name!r}")
    return built


def _imported(path: Path) -> Any:
    # A name that no import of the file's own can meet.
    loader = SourceFileLoader(f"model file {path.stem}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def _check_runs(text: str, model: nn.Module, input: Tensor) -> None:
    with torch.no_grad():
        try:
            _without_values(model)(input.to("meta"))  # takes no time
            return
        except Exception:  # or only not without values, which are for the real call to say
            pass
        try:
            model(input)
        except Exception as error:
            size = "x".join(map(str, input.shape))
            raise ValueError(
                f"{text}: the model fails on an input of {size}: {_one_line(error)}"
            ) from error


def _without_values(model: nn.Module) -> nn.Module:
    """A copy on the meta device, so that nothing that the model keeps from a call is changed."""
    instead: dict[int, Any] = {
        id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()
    }
    instead |= {id(buffer): buffer.to("meta") for buffer in model.buffers()}
    return copy.deepcopy(model, instead)


def _where(error: BaseException, path: Path) -> str:
    """The last line of the file that the error came through."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
