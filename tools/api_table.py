# SPDX-License-Identifier: BSD-3-Clause
"""torch's convolutions and pools against this package's: python tools/api_table.py prints Markdown.

Names and signatures are read from both packages, so the table is what is true. A row says whether a
function or class is supported (torch's arguments, in torch's order, with torch's defaults), what it
takes beyond them, what is missing, and what is left to torch on purpose.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

# What of torch is about convolution or pooling.
SUBJECT = re.compile(r"conv|pool|fold", re.IGNORECASE)
NOT_OURS = {
    r"fractional_max_pool.*|FractionalMaxPool.*": "its windows are random",
    r"fold|unfold|Fold|Unfold": "moves data without arithmetic: a step of algorithms here",
    r"conv_tbc": "a sequence format of one old model",
    r".*_with_indices": "the same function with return_indices=True",
}


@dataclass(frozen=True)
class Row:
    """One name: whether it is there, and how it differs from torch's."""

    module: str
    name: str
    state: str  # "supported", "missing", "not ours", "extra" or "differs"
    note: str = ""


def namespaces() -> list[tuple[str, ModuleType, ModuleType]]:
    """The pairs that are compared: (what users write after torch., torch's, this package's)."""
    import torch

    import cnnkern

    return [
        ("nn.functional", torch.nn.functional, cnnkern.functional),
        ("nn", torch.nn, cnnkern.nn),
        ("nn.grad", torch.nn.grad, cnnkern.nn.grad),
    ]


def names_of(module: ModuleType) -> list[str]:
    """Its public functions and classes on the subject, without those it only imports."""
    found = []
    for name in dir(module):
        value = getattr(module, name)
        public = not name.startswith("_") and callable(value) and SUBJECT.search(name)
        if public and not inspect.ismodule(value):
            found.append(name)
    return found


def _parameters_from_text(text: str) -> list[tuple[str, Any]] | None:
    # Of "conv2d(input, weight, bias=None) -> Tensor"; torch's builtins have no other signature.
    call = re.match(r"\s*\w+(\([^)]*\))", text)
    if call is None:
        return None
    try:
        function = ast.parse(f"def f{call[1]}: pass").body[0]
    except SyntaxError:
        return None
    assert isinstance(function, ast.FunctionDef)
    arguments, given = function.args.args, function.args.defaults
    defaults = [inspect.Parameter.empty] * (len(arguments) - len(given))
    defaults += [ast.literal_eval(default) for default in given]
    return [(a.arg, d) for a, d in zip(arguments, defaults, strict=True)]


def parameters(module: ModuleType, name: str) -> list[tuple[str, Any]]:
    """The names and defaults that a caller of torch's function may give."""
    function = getattr(module, name)
    # A function that chooses by return_indices stands before one that has its signature.
    plain = getattr(module, f"_{name}", function)
    try:
        signature = inspect.signature(plain)
    except ValueError:
        found = _parameters_from_text(function.__doc__ or "")
        if found is None:
            raise ValueError(f"{module.__name__}.{name} tells its signature nowhere") from None
        return found
    return [(p.name, p.default) for p in signature.parameters.values()]


def compare(expected: list[tuple[str, Any]], function: Callable[..., Any]) -> tuple[str, list[str]]:
    """How a function's signature deviates from the expected one ("" if not), and its extras.

    Arguments beyond torch's must be keywords, so that no call with torch's means another thing.
    """
    own = list(inspect.signature(function).parameters.values())
    places = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    extras = [p.name for p in own if p.kind is p.KEYWORD_ONLY]
    for i, (name, default) in enumerate(expected):
        if i >= len(places) or places[i].name != name:
            got = places[i].name if i < len(places) else "nothing"
            return f"argument {i + 1} is {got}, torch's is {name}", extras
        if places[i].default != default:
            return f"{name} is {places[i].default!r} by default, torch's {default!r}", extras
    if len(places) > len(expected):
        return f"{places[len(expected)].name} goes by position beyond torch's arguments", extras
    unknown = [p.name for p in own if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return (f"takes anything by {unknown[0]}" if unknown else ""), extras


def _compared(label: str, theirs: ModuleType, ours: ModuleType, name: str) -> Row:
    own = getattr(ours, name)
    expected = parameters(theirs, name)
    difference, extras = compare(expected, own)
    if inspect.isclass(own):
        if not issubclass(own, getattr(theirs, name)):
            difference = difference or "is no subclass of torch's"
        forward = parameters(getattr(theirs, name), "forward")
        difference = difference or compare(forward, own.forward)[0]
    note = difference or (f"also {', '.join(extras)}" if extras else "")
    return Row(label, name, "differs" if difference else "supported", note)


def rows() -> Iterator[Row]:
    """Every name of torch's on the subject, then what only this package has."""
    for label, theirs, ours in namespaces():
        listed = set(ours.__all__)
        names = names_of(theirs)
        for name in names:
            reason = next((r for p, r in NOT_OURS.items() if re.fullmatch(p, name)), "")
            if name in listed:
                yield _compared(label, theirs, ours, name)
            elif reason:
                yield Row(label, name, "not ours", reason)
            else:
                yield Row(label, name, "missing")
        for name in sorted(listed - set(names)):
            arguments = list(inspect.signature(getattr(ours, name)).parameters)
            yield Row(label, name, "extra", ", ".join(arguments))


def table(found: list[Row]) -> str:
    """Markdown, with a line that counts."""
    lines = ["| torch. | | |", "| --- | --- | --- |"]
    lines += [f"| `{r.module}.{r.name}` | {r.state} | {r.note} |" for r in found]
    counts = {
        state: sum(r.state == state for r in found)
        for state in dict.fromkeys(r.state for r in found)
    }
    return "\n".join([*lines, "", ", ".join(f"{n} {state}" for state, n in counts.items())])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    print(table(list(rows())))
