"""Streamed histograms of pair distances against NumPy's."""

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import distance_histograms
from polyvae.features.distance_histograms import FrameChunk, distance_counts, distance_ranges

# Float32 rounds a distance by 1e-7 of itself, which is more than 1e-7 of its range: an edge lies in between for a share
# of the frames of some 1e-7 times the number of bins.
SHARE_MOVED = 1e-6


def frames(n_frames: int, n_atoms: int = 6, dims: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    shape = rng.normal(size=(n_atoms, dims))
    return (shape + 0.3 * rng.normal(size=(n_frames, n_atoms, dims))).astype(np.float32)


def every_pair(n_atoms: int) -> np.ndarray:
    return np.stack(np.triu_indices(n_atoms, 1), axis=1)


def distances(positions: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    wide = positions.astype(np.float64)
    return np.linalg.norm(wide[:, pairs[:, 0]] - wide[:, pairs[:, 1]], axis=-1).T


def pieces(positions, size, weights=None, labels=None):
    part = lambda values, start: None if values is None else values[start : start + size]  # noqa: E731
    return [
        FrameChunk(part(positions, start), part(weights, start), part(labels, start))
        for start in range(0, len(positions), size)
    ]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("bins", [7, 2048])
def test_ranges_moments_and_counts_are_those_of_numpy(rng, dims, is_weighted, bins):
    positions, pairs = frames(5000, dims=dims), every_pair(6)
    weights = rng.exponential(size=5000) if is_weighted else None
    chunks = pieces(positions, 1300, weights)
    ranges = distance_ranges(chunks, pairs)
    counts = distance_counts(chunks, pairs, ranges.low, ranges.high, bins=bins)
    assert counts.dtype == (np.float64 if is_weighted else np.uint32)
    assert counts.shape == (1, len(pairs), bins)
    for row, values in enumerate(distances(positions, pairs)):
        mean = np.average(values, weights=weights)
        spread = np.sqrt(np.average((values - mean) ** 2, weights=weights))
        assert ranges.low[row] == pytest.approx(values.min(), rel=1e-6, abs=1e-6)
        assert ranges.high[row] == pytest.approx(values.max(), rel=1e-6)
        assert ranges.mean[row] == pytest.approx(mean, rel=1e-6)
        assert ranges.standard_deviation[row] == pytest.approx(spread, rel=1e-5)
        expected, _ = np.histogram(values, bins, (ranges.low[row], ranges.high[row]), weights=weights)
        # The smallest and the largest may round out of NumPy's range, and are lost there.
        lost = (values < ranges.low[row]) | (values > ranges.high[row])
        assert lost.sum() <= 2
        missing = lost.sum() if weights is None else weights[lost].sum()
        assert counts[0, row].sum() == pytest.approx(expected.sum() + missing, rel=1e-12)
        most_moved = (2 + SHARE_MOVED * bins * 5000) * (1.0 if weights is None else weights.max())
        # A moved frame leaves one bin and enters another.
        assert np.abs(counts[0, row] - expected).sum() <= 2 * most_moved


def test_the_size_of_the_pieces_changes_nothing(rng, monkeypatch):
    positions, pairs = frames(3000), every_pair(6)
    weights, labels = rng.exponential(size=3000), rng.integers(0, 3, 3000)
    weights[rng.random(3000) < 0.3] = 0.0

    def both(size, weights):
        ranges = distance_ranges(pieces(positions, size, weights), pairs)
        counts = distance_counts(
            pieces(positions, size, weights, labels), pairs, ranges.low, ranges.high, bins=20, histograms=3
        )
        return ranges, counts

    for given in (weights, None):
        whole, whole_counts = both(3000, given)
        monkeypatch.setattr(distance_histograms, "_CALL_BYTES", 40_000)
        parts, parts_counts = both(170, given)
        monkeypatch.undo()
        np.testing.assert_array_equal(parts.low, whole.low)
        np.testing.assert_array_equal(parts.high, whole.high)
        # Sums in another order, of float32 within each block.
        np.testing.assert_allclose(parts.standard_deviation, whole.standard_deviation, rtol=1e-5)
        np.testing.assert_allclose(parts_counts, whole_counts, rtol=1e-12)


def test_frames_count_towards_the_histogram_of_their_label():
    positions, pairs = frames(2000), every_pair(6)
    labels = np.arange(2000) % 7 % 2
    low, high = np.zeros(len(pairs)), np.full(len(pairs), 6.0)
    both = distance_counts([FrameChunk(positions, None, labels)], pairs, low, high, bins=30, histograms=2)
    for label in (0, 1):
        alone = distance_counts([FrameChunk(positions[labels == label])], pairs, low, high, bins=30)
        np.testing.assert_array_equal(both[label], alone[0])


def test_frames_of_weight_zero_are_as_good_as_absent():
    positions, pairs = frames(100), every_pair(6)
    weights = np.ones(100)
    positions[40:60] *= 50
    weights[40:60] = 0
    kept = np.delete(positions, np.arange(40, 60), axis=0)
    ranges = distance_ranges([FrameChunk(positions, weights)], pairs)
    alone = distance_ranges([FrameChunk(kept)], pairs)
    np.testing.assert_array_equal(ranges.high, alone.high)
    np.testing.assert_allclose(ranges.standard_deviation, alone.standard_deviation, rtol=1e-6)
    counts = distance_counts([FrameChunk(positions, weights)], pairs, alone.low, alone.high, bins=9)
    np.testing.assert_array_equal(
        counts, distance_counts([FrameChunk(kept)], pairs, alone.low, alone.high, bins=9)
    )


def test_chosen_pairs_in_any_order_are_counted_in_that_order():
    positions = frames(500, n_atoms=8)
    pairs = np.array([[7, 2], [2, 7], [3, 3 + 2]])
    ranges = distance_ranges([FrameChunk(positions)], pairs)
    counts = distance_counts([FrameChunk(positions)], pairs, ranges.low, ranges.high, bins=5)
    np.testing.assert_array_equal(counts[0, 0], counts[0, 1])
    alone = distance_ranges([FrameChunk(positions[:, [3, 5]])], np.array([[0, 1]]))
    assert ranges.low[2] == alone.low[0]


def test_many_pairs_are_taken_in_blocks():
    positions, pairs = frames(60, n_atoms=20), every_pair(20)
    ranges = distance_ranges([FrameChunk(positions)], pairs)
    values = distances(positions, pairs)
    np.testing.assert_allclose(ranges.low, values.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(ranges.high, values.max(axis=1), rtol=1e-5)
    counts = distance_counts([FrameChunk(positions)], pairs, ranges.low, ranges.high, bins=4)
    assert (counts.sum(axis=2) == 60).all()


def test_the_spread_of_a_stiff_bond_keeps_its_digits(rng):
    positions = np.zeros((50_000, 2, 3), np.float32)
    positions[:, 1, 0] = 100.0 + 0.01 * rng.normal(size=50_000)
    spread = distance_ranges([FrameChunk(positions)], np.array([[0, 1]])).standard_deviation[0]
    assert spread == pytest.approx(positions[:, 1, 0].astype(np.float64).std(), rel=1e-5)


def test_no_frame_and_no_range_are_refused():
    pairs = np.array([[0, 1]])
    with pytest.raises(InputError, match="at least one frame of a weight above zero"):
        distance_ranges([FrameChunk(frames(5), np.zeros(5))], pairs)
    with pytest.raises(InputError, match=r"`high` must be above `low`; got 1.0 and 1.0 for pair 0"):
        distance_counts([FrameChunk(frames(5))], pairs, np.ones(1), np.ones(1), bins=4)
