"""Frames as they stand in a file, before any check: the common ground of all formats.

A `FrameFile` is one file (or array) that yields `RawFrames` in blocks; only one block is in memory at a time.
Positions and boxes are in nm (or reduced units) whatever the file's own unit is. Times are None where a
format carries none: the frame numbers that some readers put in their place are never taken for times.
"""

import abc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mdtraj
import numpy as np

from polyvae._typing import Box, Positions, Times
from polyvae.errors import InputError
from polyvae.trajectory.file_stamp import FileStamp

SKIP_REMEDY = 'Bad frames are left out with on_bad_frame="skip" (--on-bad-frame skip).'


class UnreadableFrames(InputError):
    """Frames in a file that was opened well cannot be read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawFrames:
    """A block of frames; positions may hold NaN."""

    positions: Positions
    times: Times | None = None
    box: Box | None = None
    weights: Times | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, frames: slice) -> "RawFrames":
        pick = lambda array: None if array is None else array[frames]  # noqa: E731
        return RawFrames(
            positions=self.positions[frames],
            times=pick(self.times),
            box=pick(self.box),
            weights=pick(self.weights),
        )


class FrameFile(abc.ABC):
    """One file or array of frames.

    Attributes:
        name: what to call it in messages.
        n_frames: number of frames that can be read.
        n_atoms: number of atoms in each frame.
        dims: 2 or 3.
        topology: the topology that the file itself carries, or None.
        damage: what is wrong after the last readable frame, or None.
        announced: number of frames that the header announces, or None where there is no such number.
        stamp: size and time of the file when it was opened, or None for arrays.
        segments: lengths of the joined simulations inside.
    """

    name: str
    n_frames: int
    n_atoms: int
    dims: int = 3
    topology: mdtraj.Topology | None = None
    damage: str | None = None
    announced: int | None = None
    stamp: FileStamp | None = None

    @property
    def segments(self) -> tuple[int, ...]:
        """Lengths of the joined simulations inside; most files hold one."""
        return (self.n_frames,)

    def blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        """Blocks of at most `size` frames of range(start, stop, stride), with the chosen atoms.

        Raises:
            UnreadableFrames: if a frame cannot be decoded.
            InputError: if the file has changed or vanished since it was opened.
        """
        blocks = self._read_blocks(start, stop, stride, atoms, size)
        while True:
            # Before a block, since reading a mapped file that has become shorter ends the whole process; and after
            # it, since what was read while the file changed may be wrong.
            self.check_unchanged()
            try:
                block = next(blocks, None)
            except Exception as error:
                self.check_unchanged()
                if isinstance(error, OSError):
                    raise InputError(f"{self.name} cannot be read: {error.strerror or error}.") from error
                raise
            self.check_unchanged()
            if block is None:
                return
            yield block

    def check_unchanged(self) -> None:
        """Raise an `InputError` if the file has changed or vanished since it was opened."""
        if self.stamp is not None:
            self.stamp.check()

    @abc.abstractmethod
    def _read_blocks(
        self, start: int, stop: int, stride: int, atoms: np.ndarray | None, size: int
    ) -> Iterator[RawFrames]:
        """The blocks, without a look at the file's stamp."""


def in_blocks_of(size: int, blocks: Iterator[RawFrames]) -> Iterator[RawFrames]:
    """The same frames in blocks of exactly `size`, the last one shorter."""
    held: list[RawFrames] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= size:
            joined = join(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield join(held)


def join(blocks: list[RawFrames]) -> RawFrames:
    """Blocks put end to end; what one of them lacks, the whole lacks."""
    if len(blocks) == 1:
        return blocks[0]
    together: dict[str, Any] = {}
    for field in ("positions", "times", "box", "weights"):
        parts = [getattr(block, field) for block in blocks if len(block)]
        together[field] = None if any(part is None for part in parts) else np.concatenate(parts)
    return RawFrames(**together)


def box_vectors(lengths: np.ndarray | None, angles: np.ndarray | None) -> np.ndarray | None:
    """Box vectors as rows, shape (frames, 3, 3), from edge lengths and angles in degrees.

    The first vector lies along x and the second in the xy plane. A box with a zero or missing edge is no box.
    """
    if lengths is None or len(lengths) == 0:
        return None
    lengths = np.asarray(lengths, np.float64)
    degrees = np.full_like(lengths, 90.0) if angles is None else np.asarray(angles, np.float64)
    right = np.isclose(degrees, 90.0, atol=1e-5)
    cosine = np.where(right, 0.0, np.cos(np.deg2rad(degrees)))
    sine_gamma = np.sqrt(np.maximum(1.0 - cosine[:, 2] ** 2, 1e-12))
    box = np.zeros((len(lengths), 3, 3))
    box[:, 0, 0] = lengths[:, 0]
    box[:, 1, 0] = lengths[:, 1] * cosine[:, 2]
    box[:, 1, 1] = lengths[:, 1] * sine_gamma
    along_y = (cosine[:, 0] - cosine[:, 1] * cosine[:, 2]) / sine_gamma
    box[:, 2, 0] = lengths[:, 2] * cosine[:, 1]
    box[:, 2, 1] = lengths[:, 2] * along_y
    box[:, 2, 2] = lengths[:, 2] * np.sqrt(np.maximum(1.0 - cosine[:, 1] ** 2 - along_y**2, 0.0))
    return real_box(box)


def real_box(box: np.ndarray | None) -> np.ndarray | None:
    """The box as float32, or None if it is missing, not finite or without volume in any frame."""
    if box is None or len(box) == 0:
        return None
    box = np.asarray(box, np.float32)
    if not np.isfinite(box).all() or np.any(np.abs(np.linalg.det(box.astype(np.float64))) < 1e-9):
        return None
    return box
