"""`implied_timescales`: how long the modes of a coordinate keep their memory, at several lag times, with errors.

For a coordinate that sees all of the slow motion they do not change with the lag time; a coordinate that misses some
of it has timescales that are too short and grow with the lag time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import bootstrap_counts, correlation_time
from polyvae.analysis.kinetics.lagged_covariances import block_sums, pair_blocks
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.slow_modes import modes_of
from polyvae.analysis.kinetics.whitening import inverse_root, timescales_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError

_TAILS = (2.5, 97.5)
_FEWEST_VALID = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class ImpliedTimescales:
    """Implied timescales at several lag times.

    Attributes:
        lag_times: in frames, ascending, shape (lags,).
        timescales: in `unit`, the slowest mode first, shape (lags, modes); NaN where a mode does not decay.
        low: lower end of the interval that holds 95 % of the draws of blocks, shape (lags, modes); NaN where fewer than
            half of the draws have a timescale.
        high: upper end.
        values: eigenvalues or singular values, shape (lags, modes).
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
        is_reversible: whether detailed balance was assumed.
        blocks: blocks of frames at each lag time, shape (lags,).
    """

    lag_times: np.ndarray
    timescales: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    frame_time: float
    unit: str
    is_reversible: bool
    blocks: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """The lag times in `unit`."""
        return self.lag_times * self.frame_time


def implied_timescales(
    latent: LatentTrajectory | Series | np.ndarray,
    lag_times: Sequence[int] | np.ndarray,
    *,
    frames: np.ndarray | None = None,
    n_modes: int | None = None,
    reversible: bool = True,
    blocks: int | None = None,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> ImpliedTimescales:
    """Implied timescales of a coordinate's modes at several lag times.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims).
        lag_times: lag times in frames.
        frames: indices of the frames to use, ascending; None for all.
        n_modes: how many modes; None for all.
        reversible: whether to assume detailed balance (eigenvalues) or not (singular values).
        blocks: number of blocks that errors come from; None lets the autocorrelation time choose.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        seed: of the draws.

    Raises:
        InputError: if a lag time is longer than every simulation, or as in `slow_modes`.

    Warns:
        PolyvaeWarning: if fewer than ten independent blocks fit in.
    """
    series = series_of(latent, segments=segments, weights=weights)
    lags = np.unique(np.asarray(lag_times))
    if not len(lags) or lags.dtype.kind not in "iu":
        raise InputError(f"`lag_times` must be whole numbers of frames; got {lag_times}.")
    time = correlation_time(series.values, series.segments)
    rows = []
    for lag in lags.tolist():
        first, second = series.pairs(lag, frames)
        numbers = pair_blocks(series, first, lag, blocks, time=time)
        sums = block_sums(
            series.values[first],
            series.values[second],
            None if series.weights is None else series.weights[first],
            numbers,
            reversible=reversible,
        )
        modes = modes_of(sums.covariances(lag), series, n_modes=n_modes)
        found = sums.covariances(lag, bootstrap_counts(len(sums), seed))
        drawn = _mode_values(found.c00, found.c0t, found.ctt, reversible=reversible)[:, : len(modes)]
        drawn_times = timescales_of(drawn, lag * series.frame_time)
        rows.append((modes.timescales, modes.values, *_interval(drawn_times), len(sums)))
    timescales, values, low, high, n_blocks = zip(*rows, strict=True)
    fewest = min(map(len, values))
    return ImpliedTimescales(
        lag_times=lags,
        **{
            name: np.stack([row[:fewest] for row in part])
            for name, part in (("timescales", timescales), ("low", low), ("high", high), ("values", values))
        },
        frame_time=series.frame_time,
        unit=series.unit,
        is_reversible=reversible,
        blocks=np.array(n_blocks),
    )


def _mode_values(c00: np.ndarray, c0t: np.ndarray, ctt: np.ndarray, *, reversible: bool) -> np.ndarray:
    """Eigenvalues or singular values of each draw, largest first, shape (draws, dims); zero where dropped."""
    left, right = inverse_root(c00)[0], inverse_root(ctt)[0]
    koopman = np.swapaxes(left, -1, -2) @ c0t @ right
    if not reversible:
        return np.linalg.svd(koopman, compute_uv=False)
    values = np.linalg.eigvalsh(koopman)
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=-1), axis=-1)


def _interval(draws: np.ndarray) -> np.ndarray:
    """Ends of the interval that holds 95 % of the draws, shape (2, modes)."""
    is_known = np.isfinite(draws)
    ends = np.full((2, draws.shape[1]), np.nan)
    for mode in np.flatnonzero(is_known.mean(axis=0) >= _FEWEST_VALID):
        ends[:, mode] = np.percentile(draws[is_known[:, mode], mode], _TAILS)
    return ends
