"""Marginal distributions of pair distances, data against an ensemble, with errors and their noise floor.

Statistical weights of the frames enter every number, on either side; frames of weight zero are left out first.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import normalized_weights

LARGEST_NUMBER_OF_PAIRS = 20_000
_BLOCK_VALUES = 8_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceMarginals:
    """Distance distributions of atom pairs in a reference and an ensemble.

    Attributes:
        pairs: zero-based atom pairs, shape (pairs, 2).
        edges: edges of the histogram bins of each pair, shape (pairs, bins + 1), unit of length.
        reference_density: histogram density of the reference, shape (pairs, bins), per unit length.
        ensemble_density: that of the ensemble.
        spread: standard deviation of each pair's distance in the reference, unit of length.
        w1: 1-Wasserstein distance between the two, one number a pair, unit of length; no binning enters.
        js: Jensen-Shannon divergence of the two histograms, one number a pair, nats.
        floor_w1: W1 between two halves of the reference (alternating blocks of time, each frame with its weight): the
            noise floor.
        floor_js: JS between these halves.
        unit: unit of length.
    """

    pairs: np.ndarray
    edges: np.ndarray
    reference_density: np.ndarray
    ensemble_density: np.ndarray
    spread: np.ndarray
    w1: np.ndarray
    js: np.ndarray
    floor_w1: np.ndarray
    floor_js: np.ndarray
    unit: str

    @property
    def ratio_to_floor(self) -> float:
        """Mean W1 over the mean noise floor; about 1 or less is as good as data."""
        return float(self.w1.mean() / self.floor_w1.mean())


def distance_marginals(
    reference: Trajectory,
    ensemble: Trajectory,
    *,
    pairs: np.ndarray | None = None,
    bins: int = 60,
) -> DistanceMarginals:
    """Distance marginals of a reference and an ensemble, with W1 and JS for each pair beside their noise floor.

    Args:
        reference: the data.
        ensemble: generated conformations of the same atoms, any orientation; they may have weights as the data may.
        pairs: zero-based atom pairs of shape (pairs, 2); None takes all pairs, or 20 000 of them drawn at random with
            a warning where there are more.
        bins: bins of each pair's histogram, from its smallest to its largest distance in both.

    Returns:
        A record of densities and errors; plot it with `polyvae.plots.plot_distance_marginals`.

    Raises:
        InputError: if the two do not have the same atoms, a pair is not one of them, or fewer than two frames of the
            reference have a weight above zero.
    """
    check_same_atoms(reference, ensemble, "ensemble")
    reference, ensemble = counted(reference), counted(ensemble)
    if reference.n_frames < 2:
        raise InputError(
            f"{reference.source}: a noise floor needs at least two frames, of a weight above zero where there are "
            f"weights; got {reference.n_frames}."
        )
    if bins < 2:
        raise InputError(f"`bins` must be at least 2; got {bins}.")
    pairs = chosen_pairs(reference.n_atoms, pairs)
    half = alternating_blocks(reference.n_frames)
    weights = _probabilities(reference.weights, ensemble.weights, half)
    block = max(1, _BLOCK_VALUES // (reference.n_frames + ensemble.n_frames))
    parts = [
        _compare(_distances(reference, chosen), _distances(ensemble, chosen), weights, half, bins)
        for chosen in np.array_split(pairs, -(-len(pairs) // block))
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    names = ("edges", "reference_density", "ensemble_density", "spread", "w1", "js", "floor_w1", "floor_js")
    return DistanceMarginals(
        pairs=pairs, unit=reference.units.length, **dict(zip(names, columns, strict=True))
    )


def chosen_pairs(n_atoms: int, pairs: np.ndarray | None) -> np.ndarray:
    """The pairs given, checked; for None all of them, or 20 000 at random with a warning where there are more."""
    if pairs is not None:
        pairs = np.asarray(pairs)
        if (
            pairs.ndim != 2
            or pairs.shape[1] != 2
            or len(pairs) == 0
            or not np.issubdtype(pairs.dtype, np.integer)
        ):
            raise InputError(
                f"`pairs` must be integers of shape (pairs, 2); got {pairs.dtype} of {pairs.shape}."
            )
        if not 0 <= pairs.min() <= pairs.max() < n_atoms:
            worst = pairs.max() if pairs.max() >= n_atoms else pairs.min()
            raise InputError(
                f"`pairs` must be below n_atoms={n_atoms} and not negative; got {worst}. Count from 0."
            )
        return pairs
    if n_atoms < 2:
        raise InputError("A distance needs two atoms; the selection has one.")
    every = np.stack(np.triu_indices(n_atoms, 1), axis=1)
    if len(every) <= LARGEST_NUMBER_OF_PAIRS:
        return every
    warnings.warn(
        f"{n_atoms} atoms make {len(every)} pairs; {LARGEST_NUMBER_OF_PAIRS} drawn at random are compared. "
        "Name the pairs you need with `pairs`.",
        PolyvaeWarning,
        stacklevel=3,
    )
    chosen = np.random.default_rng(0).choice(len(every), LARGEST_NUMBER_OF_PAIRS, replace=False)
    return every[np.sort(chosen)]


def counted(trajectory: Trajectory) -> Trajectory:
    """The frames whose weight is above zero."""
    weights = trajectory.weights
    return trajectory if weights is None or weights.all() else trajectory[weights > 0]


def _probabilities(
    reference: np.ndarray | None, ensemble: np.ndarray | None, half: np.ndarray
) -> list[np.ndarray | None]:
    """Weights of reference, ensemble and both halves of the reference, each with the sum one; None for equal ones."""
    halves = (None, None) if reference is None else (reference[half], reference[~half])
    every = (reference, ensemble, *halves)
    return [None if weights is None else normalized_weights(weights) for weights in every]


def alternating_blocks(n_frames: int) -> np.ndarray:
    """True for every other one of about 20 contiguous blocks of frames."""
    return (np.arange(n_frames) * min(20, n_frames) // n_frames) % 2 == 0


def _distances(trajectory: Trajectory, pairs: np.ndarray) -> np.ndarray:
    """Distances of shape (pairs, frames), float32."""
    positions = trajectory.positions
    square = np.zeros((len(pairs), len(positions)), np.float32)
    for axis in range(trajectory.dims):
        column = np.ascontiguousarray(positions[:, :, axis].T)
        square += (column[pairs[:, 0]] - column[pairs[:, 1]]) ** 2
    return np.sqrt(square)


def _compare(
    reference: np.ndarray,
    ensemble: np.ndarray,
    weights: list[np.ndarray | None],
    half: np.ndarray,
    bins: int,
) -> tuple[np.ndarray, ...]:
    low = np.minimum(reference.min(axis=1), ensemble.min(axis=1))
    high = np.maximum(reference.max(axis=1), ensemble.max(axis=1))
    high = np.where(high > low, high, low * 1.001 + 1e-6)
    samples = (reference, ensemble, reference[:, half], reference[:, ~half])
    probabilities = [
        _histogram(sample, every, low, high, bins) for sample, every in zip(samples, weights, strict=True)
    ]
    width = ((high - low) / bins)[:, None]
    return (
        np.linspace(low, high, bins + 1, axis=1),
        probabilities[0] / width,
        probabilities[1] / width,
        _standard_deviation(reference, weights[0]),
        wasserstein(reference, ensemble, weights[0], weights[1]),
        jensen_shannon(probabilities[0], probabilities[1]),
        wasserstein(samples[2], samples[3], weights[2], weights[3]),
        jensen_shannon(probabilities[2], probabilities[3]),
    )


def _standard_deviation(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        return values.std(axis=1, dtype=np.float64)
    return np.sqrt((values - (values @ weights)[:, None]) ** 2 @ weights)


def _histogram(
    values: np.ndarray, weights: np.ndarray | None, low: np.ndarray, high: np.ndarray, bins: int
) -> np.ndarray:
    """Probability of each bin, shape (rows, bins)."""
    scaled = (values - low[:, None]) * (bins / (high - low))[:, None]
    index = np.clip(scaled.astype(np.int64), 0, bins - 1) + bins * np.arange(len(values))[:, None]
    every = None if weights is None else np.broadcast_to(weights, values.shape).ravel()
    counts = np.bincount(index.ravel(), every, minlength=bins * len(values)).reshape(len(values), bins)
    return counts / values.shape[1] if weights is None else counts


def wasserstein(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Exact 1-Wasserstein distance between the samples in each row, shape (rows,), in the unit of the samples.

    Args:
        first: samples of shape (rows, n).
        second: samples of shape (rows, m).
        first_weights: weights of the columns of `first`, shape (n,), the same in every row, or None for equal ones.
        second_weights: those of `second`, shape (m,).
    """
    n, m = first.shape[1], second.shape[1]
    if n == m and first_weights is None and second_weights is None:
        gaps = np.abs(np.sort(first, axis=1) - np.sort(second, axis=1))
        return gaps.sum(axis=1, dtype=np.float64) / n
    both = np.concatenate([first, second], axis=1)
    order = np.argsort(both, axis=1)
    gaps = np.diff(np.take_along_axis(both, order, axis=1), axis=1)
    # Each value lifts one of the two distribution functions; their difference is constant in between.
    ups, downs = (
        np.full(size, 1.0 / size) if weights is None else normalized_weights(weights)
        for size, weights in ((n, first_weights), (m, second_weights))
    )
    lifts = np.concatenate([ups, -downs])[order]
    return np.sum(np.abs(np.cumsum(lifts, axis=1)[:, :-1]) * gaps, axis=1)


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of the probabilities in each row, nats: ½ KL(p‖m) + ½ KL(q‖m), m = (p + q)/2."""
    middle = 0.5 * (first + second)
    return 0.5 * np.sum(rel_entr(first, middle) + rel_entr(second, middle), axis=1)


def check_same_atoms(reference: Trajectory, other: Trajectory, name: str) -> None:
    """Raise an `InputError` unless the two have as many atoms and dimensions and the same unit of length.

    Args:
        reference: the data.
        other: what is compared with it.
        name: what messages call it.
    """
    if (reference.n_atoms, reference.dims) != (other.n_atoms, other.dims):
        choose = "Choose them with `atoms` when loading."
        advice = choose if reference.dims == other.dims else "Give files of one system."
        raise InputError(
            f"The reference ({reference.source}) has {reference.n_atoms} atoms in {reference.dims} dimensions, the "
            f"{name} ({other.source}) {other.n_atoms} atoms in {other.dims}; both must show the same atoms. {advice}"
        )
    if reference.units.length != other.units.length:
        raise InputError(
            f"Lengths of the reference ({reference.source}) are in {reference.units.length}, those of the {name} "
            f"({other.source}) in {other.units.length}. Load both with the same `units`, and scale positions with "
            "`scale`."
        )
