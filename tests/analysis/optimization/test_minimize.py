"""The radius of gyration: every structure reported is valid by a check of its own, none leaves the prior's ball."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from polyvae.analysis import OptimizationConfig, minimize_radius_of_gyration
from polyvae.errors import InputError

CONFIG = OptimizationConfig(steps=150)


@pytest.fixture(scope="module")
def found(fitted):
    return minimize_radius_of_gyration(fitted.model, starts=24, config=CONFIG, seed=2)


def gyration(frames: np.ndarray) -> np.ndarray:
    centered = frames - frames.mean(axis=1, keepdims=True)
    return np.sqrt(np.mean(np.sum(centered**2, axis=2), axis=1))


def lengths(frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=2)


def test_every_structure_reported_is_valid_by_the_data_alone(found, chain):
    assert found.n_valid >= 12
    data, made = chain.positions.astype(np.float64), found.positions.astype(np.float64)
    bonds = lengths(data, chain.bonds)
    low, high = np.quantile(bonds, (0.005, 0.995), axis=0)
    ours = lengths(made, chain.bonds)
    assert (ours >= low).all()
    assert (ours <= high).all()
    assert (ours.mean(axis=1) >= np.quantile(bonds.mean(axis=1), 0.01)).all()
    bonded = {tuple(sorted(pair)) for pair in chain.bonds.tolist()}
    others = np.array([(a, b) for a in range(5) for b in range(a + 1, 5) if (a, b) not in bonded])
    assert lengths(made, others).min() >= lengths(data, others).min()
    assert ours.min() >= bonds.min()


def test_structures_come_sorted_and_with_their_radius_of_gyration(found, chain, fitted):
    assert (np.diff(found.radius_of_gyration) >= 0).all()
    np.testing.assert_allclose(
        found.radius_of_gyration, gyration(found.positions.astype(np.float64)), rtol=1e-4
    )
    np.testing.assert_allclose(found.positions, fitted.model.decode(found.latent), atol=1e-6)
    assert found.best == found.radius_of_gyration[0]
    assert found.data_minimum == pytest.approx(gyration(chain.positions.astype(np.float64)).min(), rel=1e-4)


def test_no_latent_leaves_the_ball_of_the_prior(found):
    radius = np.sqrt(chi2.ppf(0.99, 6))
    # Rounding to float32 alone may exceed it.
    assert np.linalg.norm(found.latent, axis=1).max() <= radius * (1 + 1e-5)


def test_traces_hold_every_step_of_every_start(found):
    assert found.trace.shape == found.violation_trace.shape == (24, 151)
    assert found.n_starts == 24
    assert len(np.unique(found.start)) == found.n_valid
    valid = np.where(found.violation_trace <= 0, found.trace, np.inf)
    np.testing.assert_allclose(valid.min(axis=1)[found.start], found.radius_of_gyration, rtol=1e-6)


def test_starts_become_more_compact(found):
    assert np.median(found.trace[:, -1]) < 0.8 * np.median(found.trace[:, 0])
    assert found.best < np.median(found.trace[:, 0])


def test_the_structures_are_a_trajectory_of_the_same_system(found, chain):
    assert found.trajectory.n_frames == found.n_valid
    np.testing.assert_array_equal(found.trajectory.bonds, chain.bonds)
    assert found.unit == "nm"


def test_the_seed_decides(found, fitted):
    again = minimize_radius_of_gyration(fitted.model, starts=24, config=CONFIG, seed=2)
    np.testing.assert_array_equal(again.trace, found.trace)
    np.testing.assert_array_equal(again.positions, found.positions)
    other = minimize_radius_of_gyration(fitted.model, starts=24, config=CONFIG, seed=3)
    assert (other.trace[:, 0] != found.trace[:, 0]).all()


def test_where_nothing_can_be_valid_nothing_is_reported(fitted):
    impossible = eqx.tree_at(
        lambda model: (model.geometry.bond_low, model.geometry.bond_high),
        fitted.model,
        (jnp.full(4, 50.0), jnp.full(4, 51.0)),
    )
    result = minimize_radius_of_gyration(impossible, starts=24, config=CONFIG)
    assert (result.n_valid, result.best, result.trajectory) == (0, None, None)
    assert result.positions.shape == (0, 5, 2)
    assert result.latent.shape == (0, 6)
    assert result.trace.shape == (24, 151)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"prior_mass": 1.0}, "`prior_mass` must lie between 0 and 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"penalty": -1.0}, "`penalty` must be positive"),
        ({"margin": 0.5}, "`margin` must lie between 0 and 0.5"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        OptimizationConfig(**changes)


def test_less_than_one_start_is_refused(fitted):
    with pytest.raises(InputError, match="`starts` must be at least 1; got 0"):
        minimize_radius_of_gyration(fitted.model, starts=0)
