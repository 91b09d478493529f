# SPDX-License-Identifier: BSD-3-Clause
"""How Sphinx builds these pages (``make docs``): Markdown, and the reference from docstrings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import cnnkern

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


def setup(app: Any) -> None:
    # doctest needs an empty line before a block's end, readers do not.
    app.connect(
        "source-read",
        lambda _app, _name, text: text.append(text.pop().replace("\n\n```\n", "\n```\n")),
    )
