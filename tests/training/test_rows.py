"""Rows that a VAE would learn nothing from are named before training, good ones are not."""

import warnings

import numpy as np
import pytest

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training.rows import check_scales, checked_weights
from polyvae.vae.likelihoods import Blocks, Categorical, Normal, VonMises


@pytest.fixture
def rows(rng) -> np.ndarray:
    return rng.normal(size=(200, 3))


@pytest.mark.parametrize(
    ("factor", "shift", "columns"),
    [
        ([1.0, 100.0, 1.0], [0.0, 0.0, 0.0], "Column 1"),
        ([1.0, 1.0, 0.001], [0.0, 0.0, 0.0], "Column 2"),
        ([1.0, 1.0, 1.0], [100.0, 0.0, 100.0], "Columns 0, 2"),
        ([0.05, 0.05, 0.05], [0.0, 0.0, 0.0], "Columns 0, 1, 2"),
    ],
)
def test_columns_far_from_the_scale_of_a_network_are_named(rows, factor, shift, columns):
    with pytest.warns(
        PolyvaeWarning, match=f"^{columns} of `vectors` lie far from mean 0 and standard deviation 1"
    ):
        check_scales(rows * factor + shift, None, Normal.of(3))


def test_columns_of_the_usual_scale_pass(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_scales(rows * [0.3, 1.0, 3.0] + [1.0, 0.0, -2.0], None, Normal.of(3))
        # Rows of weight zero do not count, classes and angles in radians have scales of their own.
        far = np.where(np.arange(200)[:, None] < 50, 1e6, rows)
        check_scales(far, (np.arange(200) >= 50).astype(float), Normal.of(3))
        classes = np.eye(3)[np.arange(200) % 3]
        angles = np.linspace(-2 * np.pi, 2 * np.pi, 200)[:, None]
        check_scales(np.hstack([classes, angles]), None, Blocks((Categorical(3), VonMises.of(1))))


def test_angles_in_degrees_and_constant_columns_are_named(rows):
    with pytest.warns(PolyvaeWarning, match="Column 2 of `vectors` hold angles beyond ±2 pi, like degrees"):
        check_scales(rows * [1.0, 1.0, 90.0], None, Blocks((Normal.of(2), VonMises.of(1))))
    with pytest.warns(PolyvaeWarning, match="Column 1 of `vectors` never vary"):
        check_scales(rows * [1.0, 0.0, 1.0] + [0.0, 7.0, 0.0], None, Normal.of(3))


def test_many_columns_are_not_all_listed(rng):
    with pytest.warns(PolyvaeWarning, match="Columns 0, 1, 2, 3, 4, 5, 6, 7 and 12 more of"):
        check_scales(1000 * rng.normal(size=(50, 20)), None, Normal.of(20))


def test_too_few_weights_above_zero_are_counted():
    weights = np.where(np.arange(600) == 3, 1.0, 0.0)
    with pytest.raises(
        InputError, match="`weights` are above zero for 1 of 600 rows; at least 3 rows must count"
    ):
        checked_weights(weights, 600, fewest=3)
