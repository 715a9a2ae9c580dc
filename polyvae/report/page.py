"""`report.html`: answers, tables, figures and provenance on one page that needs no other file and no host.

Figures are embedded in the page, up to a total of seven million bytes, so that the page stays below ten;
what goes beyond is named by its path.
"""

import base64
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from polyvae.errors import InputError
from polyvae.report.answers import answers_of
from polyvae.report.figures import ReportFigure
from polyvae.report.summary import count, number, part
from polyvae.report.tables import tables_of
from polyvae.trajectory import atomic_path

_MOST_FIGURE_BYTES = 7_000_000
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_SHOWN_SCALE = 0.72
"""Pixels of the page for one of a figure at 160 dots an inch: letters have one size in all figures."""
_VERDICT_WORDS = {"good": "good", "fair": "fair", "poor": "poor", "unknown": "no verdict"}


def write_report(
    folder: str | os.PathLike[str],
    *,
    summary: Mapping[str, Any],
    figures: Sequence[ReportFigure] = (),
    provenance: Mapping[str, Any] | None = None,
    title: str = "polyvae report",
    overwrite: bool = False,
) -> Path:
    """Write `report.html` into a run folder.

    Args:
        folder: an existing folder.
        summary: the numbers of the run, as in `summary.json`; parts may be missing or None.
        figures: figures in the order of the page.
        provenance: what made the run, as in `manifest.json`; any nesting of mappings, lists and plain values.
        title: heading of the page, such as the name of the system.
        overwrite: whether an existing report may be replaced.

    Returns:
        The path of the page.

    Raises:
        InputError: if a figure is missing or not a PNG file, or the page cannot be written.
    """
    path = Path(folder) / "report.html"
    page = _template().render(
        title=title,
        system=_system(part(summary, "data")),
        answers=answers_of(summary),
        verdict_words=_VERDICT_WORDS,
        tables=tables_of(summary),
        figures=_embedded(figures, path.parent),
        provenance=provenance or {},
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _system(data: Mapping[str, Any]) -> str:
    frames, atoms, dims = (number(data, name) for name in ("frames", "atoms", "dims"))
    if frames is None or atoms is None:
        return "molecular conformations"
    words = f"{count(frames)} conformations of {count(atoms)} atoms"
    return words if dims is None else f"{words} in {count(dims)} dimensions"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("polyvae.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _embedded(figures: Sequence[ReportFigure], folder: Path) -> list[dict[str, str | int | None]]:
    """What the template needs of each figure: an image as a data URI, or its path where the page is full."""
    entries: list[dict[str, str | int | None]] = []
    total = 0
    for figure in figures:
        if figure.path is None:
            continue
        path = Path(figure.path)
        if not path.is_file():
            raise InputError(
                f"{path}: the figure {figure.title!r} does not exist. Pass path=None to leave it out."
            )
        content = path.read_bytes()
        if not content.startswith(_PNG_START) or len(content) < 24:
            raise InputError(f"{path}: the figure {figure.title!r} is not a PNG file. Save it as PNG.")
        width, height = (round(_SHOWN_SCALE * size) for size in struct.unpack(">II", content[16:24]))
        fits = total + len(content) <= _MOST_FIGURE_BYTES
        total += len(content) if fits else 0
        place = path.relative_to(folder) if path.is_relative_to(folder) else path
        entries.append(
            {
                "title": figure.title,
                "caption": figure.caption,
                "alt": figure.alt,
                "image": base64.b64encode(content).decode("ascii") if fits else None,
                "width": width,
                "height": height,
                "path": place.as_posix(),
            }
        )
    return entries
