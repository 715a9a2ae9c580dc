"""Checks of raw frames that add up over chunks: NaN, bonds, coincident and collinear atoms, duplicates, times, box.

Frames are numbered among the chosen ones, from 0. Of each frame a few bytes are kept; lists hold only what is wrong.
"""

import numpy as np
from jaxtyping import Float

from polyvae._typing import Pairs, Positions
from polyvae.trajectory.bond_outliers import BondOutliers
from polyvae.trajectory.duplicates import DuplicateSearch
from polyvae.trajectory.raw import RawFrames
from polyvae.trajectory.time_checks import TimeChecks

_SAMPLE = 100
"""Frames of each chunk whose bond lengths enter the median."""
_MOST_SAMPLED = 2_000_000
"""Bond lengths that are kept for the median, at most."""


class FrameChecks:
    """Running results over chunks of raw frames, which are added in order."""

    def __init__(self, bonds: Pairs | None) -> None:
        self._bonds = np.empty((0, 2), np.int64) if bonds is None else bonds
        self._lengths: list[np.ndarray] = []
        self._n_lengths = 0
        self._bond_limits: tuple[float, float] | None = None
        self._box_sum = np.zeros((3, 3))
        self._box_frames = 0
        self.done = 0
        self.has_all_boxes = True
        self.times = TimeChecks()
        self.duplicates = DuplicateSearch()
        self.bond_outliers = BondOutliers()
        self.nan_frames: list[int] = []
        self.unreadable: list[int] = []
        self.broken_frames: list[int] = []
        self.coincident: list[int] = []
        self.collinear: list[int] = []
        self.coincident_pair: tuple[int, int] | None = None

    def begin_simulation(self) -> None:
        """Says that another simulation begins with the next frame."""
        self.times.begin_simulation()

    def add_unreadable(self) -> None:
        """Counts one frame that cannot be read."""
        self.unreadable.append(self.done)
        self.times.skip()
        self.done += 1

    def add(self, raw: RawFrames, finite: np.ndarray, broken: np.ndarray) -> None:
        """Takes the next frames.

        Args:
            raw: the frames, with the chosen atoms.
            finite: which frames hold neither NaN nor infinity, shape (frames,).
            broken: which frames the box has split a molecule in, shape (frames,).
        """
        frames = np.arange(self.done, self.done + len(raw))
        self.done += len(raw)
        self.times.add(raw.times, len(raw))
        self.nan_frames += frames[~finite].tolist()
        self.broken_frames += frames[broken].tolist()
        if raw.box is None:
            self.has_all_boxes = False
        else:
            self._box_sum += raw.box.sum(axis=0, dtype=np.float64)
            self._box_frames += len(raw)
        good = raw.positions if finite.all() else raw.positions[finite]
        frames, broken = frames[finite], broken[finite]
        if not len(good):
            return
        self.duplicates.add(good, frames)
        self._add_bonds(good, frames, broken)
        self._add_coincident(good, frames)
        self.collinear += frames[_collinear(good)].tolist()

    def bond_range(self) -> tuple[float, float, float] | None:
        """Smallest, median (of a sample of frames) and largest bond length."""
        if self._bond_limits is None:
            return None
        return self._bond_limits[0], float(np.median(np.concatenate(self._lengths))), self._bond_limits[1]

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

    def _add_bonds(self, positions: np.ndarray, frames: np.ndarray, broken: np.ndarray) -> None:
        if not len(self._bonds):
            return
        first, second = self._bonds.T
        difference = positions[:, first] - positions[:, second]
        lengths = np.sqrt(np.einsum("fbd,fbd->fb", difference, difference))
        low, high = float(lengths.min()), float(lengths.max())
        if self._bond_limits is not None:
            low, high = min(low, self._bond_limits[0]), max(high, self._bond_limits[1])
        self._bond_limits = (low, high)
        if self._n_lengths < _MOST_SAMPLED:
            self._lengths.append(lengths[:: max(1, len(lengths) // _SAMPLE)].ravel())
            self._n_lengths += len(self._lengths[-1])
        self.bond_outliers.add(lengths[~broken], frames[~broken])

    def _add_coincident(self, positions: np.ndarray, frames: np.ndarray) -> None:
        # Atoms on one point have the same projection on any direction.
        direction = np.array([0.6180339887, 0.7548776662, 0.2195298432], np.float32)[: positions.shape[2]]
        projections = positions @ direction
        rounding = 1e-6 * max(1.0, float(np.abs(projections).max()))
        suspects = np.flatnonzero((np.diff(np.sort(projections, axis=1)) < 1e-6 + 4 * rounding).any(axis=1))
        for frame in suspects:
            order = np.argsort(positions[frame].astype(np.float64) @ direction)
            gaps = np.abs(np.diff(positions[frame, order], axis=0)).max(axis=1)
            if (gaps < 1e-6).any():
                self.coincident.append(int(frames[frame]))
                if self.coincident_pair is None:
                    nearest = int(np.argmin(gaps))
                    self.coincident_pair = (int(order[nearest]), int(order[nearest + 1]))


def atom_means(values: Float[np.ndarray, "frames atoms columns"]) -> Float[np.ndarray, "frames columns"]:
    """Means over atoms; a matrix product is several times as fast as a sum over the middle axis."""
    return np.matmul(np.full(values.shape[1], 1 / values.shape[1], values.dtype), values)


def about_center(positions: Positions) -> Positions:
    """Frames about their centers."""
    # Twice, since single precision rounds the center of frames that are far from the origin.
    centered = positions - atom_means(positions)[:, None]
    return centered - atom_means(centered)[:, None]


def _collinear(positions: np.ndarray) -> np.ndarray:
    centered = about_center(positions)
    moments = np.matmul(centered.transpose(0, 2, 1), centered).astype(np.float64)
    trace = np.trace(moments, axis1=1, axis2=2)
    # Sum of the products of two principal moments, against the largest squared; cheaper than the moments themselves.
    products = (trace**2 - np.einsum("fij,fij->f", moments, moments)) / 2
    suspects = np.flatnonzero(products <= 1e-5 * np.maximum(trace**2, 1e-30))
    collinear = np.zeros(len(positions), bool)
    if len(suspects):
        exact = positions[suspects].astype(np.float64)
        exact -= exact.mean(axis=1, keepdims=True)
        values = np.linalg.eigvalsh(np.matmul(exact.transpose(0, 2, 1), exact))
        collinear[suspects] = values[:, -2] <= 1e-9 * np.maximum(values[:, -1], 1e-30)
    return collinear
