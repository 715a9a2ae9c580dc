"""Frames in memory, or parsed as a whole: arrays, NPZ, NPY, `Trajectory`, mdtraj objects, PDB and mmCIF.

NPY files are mapped, not read. NPZ members and the text of PDB and mmCIF files (mdtraj parses these at once)
are held in memory while their source is open.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory.raw import FrameFile, RawFrames, real_box
from polyvae.trajectory.trajectory import Trajectory
from polyvae.units import BY_NAME, Units

NPZ_KEYS = ("positions", "times", "masses", "bonds", "box", "weights", "segments", "units")


class MemoryFile(FrameFile):
    """Frames of arrays; what a `Trajectory` knows beyond its frames travels along."""

    def __init__(
        self,
        positions: np.ndarray,
        *,
        name: str,
        times: np.ndarray | None = None,
        box: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        segments: tuple[int, ...] | None = None,
        masses: np.ndarray | None = None,
        bonds: np.ndarray | None = None,
        bond_source: str = "none",
        units: Units | None = None,
        topology: mdtraj.Topology | None = None,
        selection: str | None = None,
    ) -> None:
        if positions.ndim != 3 or positions.shape[2] not in (2, 3):
            raise InputError(
                f"{name}: `positions` must have shape (frames, atoms, 2) or (frames, atoms, 3); got "
                f"{positions.shape}."
            )
        if not np.issubdtype(positions.dtype, np.number) or np.iscomplexobj(positions):
            raise InputError(f"{name}: `positions` must be real numbers; got the type {positions.dtype}.")
        self.name, self._positions = name, positions
        self.n_frames, self.n_atoms, self.dims = positions.shape
        self._times = _checked(name, "times", times, (self.n_frames,), np.float64)
        self._weights = _checked(name, "weights", weights, (self.n_frames,), np.float64)
        self._box = real_box(_checked(name, "box", box, (self.n_frames, 3, 3), np.float32))
        self.masses = _checked(name, "masses", masses, (self.n_atoms,), np.float64)
        self.bonds, self.bond_source, self.units = bonds, bond_source, units
        self.topology, self.selection = topology, selection
        self._segments = (self.n_frames,) if segments is None else tuple(int(length) for length in segments)
        if sum(self._segments) != self.n_frames or min(self._segments, default=0) < 0:
            raise InputError(
                f"{name}: `segments` must be lengths that sum to the {self.n_frames} frames; got "
                f"{self._segments}."
            )

    @property
    def segments(self) -> tuple[int, ...]:
        """Lengths of the joined simulations inside."""
        return self._segments

    def _read_blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        for first in range(start, stop, size * stride):
            frames = slice(first, min(stop, first + size * stride), stride)
            positions = self._positions[frames] if atoms is None else self._positions[frames][:, atoms]
            yield RawFrames(
                positions=np.array(positions, np.float32),
                times=_pick(self._times, frames),
                box=_pick(self._box, frames),
                weights=_pick(self._weights, frames),
            )


def _pick(array: np.ndarray | None, frames: slice) -> np.ndarray | None:
    return None if array is None else array[frames]


def _checked(name: str, key: str, value: Any, shape: tuple[int, ...], dtype: type) -> np.ndarray | None:
    if value is None:
        return None
    value = np.asarray(value)
    if value.shape != shape:
        raise InputError(f"{name}: `{key}` must have shape {shape}; got {value.shape}.")
    return value.astype(dtype)


def from_trajectory(trajectory: Trajectory) -> MemoryFile:
    """The frames of a `Trajectory`, with all that it knows."""
    return MemoryFile(
        trajectory.positions,
        name=trajectory.source,
        times=trajectory.times,
        box=trajectory.box,
        weights=trajectory.weights,
        segments=trajectory.segments,
        masses=trajectory.masses,
        bonds=trajectory.bonds,
        bond_source=trajectory.bond_source,
        units=trajectory.units,
        topology=trajectory.topology,
        selection=trajectory.selection,
    )


def from_mdtraj_object(trajectory: mdtraj.Trajectory, *, name: str, keep_times: bool) -> MemoryFile:
    """The frames of an mdtraj trajectory; `keep_times` is False where mdtraj made the times up."""
    xyz = trajectory.xyz
    return MemoryFile(
        np.empty((0, trajectory.n_atoms, 3), np.float32) if xyz is None else xyz,
        name=name,
        times=np.asarray(trajectory.time) if keep_times else None,
        box=trajectory.unitcell_vectors,
        topology=trajectory.topology,
    )


def from_npy(path: Path) -> MemoryFile:
    """The frames of a .npy file, mapped from the disk."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as a .npy file: {error}. It may be truncated; write it again."
        ) from error
    return MemoryFile(array, name=str(path))


def from_npz(path: Path) -> MemoryFile:
    """The frames of an .npz file with the keys of `NPZ_KEYS`, of which only `positions` is required."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} is a .npy file under the name .npz; rename it.")
            content = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} cannot be read as an .npz file: {error}. It may be truncated; write it again."
        ) from error
    unknown = sorted(set(content) - set(NPZ_KEYS))
    if unknown or "positions" not in content:
        problem = f"unknown keys {unknown}" if unknown else "no key `positions`"
        raise InputError(
            f"{path}: {problem}. Known keys: {', '.join(NPZ_KEYS)}; only `positions` is required."
        )
    units = None
    if "units" in content:
        name = str(content["units"])
        if name not in BY_NAME:
            raise InputError(f"{path}: `units` must be one of {', '.join(BY_NAME)}; got {name!r}.")
        units = BY_NAME[name]
    segments = content.get("segments")
    return MemoryFile(
        content["positions"],
        name=str(path),
        times=content.get("times"),
        box=content.get("box"),
        weights=content.get("weights"),
        segments=None if segments is None else tuple(int(length) for length in np.ravel(segments)),
        masses=content.get("masses"),
        bonds=content.get("bonds"),
        bond_source="file" if "bonds" in content else "none",
        units=units,
    )
