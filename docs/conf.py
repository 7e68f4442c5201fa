"""Sphinx configuration: ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "packages", "awscrt-core", "src"))

from awscrt._version import __version__  # noqa: E402

project = "awscrt"
author = "the awscrt authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "NativeResource"}
# The asyncio modules offer classes of the same names as the callback ones: hints such as "Client" are ambiguous.
suppress_warnings = ["ref.python"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_title = f"awscrt {version}"
