"""Autocorrelation time of the shape of a trajectory, from observables that need no alignment."""

import numpy as np

from polyvae.training.splitting import autocorrelation_time
from polyvae.trajectory import Trajectory

_CORRELATED_FRAMES = 262_144
_RESOLVED_STRIDES = 3.0
_STRETCHES = 8


def correlation_time(trajectory: Trajectory) -> float:
    """Autocorrelation time of the shape, in frames; of many frames, from some that are spread and some in a row.

    Frames at a stride show a time that is long beside the stride; a shorter one lies well within the stretches of
    neighbors. Work and memory are the same for any number of frames.
    """

    def time_of(frames: np.ndarray | None, segments: tuple[int, ...]) -> float:
        shapes = np.concatenate([_shapes(chunk) for chunk in trajectory.position_chunks(frames)])
        return autocorrelation_time(shapes, segments)

    segments, n_frames = trajectory.segments, trajectory.n_frames
    if n_frames <= _CORRELATED_FRAMES:
        return time_of(None, segments)
    ends = np.cumsum(segments)
    stride = -(-n_frames // _CORRELATED_FRAMES)
    spread = [np.arange(end - length, end, stride) for end, length in zip(ends, segments, strict=True)]
    time = time_of(np.concatenate(spread), tuple(map(len, spread)))
    if time >= _RESOLVED_STRIDES:
        return stride * time
    length = _CORRELATED_FRAMES // _STRETCHES
    starts = np.linspace(0, n_frames - length, _STRETCHES).astype(int)
    stops = np.minimum(starts + length, ends[np.searchsorted(ends, starts, side="right")])
    rows = [np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)]
    return time_of(np.concatenate(rows), tuple(map(len, rows)))


def _shapes(positions: np.ndarray) -> np.ndarray:
    """Radius of gyration and three distances along the chain of every frame, shape (frames, 4)."""
    centered = positions - positions.mean(axis=1, keepdims=True)
    gyration = np.sqrt(np.mean(np.sum(centered.astype(np.float64) ** 2, axis=2), axis=1))
    middle = positions.shape[1] // 2
    ends = [(0, -1), (0, middle), (middle, -1)]
    distances = [np.linalg.norm(positions[:, a] - positions[:, b], axis=1) for a, b in ends]
    return np.stack([gyration, *distances], axis=1)
