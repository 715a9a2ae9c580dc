"""Reconstruction error beside PCA, on frames that training has not seen."""

import numpy as np
import pytest

from polyvae.analysis import reconstruction_report


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
