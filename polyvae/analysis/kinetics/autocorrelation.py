"""`autocorrelation`: how fast each dimension of a coordinate forgets where it was, with errors."""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import bootstrap_counts, correlation_time
from polyvae.analysis.kinetics.lagged_covariances import pair_blocks
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Autocorrelation:
    """Normalized autocorrelation functions.

    Attributes:
        lag_times: in frames, from 0, shape (lags,).
        correlation: of each dimension, 1 at lag 0, shape (lags, dims); NaN for a constant dimension.
        error: standard error from blocks drawn anew, shape (lags, dims).
        correlation_time: integrated autocorrelation time of the slowest dimension, in `unit`.
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
    """

    lag_times: np.ndarray
    correlation: np.ndarray
    error: np.ndarray
    correlation_time: float
    frame_time: float
    unit: str

    @property
    def times(self) -> np.ndarray:
        """The lag times in `unit`."""
        return self.lag_times * self.frame_time


def autocorrelation(
    latent: LatentTrajectory | Series | np.ndarray,
    max_lag: int,
    *,
    points: int = 100,
    blocks: int | None = None,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> Autocorrelation:
    r"""Autocorrelation functions of the dimensions, \(C(k) = \langle \delta x_t\, \delta x_{t+k} \rangle / \sigma^2\).

    The deviation is that from the mean of all frames, and the variance that of all frames. With weights a pair weighs
    what its first frame does.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims).
        max_lag: longest lag time, in frames.
        points: lag times between 0 and `max_lag`, evenly spread, at most.
        blocks: number of blocks that errors come from; None lets the autocorrelation time choose.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        seed: of the draws.

    Raises:
        InputError: if `max_lag` is longer than every simulation, or shapes do not fit.

    Warns:
        PolyvaeWarning: if fewer than ten independent blocks fit in.
    """
    series = series_of(latent, segments=segments, weights=weights)
    if points < 2:
        raise InputError(f"`points` must be at least 2; got {points}.")
    longest = max(series.segments)
    if not 1 <= max_lag < longest:
        raise InputError(
            f"`max_lag` must be at least 1 and below the {longest} frames of the longest simulation; got {max_lag}. "
            "Lower `max_lag`, or join less finely cut files."
        )
    lags = np.unique(np.round(np.linspace(0, max_lag, min(points, max_lag + 1))).astype(int))
    shares = np.ones(len(series)) if series.weights is None else series.weights / series.weights.max()
    deviations = series.values - shares @ series.values / shares.sum()
    time = correlation_time(series.values, series.segments)
    numbers = np.full(len(series), -1)
    counted = np.flatnonzero(shares > 0)
    numbers[counted] = pair_blocks(series, counted, int(lags[-1]), blocks, time=time)
    n_blocks = int(numbers.max()) + 1
    counts = bootstrap_counts(n_blocks, seed)
    squares = counts @ _sums(deviations**2, shares, numbers, n_blocks)
    drawn_variance = squares / (counts @ np.bincount(numbers[counted], shares[counted], n_blocks))[:, None]
    variance = shares @ deviations**2 / shares.sum()
    correlation, error = (np.full((len(lags), deviations.shape[1]), np.nan) for _ in range(2))
    for row, lag in enumerate(lags.tolist()):
        first, second = (counted, counted) if lag == 0 else series.pairs(lag)
        products = _sums(deviations[first] * deviations[second], shares[first], numbers[first], n_blocks)
        pair_weights = np.bincount(numbers[first], shares[first], n_blocks)
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation[row] = products.sum(axis=0) / pair_weights.sum() / variance
            drawn = (counts @ products) / (counts @ pair_weights)[:, None]
            error[row] = np.std(drawn / drawn_variance, axis=0)
    return Autocorrelation(
        lag_times=lags,
        correlation=correlation,
        error=error,
        correlation_time=time * series.frame_time,
        frame_time=series.frame_time,
        unit=series.unit,
    )


def _sums(values: np.ndarray, shares: np.ndarray, numbers: np.ndarray, n_blocks: int) -> np.ndarray:
    """Weighted sums over the frames of each block, shape (blocks, dims)."""
    is_counted = numbers >= 0
    return np.stack(
        [np.bincount(numbers[is_counted], (shares * column)[is_counted], n_blocks) for column in values.T],
        axis=1,
    )
