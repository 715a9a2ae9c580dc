"""`polyvae report`: the page of a run folder again, from the files in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.options import check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.report import refresh_manifest, report_of_folder


@dataclass(frozen=True, kw_only=True)
class ReportCommand:
    """The report of a run, rebuilt from its folder: one HTML file that needs no other file and no network.

    `polyvae run` ends with the same page. Nothing is computed anew; a part that the folder lacks is named, on
    the page and here.

    Attributes:
        folder: run folder, as `polyvae run` wrote it.
        output: file to write, .html; None for report.html in the folder.
        overwrite: whether an existing file may be replaced.
        printing: what is printed.
    """

    folder: tyro.conf.Positional[Path]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    overwrite: bool = False
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae report`."""
    settings = parse(ReportCommand, words, verb="report")
    if settings.folder.is_dir() or settings.output is not None:
        check_output(
            settings.output or settings.folder / "report.html", (".html",), overwrite=settings.overwrite
        )
    report = report_of_folder(settings.folder, output=settings.output, overwrite=settings.overwrite)
    refresh_manifest(settings.folder, report)
    for sentence in report.missing:
        say(f"polyvae: missing: {sentence}", quiet=False)
    settings.printing.answer({"output": report.path, "missing": report.missing}, f"report in {report.path}")
    return 0
