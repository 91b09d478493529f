# SPDX-License-Identifier: BSD-3-Clause
"""How Sphinx builds these pages (``make docs``): Markdown, and the reference from docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import cnnkern  # noqa: E402

project = "cnnkern"
author = "The cnnkern developers"
copyright = "The cnnkern developers, BSD 3-Clause"
version = release = cnnkern.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
nitpicky = True
# Without a network there is no index of the names that are torch's and Python's.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|collections|typing|os|enum|abc)\..*|Any|Tensor|optional")
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The docstrings say every argument's type and shape in words, so signatures stay short.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {
    "exclude-members": "forward, backward, setup_context, extra_repr, generate_vmap_rule",
}
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # what stands before a colon is not always a type
napoleon_custom_sections = ["Source", "Shape"]
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"cnnkern {release}"
html_static_path = ["_static"]
html_css_files = ["cnnkern.css"]
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0f5e8c",
        "color-brand-content": "#0f5e8c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6cb6e8",
        "color-brand-content": "#6cb6e8",
    },
}
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


TABLES = {"<!-- tools/api_table.py -->": ROOT / "tools" / "api_table.py"}


def made_whole(_app: Any, _page: str, text: list[str]) -> None:
    """Takes what only doctest needs out of a page, and puts in what a script prints."""
    whole = text.pop().replace("\n\n```\n", "\n```\n")  # an empty line ends expected output
    for place, script in TABLES.items():
        if place in whole:
            printed = subprocess.run([sys.executable, script], capture_output=True, check=True)
            whole = whole.replace(place, printed.stdout.decode())
    text.append(whole)


def property_in_words(
    _app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Puts together what napoleon took apart: before a property's colon stands no type here."""
    found = [line for line in lines if line.startswith(":type: ")]
    if what == "property" and found:
        lines.remove(found[0])
        lines[0] = f"{found[0].removeprefix(':type: ')}: {lines[0]}"


def setup(app: Any) -> None:
    app.connect("source-read", made_whole)
    app.connect("autodoc-process-docstring", property_in_words, priority=600)
