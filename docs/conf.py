"""Sphinx settings. The build is offline: no inventories of other projects, and formulas become MathML."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import polyvae

project = "polyvae"
author = "The polyvae developers"
project_copyright = "2026, The polyvae developers"
version = release = polyvae.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_help",
    "docstring_text",
    "mathml",
    "settings_table",
]
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
default_role = "code"
smartquotes_action = "D"
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
maximum_signature_line_length = 88
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"polyvae {version}"
html_static_path = ["_static"]
html_css_files = ["maths.css"]
html_show_sphinx = False
html_copy_source = False
exclude_patterns = ["_build", "_extensions"]
copybutton_prompt_text = "$ "
