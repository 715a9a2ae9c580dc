"""Distance distributions of trajectories that are too long to hold all distances of: from histograms of fine bins.

Every distance is counted in one of about 2000 bins between the smallest and the largest of its pair. The fine bins nest
into the bins that are asked for, so the densities and JS are those of all distances; W1 comes from the distribution
functions at the edges of the fine bins. Frames are read piece by piece, and memory does not grow with their number.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from polyvae.analysis.distribution_distances import jensen_shannon, wasserstein_of_histograms
from polyvae.features.distance_histograms import FrameChunk, distance_counts, distance_ranges
from polyvae.trajectory import Trajectory

FEWEST_FINE_BINS = 2048
_COUNT_BYTES = 256_000_000
_PAIRS_AT_ONCE = 256


class ComparedPairs(NamedTuple):
    """Numbers of some pairs; the fields are those of `DistanceMarginals`."""

    edges: np.ndarray
    reference_density: np.ndarray
    ensemble_density: np.ndarray
    spread: np.ndarray
    w1: np.ndarray
    js: np.ndarray
    floor_w1: np.ndarray
    floor_js: np.ndarray
    half_densities: np.ndarray


def joined(parts: list[ComparedPairs]) -> ComparedPairs:
    """The numbers of all pairs, from those of consecutive ones."""
    return ComparedPairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def bin_ranges(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges of the histograms; a pair of one distance gets bins of a finite width."""
    return low, np.where(high > low, high, low * 1.001 + 1e-6)


def number_counted(trajectory: Trajectory) -> int:
    """Number of frames of a weight above zero."""
    weights = trajectory.weights
    return trajectory.n_frames if weights is None else int(np.count_nonzero(weights))


def block_of(rank: np.ndarray, n_frames: int) -> np.ndarray:
    """Which of about 20 contiguous blocks each frame belongs to, by its number among those that count."""
    n_blocks = min(20, n_frames)
    return rank * n_blocks // n_frames


def stream_comparison(
    reference: Trajectory, ensemble: Trajectory, pairs: np.ndarray, bins: int
) -> ComparedPairs:
    """Compare the distances of two trajectories, neither of which need fit into memory.

    W1 is within one fine bin of the exact one: a 1/2048 of the range of the pair, or less.

    Args:
        reference: the data, of two frames of a weight above zero at least.
        ensemble: what is compared with them, the same atoms.
        pairs: zero-based atom pairs, shape (pairs, 2).
        bins: bins of each pair's histogram.
    """
    ranges = [distance_ranges(_frame_chunks(side), pairs) for side in (reference, ensemble)]
    low, high = bin_ranges(
        np.minimum(ranges[0].low, ranges[1].low), np.maximum(ranges[0].high, ranges[1].high)
    )
    spread = ranges[0].standard_deviation
    nested = -(-FEWEST_FINE_BINS // bins)
    # Two halves of the reference, and the ensemble.
    bytes_a_pair = 3 * nested * bins * (4 if reference.weights is None and ensemble.weights is None else 8)
    n_blocks = -(-len(pairs) * bytes_a_pair // _COUNT_BYTES)
    return joined(
        [
            part
            for block in np.array_split(np.arange(len(pairs)), n_blocks)
            for part in _compare(
                reference, ensemble, pairs[block], low[block], high[block], spread[block], bins, nested
            )
        ]
    )


def _frame_chunks(trajectory: Trajectory) -> Iterator[FrameChunk]:
    """Pieces of a trajectory; a label says which half of the counted frames a frame is in."""
    weights = trajectory.weights
    n_counted = number_counted(trajectory)
    largest = 1.0 if weights is None else weights.max()
    start = counted = 0
    for positions in trajectory.position_chunks():
        stop = start + len(positions)
        if weights is None:
            part, rank = None, np.arange(start, stop)
        else:
            # Relative to the largest, so that no sum overflows.
            part = weights[start:stop] / largest
            is_counted = weights[start:stop] > 0
            rank = counted + np.cumsum(is_counted) - is_counted
            counted += int(np.count_nonzero(is_counted))
        yield FrameChunk(positions, part, block_of(rank, n_counted) % 2)
        start = stop


def _compare(
    reference: Trajectory,
    ensemble: Trajectory,
    pairs: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    spread: np.ndarray,
    bins: int,
    nested: int,
) -> Iterator[ComparedPairs]:
    halves = distance_counts(_frame_chunks(reference), pairs, low, high, bins=bins * nested, histograms=2)
    unlabeled = (chunk._replace(labels=None) for chunk in _frame_chunks(ensemble))
    (made,) = distance_counts(unlabeled, pairs, low, high, bins=bins * nested)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        first, second = (half[rows].astype(np.float64) for half in halves)
        every = [first + second, made[rows].astype(np.float64), first, second]
        fine = [counts / counts.sum(axis=1, keepdims=True) for counts in every]
        coarse = [each.reshape(len(each), bins, nested).sum(axis=2) for each in fine]
        width = (high[rows] - low[rows]) / bins
        yield ComparedPairs(
            edges=np.linspace(low[rows], high[rows], bins + 1, axis=1),
            reference_density=coarse[0] / width[:, None],
            ensemble_density=coarse[1] / width[:, None],
            spread=spread[rows],
            w1=wasserstein_of_histograms(fine[0], fine[1], width / nested),
            js=jensen_shannon(coarse[0], coarse[1]),
            floor_w1=wasserstein_of_histograms(fine[2], fine[3], width / nested),
            floor_js=jensen_shannon(coarse[2], coarse[3]),
            half_densities=np.stack(coarse[2:], axis=1) / width[:, None, None],
        )
