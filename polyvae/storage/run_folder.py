"""`RunFolder`: the folder of a run, with a manifest that says what lies in it and where it came from.

`manifest.json` is there from the first moment and names every file before it is written. So an interrupted
run can be told from a finished one, and overwriting removes what polyvae made and nothing else.
"""

import dataclasses
import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polyvae.errors import InputError, OutputError
from polyvae.trajectory import atomic_path

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.safetensors"
FORMAT = "polyvae-run"
FORMAT_VERSION = 1
_LIBRARIES = (
    "polyvae",
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "numpy",
    "scipy",
    "mdtraj",
    "safetensors",
    "matplotlib",
)

Status = Literal["running", "interrupted", "finished"]


class RunFolder:
    """The folder of one run, open for writing.

    Attributes:
        path: the folder.
        manifest: the content of `manifest.json`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        resume: bool = False,
        command: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        inputs: Sequence[str | os.PathLike[str]] = (),
    ) -> "RunFolder":
        """A folder ready for a run: made, or emptied of an older run, or taken up again.

        Args:
            path: the folder; its parents are made too.
            overwrite: remove the files that an older run wrote here, by its manifest, and no others.
            resume: take up the interrupted run here; a missing or empty folder starts a new one.
            command: the command line, for the manifest.
            settings: the settings, for the manifest.
            inputs: the files read, whose size and SHA-256 go into the manifest.

        Raises:
            InputError: as in `check_run_folder`, or if the folder cannot be made or written to.
        """
        folder = Path(path)
        before = check_run_folder(folder, overwrite=overwrite, resume=resume)
        if before is not None and overwrite:
            _remove_files(folder, before)
            before = None
        is_new = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The output folder {folder} cannot be made: {error.strerror}. Choose another with `output` "
                "(-o)."
            ) from error
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "status": "running",
            "command": list(command),
            "settings": plain(settings or {}),
            "inputs": [fingerprint(Path(file), str(file)) for file in inputs],
            "versions": {name: version(name) for name in _LIBRARIES},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "started": _now() if before is None else before["started"],
            "finished": None,
            "files": [] if before is None else before["files"],
        }
        run = cls(folder, manifest)
        try:
            run._save()
        except OutputError:
            if is_new:
                folder.rmdir()
            raise
        return run

    def file(self, name: str) -> Path:
        """The path for a file of this run, made known to the manifest before it is written.

        Args:
            name: path below the folder, such as "figures/latent_map.png"; its folder is made.

        Raises:
            InputError: if a file of that name is there that polyvae did not write.
        """
        target = self.path / name
        if name not in self.names:
            if target.exists():
                raise InputError(f"{target} exists but is not known to {MANIFEST}; move it away.")
            self.manifest["files"].append({"name": name})
            self._save()
        target.parent.mkdir(exist_ok=True)
        return target

    def remove(self, name: str) -> None:
        """Delete a file of this run, if it is there."""
        if name in self.names:
            (self.path / name).unlink(missing_ok=True)
            self.manifest["files"] = [entry for entry in self.manifest["files"] if entry["name"] != name]
            self._save()

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write plain JSON; arrays become lists and numbers that are not finite become null."""
        target = self.file(name)
        with atomic_path(target, overwrite=True) as temporary:
            temporary.write_text(
                json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        return target

    def close(self, status: Status) -> None:
        """Record how the run ended, with size and SHA-256 of every file that is there."""
        files = [entry["name"] for entry in self.manifest["files"]]
        self.manifest["files"] = [
            fingerprint(self.path / name, name) for name in files if (self.path / name).is_file()
        ]
        self.manifest["status"] = status
        self.manifest["finished"] = _now()
        self._save()

    def refresh(self, name: str) -> None:
        """Record size and SHA-256 of a file that was written anew after the run had ended."""
        entry = fingerprint(self.path / name, name)
        others = [other for other in self.manifest["files"] if other["name"] != name]
        self.manifest["files"] = [*others, entry]
        self._save()

    def abandon(self) -> None:
        """Take back a run that has written nothing but its manifest: the corrected command may use the folder."""
        if any((self.path / name).exists() for name in self.names):
            return
        (self.path / MANIFEST).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    @property
    def names(self) -> list[str]:
        """Names of the files of this run, in the order of writing."""
        return [entry["name"] for entry in self.manifest["files"]]

    def _save(self) -> None:
        with atomic_path(self.path / MANIFEST, overwrite=True) as temporary:
            temporary.write_text(
                json.dumps(self.manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )


def check_run_folder(folder: Path, *, overwrite: bool, resume: bool) -> dict[str, Any] | None:
    """The manifest of the run that lies in a folder, or None; changes nothing.

    Raises:
        InputError: if the folder is a file, holds something and neither `overwrite` nor `resume` is set,
            holds something else than a run of polyvae, or `resume` is set for a run that has finished.
    """
    if overwrite and resume:
        raise InputError("`overwrite` and `resume` exclude each other: start anew, or go on.")
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder} is a link to nowhere. Choose another `output` (-o).")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder. Choose another `output` (-o).")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not overwrite and not resume:
        raise InputError(
            f"The folder {folder} exists and is not empty. Choose another with `output` (-o), or pass "
            "`overwrite` (--overwrite) to replace the files of the run there, or `resume` (--resume) to go "
            "on with it."
        )
    manifest = read_manifest(folder)
    if resume and manifest["status"] == "finished":
        raise InputError(
            f"The run in {folder} has finished; there is nothing to resume. Use --overwrite for a new one."
        )
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds files but no {MANIFEST}, so it is not the folder of a run. Nothing was "
            "changed; choose another `output` (-o)."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is not a manifest of polyvae. Choose another `output` (-o).")
    return manifest


def plain(value: Any) -> Any:
    """A value as JSON can hold it: records become dictionaries, arrays lists, NaN and infinity None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return str(value)
    return value


def _remove_files(folder: Path, manifest: dict[str, Any]) -> None:
    root = folder.resolve()
    for entry in manifest["files"]:
        path = folder / entry["name"]
        # A manifest is a file that anyone can edit: never follow it out of the folder.
        if root in path.resolve().parents and path.is_file():
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
    (folder / MANIFEST).unlink(missing_ok=True)


def fingerprint(path: Path, name: str) -> dict[str, Any]:
    """Name, size and SHA-256 of a file, as the manifest holds them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "bytes": path.stat().st_size, "sha256": digest}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
