"""`report.html`: answers, figures that answer a click, tables and provenance on one page that needs nothing else.

The page stays below ten million bytes: figures that would go beyond are named by their path.
"""

import base64
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from polyvae.analysis import RunOverview
from polyvae.errors import InputError
from polyvae.report.answers import named_answers
from polyvae.report.figures import ReportFigure
from polyvae.report.interactive import harmless_json, interactive_data
from polyvae.report.scripts import content_policy, page_scripts, page_style, viewer_licenses
from polyvae.report.short import in_short
from polyvae.report.summary import count, number, part
from polyvae.report.tables import tables_of
from polyvae.trajectory import atomic_path

_MOST_BYTES = 9_600_000
"""Of the page, with all that is embedded; the words take less than the rest of ten million."""
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_SHOWN_SCALE = 0.72
"""Pixels of the page for one of a figure at 160 dots an inch: letters have one size in all figures."""
_VERDICT_WORDS = {"good": "good", "fair": "fair", "poor": "poor", "unknown": "no verdict"}
_STAND_INS = ("free_energy", "latent_map", "latent_trajectory", "structures")
"""Figures that show what the moving part shows: in print, and where scripts do not run."""
_PARTS = {
    "short": "In short",
    "explore": "Free energy, time and structures",
    "answers": "Questions and answers",
    "tables": "Numbers",
    "figures": "Figures",
    "provenance": "How this was made",
}


def write_report(
    folder: str | os.PathLike[str],
    *,
    summary: Mapping[str, Any],
    figures: Sequence[ReportFigure] = (),
    provenance: Mapping[str, Any] | None = None,
    overview: RunOverview | None = None,
    missing: Sequence[str] = (),
    title: str = "polyvae report",
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write `report.html` into a run folder.

    Args:
        folder: an existing folder.
        summary: the numbers of the run, as in `summary.json`; parts may be missing or None.
        figures: figures in the order of the page.
        provenance: what made the run, as in `manifest.json`; any nesting of mappings, lists and plain values.
        overview: frames and structures for the interactive part; None leaves it out.
        missing: sentences about parts that the run folder lacks, shown on top.
        title: heading of the page, such as the name of the system.
        output: the file to write; None for `report.html` in the folder.
        overwrite: whether an existing report may be replaced.

    Returns:
        The path of the page.

    Raises:
        InputError: if a figure is missing or not a PNG file, or the page cannot be written.
    """
    path = Path(folder) / "report.html" if output is None else Path(output)
    data = "" if overview is None else harmless_json(interactive_data(overview))
    scripts = page_scripts() if data else ()
    room = _MOST_BYTES - len(data.encode()) - sum(len(script.encode()) for script in scripts)
    drawn = _embedded(figures, Path(folder), room)
    stands_in = [bool(data) and entry["name"] in _STAND_INS for entry in drawn]
    answers = named_answers(summary)
    page = _template().render(
        title=title,
        parts=[(name, words) for name, words in _PARTS.items() if data or name != "explore"],
        policy=content_policy(scripts),
        # Ours, not the run's: what comes from the run is escaped by the template, or by `harmless_json`.
        style=Markup(page_style()),
        scripts=[Markup(script) for script in scripts],
        data=Markup(data),
        licenses=viewer_licenses(),
        system=_system(part(summary, "data")),
        explained="" if overview is None else _explained(overview),
        short=in_short(summary, answers),
        answers=list(answers.values()),
        verdict_words=_VERDICT_WORDS,
        tables=tables_of(summary),
        stand_ins=[entry for entry, stands in zip(drawn, stands_in, strict=True) if stands],
        figures=[entry for entry, stands in zip(drawn, stands_in, strict=True) if not stands],
        provenance=provenance or {},
        missing=missing,
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        # A name may hold what is no text: half of a surrogate pair has no UTF-8.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _system(data: Mapping[str, Any]) -> str:
    frames, atoms, dims = (number(data, name) for name in ("frames", "atoms", "dims"))
    if frames is None or atoms is None:
        return "molecular conformations"
    words = f"{count(frames)} conformations of {count(atoms)} atoms"
    return words if dims is None else f"{words} in {count(dims)} dimensions"


def _explained(overview: RunOverview) -> str:
    """How much of the run the moving part shows."""
    shown, total = len(overview.frames), overview.n_frames
    frames = f"All {count(total)} frames" if shown == total else f"{count(shown)} of {count(total)} frames"
    blocks = min((surface.blocks for surface in overview.surfaces), default=0)
    rough = " Fewer than ten independent blocks: take the errors as rough." if blocks < 10 else ""
    structures = {each.name: len(each.positions) for each in overview.structures}
    held = structures.get("data")
    if held is None:
        words = "without structures, since the system has too many atoms for a page"
    elif held == total:
        words = "each with its structure"
    else:
        words = f"{count(held)} of them with their structure, spread over the latent space"
    return (
        f"{frames} shown, {words}. The free energy, in kT, is that of all {count(total)} frames, whatever the number "
        f"shown; its errors come from blocks of time.{rough}"
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("polyvae.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _embedded(figures: Sequence[ReportFigure], folder: Path, room: int) -> list[dict[str, str | int | None]]:
    """What the template needs of each figure: an image as a data URI, or its path where the page is full."""
    entries: list[dict[str, str | int | None]] = []
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
        image = base64.b64encode(content).decode("ascii")
        fits = len(image) <= room
        room -= len(image) if fits else 0
        place = path.relative_to(folder) if path.is_relative_to(folder) else path
        entries.append(
            {
                "name": figure.name,
                "title": figure.title,
                "caption": figure.caption,
                "alt": figure.alt,
                "image": image if fits else None,
                "width": width,
                "height": height,
                "path": place.as_posix(),
            }
        )
    return entries
