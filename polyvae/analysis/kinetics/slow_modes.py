r"""`slow_modes`: the slowest linear combinations of a coordinate, by VAMP or, with detailed balance, by TICA.

VAMP takes the singular functions of \(K = C_{00}^{-1/2} C_{0t} C_{tt}^{-1/2}\), TICA the eigenfunctions of its
symmetrized form. A mode with singular value or eigenvalue λ has the implied timescale \(t = -\tau / \ln|\lambda|\).

References:
    Wu & Noé, Variational approach for learning Markov processes from time series data, 2020,
    doi:10.1007/s00332-019-09567-y.
    Pérez-Hernández et al., Identification of slow molecular order parameters for Markov model construction, 2013,
    doi:10.1063/1.4811489.
"""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.kinetics.lagged_covariances import LaggedCovariances, lagged_covariances
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.whitening import CUTOFF, inverse_root, timescales_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class SlowModes:
    """Slow modes of a coordinate, the slowest first; each has mean zero and variance one over the first frames.

    Attributes:
        transform: coordinate to modes, shape (dims, modes): modes = (rows - mean) @ transform.
        mean: subtracted from the coordinate, shape (dims,).
        second_transform: to the modes of second frames; the same as `transform` for a reversible estimate.
        second_mean: its mean.
        values: singular values, or eigenvalues of a reversible estimate, shape (modes,).
        timescales: implied timescale of each mode, in `unit`; NaN where a value does not decay.
        lag_time: in frames.
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
        is_reversible: whether detailed balance was assumed (TICA), or not (VAMP).
        rank: directions of the coordinate whose variance is above the cutoff.
        dropped: directions below it, which no mode uses.
        cutoff: smallest eigenvalue of the correlation matrix that counts, relative to the largest.
        pairs: pairs of frames behind the estimate.
    """

    transform: np.ndarray
    mean: np.ndarray
    second_transform: np.ndarray
    second_mean: np.ndarray
    values: np.ndarray
    timescales: np.ndarray
    lag_time: int
    frame_time: float
    unit: str
    is_reversible: bool
    rank: int
    dropped: int
    cutoff: float
    pairs: int

    def __len__(self) -> int:
        return len(self.values)

    def of(self, rows: LatentTrajectory | np.ndarray) -> np.ndarray:
        """The modes of some frames, shape (frames, modes).

        Args:
            rows: a latent trajectory, or values of the coordinate of shape (frames, dims).

        Raises:
            InputError: if the coordinate has another number of dimensions.
        """
        return (self._checked(rows) - self.mean) @ self.transform

    def of_second(self, rows: LatentTrajectory | np.ndarray) -> np.ndarray:
        """The right singular functions of some frames, which belong to the second frame of a pair."""
        return (self._checked(rows) - self.second_mean) @ self.second_transform

    def _checked(self, rows: LatentTrajectory | np.ndarray) -> np.ndarray:
        values = np.asarray(rows.mean if isinstance(rows, LatentTrajectory) else rows, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            raise InputError(f"`rows` must have shape (frames, {len(self.mean)}); got {values.shape}.")
        return values


def slow_modes(
    latent: LatentTrajectory | Series | np.ndarray,
    lag_time: int,
    *,
    frames: np.ndarray | None = None,
    n_modes: int | None = None,
    reversible: bool = False,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    cutoff: float = CUTOFF,
) -> SlowModes:
    """The slowest linear combinations of a coordinate at a lag time.

    Args:
        latent: a latent trajectory, or any coordinate or features of shape (frames, dims).
        lag_time: lag time in frames.
        frames: indices of the frames to use, ascending, such as the training frames of a split; None for all.
        n_modes: how many modes; None for all that there are.
        reversible: whether to assume detailed balance (TICA). That is right for equilibrium simulations, and gives
            eigenvalues; without it (VAMP) the modes of first and second frames differ.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        cutoff: directions whose eigenvalue in the correlation matrix is below this share of the largest are dropped.

    Raises:
        InputError: as `lagged_covariances`; if the coordinate is constant, or `n_modes` is more than there are.
    """
    series = series_of(latent, segments=segments, weights=weights)
    return modes_of(
        lagged_covariances(series, lag_time, frames=frames, reversible=reversible),
        series,
        n_modes=n_modes,
        cutoff=cutoff,
    )


def modes_of(
    covariances: LaggedCovariances, series: Series, *, n_modes: int | None = None, cutoff: float = CUTOFF
) -> SlowModes:
    """The modes that covariances of a coordinate hold; arguments and errors as `slow_modes`."""
    left, left_kept = inverse_root(covariances.c00, cutoff)
    right, right_kept = inverse_root(covariances.ctt, cutoff)
    left, right = left[:, left_kept], right[:, right_kept]
    rank = min(left.shape[1], right.shape[1])
    if rank == 0:
        raise InputError(
            f"{series.source}: the coordinate is constant over the {covariances.pairs} pairs of frames, so it has no "
            "slow modes. A latent that carries nothing has collapsed: see the diagnosis of the fit."
        )
    if n_modes is not None and not 1 <= n_modes <= rank:
        raise InputError(
            f"`n_modes` must be at least 1 and at most the {rank} independent directions of the coordinate; got "
            f"{n_modes}."
        )
    koopman = left.T @ covariances.c0t @ right
    if covariances.is_reversible:
        values, vectors = np.linalg.eigh(0.5 * (koopman + koopman.T))
        order = np.argsort(-np.abs(values), kind="stable")
        values, vectors = values[order], vectors[:, order]
        transform = second_transform = left @ vectors
    else:
        u, values, vt = np.linalg.svd(koopman, full_matrices=False)
        transform, second_transform = left @ u, right @ vt.T
    # The sign of a mode means nothing: its largest entry, on coordinates of unit variance, is positive.
    scaled = np.sqrt(np.diagonal(covariances.c00))[:, None] * transform
    signs = np.sign(scaled[np.abs(scaled).argmax(axis=0), np.arange(scaled.shape[1])])
    kept = slice(n_modes)
    return SlowModes(
        transform=(transform * signs)[:, kept],
        mean=covariances.mean_first,
        second_transform=(second_transform * signs)[:, kept],
        second_mean=covariances.mean_second,
        values=values[kept],
        timescales=timescales_of(values[kept], covariances.lag_time * series.frame_time),
        lag_time=covariances.lag_time,
        frame_time=series.frame_time,
        unit=series.unit,
        is_reversible=covariances.is_reversible,
        rank=rank,
        dropped=len(covariances.c00) - rank,
        cutoff=cutoff,
        pairs=covariances.pairs,
    )
