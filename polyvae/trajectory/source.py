"""`TrajectorySource`: frames of files, arrays or mdtraj objects, read chunk by chunk or all at once.

A `TrajectorySource` knows all about its frames except the frames: it was opened, its topology, selection,
bonds and joins are settled, its damage is known. `chunks` reads it piece by piece, `load` into one
`Trajectory`; both give the same numbers.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mdtraj
import numpy as np

from polyvae._typing import Masses, Pairs
from polyvae.errors import InputError
from polyvae.trajectory.imaging import Imaging
from polyvae.trajectory.raw import SKIP_REMEDY, FrameFile, RawFrames
from polyvae.trajectory.skipped import SkippedFrames
from polyvae.trajectory.span import Span
from polyvae.trajectory.trajectory import Trajectory
from polyvae.units import Units

DEFAULT_CHUNK = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectorySource:
    """Frames that are still on disk.

    Attributes:
        spans: the pieces to read, one for each joined simulation; a bad frame that is left out cuts one in two.
        wanted: the same pieces before bad frames were left out of them.
        atoms: indices of the chosen atoms in the files, or None for all.
        topology: topology of the chosen atoms, or None.
        masses: masses in Da of the chosen atoms, or None.
        bonds: pairs of chosen atoms, or None.
        bond_source: where the bonds come from, see `Trajectory`.
        units: names of the units.
        selection: the words that chose the atoms, or None.
        source: what to call the source in messages.
        scale: factor that the files' positions and boxes are multiplied by.
        time_step: time between stored frames, or None for the files' own times.
        has_times: whether every frame has a time.
        has_box: whether every frame has a box.
        has_weights: whether every frame has a weight.
        imaging: how molecules are made whole, or None where nothing is to do.
        chunk: frames read at a time by `load`.
        paths: the files, or none where the frames come from arrays.
        arrays: the arrays, or none where the frames come from files.
        skipped: the bad frames that were left out, file by file.
    """

    spans: tuple[Span, ...]
    wanted: tuple[Span, ...]
    atoms: np.ndarray | None
    topology: mdtraj.Topology | None
    masses: Masses | None
    bonds: Pairs | None
    bond_source: str
    units: Units
    selection: str | None
    source: str
    scale: float
    time_step: float | None
    has_times: bool
    has_box: bool
    has_weights: bool
    imaging: Imaging | None
    chunk: int
    paths: tuple[Path, ...] = ()
    arrays: tuple[np.ndarray, ...] = ()
    skipped: tuple[SkippedFrames, ...] = ()

    @property
    def n_frames(self) -> int:
        """Number of frames after start, stop and stride."""
        return sum(self.segments)

    @property
    def n_atoms(self) -> int:
        """Number of chosen atoms."""
        return self.spans[0].file.n_atoms if self.atoms is None else len(self.atoms)

    @property
    def dims(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return self.spans[0].file.dims

    @property
    def segments(self) -> tuple[int, ...]:
        """Lengths of the joined simulations."""
        return tuple(len(span) for span in self.spans)

    @property
    def files(self) -> tuple[FrameFile, ...]:
        """The files, or the array, in their order; those too of which no frame is left."""
        return tuple({id(span.file): span.file for span in self.wanted}.values())

    @property
    def read(self) -> np.ndarray | None:
        """Indices of the atoms that must be read to have the chosen ones, or None for all."""
        return self.atoms if self.imaging is None else self.imaging.read

    def check_unchanged(self) -> None:
        """Raise an `InputError` if a file has changed or vanished since it was opened."""
        for file in self.files:
            file.check_unchanged()

    @cached_property
    def source_hash(self) -> str:
        """SHA-256 of the files (all their bytes, whatever was chosen of them) or of the arrays."""
        self.check_unchanged()
        # Only read when asked for: a large file takes a while.
        digest = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        for array in self.arrays:
            digest.update(np.ascontiguousarray(array).data)
        self.check_unchanged()
        return digest.hexdigest()

    def chunks(self, size: int = DEFAULT_CHUNK) -> Iterator[Trajectory]:
        """Pieces of at most `size` frames, in order; none of them crosses a join, one is in memory at a time.

        Raises:
            InputError: if a frame holds NaN or infinity, or cannot be read, or a file has changed since it was opened.
        """
        for span, first, raw in self.raw_chunks(size):
            check_finite(raw, span, first)
            yield self._trajectory(raw, segments=(len(raw),))

    def raw_chunks(self, size: int = DEFAULT_CHUNK) -> Iterator[tuple[Span, int, RawFrames]]:
        """Pieces before the check for NaN: the span, the first frame's index within it, and the frames."""
        _check_size(size)
        for span in self.spans:
            done = 0
            for raw in span.blocks(self.read, size, has_box=self.has_box):
                yield span, done, self._finished(raw, span, done)
                done += len(raw)

    def readable_chunks(self, size: int = DEFAULT_CHUNK) -> Iterator[tuple[Span, int, RawFrames | None]]:
        """The same, going on after what cannot be read: None stands for each single frame of that kind."""
        _check_size(size)
        for span in self.spans:
            for done, raw in span.readable_blocks(self.read, size, has_box=self.has_box):
                yield span, done, None if raw is None else self._finished(raw, span, done)

    def load(self) -> Trajectory:
        """All frames in memory.

        Raises:
            InputError: if a frame holds NaN or infinity, or cannot be read, or a file has changed since it was opened.
        """
        whole = np.empty((self.n_frames, self.n_atoms, self.dims), np.float32)
        rest: dict[str, list[np.ndarray]] = {"times": [], "box": [], "weights": []}
        done = 0
        for span, first, raw in self.raw_chunks(self.chunk):
            check_finite(raw, span, first)
            whole[done : done + len(raw)] = raw.positions
            done += len(raw)
            for name, parts in rest.items():
                part = getattr(raw, name)
                if part is not None:
                    parts.append(part)
        joined = {name: np.concatenate(parts) if parts else None for name, parts in rest.items()}
        raw = RawFrames(positions=whole, **joined)
        return self._trajectory(raw, segments=self.segments).replace(source_hash=self.source_hash)

    def _finished(self, raw: RawFrames, span: Span, done: int) -> RawFrames:
        scale = np.float32(self.scale)
        positions = raw.positions if self.scale == 1 else raw.positions * scale
        box = raw.box if self.has_box else None
        if box is not None and self.scale != 1:
            box = box * scale
        if self.imaging is not None and box is not None:
            positions = self.imaging.apply(positions, box)
        times = raw.times if self.has_times else None
        if self.time_step is not None:
            index = span.start + span.stride * np.arange(done, done + len(raw))
            times = index * float(self.time_step)
        return RawFrames(
            positions=positions, times=times, box=box, weights=raw.weights if self.has_weights else None
        )

    def _trajectory(self, raw: RawFrames, *, segments: tuple[int, ...]) -> Trajectory:
        return Trajectory(
            positions=raw.positions,
            times=raw.times,
            box=raw.box,
            weights=raw.weights,
            topology=self.topology,
            masses=self.masses,
            bonds=self.bonds,
            bond_source=self.bond_source,
            segments=segments,
            units=self.units,
            selection=self.selection,
            source=self.source,
            skipped=self.skipped,
        )


def _check_size(size: int) -> None:
    if size < 1:
        raise InputError(f"`chunk` must be at least 1; got {size}.")


def check_finite(raw: RawFrames, span: Span, first: int) -> None:
    """Raise an `InputError` that names the first frame with NaN or infinity, if there is one."""
    finite = np.isfinite(raw.positions).all(axis=(1, 2))
    if finite.all():
        return
    index = int(np.argmin(finite))
    atom = int(np.argmin(np.isfinite(raw.positions[index]).all(axis=1)))
    frame = span.frames[first + index]
    raise InputError(
        f"{span.file.name}: frame {frame} holds NaN or infinity (first at atom {atom} of those chosen). "
        f"Cut it away with `stop={frame}`, or write the file again; `inspect` lists all such frames. {SKIP_REMEDY}"
    )
