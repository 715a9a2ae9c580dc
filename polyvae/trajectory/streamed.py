"""Files that mdtraj's file objects read piece by piece: XTC, TRR, NetCDF, HDF5, GRO, LAMMPS dump and more.

Each format returns its fields in its own order and unit; `_FIELDS` says which. The number of frames comes
from the file's index where it has one, else from one counting pass. A file that ends inside a frame is
noticed when it is opened: `damage` says so and `n_frames` counts the good frames only.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from mdtraj.formats.registry import FormatRegistry

from polyvae.errors import InputError
from polyvae.trajectory.mdtraj_calls import (
    OURS,
    ascii_path,
    is_classic_netcdf,
    quiet_mdtraj,
    quiet_stderr,
    require_library,
)
from polyvae.trajectory.raw import (
    SKIP_REMEDY,
    FrameFile,
    RawFrames,
    UnreadableFrames,
    box_vectors,
    real_box,
)
from polyvae.trajectory.xtc_headers import announced_atoms, damaged_bytes, sound_headers

_CELL = ("positions", "lengths", "angles")
_TIMED_CELL = ("positions", "times", "lengths", "angles")
_FIELDS = {
    ".xtc": ("positions", "times", "step", "box"),
    ".trr": ("positions", "times", "step", "box", "lambda"),
    ".dcd": _CELL,
    ".dtr": _TIMED_CELL,
    ".nc": _TIMED_CELL,
    ".ncdf": _TIMED_CELL,
    ".netcdf": _TIMED_CELL,
    ".h5": _TIMED_CELL,
    ".hdf5": _TIMED_CELL,
    ".lh5": ("positions",),
    ".gro": ("positions", "times", "box"),
    ".lammpstrj": _CELL,
    ".mdcrd": ("positions", "lengths"),
    ".crd": ("positions", "lengths"),
    ".xyz": ("positions",),
    ".xyz.gz": ("positions",),
    ".arc": _CELL,
    ".rst7": _TIMED_CELL,
    ".restrt": _TIMED_CELL,
    ".inpcrd": _TIMED_CELL,
    ".ncrst": _TIMED_CELL,
}
STREAMED = frozenset(_FIELDS)
"""Suffixes of the formats read here."""

_ANGSTROM = frozenset(_FIELDS) - {".xtc", ".trr", ".h5", ".hdf5", ".lh5", ".gro"}
_INDEXED = frozenset({".xtc", ".trr", ".nc", ".ncdf", ".netcdf", ".h5", ".hdf5", ".lh5"})
_FRAMED = frozenset({".xtc", ".trr"})
_RESTART = frozenset({".rst7", ".restrt", ".inpcrd", ".ncrst"})
_UNITLESS = frozenset({".lammpstrj", ".xyz", ".xyz.gz"})


class _DamagedHeader(ValueError):
    """A frame whose header says what no header can."""

    def __init__(self, frame: int) -> None:
        super().__init__(f"the header of frame {frame} is damaged")
        self.frame = frame


class StreamedFile(FrameFile):
    """Frames of a file that mdtraj reads piece by piece."""

    def __init__(self, path: Path, suffix: str, *, n_atoms: int | None, reduced: bool) -> None:
        """Opens the file once to count its frames and atoms.

        Args:
            path: the file.
            suffix: its format.
            n_atoms: number of atoms of the topology, which mdcrd files do not tell; None if unknown.
            reduced: whether numbers of formats without a unit (LAMMPS dump, xyz) are taken as they stand.
        """
        self.name, self.path, self._suffix = str(path), path, suffix
        self._arguments: dict[str, Any] = {}
        self._places: np.ndarray | None = None
        if suffix in (".mdcrd", ".crd"):
            if n_atoms is None:
                raise InputError(
                    f"{path}: a {suffix} file does not say how many atoms it has; give top=... (--top)"
                )
            self._arguments = {"n_atoms": n_atoms}
        angstrom = suffix in _ANGSTROM and not (reduced and suffix in _UNITLESS)
        self._scale = np.float32(0.1 if angstrom else 1.0)
        _check_netcdf(path, suffix)
        try:
            with self._opened() as file:
                self.topology = _own_topology(file)
                if suffix in _FRAMED:
                    self._places = file.offsets
                if suffix == ".xtc":
                    self.n_atoms = announced_atoms(path)
                first = self._first_readable(file)
                self.n_atoms = first.positions.shape[1] if len(first) else 0
                self.n_frames, self.damage = (1, None) if suffix in _RESTART else self._count(file)
        except OURS:
            raise
        except Exception as error:
            raise InputError(
                f"{path} cannot be read as {suffix[1:].upper()}: {error}. It may be truncated, or have a "
                "wrong suffix."
            ) from error

    def _read_blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        index, stop = start, range(start, stop, stride)[-1] + 1
        skipping = self._suffix == ".xtc" and stride > 1
        try:
            with self._opened(scanned=not skipping) as file:
                if skipping:
                    # Only here does mdtraj skip frames well: its strided TRR reads write past their buffers
                    # at the end of a file, its HDF5 reads count frames before the stride.
                    for first in range(start, stop, size * stride):
                        wanted = len(range(first, min(stop, first + size * stride), stride))
                        self._check_headers(first, wanted, stride)
                        file.seek(first)
                        yield self._read(file, wanted, atoms, stride)
                        index = first + wanted * stride
                    return
                if self._suffix not in _INDEXED:
                    index = 0
                elif start:
                    file.seek(start)
                while index < stop:
                    last = min(stop, index + size)
                    offset = (start - index) if index < start else (start - index) % stride
                    try:
                        self._check_headers(index, last - index)
                        block = self._read(file, last - index, atoms)
                    except Exception:
                        if stride == 1 or self._suffix not in _INDEXED:
                            raise
                        # The frame that is damaged may be one that the stride leaves out.
                        for frame in range(index + offset, last, stride):
                            index = frame
                            file.seek(frame)
                            yield self._read(file, 1, atoms)
                        index = last
                        if index < stop:
                            file.seek(index)
                        continue
                    if not len(block):
                        break
                    index += len(block)
                    if offset < len(block):
                        yield block[offset::stride]
        except OURS:
            raise
        except _DamagedHeader as error:
            before = f"Read what is before with `stop={error.frame}`. " if error.frame else ""
            raise UnreadableFrames(f"{self.path}: {error}. {before}{SKIP_REMEDY}") from error
        except Exception as error:
            raise UnreadableFrames(
                f"{self.path} cannot be read on after frame {index}: {error}. Read what is before with "
                f"`stop={index}`. {SKIP_REMEDY}"
            ) from error

    @contextmanager
    def _opened(self, *, scanned: bool = True) -> Iterator[Any]:
        require_library(self.path, self._suffix)
        with ascii_path(self.path) as path:
            with quiet_mdtraj():
                file = FormatRegistry.fileobjects[self._suffix](path, **self._arguments)
            if self._places is not None and scanned:
                # Else the first seek scans the whole file for them. Strided reads fail unless mdtraj has done that.
                file.offsets = self._places
            try:
                yield file
            finally:
                file.close()

    def _first_readable(self, file: Any) -> RawFrames:
        """The first frame; where it is damaged and the file has an index, one that follows."""
        try:
            self._check_headers(0, 1)
            return self._read(file, 1, None)
        except Exception:
            for frame in range(1, min(len(file), _TRIED) if self._suffix in _INDEXED else 0):
                if self._holds(file, frame):
                    file.seek(frame)
                    return self._read(file, 1, None)
            raise

    def _check_headers(self, first: int, n_frames: int, stride: int = 1) -> None:
        # mdtraj decodes an XTC frame with a damaged header without a check: to numbers that were in memory, or beyond
        # the end of its arrays.
        if self._suffix == ".xtc" and self._places is not None:
            places = self._places[first : first + n_frames * stride : stride]
            wrong = np.flatnonzero(~sound_headers(self.path, places, self.n_atoms))
            if len(wrong):
                raise _DamagedHeader(first + int(wrong[0]) * stride)

    def _read(self, file: Any, n_frames: int, atoms: np.ndarray | None, stride: int = 1) -> RawFrames:
        with quiet_mdtraj():
            if self._suffix in _RESTART:
                answer = file.read(atom_indices=atoms)
            elif stride > 1:
                answer = file.read(n_frames=n_frames, stride=stride, atom_indices=atoms)
            elif self._suffix == ".trr":
                # Likewise for a choice of atoms: taken here, not by mdtraj.
                answer = file.read(n_frames=n_frames)
                if atoms is not None and len(answer[0]):
                    answer = (answer[0][:, atoms], *answer[1:])
            else:
                answer = file.read(n_frames=n_frames, atom_indices=atoms)
        return self._to_raw(answer)

    def _to_raw(self, answer: Any) -> RawFrames:
        if self._suffix in (".h5", ".hdf5"):
            answer = (answer.coordinates, answer.time, answer.cell_lengths, answer.cell_angles)
        elif not isinstance(answer, tuple):
            answer = (answer,)
        field = dict(zip(_FIELDS[self._suffix], answer, strict=False))
        positions = np.asarray(field["positions"], np.float32)
        if positions.ndim != 3:
            positions = np.empty((0, 0, 3), np.float32)
        n_frames = len(positions)
        if self._scale != 1:
            positions = positions * self._scale
        times = field.get("times")
        times = None if times is None or np.ndim(times) == 0 else np.asarray(times, np.float64)
        if times is not None and len(times) != n_frames:
            times = None
        if "box" in field:
            box = real_box(field["box"])
        else:
            lengths = field.get("lengths")
            scaled = (
                None
                if lengths is None
                else np.asarray(lengths, np.float64).reshape(-1, 3) * float(self._scale)
            )
            box = box_vectors(scaled, field.get("angles"))
        return RawFrames(
            positions=positions, times=times, box=box if box is not None and len(box) == n_frames else None
        )

    def _count(self, file: Any) -> tuple[int, str | None]:
        if self._suffix in _INDEXED:
            announced = len(file)
            good = announced
            # The index of a truncated XTC or TRR file may hold frames that are not all there.
            while good and not self._holds(file, good - 1):
                good -= 1
            framed = self._suffix in _FRAMED
            ends_well = good == announced and (not framed or not good or self._ends_after(file, good - 1))
            return good, None if ends_well else self._damage_after(good)
        count = 1 if self.n_atoms else 0
        while count:
            try:
                block = self._read(file, _COUNTING, None)
            except Exception as error:
                return self._count_singly(count), f"the file ends inside a frame ({error})"
            if not len(block):
                break
            count += len(block)
        if self._suffix == ".lammpstrj" and count < (begun := _frames_begun(self.path)):
            return count, f"frame {begun - 1} is not complete"
        if self._suffix in (".xyz", ".xyz.gz") and _lines(self.path) > count * (self.n_atoms + 2):
            return count, f"frame {count} is not complete"
        return count, None

    def _damage_after(self, good: int) -> str:
        if self._suffix == ".xtc" and good and self._places is not None:
            damaged = damaged_bytes(self.path, int(self._places[good - 1]), self.n_atoms)
            if damaged:
                return (
                    f"frame {good} is damaged, bytes {damaged[0]} to {damaged[1] - 1}, and frames behind it cannot be "
                    "found"
                )
        return f"the file ends inside frame {good}"

    def _holds(self, file: Any, frame: int) -> bool:
        try:
            self._check_headers(frame, 1)
            with quiet_stderr():
                file.seek(frame)
                return len(self._read(file, 1, None)) == 1
        except Exception:
            return False

    def _ends_after(self, file: Any, frame: int) -> bool:
        try:
            with quiet_stderr():
                file.seek(frame)
                self._read(file, 1, None)
                return len(self._read(file, 1, None)) == 0
        except Exception:
            return False

    def _count_singly(self, known: int) -> int:
        # From the start again, block by block and at last frame by frame, to name the last good one.
        with self._opened() as file:
            count = 0
            try:
                while count < known:
                    count += len(self._read(file, min(_COUNTING, known - count), None))
                while len(self._read(file, 1, None)):
                    count += 1
            except Exception:
                return count
        return count


_COUNTING = 500
_TRIED = 100


def _frames_begun(path: Path) -> int:
    # mdtraj takes a dump that ends inside a frame for one that ends before it.
    with path.open("rb") as file:
        return sum(line.startswith(b"ITEM: TIMESTEP") for line in file)


def _lines(path: Path) -> int:
    """Lines up to the last that is not blank; mdtraj takes an xyz file that ends inside a frame for a shorter one."""
    last = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                last = number
    return last


def _own_topology(file: Any) -> mdtraj.Topology | None:
    topology = getattr(file, "topology", None)
    return topology if isinstance(topology, mdtraj.Topology) else None


def _check_netcdf(path: Path, suffix: str) -> None:
    # netCDF4 fills what a truncated classic file lacks with zeros, without a word; scipy's memory map does
    # not fit.
    if suffix not in (".nc", ".ncdf", ".netcdf"):
        return
    if not is_classic_netcdf(path):
        return
    from scipy.io import netcdf_file

    try:
        with netcdf_file(str(path), "r", mmap=True):
            pass
    except (TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: the file is shorter than its header announces ({error}). It was truncated; copy it "
            "again."
        ) from error
