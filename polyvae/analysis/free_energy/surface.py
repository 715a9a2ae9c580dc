r"""`free_energy_surface`: \(F(s) = -k_B T \ln p(s)\) along one or two coordinates, with an error for every bin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvae.analysis.free_energy.blocks import block_numbers, bootstrap_counts, correlation_time
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError
from polyvae.trajectory.weights import normalized_weights
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K

FEWEST_VISITS = 5.0
"""Effective number of blocks below which a bin is marked as badly sampled."""

_BINS = {1: 100, 2: 50}


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeEnergySurface:
    """Free energy on a grid of bins.

    Attributes:
        energy: of every bin, shape (bins,) or (bins, bins), its lowest value 0; NaN where no frame lies.
        error: standard error of -kT ln p of every bin, from blocks drawn anew; NaN where no frame lies.
        probability: of every bin; they sum to one.
        effective_samples: effective number of blocks that have been in a bin, (Σ w)² / Σ w² over the blocks.
        edges: of the bins along each coordinate, shapes (bins + 1,).
        periods: of each coordinate, or None for one that is not periodic.
        names: of the coordinates.
        units: "kJ/mol" or "kT".
        kbt: thermal energy in these units.
        blocks: weight of every bin in each block of frames, shape (blocks, bins) or (blocks, bins, bins).
        correlation_time: of the coordinates, in frames.
        outside: share of the weight outside of the bounds.
    """

    energy: np.ndarray
    error: np.ndarray
    probability: np.ndarray
    effective_samples: np.ndarray
    edges: tuple[np.ndarray, ...]
    periods: tuple[float | None, ...]
    names: tuple[str, ...]
    units: str
    kbt: float
    blocks: np.ndarray
    correlation_time: float
    outside: float

    @property
    def centers(self) -> tuple[np.ndarray, ...]:
        """Centers of the bins along each coordinate, shapes (bins,)."""
        return tuple(0.5 * (edges[:-1] + edges[1:]) for edges in self.edges)

    @property
    def badly_sampled(self) -> np.ndarray:
        """Bins that fewer than five blocks have been in, in effect: their error cannot be trusted."""
        return self.effective_samples < FEWEST_VISITS

    def positions(self, bins: np.ndarray) -> np.ndarray:
        """Coordinates of the centers of some bins, shape (n, coordinates).

        Args:
            bins: numbers of the bins in the flattened grid, shape (n,).
        """
        indices = np.unravel_index(bins, self.energy.shape)
        return np.stack(
            [centers[index] for centers, index in zip(self.centers, indices, strict=True)], axis=1
        )


def free_energy_surface(
    X: LatentTrajectory | np.ndarray,
    *,
    temp: float = 300.0,
    units: str = "kJ/mol",
    kbt: float | None = None,
    num_samples: int | Sequence[int] | None = None,
    bounds: Sequence[Any] | None = None,
    bandwidth: float | Sequence[float] | None = None,
    weights: np.ndarray | None = None,
    blocks: int | None = None,
    segments: tuple[int, ...] | None = None,
    periods: Sequence[float | None] | None = None,
    dimensions: Sequence[int] = (0, 1),
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> FreeEnergySurface:
    r"""Free energy along one or two coordinates, from a histogram of the frames.

    Arguments that mlcolvar's `compute_fes` has bear its names. The error of a bin is \(k_B T\) times the relative
    standard error of its probability over 400 draws of blocks of consecutive frames with replacement. Blocks are five
    autocorrelation times of the coordinates long, so that correlated frames do not count twice.

    Args:
        X: a latent trajectory, or coordinates of shape (frames,), (frames, 1) or (frames, 2).
        temp: temperature in K.
        units: of the result, "kJ/mol" or "kT".
        kbt: thermal energy in the unit of the result, in place of `temp`; for reduced units.
        num_samples: bins along each coordinate; None for 100 along one, 50 along each of two.
        bounds: lowest and highest value of each coordinate; None for the range of the frames, or the period.
        bandwidth: standard deviation of a Gaussian that smooths the histogram, in the unit of the coordinate; None
            leaves it as it is. It lowers the noise and the barriers.
        weights: statistical weight of each frame; None for those of a latent trajectory, or equal ones.
        blocks: number of blocks; None lets the autocorrelation time choose.
        segments: lengths of the joined simulations; None for those of a latent trajectory, or a single one.
        periods: period of each coordinate, such as (2 * numpy.pi, None).
        dimensions: which latent dimensions of a latent trajectory.
        names: of the coordinates, for figures.
        seed: of the draws.

    Raises:
        InputError: if shapes do not fit, a value is not finite, or no frame lies within the bounds.

    Warns:
        PolyvaeWarning: if the frames hold fewer than ten independent blocks.
    """
    if isinstance(X, LatentTrajectory):
        shown = [d for d in dimensions if d < X.mean.shape[1]]
        if not shown or min(shown) < 0:
            raise InputError(
                f"`dimensions`={tuple(dimensions)} are none of the {X.mean.shape[1]} latent dimensions, counted from 0."
            )
        weights = X.weights if weights is None else weights
        segments = X.segments if segments is None else segments
        names = [f"latent z{d + 1}" for d in shown] if names is None else names
        X = X.mean[:, shown]
    values = _checked_values(X)
    n_frames, dims = values.shape
    segments = (n_frames,) if segments is None else tuple(segments)
    if sum(segments) != n_frames:
        raise InputError(f"`segments` sum to {sum(segments)}; expected {n_frames} frames.")
    counts = _for_each(num_samples if num_samples is not None else _BINS[dims], dims, "num_samples")
    turns: tuple[float | None, ...] = (None,) * dims if periods is None else tuple(periods)
    if len(turns) != dims:
        raise InputError(f"`periods` needs one entry for each of the {dims} coordinates; got {len(turns)}.")
    thermal = thermal_energy(temp, units, kbt)
    edges = _edges(values, counts, bounds, turns)
    shares = np.full(n_frames, 1.0 / n_frames) if weights is None else normalized_weights(weights, n_frames)
    time = correlation_time(values, segments)
    numbers = block_numbers(segments, blocks=blocks, time=time)
    histograms, inside = _histograms(values, shares, numbers, edges, turns)
    if bandwidth is not None:
        # Four tenths of a second of imports, which most commands need not wait for.
        from scipy.ndimage import gaussian_filter1d

        for axis, width in enumerate(_for_each(bandwidth, dims, "bandwidth")):
            step = edges[axis][1] - edges[axis][0]
            mode = "wrap" if turns[axis] is not None else "reflect"
            histograms = gaussian_filter1d(histograms, width / step, axis=1 + axis, mode=mode)
    total = histograms.sum(axis=0)
    probability = total / total.sum()
    flat = histograms.reshape(len(histograms), -1)
    draws = bootstrap_counts(len(flat), seed) @ flat
    draws /= draws.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = np.where(probability > 0, -thermal * np.log(probability), np.nan)
        error = thermal * draws.std(axis=0).reshape(probability.shape) / probability
        effective = np.nan_to_num(total**2 / (histograms**2).sum(axis=0))
    return FreeEnergySurface(
        energy=energy - np.nanmin(energy),
        error=np.where(probability > 0, error, np.nan),
        probability=probability,
        effective_samples=effective,
        edges=edges,
        periods=turns,
        names=tuple(names) if names is not None else tuple(f"coordinate {i + 1}" for i in range(dims)),
        units=units,
        kbt=thermal,
        blocks=histograms,
        correlation_time=time,
        outside=max(0.0, 1.0 - inside),
    )


def _checked_values(X: Any) -> np.ndarray:
    values = np.asarray(X, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] not in (1, 2) or len(values) < 2:
        raise InputError(
            f"`X` must have shape (frames,), (frames, 1) or (frames, 2), and two frames at least; got {np.shape(X)}. "
            "Choose one or two coordinates, such as X[:, :2]."
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(
            f"`X` holds NaN or infinity in {bad.sum()} frames, first in frame {int(np.argmax(bad))}. Leave them out."
        )
    return values


def _for_each(value: Any, dims: int, name: str) -> list[Any]:
    """One number for each coordinate."""
    given = list(value) if np.ndim(value) else [value] * dims
    if len(given) != dims or not all(number > 0 for number in given):
        raise InputError(
            f"`{name}` must be positive, one number or one for each of the {dims} coordinates; got {value}."
        )
    return given


def thermal_energy(temp: float, units: str, kbt: float | None) -> float:
    """Thermal energy in the unit of the result."""
    if units not in ("kJ/mol", "kT"):
        raise InputError(f"`units` must be 'kJ/mol' or 'kT'; got {units!r}.")
    if kbt is None:
        kbt = 1.0 if units == "kT" else BOLTZMANN_KJ_PER_MOL_K * temp
    if not 0 < kbt < np.inf:
        raise InputError(f"The thermal energy must be positive; got `temp`={temp}, `kbt`={kbt}.")
    return float(kbt)


def _edges(
    values: np.ndarray,
    counts: list[int],
    bounds: Sequence[Any] | None,
    periods: Sequence[float | None],
) -> tuple[np.ndarray, ...]:
    dims = values.shape[1]
    if bounds is not None and (np.shape(bounds) == (2,) and dims == 1):
        bounds = [tuple(bounds)]  # type: ignore[list-item]
    if bounds is not None and np.shape(bounds) != (dims, 2):
        raise InputError(
            f"`bounds` needs a lowest and a highest value for each of the {dims} coordinates; got {bounds}."
        )
    edges = []
    for axis, (count, period) in enumerate(zip(counts, periods, strict=True)):
        if bounds is not None:
            low, high = map(float, bounds[axis])
        elif period is not None:
            low, high = -period / 2, period / 2
        else:
            low, high = float(values[:, axis].min()), float(values[:, axis].max())
            room = 1e-9 * max(abs(low), abs(high), 1e-300)
            low, high = low - room, high + room
        if not low < high:
            raise InputError(f"`bounds` of coordinate {axis + 1} must rise; got {low} to {high}.")
        if period is not None and not np.isclose(high - low, period):
            raise InputError(
                f"`bounds` of coordinate {axis + 1} span {high - low}, its period is {period}. Leave `bounds` out, or "
                "give one whole period."
            )
        edges.append(np.linspace(low, high, int(count) + 1))
    return tuple(edges)


def _histograms(
    values: np.ndarray,
    shares: np.ndarray,
    numbers: np.ndarray,
    edges: tuple[np.ndarray, ...],
    periods: Sequence[float | None],
) -> tuple[np.ndarray, float]:
    """Weight of every bin in each block, and of all bins together."""
    shape = tuple(len(axis) - 1 for axis in edges)
    bins, inside = np.zeros(len(values), np.int64), np.ones(len(values), bool)
    for column, axis, period, count in zip(values.T, edges, periods, shape, strict=True):
        wrapped = column if period is None else axis[0] + np.mod(column - axis[0], period)
        index = np.floor((wrapped - axis[0]) / (axis[-1] - axis[0]) * count).astype(np.int64)
        inside &= (wrapped >= axis[0]) & (wrapped <= axis[-1])
        bins = bins * count + np.clip(index, 0, count - 1)
    if not shares[inside].sum() > 0:
        raise InputError("No frame with a weight lies within the bounds. Widen `bounds`, or leave them out.")
    n_blocks, n_bins = int(numbers[-1]) + 1, int(np.prod(shape))
    flat = np.bincount((numbers * n_bins + bins)[inside], weights=shares[inside], minlength=n_blocks * n_bins)
    return flat.reshape(n_blocks, *shape), float(shares[inside].sum())
