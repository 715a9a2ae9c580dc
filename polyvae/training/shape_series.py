"""Radius of gyration and some distances of every frame, in bounded memory, and how long they remember.

Of each frame 29 numbers are kept at most: the radius of gyration and the distances between eight atoms that are spread
evenly. Beyond 131 072 frames every second one is dropped, again and again. The first 32 768 are kept in a row as well,
for motions that are fast beside the stride that is left.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from polyvae.training.splitting import autocorrelation_time
from polyvae.trajectory.frame_checks import about_center

_MOST_FRAMES = 131_072
_IN_A_ROW = 32_768
_MOST_ATOMS = 8
_COMPONENTS = 3
_RESOLVED_STRIDES = 3.0


@dataclass(frozen=True, kw_only=True)
class SamplingReport:
    """How long shapes remember, and how many frames are independent.

    Attributes:
        autocorrelation_times: integrated autocorrelation time of each observable, in frames.
        slowest: name of the slowest of them.
        autocorrelation_time: its time, in frames; at least 1.
        autocorrelation_error: standard error of that time, in frames (Sokal).
        autocorrelation_ps: the time in the unit of time; None where frames have none.
        effective_frames: frames divided by that time, as if all were independent.
        is_resolved: whether the longest simulation is at least twenty times as long as that time; else the true time
            may be longer, and the effective frames fewer.
        used_frames: frames that the times were taken from.
        stride: every how-many-th frame these are.
    """

    autocorrelation_times: dict[str, float]
    slowest: str
    autocorrelation_time: float
    autocorrelation_error: float
    autocorrelation_ps: float | None
    effective_frames: float
    is_resolved: bool
    used_frames: int
    stride: int

    @property
    def most_effective_frames(self) -> float:
        """Effective frames if the time is one standard error shorter, at most twice as many.

        To be compared with what is needed: the longest of several estimates from few frames is too long.
        """
        time = self.autocorrelation_time
        shortest = max(1.0, time / 2, time - self.autocorrelation_error)
        return self.effective_frames * time / shortest


class ShapeSeries:
    """Takes frames in order and keeps a few numbers of each."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._start: tuple[np.ndarray, np.ndarray] | None = None
        self._pairs: np.ndarray | None = None
        self._kept, self._stride = 0, 1
        self._simulation, self._begin, self._next = 0, 0, 0
        self.n_frames = 0

    def begin_simulation(self) -> None:
        """Says that another simulation begins with the next frame."""
        self._next = -1

    def add(
        self, positions: Float[np.ndarray, "frames atoms dims"], frames: Int[np.ndarray, " frames"]
    ) -> None:
        """Takes the next frames and their numbers; where a number is left out, the simulation is cut."""
        self.n_frames += len(frames)
        values = self._shapes(positions)
        cuts = np.flatnonzero(np.diff(frames, prepend=self._next - 1) != 1)
        self._next = int(frames[-1]) + 1
        for begin, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
            if begin in cuts:
                self._simulation, self._begin = self._simulation + 1, int(frames[begin])
            since = frames[begin:end] - self._begin
            chosen = since % self._stride == 0
            self._values.append(values[begin:end][chosen])
            self._places.append(np.stack([np.full(chosen.sum(), self._simulation), since[chosen]], axis=1))
            self._kept += int(chosen.sum())
        while self._kept > _MOST_FRAMES:
            self._thin()

    def segments(self) -> tuple[int, ...]:
        """Lengths of the stretches of kept frames, which lie between joins and frames that were left out."""
        return _lengths(np.concatenate(self._places))

    def report(self, time_step: float | None) -> SamplingReport | None:
        """How long the shapes remember; None without frames.

        Args:
            time_step: time between frames, or None.
        """
        if not self.n_frames:
            return None
        values, places = np.concatenate(self._values), np.concatenate(self._places)
        stride = self._stride
        times = _times(values, _lengths(places))
        if max(times.values()) < _RESOLVED_STRIDES and self._start is not None:
            values, places = self._start
            stride = 1
            times = _times(values, _lengths(places))
        times = {name: max(1.0, stride * time) for name, time in times.items()}
        slowest = max(times, key=lambda name: times[name])
        longest = stride * max(_lengths(places))
        return SamplingReport(
            autocorrelation_times=times,
            slowest=slowest,
            autocorrelation_time=times[slowest],
            autocorrelation_error=_error(times[slowest] / stride, len(values)) * stride,
            autocorrelation_ps=None if time_step is None else times[slowest] * abs(time_step),
            effective_frames=self.n_frames / times[slowest],
            is_resolved=longest >= 20 * times[slowest],
            used_frames=len(values),
            stride=stride,
        )

    def _shapes(self, positions: np.ndarray) -> np.ndarray:
        if self._pairs is None:
            n_atoms = positions.shape[1]
            atoms = np.unique(np.linspace(0, n_atoms - 1, min(n_atoms, _MOST_ATOMS)).round().astype(int))
            self._pairs = atoms[np.stack(np.triu_indices(len(atoms), 1), axis=1)]
        centered = about_center(positions)
        gyration = np.sqrt(np.einsum("fad,fad->f", centered, centered) / positions.shape[1])
        vectors = positions[:, self._pairs[:, 0]] - positions[:, self._pairs[:, 1]]
        distances = np.sqrt(np.einsum("fpd,fpd->fp", vectors, vectors))
        return np.concatenate([gyration[:, None], distances], axis=1)

    def _thin(self) -> None:
        values, places = np.concatenate(self._values), np.concatenate(self._places)
        if self._start is None:
            self._start = values[:_IN_A_ROW].copy(), places[:_IN_A_ROW].copy()
        self._stride *= 2
        chosen = places[:, 1] % self._stride == 0
        self._values, self._places = [values[chosen]], [places[chosen]]
        self._kept = int(chosen.sum())


def _error(time: float, n_frames: int) -> float:
    """Standard error of an autocorrelation time, from the window of five times that it is summed over."""
    return time * (2 * (10 * time + 1) / n_frames) ** 0.5


def _lengths(places: Int[np.ndarray, "kept 2"]) -> tuple[int, ...]:
    edges = np.flatnonzero(np.diff(places[:, 0], prepend=-1, append=-1))
    return tuple(int(length) for length in np.diff(edges))


def _times(values: Float[np.ndarray, "kept observables"], segments: tuple[int, ...]) -> dict[str, float]:
    """Autocorrelation time of each observable, in kept frames."""
    distances = values[:, 1:].astype(np.float64)
    observables = {"radius of gyration": values[:, 0].astype(np.float64)}
    if distances.shape[1]:
        # The pairs of the first atom come first; the last of those is the pair of both ends.
        n_atoms = round((1 + (1 + 8 * distances.shape[1]) ** 0.5) / 2)
        observables["distance of first and last atom"] = distances[:, n_atoms - 2]
        centered = distances - distances.mean(axis=0)
        variances, directions = np.linalg.eigh(centered.T @ centered)
        for number in range(1, min(_COMPONENTS, distances.shape[1]) + 1):
            # A motion of less than a thousandth of the largest is noise of the file's precision.
            if variances[-number] > 1e-6 * variances[-1]:
                observables[f"distance component {number}"] = centered @ directions[:, -number]
    return {name: autocorrelation_time(series[:, None], segments) for name, series in observables.items()}
