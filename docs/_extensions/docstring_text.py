r"""Docstrings are plain text with formulas; reStructuredText gives |x| and q* meanings that nobody intended.

Before napoleon reads a docstring, bars, stars and trailing underscores outside of code are escaped, and \(x\)
becomes a formula. Directives (`.. math::`) and doctests stay as they are.
"""

import re

from sphinx.application import Sphinx

_FORMULA = re.compile(r"\\\((.+?)\\\)", re.DOTALL)
_CODE = re.compile(r"(``.+?``|:[a-z]+:`.+?`|`.+?`)")
_SPECIAL = re.compile(r"[|*]|(?<=\w)_(?=\W|$)")


def _escaped(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if index % 2 else _SPECIAL.sub(r"\\\g<0>", part) for index, part in enumerate(parts))


def _plain_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    text = _FORMULA.sub(lambda match: f":math:`{' '.join(match[1].split())}`", "\n".join(lines))
    kept_indent: int | None = None
    result = []
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if line.strip() and kept_indent is not None and indent <= kept_indent:
            kept_indent = None
        if line.lstrip().startswith("..") and "::" in line:
            kept_indent = indent
        result.append(line if kept_indent is not None or line.lstrip().startswith(">>>") else _escaped(line))
    lines[:] = result


def _short_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """JAX's array type under the name by which users know it."""
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon (priority 500)."""
    app.connect("autodoc-process-docstring", _plain_text, priority=400)
    app.connect("autodoc-process-signature", _short_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
