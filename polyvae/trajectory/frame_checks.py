"""Checks of raw frames that add up over chunks: NaN, bonds, coincident and collinear atoms, times, box."""

from itertools import pairwise

import numpy as np

from polyvae._typing import Pairs
from polyvae.trajectory.molecules import broken_bonds
from polyvae.trajectory.raw import RawFrames

_SAMPLE = 100
"""Frames of each chunk whose bond lengths enter the median."""


class FrameChecks:
    """Running results over chunks of raw frames, which are added in order."""

    def __init__(self, bonds: Pairs | None) -> None:
        self._bonds = np.empty((0, 2), np.int64) if bonds is None else bonds
        self._done = 0
        self._last: np.ndarray | None = None
        self._times: list[np.ndarray] = []
        self._joins: list[int] = []
        self._lengths: list[np.ndarray] = []
        self._bond_limits: tuple[float, float] | None = None
        self._box_sum = np.zeros((3, 3))
        self._box_frames = 0
        self.has_all_boxes = True
        self.nan_frames: list[int] = []
        self.unreadable: list[int] = []
        self.broken_frames: list[int] = []
        self.duplicates = 0
        self.coincident = 0
        self.collinear = 0

    def begin_simulation(self) -> None:
        """Says that another simulation begins with the next frame."""
        self._joins.append(self._done)
        self._last = None

    def add_unreadable(self) -> None:
        """Counts one frame that cannot be read."""
        self.unreadable.append(self._done)
        self._times.append(np.array([np.nan]))
        self._done += 1
        self._last = None

    def add(self, raw: RawFrames) -> None:
        """Takes the next frames."""
        finite = np.isfinite(raw.positions).all(axis=(1, 2))
        self.nan_frames += (self._done + np.flatnonzero(~finite)).tolist()
        self._add_duplicates(raw.positions)
        if raw.times is not None:
            self._times.append(raw.times)
        good = raw.positions[finite]
        if len(good):
            self._add_bonds(good)
            self.coincident += int(_coincident(good).sum())
            self.collinear += int(_collinear(good).sum())
        if raw.box is None:
            self.has_all_boxes = False
        else:
            self._box_sum += raw.box.sum(axis=0, dtype=np.float64)
            self._box_frames += len(raw)
            if len(good):
                broken = broken_bonds(good, raw.box[finite], self._bonds)
                self.broken_frames += (self._done + np.flatnonzero(finite)[broken]).tolist()
        self._done += len(raw)

    def bond_range(self) -> tuple[float, float, float] | None:
        """Smallest, median (of a sample of frames) and largest bond length."""
        if self._bond_limits is None:
            return None
        return self._bond_limits[0], float(np.median(np.concatenate(self._lengths))), self._bond_limits[1]

    def time_step(self) -> tuple[float | None, bool | None]:
        """Median time between frames and whether it is the same throughout each simulation."""
        times = np.concatenate([np.zeros(0), *self._times])
        if len(times) != self._done or self._done < 2:
            return None, None
        edges = [0, *self._joins, len(times)]
        steps = np.concatenate([np.diff(times[first:last]) for first, last in pairwise(edges)])
        steps = steps[np.isfinite(steps)]
        if not len(steps):
            return None, None
        step = float(np.median(steps))
        # XTC and TRR store times in single precision.
        tolerance = max(1e-3 * abs(step), 4 * np.spacing(np.float32(np.nanmax(np.abs(times)))))
        return step, bool(np.all(np.abs(steps - step) <= tolerance))

    def box_shape(self) -> tuple[str, tuple[float, ...] | None]:
        """The shape of the mean box and the lengths of its vectors."""
        if not self._box_frames or not self.has_all_boxes:
            return "none", None
        box = self._box_sum / self._box_frames
        lengths = np.linalg.norm(box, axis=1)
        skewed = np.abs(box - np.diag(np.diag(box))).max() > 1e-4 * lengths.max()
        cubic = np.ptp(lengths) < 1e-3 * lengths.max()
        kind = "triclinic" if skewed else "cubic" if cubic else "orthorhombic"
        return kind, tuple(float(length) for length in lengths)

    def _add_duplicates(self, positions: np.ndarray) -> None:
        if self._last is not None:
            positions = np.concatenate([self._last, positions])
        self.duplicates += int((positions[1:] == positions[:-1]).all(axis=(1, 2)).sum())
        self._last = positions[-1:]

    def _add_bonds(self, positions: np.ndarray) -> None:
        if not len(self._bonds):
            return
        first, second = self._bonds.T
        lengths = np.linalg.norm(positions[:, first] - positions[:, second], axis=2)
        low, high = float(lengths.min()), float(lengths.max())
        if self._bond_limits is not None:
            low, high = min(low, self._bond_limits[0]), max(high, self._bond_limits[1])
        self._bond_limits = (low, high)
        self._lengths.append(lengths[:: max(1, len(lengths) // _SAMPLE)].ravel())


def _coincident(positions: np.ndarray) -> np.ndarray:
    # Atoms on one point have the same projection on any direction, so they are neighbors after sorting by it.
    direction = np.array([0.6180339887, 0.7548776662, 0.2195298432])[: positions.shape[2]]
    order = np.argsort(positions @ direction, axis=1)
    sorted_positions = np.take_along_axis(positions, order[..., None], axis=1)
    gaps = np.abs(np.diff(sorted_positions, axis=1)).max(axis=2)
    return (gaps < 1e-6).any(axis=1)


def _collinear(positions: np.ndarray) -> np.ndarray:
    centered = positions.astype(np.float64) - positions.mean(axis=1, keepdims=True, dtype=np.float64)
    moments = np.linalg.eigvalsh(np.einsum("fai,faj->fij", centered, centered))
    return moments[:, -2] <= 1e-9 * np.maximum(moments[:, -1], 1e-30)
