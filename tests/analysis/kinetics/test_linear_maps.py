"""The latent beside PCA and TICA: known coordinates come out, and the limits are kept."""

import dataclasses
import sys

import numpy as np
import pytest

from polyvae.analysis import LatentTrajectory, encoder_inputs, latent_trajectory, linear_maps
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED


def _two_state_chain(n_frames: int = 600) -> Trajectory:
    """Three beads: the first bond is long or short and switches seldom, the second shakes more, from frame to frame."""
    rng = np.random.default_rng(1)
    state = np.cumsum(rng.random(n_frames) < 0.02) % 2
    first = 1.0 + 0.2 * state + 0.01 * rng.normal(size=n_frames)
    second = 2.0 + 0.5 * rng.normal(size=n_frames)
    zero = np.zeros(n_frames)
    x = np.stack([zero, first, first + second], axis=1)
    y = 0.05 * rng.normal(size=(n_frames, 3))
    return Trajectory(positions=np.stack([x, y], axis=2), times=2.0 * np.arange(n_frames), units=REDUCED)


@pytest.fixture
def fitted(linear_model):
    """The chain, and a model of three beads without alignment: its encoder sees their six coordinates."""
    return _two_state_chain(), linear_model[0]


def test_tica_finds_the_slow_bond_and_pca_the_large_one(fitted):
    trajectory, model = fitted
    maps = linear_maps(model, trajectory, lag_time=5)
    bonds = np.diff(trajectory.positions[:, :, 0], axis=1)

    def correlation(values: np.ndarray, bond: int) -> float:
        return abs(np.corrcoef(values[:, 0], bonds[:, bond])[0, 1])

    assert maps.tica is not None
    # The bond scatters by 0.01 around states 0.2 apart.
    assert correlation(maps.tica, 0) > 0.95
    assert correlation(maps.pca, 1) > 0.95
    # A switch in 50 frames of 2 τ relaxes in 50 / 2 * 2 τ; 600 frames hold about 12 switches.
    assert 15 < maps.timescales[0] < 150
    assert (maps.unit, maps.frame_time, maps.lag_time) == ("τ", 2.0, 5)


def test_coordinates_have_the_sign_of_the_latent_and_say_how_alike_they_are(fitted):
    trajectory, model = fitted
    inputs = encoder_inputs(model, trajectory)
    centered = inputs - inputs.mean(axis=0)
    components = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    for sign in (1.0, -1.0):
        encoded = dataclasses.replace(
            latent_trajectory(model, trajectory), mean=(sign * components).astype(np.float32)
        )
        maps = linear_maps(model, trajectory, encoded=encoded)
        np.testing.assert_allclose(maps.pca, encoded.mean, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(maps.correlation[:, 0], 1.0, atol=1e-5)
        # The largest component is the fast bond, which no slow mode is.
        assert maps.correlation[0, 1] < 0.9


def test_many_frames_and_features_are_thinned(fitted, monkeypatch):
    trajectory, model = fitted
    # The package has a function of the module's name.
    module = sys.modules["polyvae.analysis.kinetics.linear_maps"]
    monkeypatch.setattr(module, "_MOST_FRAMES", 100)
    monkeypatch.setattr(module, "_MOST_FEATURES", 2)
    joined = trajectory.replace(segments=(200, 400), times=None)
    maps = linear_maps(model, joined)
    # The middle sixth of both.
    np.testing.assert_array_equal(maps.frames, [*range(83, 116), *range(366, 433)])
    assert (maps.features, maps.all_features) == (2, 6)
    assert maps.pca.shape == (100, 2)


def test_without_pairs_there_is_no_tica(fitted):
    trajectory, model = fitted
    maps = linear_maps(model, trajectory.replace(segments=(1,) * 600, times=None), lag_time=1)
    assert maps.tica is None
    assert maps.timescales is None
    assert np.isnan(maps.correlation[0, 1])


def test_color_is_any_observable(fitted):
    trajectory, model = fitted
    maps = linear_maps(model, trajectory, color="distance:0-1")
    distance = np.linalg.norm(np.diff(trajectory.positions[:, :2], axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(maps.colors, distance, rtol=1e-5)
    assert maps.color_label == "distance 0-1 (σ)"
    with pytest.raises(InputError, match="fast"):
        linear_maps(model, trajectory, color="fast")


def test_a_latent_of_other_frames_is_an_error(fitted):
    trajectory, model = fitted
    other: LatentTrajectory = latent_trajectory(model, trajectory[:10])
    with pytest.raises(InputError, match="`encoded` must have the 600 frames of the trajectory; got 10"):
        linear_maps(model, trajectory, encoded=other)
