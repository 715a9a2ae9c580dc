"""Distance marginals against scipy, with their noise floor."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from polyvae.analysis import distance_marginals, marginals
from polyvae.analysis.marginals import jensen_shannon, wasserstein
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.trajectory import Trajectory


def trajectory(n_frames: int, seed: int = 0, *, n_atoms: int = 4, stretch: float = 1.0) -> Trajectory:
    rng = np.random.default_rng(seed)
    return Trajectory(positions=stretch * rng.normal(size=(n_frames, n_atoms, 3)).astype(np.float32))


@pytest.mark.parametrize("sizes", [(300, 300), (300, 217), (5, 400), (1, 3)])
def test_wasserstein_distance_equals_scipy(rng, sizes):
    first, second = rng.normal(size=(3, sizes[0])), 1.3 * rng.normal(size=(3, sizes[1])) + 0.2
    expected = [wasserstein_distance(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(wasserstein(first, second), expected, rtol=1e-10)


def test_wasserstein_distance_with_ties_equals_scipy(rng):
    first, second = rng.integers(0, 4, size=(2, 3, 50)).astype(np.float64)
    second = second[:, :37]
    expected = [wasserstein_distance(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(wasserstein(first, second), expected, rtol=1e-10)


@pytest.mark.parametrize("sizes", [(80, 80), (80, 33)])
@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_weighted_wasserstein_distance_equals_scipy(rng, sizes, sides):
    # Rounded, so that values tie; a fifth of the weights is zero.
    first, second = (np.round(rng.normal(size=(2, size)), 1) for size in sizes)
    weights = [
        np.maximum(rng.exponential(size=size) - 0.2, 0.0) if weighted else None
        for size, weighted in zip(sizes, sides, strict=True)
    ]
    expected = [wasserstein_distance(a, b, *weights) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(wasserstein(first, second, *weights), expected, rtol=1e-10)


def test_wasserstein_distance_of_a_shifted_sample_is_the_shift(rng):
    sample = rng.normal(size=(2, 100))
    np.testing.assert_allclose(wasserstein(sample, sample + 0.7), 0.7, rtol=1e-12)
    np.testing.assert_array_equal(wasserstein(sample, sample), 0.0)


def test_jensen_shannon_divergence_is_the_square_of_scipys_distance(rng):
    first, second = rng.dirichlet(np.full(8, 0.3), size=(2, 5))
    first[0, :4] = 0.0
    first[0] /= first[0].sum()
    expected = [jensenshannon(p, q) ** 2 for p, q in zip(first, second, strict=True)]
    np.testing.assert_allclose(jensen_shannon(first, second), expected, rtol=1e-10)


def test_jensen_shannon_divergence_of_disjoint_distributions_is_log_two():
    first, second = np.array([[0.5, 0.5, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.1, 0.9]])
    np.testing.assert_allclose(jensen_shannon(first, second), np.log(2.0), rtol=1e-12)


def test_every_number_of_the_record_can_be_had_from_scipy_and_numpy():
    reference, ensemble = trajectory(400), trajectory(300, 1, stretch=1.2)
    record = distance_marginals(reference, ensemble, bins=25)
    assert record.pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    for row, (a, b) in enumerate(record.pairs):
        data, made = (
            np.linalg.norm(part.positions[:, a].astype(np.float64) - part.positions[:, b], axis=1)
            for part in (reference, ensemble)
        )
        # Distances are float32.
        assert record.w1[row] == pytest.approx(wasserstein_distance(data, made), rel=1e-4)
        assert record.spread[row] == pytest.approx(data.std(), rel=1e-4)
        edges = record.edges[row]
        assert edges[0] == pytest.approx(min(data.min(), made.min()), rel=1e-5)
        assert edges[-1] == pytest.approx(max(data.max(), made.max()), rel=1e-5)
        density, _ = np.histogram(data, edges, density=True)
        # A distance on an edge may fall to either side in float32: at most one or two frames.
        width = edges[1] - edges[0]
        np.testing.assert_allclose(record.reference_density[row], density, atol=2.5 / 400 / width)
        assert record.reference_density[row].sum() * width == pytest.approx(1.0, rel=1e-5)
        assert record.ensemble_density[row].sum() * width == pytest.approx(1.0, rel=1e-5)
        ours = jensenshannon(record.reference_density[row], record.ensemble_density[row]) ** 2
        assert record.js[row] == pytest.approx(ours, rel=1e-5)


def test_every_number_of_a_weighted_record_can_be_had_from_scipy_and_numpy(rng):
    parts = [trajectory(400), trajectory(300, 1, stretch=1.2)]
    parts = [part.replace(weights=rng.exponential(size=part.n_frames)) for part in parts]
    record = distance_marginals(*parts, bins=25)
    first, second = (
        np.linalg.norm(part.positions[:, 1].astype(np.float64) - part.positions[:, 3], axis=1)
        for part in parts
    )
    row = record.pairs.tolist().index([1, 3])
    data, made = (part.weights for part in parts)
    # Distances are float32.
    assert record.w1[row] == pytest.approx(wasserstein_distance(first, second, data, made), rel=1e-4)
    assert record.spread[row] == pytest.approx(np.sqrt(np.cov(first, aweights=data, ddof=0)), rel=1e-4)
    half = np.arange(400) // 20 % 2 == 0
    floor = wasserstein_distance(first[half], first[~half], data[half], data[~half])
    assert record.floor_w1[row] == pytest.approx(floor, rel=1e-4)
    edges = record.edges[row]
    for values, weights, ours in (
        (first, data, record.reference_density[row]),
        (second, made, record.ensemble_density[row]),
    ):
        density, _ = np.histogram(values, edges, density=True, weights=weights)
        # A distance on an edge may fall to either side in float32: one frame at most.
        np.testing.assert_allclose(ours, density, atol=weights.max() / weights.sum() / np.diff(edges)[0])
        assert ours.sum() * np.diff(edges)[0] == pytest.approx(1.0, rel=1e-5)
    ours = jensenshannon(record.reference_density[row], record.ensemble_density[row]) ** 2
    assert record.js[row] == pytest.approx(ours, rel=1e-5)


def test_frames_reweighted_to_another_distribution_lie_near_its_noise_floor():
    target, biased = trajectory(4000), trajectory(20_000, 1, stretch=1.2)
    # Twelve normal numbers a frame: the ratio of their densities, width 1 over width 1.2.
    square = np.sum(biased.positions.astype(np.float64) ** 2, axis=(1, 2))
    reweighted = biased.replace(weights=np.exp(-0.5 * square * (1.0 - 1.2**-2)))
    assert distance_marginals(target, biased).ratio_to_floor > 5
    # With the weights 20 000 frames are worth 11 000, so that the errors are those of the target's 4000.
    assert distance_marginals(target, reweighted).ratio_to_floor < 1.5
    assert distance_marginals(reweighted, target).ratio_to_floor < 3.0


def test_independent_frames_of_one_distribution_lie_at_the_noise_floor():
    record = distance_marginals(trajectory(4000), trajectory(4000, 1))
    assert record.floor_w1.mean() < 0.04 * record.spread.mean()
    assert 0.3 < record.ratio_to_floor < 1.5


def test_another_distribution_lies_far_above_the_noise_floor():
    record = distance_marginals(trajectory(4000), trajectory(4000, 1, stretch=1.3))
    assert record.ratio_to_floor > 5
    assert (record.js > record.floor_js).all()


def test_chosen_pairs_alone_are_compared():
    record = distance_marginals(trajectory(50), trajectory(60, 1), pairs=np.array([[3, 0], [1, 2]]))
    assert record.pairs.tolist() == [[3, 0], [1, 2]]
    assert record.w1.shape == (2,)


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    whole = distance_marginals(trajectory(50), trajectory(60, 1))
    monkeypatch.setattr(marginals, "_BLOCK_VALUES", 110)
    parts = distance_marginals(trajectory(50), trajectory(60, 1))
    for name in ("edges", "reference_density", "ensemble_density", "w1", "js", "floor_w1", "floor_js"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_too_many_pairs_are_thinned_with_a_warning(monkeypatch):
    monkeypatch.setattr(marginals, "LARGEST_NUMBER_OF_PAIRS", 4)
    with pytest.warns(PolyvaeWarning, match="4 atoms make 6 pairs; 4 drawn at random"):
        record = distance_marginals(trajectory(50), trajectory(60, 1))
    assert len(np.unique(record.pairs, axis=0)) == 4


def test_a_rigid_pair_has_a_histogram_of_finite_width():
    positions = np.zeros((20, 2, 3), np.float32)
    positions[:, 1, 0] = 30.0
    record = distance_marginals(Trajectory(positions=positions), Trajectory(positions=positions))
    assert np.isfinite(record.reference_density).all()
    assert record.w1[0] == record.js[0] == 0.0


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (np.array([[0, 4]]), r"below n_atoms=4 and not negative; got 4. Count from 0"),
        (np.array([[-1, 2]]), r"not negative; got -1"),
        (np.array([[0.0, 1.0]]), "integers of shape"),
        (np.array([0, 1]), "integers of shape"),
        (np.zeros((0, 2), int), "integers of shape"),
    ],
)
def test_impossible_pairs_are_refused(pairs, message):
    with pytest.raises(InputError, match=message):
        distance_marginals(trajectory(20), trajectory(20), pairs=pairs)


def test_other_atoms_too_few_frames_and_too_few_bins_are_refused():
    with pytest.raises(InputError, match="4 atoms in 3 dimensions, the ensemble .* 5 atoms in 3"):
        distance_marginals(trajectory(20), trajectory(20, n_atoms=5))
    with pytest.raises(InputError, match=r"at least two frames, .*; got 1"):
        distance_marginals(trajectory(1), trajectory(20))
    with pytest.raises(InputError, match=r"at least two frames, of a weight above zero .*; got 1"):
        distance_marginals(trajectory(20).replace(weights=np.eye(20)[3]), trajectory(20))
    with pytest.raises(InputError, match="`bins` must be at least 2"):
        distance_marginals(trajectory(20), trajectory(20), bins=1)
    with pytest.raises(InputError, match="needs two atoms"):
        distance_marginals(trajectory(20, n_atoms=1), trajectory(20, n_atoms=1))


def test_half_densities_are_those_behind_the_floor():
    record = distance_marginals(trajectory(400), trajectory(300, 1))
    width = np.diff(record.edges, axis=1)
    probabilities = record.half_densities * width[:, None, :]
    # The edges are float32.
    np.testing.assert_allclose(probabilities.sum(axis=2), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        jensen_shannon(probabilities[:, 0], probabilities[:, 1]), record.floor_js, rtol=1e-4
    )
    # Both halves have as many frames.
    np.testing.assert_allclose(record.half_densities.mean(axis=1), record.reference_density, rtol=1e-5)
