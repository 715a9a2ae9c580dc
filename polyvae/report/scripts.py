"""The scripts and the style of the page, and the policy that lets nothing else run and no request leave."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

_OURS = ("data.js", "axes.js", "map.js", "timeline.js", "viewer.js", "page.js")


@cache
def page_style() -> str:
    """The style sheet."""
    return _text("web", "report.css")


@cache
def page_scripts() -> tuple[str, str]:
    """3Dmol.js, and the scripts of the page as one."""
    ours = "\n".join(_text("web", name) for name in _OURS)
    return _text("vendor", "3Dmol-min.js"), f'"use strict";\n(() => {{\n{ours}\n}})();'


@cache
def viewer_licenses() -> str:
    """License texts that travel with every copy of the viewer."""
    return _text("vendor", "LICENSES.txt")


def content_policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy: these scripts by their hash, images in the page itself, and no connection at all.

    Args:
        scripts: the exact content of every script element that may run.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _text(folder: str, name: str) -> str:
    return files("polyvae.report").joinpath(folder, name).read_text(encoding="utf-8")
