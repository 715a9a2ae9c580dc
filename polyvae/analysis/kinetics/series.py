"""`Series`: a coordinate over time as the functions of this room take it, from a latent trajectory or a plain array."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError
from polyvae.trajectory.lag_pairs import lag_pairs
from polyvae.trajectory.weights import normalized_weights

_MOST_UNEVEN = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A coordinate over time, checked.

    Attributes:
        values: shape (frames, dims), float64, finite.
        segments: lengths of the joined simulations.
        weights: statistical weight of each frame, or None for equal ones.
        frame_time: time from one frame to the next, in `unit`.
        unit: of times: that of the trajectory where its frames are evenly spaced, else "frames", and `frame_time` is 1.
        source: what messages call the data.
    """

    values: np.ndarray
    segments: tuple[int, ...]
    weights: np.ndarray | None
    frame_time: float
    unit: str
    source: str

    def __len__(self) -> int:
        return len(self.values)

    def replace_values(self, values: np.ndarray) -> "Series":
        """Another coordinate of the same frames."""
        return Series(
            values=values,
            segments=self.segments,
            weights=self.weights,
            frame_time=self.frame_time,
            unit=self.unit,
            source=self.source,
        )

    def pairs(self, lag_time: int, frames: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the first and of the second frame of all pairs, without frames of weight zero.

        Raises:
            InputError: as `lag_pairs`, and if `frames` are not ascending indices.
        """
        chosen = _checked_frames(frames, len(self))
        if self.weights is not None:
            chosen = chosen[self.weights[chosen] > 0]
        found = lag_pairs(chosen, self.segments, lag_time, source=self.source)
        return chosen[found[:, 0]], chosen[found[:, 1]]


def series_of(
    latent: "LatentTrajectory | Series | np.ndarray",
    *,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    name: str = "latent",
) -> Series:
    """The coordinate over time that a latent trajectory or an array stands for.

    Args:
        latent: a latent trajectory, whose means are taken, or an array of shape (frames, dims) or (frames,).
        segments: lengths of the joined simulations; None for those of the latent trajectory, or a single one.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        name: of the argument, for messages.

    Raises:
        InputError: if shapes do not fit or a value is not finite.
    """
    if isinstance(latent, Series):
        return latent
    frame_time, unit, source = 1.0, "frames", f"`{name}`"
    rows = latent.mean if isinstance(latent, LatentTrajectory) else latent
    if isinstance(latent, LatentTrajectory):
        segments = latent.segments if segments is None else segments
        weights = latent.weights if weights is None else weights
        frame_time, unit = _frame_time(latent)
        source = latent.source
    values = np.asarray(rows, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(
            f"`{name}` must be a latent trajectory or an array of shape (frames, dims); got {np.shape(rows)}."
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(
            f"`{name}` holds NaN or infinity in {bad.sum()} of {len(values)} frames, first in frame "
            f"{int(np.argmax(bad))}. Leave such frames out, as gaps between `segments`."
        )
    segments = (len(values),) if segments is None else tuple(int(length) for length in segments)
    if sum(segments) != len(values):
        raise InputError(f"`segments` sum to {sum(segments)}; expected {len(values)} frames.")
    if weights is not None:
        normalized_weights(weights, len(values))
        weights = np.asarray(weights, np.float64)
    return Series(
        values=values,
        segments=segments,
        weights=weights,
        frame_time=frame_time,
        unit=unit,
        source=source,
    )


def _frame_time(latent: LatentTrajectory) -> tuple[float, str]:
    """Time from frame to frame and its unit; one and "frames" where frames are unevenly spaced."""
    if latent.times is None:
        return 1.0, "frames"
    ids = np.repeat(np.arange(len(latent.segments)), latent.segments)
    steps = np.diff(np.asarray(latent.times, np.float64))[np.diff(ids) == 0]
    if not len(steps):
        return 1.0, "frames"
    middle = float(np.median(steps))
    if not middle > 0 or np.abs(steps - middle).max() > _MOST_UNEVEN * middle:
        return 1.0, "frames"
    return middle, latent.units.time


def _checked_frames(frames: Any, n_frames: int) -> np.ndarray:
    if frames is None:
        return np.arange(n_frames)
    array = np.asarray(frames)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise InputError(
            f"`frames` must be indices of frames, shape (some,); got shape {array.shape} of {array.dtype}."
        )
    array = array.astype(np.int64)
    if array[0] < 0 or array[-1] >= n_frames or not (np.diff(array) > 0).all():
        raise InputError(
            f"`frames` must ascend from 0 to below the {n_frames} frames; got {array.min()} to {array.max()}. Sort "
            "them, and use the split of this very trajectory."
        )
    return array
