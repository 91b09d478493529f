# SPDX-License-Identifier: BSD-3-Clause
"""The documentation: it builds without a warning, its links lead somewhere, its commands run.

Its Python is run as doctests (pyproject.toml). A fenced block marked ``console`` is commands, each
after a ``$``, and what they print. All are run, but those of NOT_RUN, whose arguments are parsed.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import cnnkern
import cnnkern.testing
from cnnkern.cli.main import main, parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *ROOT.glob("examples/README.md"),
        ROOT / "benchmarks" / "README.md",
        ROOT / "csrc" / "simt" / "README.md",
    ]
)

# Commands that are not run here, by their beginning, and why. Their arguments are looked at all the
# same: what cnnkern parses, targets of the Makefile, extras of the package, options of a script.
NOT_RUN = {
    "git clone": "needs the network",
    "pip install": "installs",
    "make": "builds or tests everything",
    ".ci/run": "builds and tests everything",
    ".venv/bin/pre-commit install": "changes the checkout",
    "cnnkern bench": "measures for minutes; tests/test_bench_command.py runs it",
    "cnnkern tune": "measures for seconds on a quiet machine; tests/test_tune.py runs it",
    "cat plans.txt": "reads what tune wrote",
    "cnnkern verify --random": "takes minutes",
    "cnnkern verify --suite": "takes minutes, and the emulator",
    "cnnkern verify": "takes a minute; tests/test_verify.py runs it",
}
RUN_ALL_THE_SAME = ("cnnkern verify --problem",)
EXIT_CODES = {'cnnkern explain "conv2d 8x64x56x56 128x64x3x3 stide=2"': 2}
# What a line of output has that is this machine's own.
OF_A_MACHINE = re.compile(r"avx|\bthreads?\b")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:\.ci|benchmarks|cnnkern|csrc|docs|examples|tests|tools)/[\w./-]*)`")


@dataclass
class Command:
    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def not_run(self) -> str | None:
        """The entry of NOT_RUN that it falls under."""
        if self.text.startswith(RUN_ALL_THE_SAME):
            return None
        return next((start for start in NOT_RUN if starts_with(self.text, start)), None)


def starts_with(text: str, words: str) -> bool:
    return text == words or text.startswith(words + " ")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(path: Path) -> list[Command]:
    found: list[Command] = []
    for language, body in FENCE.findall(path.read_text(encoding="utf-8")):
        if language != "console":
            continue
        for line in body.splitlines():
            if line.startswith("$ "):
                # `cd` has no output, and what follows it is a command too.
                found += [Command(part.strip()) for part in line[2:].split("&&")]
            else:
                found[-1].shown.append(line)
    return found


WITH_COMMANDS = [path for path in PAGES if commands(path)]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=name_of)
def test_commands_run_and_print_what_is_shown(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands(path):
        if command.not_run:
            check_arguments(command)
            continue
        assert command.words[0] in ("cnnkern", "cd"), f"{command.text}: neither run nor in NOT_RUN"
        if command.words[0] == "cd":
            continue
        code = main(command.words[1:])
        output = capfd.readouterr()
        said = output.out + output.err
        assert code == EXIT_CODES.get(command.text, 0), f"{command.text}: {said}"
        check_shown(command, said.splitlines())


def check_shown(command: Command, printed: list[str]) -> None:
    """Every line that is shown was printed, in this order; columns may be wider elsewhere."""
    rest = iter([line.split() for line in printed])
    for line in command.shown:
        if not OF_A_MACHINE.search(line):
            assert line.split() in rest, f"{command.text}: does not print {line!r}"


def check_arguments(command: Command) -> None:
    program, *arguments = command.words
    if program == "cnnkern":
        parser().parse_args(arguments)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text() + (ROOT / "tools/emulator.mk").read_text()
        for word in arguments:
            assert "=" in word or re.search(rf"^{re.escape(word)}:", makefile, re.M), word
    elif program == "pip":
        extras = re.findall(r"cnnkern\[([\w,]+)\]", " ".join(arguments))
        known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.M)
        assert set(",".join(extras).split(",")) <= {"", *known}
    elif "/" in program:
        assert (ROOT / program).exists() or program.startswith(".venv/"), program


def test_every_exception_is_needed() -> None:
    used = {command.not_run for path in WITH_COMMANDS for command in commands(path)}
    assert used - {None} == set(NOT_RUN)
    texts = {command.text for path in WITH_COMMANDS for command in commands(path)}
    assert set(EXIT_CODES) <= texts


def anchors(path: Path) -> set[str]:
    """Those of the headings, as GitHub and MyST make them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#{1,6} (.+)$", text, re.M)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return set(plain)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    prose = FENCE.sub("", text)
    for target in LINK.findall(prose):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"
    for place in PATH.findall(prose):
        # Of a page that is included from elsewhere, too.
        assert (ROOT / place).exists() or place.startswith("build/"), f"{place}: no such path"


class Links(HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.targets.add(value)


def dead_links(folder: Path) -> Iterator[str]:
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    assert len(pages) > 15
    for path, links in pages.items():
        for target in links.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            file = (path.parent / unquote(url.path)).resolve() if url.path else path
            lost = file in pages and url.fragment and url.fragment not in pages[file].places
            if lost or not file.exists():
                yield f"{path.relative_to(folder)}: {target}"


def test_pages_build_without_a_warning_and_without_a_dead_link() -> None:
    made = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-o",
            "build",
            "docs",
            "ARGS=",
            f"PYTHON={sys.executable}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert sorted(dead_links(ROOT / "build" / "docs")) == []
    assert public_names() - documented(ROOT / "build" / "docs" / "objects.inv") == set()


def public_names() -> set[str]:
    return {
        f"{module.__name__}.{name}"
        for module in (cnnkern, cnnkern.functional, cnnkern.nn, cnnkern.autograd, cnnkern.testing)
        for name in module.__all__
    }


def documented(inventory: Path) -> set[str]:
    """Every name of Python that the reference has a place for."""
    from sphinx.util.inventory import InventoryFile

    names = InventoryFile.load(
        io.BytesIO(inventory.read_bytes()), "", lambda *parts: "".join(parts)
    )
    return {name for kind in names if kind.startswith("py:") for name in names[kind]}
