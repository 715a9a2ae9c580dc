"""Laws of statistical weights, which every statistic of frames obeys.

A frame of weight two is two frames, one of weight zero none, equal weights are no weights, and only ratios count.
"""

from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.analysis import (
    PCA,
    GaussianChain,
    GaussianModel,
    LatentTrajectory,
    LogLikelihood,
    ReconstructionReport,
    distance_marginals,
)
from polyvae.preprocessing import Alignment
from polyvae.trajectory import Trajectory
from polyvae.units import MOLECULAR

Weights = np.ndarray | None


def _marginals(positions: np.ndarray, weights: Weights, model) -> list[np.ndarray]:
    data = Trajectory(positions=positions, weights=weights)
    made = Trajectory(positions=1.1 * positions, weights=weights)
    record = distance_marginals(data, made, bins=8)
    names = ("edges", "reference_density", "ensemble_density", "spread", "w1", "js", "floor_w1", "floor_js")
    return [getattr(record, name) for name in names]


def _pca(positions: np.ndarray, weights: Weights, model) -> list[np.ndarray]:
    pca = PCA.fit(positions.reshape(len(positions), -1), 2, weights=weights)
    return [np.asarray(pca.mean), np.asarray(pca.variances), np.asarray(pca.components.T @ pca.components)]


def _gaussian(positions: np.ndarray, weights: Weights, model) -> list[np.ndarray]:
    features = positions.reshape(len(positions), -1)
    gaussian = GaussianModel.fit(features, features**2, train_weights=weights, validation_weights=weights)
    return [np.asarray(gaussian.mean), np.asarray(gaussian.cholesky)]


def _chain(positions: np.ndarray, weights: Weights, model) -> list[np.ndarray]:
    chain = GaussianChain.fit(
        model, positions, positions**2, train_weights=weights, validation_weights=weights
    )
    return [np.asarray(chain.cholesky)]


def _likelihood(positions: np.ndarray, weights: Weights, model) -> list[float]:
    return [LogLikelihood(per_frame=positions[:, 0, 0], samples=1, weights=weights).value]


def _reconstruction(positions: np.ndarray, weights: Weights, model) -> list[float]:
    rmsd, pca_rmsd, mean_rmsd, train_rmsd = np.abs(positions[:, :2]).reshape(-1, 4).T
    report = ReconstructionReport(
        rmsd=rmsd,
        pca_rmsd=pca_rmsd,
        mean_rmsd=mean_rmsd,
        train_rmsd=train_rmsd,
        pca_explained=0.5,
        unit="nm",
        weights=weights,
        train_weights=weights,
    )
    averages = (report.average_rmsd, report.average_pca_rmsd, report.average_mean_structure_rmsd)
    return [*averages, report.average_train_rmsd, report.ratio]


def _latent(positions: np.ndarray, weights: Weights, model) -> list[np.ndarray]:
    mean = positions[:, 0]
    latent = LatentTrajectory(
        mean=mean,
        scale=np.ones_like(mean),
        times=None,
        segments=(len(mean),),
        units=MOLECULAR,
        source="test",
        weights=weights,
    )
    return [latent.variance, (latent.counts @ mean) / latent.counts.sum()]


STATISTICS: dict[str, Callable] = {
    "distance marginals": _marginals,
    "PCA": _pca,
    "Gaussian": _gaussian,
    "Gaussian chain": _chain,
    "log-likelihood": _likelihood,
    "reconstruction": _reconstruction,
    "latent trajectory": _latent,
}


@cache
def frames() -> tuple[np.ndarray, np.ndarray]:
    """Frames of four atoms with a drift, and small integers with one sum in each of twenty blocks of time.

    So repeated frames make the same blocks, which are what the noise floor compares.
    """
    rng = np.random.default_rng(1)
    counts = np.concatenate([rng.permutation([1, 1, 1, 2, 3, 4]) for _ in range(20)])
    positions = rng.normal(size=(len(counts), 4, 2)) * [1.0, 2.0] + np.arange(4)[:, None]
    return (positions + 0.3 * counts[:, None, None] * rng.normal(size=(4, 2))).astype(np.float32), counts


@pytest.fixture(params=STATISTICS, ids=lambda name: name.replace(" ", "-"))
def numbers(request, linear_model) -> Callable[[np.ndarray, Weights], list]:
    """A statistic as a function of positions and weights."""
    alignment = Alignment(method="center", weights=jnp.full(4, 0.25))
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment)
    return lambda positions, weights: STATISTICS[request.param](positions, weights, model)


def assert_equal(one: list, other: list) -> None:
    for mine, theirs in zip(one, other, strict=True):
        # Models hold float32, and distances are float32.
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_equal_weights_are_no_weights(numbers):
    positions, _ = frames()
    assert_equal(numbers(positions, np.full(len(positions), 0.3)), numbers(positions, None))


def test_only_ratios_of_weights_count(numbers):
    positions, counts = frames()
    weights = counts.astype(np.float64)
    assert_equal(numbers(positions, 1e-6 * weights), numbers(positions, weights))


def test_integer_weights_are_repeated_frames(numbers):
    positions, counts = frames()
    weighted = numbers(positions, counts.astype(np.float64))
    assert_equal(weighted, numbers(np.repeat(positions, counts, axis=0), None))
    # The law is not empty: without the weights the numbers are others.
    with pytest.raises(AssertionError):
        assert_equal(weighted, numbers(positions, None))


def test_a_frame_of_weight_zero_changes_nothing(numbers):
    positions, counts = frames()
    weights = counts.astype(np.float64)
    places = [0, 7, 40, 41, 90, 120]
    more = np.insert(positions, places, 50.0 * positions[:6], axis=0)
    assert_equal(numbers(more, np.insert(weights, places, 0.0)), numbers(positions, weights))
