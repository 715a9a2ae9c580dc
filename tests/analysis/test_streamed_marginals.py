"""Distance marginals from histograms of streamed frames, against those of all distances held."""

import tracemalloc

import numpy as np
import pytest

from polyvae.analysis import distance_marginals, marginals, streamed_marginals
from polyvae.analysis.distribution_distances import wasserstein_of_histograms
from polyvae.trajectory import Trajectory, trajectory
from polyvae.trajectory.mapped import map_array


def sample(n_frames: int, seed: int = 0, *, stretch: float = 1.0, n_atoms: int = 4) -> Trajectory:
    rng = np.random.default_rng(seed)
    return Trajectory(positions=stretch * rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float32))


def streamed(monkeypatch, reference, ensemble, **options):
    with monkeypatch.context() as context:
        context.setattr(marginals, "_MOST_VALUES_HELD", 0)
        # Pieces of 300 frames of 4 atoms.
        context.setattr(trajectory, "_CHUNK_BYTES", 300 * 48)
        return distance_marginals(reference, ensemble, **options)


def mapped(path, reference):
    path.write_bytes(reference.positions.tobytes())
    return reference.replace(positions=map_array(path, np.float32, reference.positions.shape))


def check_alike(record, exact, *, largest_share):
    """Two records of the same frames: W1 within a fine bin, shares within frames that round over an edge."""
    bins = exact.reference_density.shape[1]
    width = np.diff(exact.edges, axis=1)[:, 0]
    fine = width / -(-streamed_marginals.FEWEST_FINE_BINS // bins)
    np.testing.assert_array_equal(record.pairs, exact.pairs)
    np.testing.assert_allclose(record.edges, exact.edges, rtol=1e-6)
    np.testing.assert_allclose(record.spread, exact.spread, rtol=1e-5)
    for name in ("w1", "floor_w1"):
        assert (np.abs(getattr(record, name) - getattr(exact, name)) <= fine).all()
    for name in ("reference_density", "ensemble_density"):
        difference = np.abs(getattr(record, name) - getattr(exact, name)) * width[:, None]
        assert difference.max() <= 1.01 * largest_share
        assert difference.sum() <= 6 * largest_share
        # The widths are differences of float32 edges.
        np.testing.assert_allclose((getattr(record, name) * width[:, None]).sum(axis=1), 1.0, rtol=1e-5)
    # A half has half of the frames, so that one of them weighs twice as much.
    halves = np.abs(record.half_densities - exact.half_densities) * width[:, None, None]
    assert halves.max() <= 2.02 * largest_share
    # One frame in another bin changes a divergence by about its share times the logarithm of a ratio of counts.
    for name in ("js", "floor_js"):
        np.testing.assert_allclose(getattr(record, name), getattr(exact, name), atol=5 * largest_share)


@pytest.mark.parametrize("bins", [60, 25, 3000])
def test_streamed_numbers_are_those_of_all_distances(monkeypatch, bins):
    reference, ensemble = sample(4000), sample(3100, 1, stretch=1.1)
    exact = distance_marginals(reference, ensemble, bins=bins)
    record = streamed(monkeypatch, reference, ensemble, bins=bins)
    check_alike(record, exact, largest_share=1 / 3100)
    assert record.unit == exact.unit
    # Far closer than one fine bin: errors of single frames cancel.
    np.testing.assert_allclose(record.w1, exact.w1, rtol=2e-3)


@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_weights_enter_the_streamed_numbers(monkeypatch, rng, sides):
    parts = [sample(3000), sample(2500, 1, stretch=1.1)]
    weights = [rng.exponential(size=part.n_frames) for part in parts]
    weights[0][rng.random(3000) < 0.2] = 0.0
    # Beyond the largest float32, and sums beyond the largest float64.
    weights = [values * 1e307 for values in weights]
    parts = [
        part.replace(weights=values / 1e4) if weighted else part
        for part, values, weighted in zip(parts, weights, sides, strict=True)
    ]
    exact = distance_marginals(*parts)
    shares = [
        1 / part.n_frames if part.weights is None else (part.weights / part.weights.sum()).max()
        for part in parts
    ]
    check_alike(streamed(monkeypatch, *parts), exact, largest_share=max(shares))


def test_a_mapped_reference_gives_the_same_bits_as_one_in_memory(monkeypatch, tmp_path):
    reference, ensemble = sample(2000), sample(900, 1)
    on_disk = mapped(tmp_path / "positions", reference)
    for compare in (lambda *sides: streamed(monkeypatch, *sides), distance_marginals):
        record, other = compare(reference, ensemble), compare(on_disk, ensemble)
        for name in ("edges", "reference_density", "ensemble_density", "spread", "w1", "js", "floor_w1"):
            np.testing.assert_array_equal(getattr(record, name), getattr(other, name))


def test_blocks_of_pairs_change_nothing(monkeypatch):
    reference, ensemble = sample(700), sample(900, 1)
    whole = streamed(monkeypatch, reference, ensemble)
    # Two pairs of 2100 bins.
    monkeypatch.setattr(streamed_marginals, "_COUNT_BYTES", 2 * 3 * 2100 * 4)
    monkeypatch.setattr(streamed_marginals, "_PAIRS_AT_ONCE", 1)
    parts = streamed(monkeypatch, reference, ensemble)
    for name in ("edges", "reference_density", "ensemble_density", "spread", "w1", "js", "floor_w1"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_chosen_pairs_alone_are_streamed(monkeypatch):
    reference, ensemble = sample(500), sample(600, 1)
    pairs = np.array([[3, 0], [1, 2]])
    record = streamed(monkeypatch, reference, ensemble, pairs=pairs)
    assert record.pairs.tolist() == pairs.tolist()
    every = streamed(monkeypatch, reference, ensemble)
    np.testing.assert_allclose(record.w1, every.w1[[2, 3]], rtol=1e-6)


def test_a_rigid_pair_streams_to_a_histogram_of_finite_width(monkeypatch):
    positions = np.zeros((40, 2, 3), np.float32)
    positions[:, 1, 0] = 30.0
    record = streamed(monkeypatch, Trajectory(positions=positions), Trajectory(positions=positions))
    assert np.isfinite(record.reference_density).all()
    assert record.w1[0] == record.js[0] == record.floor_w1[0] == record.spread[0] == 0.0
    assert record.edges[0, 0] == pytest.approx(30.0)


def test_memory_does_not_grow_with_the_number_of_frames(monkeypatch, tmp_path):
    ensemble = sample(400, 1)
    # Everything is compiled and imported before memory is watched.
    streamed(monkeypatch, sample(400), ensemble)
    peaks = []
    for n_frames in (10_000, 100_000):
        reference = mapped(tmp_path / str(n_frames), sample(n_frames))
        tracemalloc.start()
        streamed(monkeypatch, reference, ensemble)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # One number a frame more would be 90 000 times 8 bytes.
    assert peaks[1] - peaks[0] < 200_000


def test_the_distance_of_histograms_is_exact_for_samples_on_edges():
    first, second = np.array([[0.5, 0.5, 0.0, 0.0]]), np.array([[0.0, 0.25, 0.0, 0.75]])
    # Half moves by 3 bins less a quarter that moves by one, and a quarter by 2.
    assert wasserstein_of_histograms(first, second, np.array([0.2])) == pytest.approx(
        0.2 * (0.25 * 1 + 0.25 * 3 + 0.5 * 2)
    )
