"""From whatever a user calls a trajectory to `FrameFile`s: the format by its suffix."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import memory
from polyvae.trajectory.dcd import DcdFile, read_layout
from polyvae.trajectory.file_stamp import FileStamp
from polyvae.trajectory.gsd import GsdFile
from polyvae.trajectory.mdtraj_calls import OURS, quiet_mdtraj
from polyvae.trajectory.raw import FrameFile
from polyvae.trajectory.streamed import STREAMED, StreamedFile
from polyvae.trajectory.trajectory import Trajectory

_PARSED = frozenset(stem + end for stem in (".pdb", ".cif", ".mmcif", ".pdbx") for end in ("", ".gz"))
SUFFIXES = frozenset({".npz", ".npy", ".gsd"}) | STREAMED | _PARSED
"""Suffixes of all formats that can be read."""


def open_files(source: Any, *, n_atoms: int | None, reduced: bool) -> tuple[FrameFile, ...]:
    """One `FrameFile` for each file or array of a source.

    Args:
        source: a path, a list of paths, an array, an mdtraj.Trajectory or a `Trajectory`.
        n_atoms: number of atoms of the given topology, or None.
        reduced: whether numbers of formats without a unit are taken as they stand.

    Raises:
        InputError: if a file is missing, empty, of unknown format or damaged from the first frame on.
    """
    if isinstance(source, Trajectory):
        return (memory.from_trajectory(source),)
    if isinstance(source, mdtraj.Trajectory):
        return (memory.from_mdtraj_object(source, name="mdtraj.Trajectory", keep_times=True),)
    if isinstance(source, str | os.PathLike):
        return (_open_path(Path(source), n_atoms=n_atoms, reduced=reduced),)
    if (
        isinstance(source, Sequence)
        and source
        and all(isinstance(item, str | os.PathLike) for item in source)
    ):
        return tuple(_open_path(Path(item), n_atoms=n_atoms, reduced=reduced) for item in source)
    if hasattr(source, "__array__"):
        return (memory.MemoryFile(np.asarray(source), name="array"),)
    raise InputError(
        "A trajectory must be a path, a list of paths, an array of (frames, atoms, 2 or 3), an "
        f"mdtraj.Trajectory or a Trajectory; got {type(source).__name__}."
    )


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, lower case, with its .gz."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def _open_path(path: Path, *, n_atoms: int | None, reduced: bool) -> FrameFile:
    suffix = suffix_of(path)
    if not path.exists():
        raise InputError(f"The trajectory file {path} does not exist. Check the path.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the trajectory files in it.")
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: {suffix or 'no suffix'} is not a trajectory format known here. Known: "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read; check its permissions.")
    if path.stat().st_size == 0:
        raise InputError(
            f"{path} is empty (0 bytes, zero frames). The run may not have written anything yet."
        )
    # Taken before anything is read of the file.
    stamp = FileStamp.of(path)
    file = _frame_file(path, suffix, n_atoms=n_atoms, reduced=reduced)
    file.stamp = stamp
    return file


def _frame_file(path: Path, suffix: str, *, n_atoms: int | None, reduced: bool) -> FrameFile:
    if suffix == ".npz":
        return memory.from_npz(path)
    if suffix == ".npy":
        return memory.from_npy(path)
    if suffix == ".gsd":
        return GsdFile(path)
    if suffix in _PARSED:
        return _parsed(path, suffix)
    layout = read_layout(path) if suffix == ".dcd" else None
    if layout is not None:
        return DcdFile(path, layout)
    return StreamedFile(path, suffix, n_atoms=n_atoms, reduced=reduced)


def _parsed(path: Path, suffix: str) -> memory.MemoryFile:
    try:
        with quiet_mdtraj():
            return memory.from_mdtraj_object(mdtraj.load(str(path)), name=str(path), keep_times=False)
    except OURS:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as {suffix[1:].upper()}: {error}. It may be truncated, or have a wrong "
            "suffix."
        ) from error
