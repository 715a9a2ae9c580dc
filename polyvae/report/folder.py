"""The report of a run folder, from the files in it alone: what is missing or damaged is named, never guessed."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from polyvae.analysis import RunOverview
from polyvae.errors import InputError
from polyvae.report.figures import run_figures
from polyvae.report.page import write_report
from polyvae.report.summary import part
from polyvae.storage import RunFolder, load_record, read_manifest
from polyvae.storage.run_folder import MANIFEST

_PROVENANCE = ("command", "settings", "inputs", "versions", "python", "platform", "started")


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """A report and what it lacks.

    Attributes:
        path: the page.
        missing: a sentence about each part that the run folder lacks.
    """

    path: Path
    missing: tuple[str, ...]


def report_of_folder(
    folder: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> FolderReport:
    """Write the report of a run folder.

    Args:
        folder: a folder that `polyvae run`, `demo` or `train` wrote. Missing or damaged files leave gaps in the page.
        output: the file to write; None for `report.html` in the folder.
        overwrite: whether an existing report may be replaced.

    Raises:
        InputError: if the folder is none of a run, or of another command, or the page cannot be written.
    """
    run = Path(folder)
    if not run.is_dir():
        raise InputError(f"{run} is not a folder. Name the folder that `polyvae run` wrote.")
    missing: list[str] = []
    manifest = _manifest(run, missing)
    if manifest.get("status") == "interrupted":
        missing.append("The run was interrupted before its end. Go on with the same command and `--resume`.")
    summary = _summary(run, missing)
    overview = _overview(run, missing)
    if not manifest and not summary and overview is None:
        raise InputError(
            f"{run} holds no {MANIFEST}, no summary.json and no overview.npz, so it is not the folder of a run. "
            "Name the folder that `polyvae run` wrote."
        )
    if summary and not {"training", "diagnosis"} & set(summary) and overview is None:
        raise InputError(
            f"{run} holds the results of another command: its summary.json says nothing of a training. Name the folder "
            "that `polyvae run` or `polyvae train` wrote."
        )
    figures = run_figures(run)
    # A run with --no-compact looked for no compact structures, and has no figure of them.
    unwanted = {"compact"} if summary.get("compact", {}) is None else set()
    absent = [figure.name for figure in figures if figure.path is None and figure.name not in unwanted]
    if absent:
        missing.append(f"figures/: no {', '.join(f'{name}.png' for name in absent)}.")
    path = write_report(
        run,
        summary=summary,
        figures=figures,
        provenance=_provenance(manifest),
        overview=overview,
        missing=missing,
        title=f"polyvae: {_source_names(part(summary, 'data').get('source')) or run.resolve().name}",
        output=output,
        overwrite=overwrite,
    )
    return FolderReport(path=path, missing=tuple(missing))


def _manifest(run: Path, missing: list[str]) -> Mapping[str, Any]:
    try:
        return read_manifest(run)
    except InputError as error:
        found = (run / MANIFEST).exists()
        why = f"cannot be used: {error}" if found else "is not there"
        missing.append(
            f"{MANIFEST} {why}. Command, settings, inputs and versions are not known.".replace("..", ".")
        )
        return {}


def _summary(run: Path, missing: list[str]) -> Mapping[str, Any]:
    try:
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        if not isinstance(summary, dict):
            raise ValueError("not a JSON object")
        return summary
    except FileNotFoundError:
        missing.append("summary.json is not there, so there are no numbers and no answers.")
    except (OSError, ValueError) as error:
        missing.append(f"summary.json is damaged ({error}), so there are no numbers and no answers.")
    return {}


def _overview(run: Path, missing: list[str]) -> RunOverview | None:
    path = run / "overview.npz"
    if not path.exists():
        missing.append(
            "overview.npz is not there, so there is no interactive part. `polyvae run` writes it; `polyvae train` and "
            "older versions of polyvae do not."
        )
        return None
    try:
        return load_record(path, RunOverview)
    except InputError as error:
        missing.append(f"overview.npz cannot be used, so there is no interactive part: {error}")
        return None


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {name: manifest[name] for name in _PROVENANCE if name in manifest}
    command = chosen.get("command")
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        chosen["command"] = shlex.join(command)
    return chosen


def _source_names(source: Any) -> str:
    """The source without its folders, which are long and stand below, under how this was made."""
    if not isinstance(source, str):
        return ""
    names = [PureWindowsPath(path).name for path in source.split(", ")]
    return ", ".join(name for name in names if name)


def refresh_manifest(folder: str | os.PathLike[str], report: FolderReport) -> None:
    """Record the new report in the manifest of its folder, where both are there."""
    run = Path(folder)
    if (run / MANIFEST).exists() and report.path.parent.resolve() == run.resolve():
        RunFolder(run, read_manifest(run)).refresh(report.path.name)
