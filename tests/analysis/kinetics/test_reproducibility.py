"""Agreement of latents: one where they are the same up to what training leaves free, the floor where unrelated."""

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import latent_trajectory, reproducibility
from polyvae.errors import InputError
from polyvae.units import MOLECULAR

HALVES = {"train": np.arange(1000), "test": np.arange(1000, 2000)}


def turned(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_turned_mirrored_and_swapped_latents_agree_wholly(rng):
    first = rng.normal(size=(2000, 2)) * np.array([1.0, 0.5]) + 3
    others = [first @ turned(0.7), first[:, ::-1] * np.array([-1.0, 1.0]) - 2]
    found = reproducibility([first, *others], **HALVES)
    np.testing.assert_allclose(found.r2, 1, atol=1e-9)
    np.testing.assert_allclose(found.correlations, 1, atol=1e-9)
    np.testing.assert_allclose(found.residuals, 0, atol=1e-9)
    for model, latent in enumerate([first, *others]):
        np.testing.assert_allclose(found.aligned(latent, model), first, atol=1e-9)
    assert found.is_held_out
    assert found.agreement == pytest.approx(1)
    signed = reproducibility([first, *others], align="permutation", **HALVES)
    np.testing.assert_allclose(signed.aligned(others[1], 2), first, atol=1e-9)
    assert signed.residuals[1] > 0.1
    assert set(np.abs(signed.rotations).ravel()) == {0.0, 1.0}


def test_unrelated_latents_agree_as_little_as_shifted_ones(rng):
    found = reproducibility([rng.normal(size=(2000, 2)) for _ in range(3)], **HALVES)
    # R² of four coefficients fitted to 1000 frames loses 2 / 1000 on others, and scatters as much.
    off = ~np.eye(3, dtype=bool)
    assert np.abs(found.r2[off]).max() < 0.02
    assert abs(found.floor_r2) < 0.01
    assert abs(found.mean_correlation[off].mean() - found.floor_correlation) < 0.05


def test_one_shared_dimension_of_two_is_half(rng):
    shared, *own = rng.normal(size=(3, 4000))
    found = reproducibility([np.stack([shared, part], axis=1) for part in own])
    np.testing.assert_allclose(found.correlations[0, 1], [1, 0], atol=0.06)
    # Both dimensions have variance one; half of the variance is explained.
    assert found.r2[0, 1] == pytest.approx(0.5, abs=0.03)
    assert not found.is_held_out


def test_frames_of_weight_zero_are_as_good_as_absent(rng):
    first = rng.normal(size=(300, 2))
    second = first + 0.5 * rng.normal(size=(300, 2))
    second[200:] = 7.0

    def latent(values, weights=None):
        return pv.analysis.LatentTrajectory(
            mean=values,
            scale=np.ones_like(values),
            times=None,
            segments=(len(values),),
            units=MOLECULAR,
            source="x",
            weights=weights,
        )

    weights = np.r_[np.ones(200), np.zeros(100)]
    mine = reproducibility([latent(first, weights), latent(second, weights)])
    theirs = reproducibility([first[:200], second[:200]])
    np.testing.assert_allclose(mine.r2, theirs.r2, rtol=1e-9)
    np.testing.assert_allclose(mine.correlations, theirs.correlations, rtol=1e-9)


def test_models_of_an_ensemble_are_judged_on_their_test_frames(chain, fitted):
    found = reproducibility([fitted, fitted], chain)
    np.testing.assert_allclose(found.r2, 1, atol=1e-6)
    assert found.names == ("seed 1", "seed 1")
    assert found.frames == len(fitted.split.test)
    same = reproducibility([fitted.model, latent_trajectory(fitted.model, chain)], chain)
    np.testing.assert_allclose(same.r2, 1, atol=1e-6)
    with pytest.raises(InputError, match="pass the `trajectory` to encode"):
        reproducibility([fitted, fitted])


def test_mistakes_are_named(rng):
    rows = rng.normal(size=(50, 2))
    with pytest.raises(InputError, match="at least two `members`; got 1"):
        reproducibility([rows])
    with pytest.raises(
        InputError, match=r"same frames and dimensions; got the shapes \[\(50, 1\), \(50, 2\)\]"
    ):
        reproducibility([rows, rows[:, :1]])
