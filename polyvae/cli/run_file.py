"""The run file that a run leaves: every setting as TOML, from which `--config` repeats it bit for bit.

A run is told by its input files, its settings, its seed, the versions of the libraries and the machine. The first three
are keys; the others stand in comments, beside the hashes of the inputs in `manifest.json`.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polyvae.storage import RunFolder
from polyvae.trajectory import atomic_path

RUN_FILE = "run.toml"
PATHS = ("top", "weights", "store", "system", "structure")
"""Settings that are paths of inputs, apart from `trajectories`; relative ones are seen from the run file's folder."""
_NOT_OF_THE_RUN = ("config", "output", "resume", "overwrite", "dry_run", "printing")
_LIBRARIES = ("polyvae", "jax", "jaxlib", "equinox", "optax", "numpy", "mdtraj")


def seen_from(run_file: Path, path: str) -> str:
    """The path of an input that a run file names, as seen from the current folder.

    Args:
        run_file: path of the run file.
        path: as it stands there; "None" for no file.
    """
    if path == "None" or os.path.isabs(path):
        return path
    return os.path.normpath(run_file.parent / path)


def write_run_file(folder: RunFolder, verb: str, settings: Any) -> None:
    """Write `run.toml` into the folder of a run.

    Args:
        folder: of the run.
        verb: the command that the file is for.
        settings: the dataclass of the command.
    """
    versions = folder.manifest["versions"]
    head = [
        f"# The same run again: polyvae {verb} --config {RUN_FILE} -o ANOTHER_FOLDER",
        "# Same files, same versions, same machine: same bits. Relative paths are seen from this file's folder.",
        f"# Python {folder.manifest['python']}, "
        + ", ".join(f"{name} {versions[name]}" for name in _LIBRARIES),
        "",
    ]
    text = "\n".join([*head, settings_text(settings, folder=folder.path)]) + "\n"
    with atomic_path(folder.file(RUN_FILE), overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def settings_text(settings: Any, *, folder: Path | None = None) -> str:
    """All settings of a command in TOML; those that are None, which TOML does not know, only where None is no default.

    Args:
        settings: the dataclass of the command.
        folder: where the text will stand, so that relative paths of inputs are seen from there; None for here.
    """
    lines, tables = [], []
    for name, value, default in _items(settings):
        if name in _NOT_OF_THE_RUN:
            continue
        if dataclasses.is_dataclass(value):
            entries = [_line(*item, folder) for item in _items(value)]
            tables += ["", f"[{name}]", *(entry for entry in entries if entry)]
        else:
            lines.append(_line(name, value, default, folder))
    return "\n".join([line for line in lines if line] + tables)


def _items(settings: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, value and default of every field."""
    for field in dataclasses.fields(settings):
        yield field.name, getattr(settings, field.name), field.default


def _line(name: str, value: Any, default: Any, folder: Path | None) -> str:
    if value is None:
        return "" if default is None else f'{name} = "None"'
    if folder is not None and name in (*PATHS, "trajectories") and value:
        many = isinstance(value, tuple)
        moved = [_seen_in(folder, str(item)) for item in (value if many else [value])]
        value = moved if many else moved[0]
    return f"{name} = {_toml(value)}"


def _seen_in(folder: Path, path: str) -> str:
    return path if os.path.isabs(path) else os.path.relpath(path, folder)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        # 1e-05 and inf mean the same in TOML.
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # A JSON string is a TOML string but for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def recorded(settings: Any) -> Mapping[str, Any]:
    """What the manifest of a run keeps of its settings: all that decides about the results."""
    return {
        name: value for name, value, _ in _items(settings) if name not in (*_NOT_OF_THE_RUN, "trajectories")
    }
