"""Marginal distributions of pair distances, data against an ensemble, with errors and their noise floor.

Statistical weights of the frames enter every number, on either side; frames of weight zero are left out first.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.distribution_distances import jensen_shannon, wasserstein
from polyvae.analysis.streamed_marginals import (
    ComparedPairs,
    bin_ranges,
    block_of,
    joined,
    number_counted,
    stream_comparison,
)
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import normalized_weights

LARGEST_NUMBER_OF_PAIRS = 20_000
_MOST_VALUES_HELD = 20_000_000
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
        w1: 1-Wasserstein distance between the two, one number a pair, unit of length; exact for up to
            20 million distances, else within 1/2048 of the range of the pair's histogram.
        js: Jensen-Shannon divergence of the two histograms, one number a pair, nats.
        floor_w1: W1 between two halves of the reference (alternating blocks of time, each frame with its weight): the
            noise floor.
        floor_js: JS between these halves.
        unit: unit of length.
        half_densities: histogram densities of these halves, shape (pairs, 2, bins), per unit length: by how much two
            samples of the same distribution differ. None in records of older versions.
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
    half_densities: np.ndarray | None = None

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

    W1 is exact where frames of both times pairs are 20 million or fewer: no binning enters. Above that distances are
    counted as they are read, in at least 2048 fine bins a pair that nest into the `bins`. W1 then comes from the
    distribution functions at the edges of the fine bins, and is within one fine bin of the exact one; JS and densities
    are of the `bins` as before. Memory does not grow with the number of frames, and neither side need fit into it.

    Args:
        reference: the data; it may be mapped from a file.
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
    n_frames = number_counted(reference)
    if n_frames < 2:
        raise InputError(
            f"{reference.source}: a noise floor needs at least two frames, of a weight above zero where there are "
            f"weights; got {n_frames}."
        )
    if bins < 2:
        raise InputError(f"`bins` must be at least 2; got {bins}.")
    pairs = chosen_pairs(reference.n_atoms, pairs)
    n_values = (n_frames + number_counted(ensemble)) * len(pairs)
    compare = _hold_and_compare if n_values <= _MOST_VALUES_HELD else stream_comparison
    columns = compare(reference, ensemble, pairs, bins)
    return DistanceMarginals(pairs=pairs, unit=reference.units.length, **columns._asdict())


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


def alternating_blocks(n_frames: int) -> np.ndarray:
    """True for every other one of about 20 contiguous blocks of frames."""
    return block_of(np.arange(n_frames), n_frames) % 2 == 0


def _hold_and_compare(
    reference: Trajectory, ensemble: Trajectory, pairs: np.ndarray, bins: int
) -> ComparedPairs:
    """All distances of a block of pairs at a time, and the exact W1."""
    sides = [_Counted.of(side) for side in (reference, ensemble)]
    half = alternating_blocks(sides[0].n_frames)
    weights = _probabilities(sides[0].weights, sides[1].weights, half)
    block = max(1, _BLOCK_VALUES // (sides[0].n_frames + sides[1].n_frames))
    return joined(
        [
            _compare(sides[0].distances(chosen), sides[1].distances(chosen), weights, half, bins)
            for chosen in np.array_split(pairs, -(-len(pairs) // block))
        ]
    )


@dataclass(frozen=True)
class _Counted:
    """The frames of a trajectory whose weight is above zero: all of them where `frames` is None."""

    trajectory: Trajectory
    frames: np.ndarray | None
    weights: np.ndarray | None
    n_frames: int

    @classmethod
    def of(cls, trajectory: Trajectory) -> "_Counted":
        weights = trajectory.weights
        if weights is None or weights.all():
            return cls(trajectory, None, weights, trajectory.n_frames)
        frames = np.flatnonzero(weights)
        return cls(trajectory, frames, weights[frames], len(frames))

    def distances(self, pairs: np.ndarray) -> np.ndarray:
        """Distances of shape (pairs, frames), float32."""
        square = np.zeros((len(pairs), self.n_frames), np.float32)
        start = 0
        for positions in self.trajectory.position_chunks(self.frames):
            stop = start + len(positions)
            for axis in range(self.trajectory.dims):
                column = np.ascontiguousarray(positions[:, :, axis].T)
                square[:, start:stop] += (column[pairs[:, 0]] - column[pairs[:, 1]]) ** 2
            start = stop
        return np.sqrt(square)


def _probabilities(
    reference: np.ndarray | None, ensemble: np.ndarray | None, half: np.ndarray
) -> list[np.ndarray | None]:
    """Weights of reference, ensemble and both halves of the reference, each with the sum one; None for equal ones."""
    halves = (None, None) if reference is None else (reference[half], reference[~half])
    every = (reference, ensemble, *halves)
    return [None if weights is None else normalized_weights(weights) for weights in every]


def _compare(
    reference: np.ndarray,
    ensemble: np.ndarray,
    weights: list[np.ndarray | None],
    half: np.ndarray,
    bins: int,
) -> ComparedPairs:
    low, high = bin_ranges(
        np.minimum(reference.min(axis=1), ensemble.min(axis=1)),
        np.maximum(reference.max(axis=1), ensemble.max(axis=1)),
    )
    samples = (reference, ensemble, reference[:, half], reference[:, ~half])
    probabilities = [
        _histogram(sample, every, low, high, bins) for sample, every in zip(samples, weights, strict=True)
    ]
    width = ((high - low) / bins)[:, None]
    return ComparedPairs(
        np.linspace(low, high, bins + 1, axis=1),
        probabilities[0] / width,
        probabilities[1] / width,
        _standard_deviation(reference, weights[0]),
        wasserstein(reference, ensemble, weights[0], weights[1]),
        jensen_shannon(probabilities[0], probabilities[1]),
        wasserstein(samples[2], samples[3], weights[2], weights[3]),
        jensen_shannon(probabilities[2], probabilities[3]),
        np.stack(probabilities[2:], axis=1) / width[:, :, None],
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
