"""Trajectories written as PDB, XTC, DCD or NPZ, whole or not at all.

PDB, XTC and DCD hold three dimensions: 2-D positions get z = 0, and beads without a topology get a simple
one. DCD and PDB carry no times. NPZ keeps everything but the topology. The C writers behind XTC and DCD do
not report a full disk, so the file is counted again before it takes its name.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mdtraj.formats import DCDTrajectoryFile, XTCTrajectoryFile
from mdtraj.utils import box_vectors_to_lengths_and_angles

from polyvae.errors import InputError, OutputError, PolyvaeWarning
from polyvae.trajectory.atomic import atomic_path
from polyvae.trajectory.convert import spatial, to_mdtraj
from polyvae.trajectory.opening import open_files
from polyvae.trajectory.trajectory import Trajectory

_XTC_LIMIT = 2.0e6
_PDB_LIMIT = 99.0


def save_trajectory(trajectory: Trajectory, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Writes the frames to a file whose suffix tells the format: .pdb, .xtc, .dcd or .npz.

    Args:
        trajectory: the frames.
        path: the file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: if the format is unknown or cannot hold the positions, the target exists or is not a
            regular file, its folder is missing or not writable, or the disk or the file-size limit ended the
            writing; then nothing is left behind.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(
            f"{target}: cannot write {suffix or 'a file without suffix'}; use {', '.join(_WRITERS)}."
        )
    largest = float(np.abs(trajectory.positions).max())
    limit = {".xtc": _XTC_LIMIT, ".pdb": _PDB_LIMIT}.get(suffix, np.inf)
    if largest >= limit:
        raise InputError(
            f"{target}: {suffix} cannot hold a coordinate of {largest:.4g} {trajectory.units.length} "
            f"(limit {limit:.4g}). Center the frames, or write .npz or .dcd."
        )
    with atomic_path(target, overwrite=overwrite) as temporary:
        with _ascii_target(temporary) as name:
            try:
                _WRITERS[suffix](trajectory, name)
            except (RuntimeError, TypeError) as error:
                # mdtraj's DCD writer stumbles over its own error message with a TypeError.
                raise _incomplete(target, str(error)) from error
        if suffix in (".xtc", ".dcd"):
            _count_again(trajectory, temporary, target)


def _write_pdb(trajectory: Trajectory, path: str) -> None:
    with warnings.catch_warnings():
        # mdtraj warns that a PDB file holds one box only.
        warnings.simplefilter("ignore")
        to_mdtraj(trajectory).save_pdb(path)


def _write_xtc(trajectory: Trajectory, path: str) -> None:
    with XTCTrajectoryFile(path, "w") as file:
        times = None if trajectory.times is None else trajectory.times.astype(np.float32)
        file.write(spatial(trajectory.positions), time=times, box=trajectory.box)


def _write_dcd(trajectory: Trajectory, path: str) -> None:
    lengths = angles = None
    if trajectory.box is not None:
        cells = [box_vectors_to_lengths_and_angles(*vectors) for vectors in trajectory.box]
        lengths, angles = np.array(cells)[:, :3] * 10, np.array(cells)[:, 3:]
    with DCDTrajectoryFile(path, "w") as file:
        file.write(spatial(trajectory.positions) * np.float32(10), cell_lengths=lengths, cell_angles=angles)


def _write_npz(trajectory: Trajectory, path: str) -> None:
    content: dict[str, np.ndarray] = {
        "positions": trajectory.positions,
        "segments": np.array(trajectory.segments),
        "units": np.array(trajectory.units.name),
    }
    for key in ("times", "masses", "bonds", "box", "weights"):
        value = getattr(trajectory, key)
        if value is not None:
            content[key] = value
    if trajectory.bond_source == "sequence":
        # Bonds that were only assumed are assumed again on reading.
        content.pop("bonds", None)
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **content)  # pyright: ignore[reportArgumentType]


_WRITERS: dict[str, Callable[[Trajectory, str], None]] = {
    ".pdb": _write_pdb,
    ".xtc": _write_xtc,
    ".dcd": _write_dcd,
    ".npz": _write_npz,
}


@contextmanager
def _ascii_target(path: Path) -> Iterator[str]:
    # mdtraj's C writers refuse other paths; a link to the folder gives an ASCII name to the same file.
    if str(path).isascii():
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="polyvae-") as folder:
        link = Path(folder) / "folder"
        os.symlink(path.parent.resolve(), link)
        yield str(link / path.name)


def _count_again(trajectory: Trajectory, written: Path, target: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PolyvaeWarning)
            (file,) = open_files(written, n_atoms=trajectory.n_atoms, reduced=False)
    except InputError as error:
        raise _incomplete(target, "the file cannot be read back") from error
    if file.damage or file.n_frames != trajectory.n_frames:
        raise _incomplete(target, f"{file.n_frames} of {trajectory.n_frames} frames arrived")


def _incomplete(target: Path, reason: str) -> OutputError:
    return OutputError(
        f"{target} could not be written whole: {reason}. Nothing was left behind. Free some space, raise "
        "the file-size limit (`ulimit -f`) or choose another folder."
    )
