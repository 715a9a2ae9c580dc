"""A fair sample of many frames, small enough to hold in memory."""

import numpy as np

from polyvae.trajectory.trajectory import Trajectory

MOST_FRAMES = 20_000
"""Frames in a sample, at most."""

_MOST_BYTES = 256_000_000
_FEWEST_FRAMES = 1000


def spread_rows(n_rows: int, row_bytes: int = 0) -> np.ndarray:
    """Indices of 20 000 rows at most, spread evenly; fewer of large rows, so that they take 256 MB, but 1000 at least.

    A sample of so many frames gives a mean or a quantile to half a percent of its spread, and costs the same for any
    trajectory.

    Args:
        n_rows: how many there are.
        row_bytes: size of one.
    """
    most = MOST_FRAMES if not row_bytes else min(MOST_FRAMES, max(_FEWEST_FRAMES, _MOST_BYTES // row_bytes))
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, most)).astype(int))


def counted_sample(trajectory: Trajectory, most_bytes: int) -> Trajectory:
    """The frames whose weight is above zero; where they are larger than so many bytes, every so many of them.

    Args:
        trajectory: any, in memory or on disk.
        most_bytes: largest size of the positions.
    """
    weights = trajectory.weights
    n_frames = trajectory.n_frames if weights is None else int(np.count_nonzero(weights))
    stride = max(1, -(-n_frames * trajectory.positions[:1].nbytes // most_bytes))
    if weights is None or n_frames == trajectory.n_frames:
        return trajectory if stride == 1 else trajectory[::stride]
    return trajectory[np.flatnonzero(weights)[::stride]]
