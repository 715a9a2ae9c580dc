"""Reconstruction error beside PCA, on frames that training has not seen."""

import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.analysis import reconstruction_report
from polyvae.errors import InputError


@pytest.fixture(scope="module")
def report(fitted, chain):
    return reconstruction_report(fitted, chain)


def kabsch_rmsd(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RMSD per bead by NumPy's SVD."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(np.einsum("fai,faj->fij", x, y))
    values[:, -1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))
    square = np.sum(x**2, axis=(1, 2)) + np.sum(y**2, axis=(1, 2)) - 2 * values.sum(axis=1)
    return np.sqrt(np.maximum(square, 0) / x.shape[1])


def test_the_error_is_the_kabsch_rmsd_of_the_test_frames(report, fitted, chain):
    test = chain.positions[fitted.split.test]
    expected = kabsch_rmsd(np.asarray(fitted.model.reconstruct(test), np.float64), test.astype(np.float64))
    np.testing.assert_allclose(report.rmsd, expected, atol=1e-4)
    assert report.unit == "nm"


def test_pca_beats_the_mean_structure_and_explains_most_with_six_of_seven_components(report):
    assert report.pca_rmsd.mean() < report.mean_rmsd.mean()
    assert 0.9 < report.pca_explained < 1.0
    assert report.ratio == pytest.approx(report.rmsd.mean() / report.pca_rmsd.mean())


def test_the_error_on_training_frames_is_reported_too(report, fitted):
    assert report.train_rmsd.shape == fitted.split.train.shape
    assert report.train_rmsd.mean() < report.mean_rmsd.mean()


def test_means_without_weights_are_those_of_numpy(report):
    assert report.average_rmsd == pytest.approx(report.rmsd.mean())
    assert report.average_pca_rmsd == pytest.approx(report.pca_rmsd.mean())
    assert report.average_mean_structure_rmsd == pytest.approx(report.mean_rmsd.mean())
    assert report.average_train_rmsd == pytest.approx(report.train_rmsd.mean())
    assert report.effective_sample_size == len(report.rmsd)


@pytest.fixture(scope="module")
def weighted(fitted, chain):
    weights = np.random.default_rng(4).exponential(size=chain.n_frames)
    return reconstruction_report(fitted, chain.replace(weights=weights)), weights


def test_means_are_weighted_and_errors_of_the_model_are_not(weighted, report, fitted):
    record, weights = weighted
    test, train = weights[fitted.split.test], weights[fitted.split.train]
    np.testing.assert_array_equal(record.rmsd, report.rmsd)
    np.testing.assert_array_equal(record.weights, test)
    assert record.average_rmsd == pytest.approx(np.average(report.rmsd, weights=test))
    assert record.average_train_rmsd == pytest.approx(np.average(report.train_rmsd, weights=train))
    assert record.ratio == pytest.approx(record.average_rmsd / record.average_pca_rmsd)
    assert record.effective_sample_size == pytest.approx(test.sum() ** 2 / np.sum(test**2))


def test_the_mean_structure_is_that_of_the_weighted_training_frames(weighted, fitted, chain):
    record, weights = weighted
    split, model = fitted.split, fitted.model
    features = np.asarray(model.features(chain.positions[split.train]))
    mean = model.representation.positions(
        jnp.asarray(np.average(features, axis=0, weights=weights[split.train]), jnp.float32)
    )
    test = chain.positions[split.test].astype(np.float64)
    expected = kabsch_rmsd(np.broadcast_to(np.asarray(mean, np.float64), test.shape), test)
    np.testing.assert_allclose(record.mean_rmsd, expected, atol=1e-4)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_any_weight_is_refused(fitted, chain, part):
    weights = np.ones(chain.n_frames)
    weights[getattr(fitted.split, part)] = 0.0
    with pytest.raises(InputError, match=f"All .* {part}.* frames have weight zero"):
        reconstruction_report(fitted, chain.replace(weights=weights))
