"""Bounds of geometry on made-up data, and the violations that they must notice."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import fit_geometry_bounds, geometry, geometry_violation

BONDS = np.array([[0, 1], [1, 2], [2, 3]])


def square_chain(lengths: np.ndarray) -> np.ndarray:
    """Four beads with right angles: three bonds of the given lengths, shape (frames, 4, 2)."""
    frames = np.zeros((len(lengths), 4, 2))
    frames[:, 0, 1] = lengths[:, 0]
    frames[:, 2, 0] = lengths[:, 1]
    frames[:, 3, 0] = lengths[:, 1]
    frames[:, 3, 1] = -lengths[:, 2]
    return frames


@pytest.fixture(scope="module")
def lengths() -> np.ndarray:
    return np.random.default_rng(3).uniform(0.9, 1.1, size=(2000, 3))


@pytest.fixture(scope="module")
def bounds(lengths):
    return fit_geometry_bounds(square_chain(lengths), BONDS)


def test_bounds_are_the_quantiles_of_the_data(bounds, lengths):
    np.testing.assert_allclose(bounds.bond_low, np.quantile(lengths, 0.005, axis=0), rtol=1e-6)
    np.testing.assert_allclose(bounds.bond_high, np.quantile(lengths, 0.995, axis=0), rtol=1e-6)
    assert float(bounds.mean_bond_low) == pytest.approx(np.quantile(lengths.mean(axis=1), 0.01), rel=1e-6)
    assert float(bounds.closest_bonded) == pytest.approx(lengths.min(), rel=1e-6)


def test_closest_pairs_and_smallest_radius_of_gyration_are_those_of_the_data(bounds, lengths):
    frames = square_chain(lengths)
    apart = [np.linalg.norm(frames[:, a] - frames[:, b], axis=1).min() for a, b in ((0, 2), (0, 3), (1, 3))]
    gyration = np.sqrt(np.mean(np.sum((frames - frames.mean(axis=1, keepdims=True)) ** 2, axis=2), axis=1))
    assert float(bounds.closest_nonbonded) == pytest.approx(min(apart), rel=1e-5)
    assert float(bounds.closest) == pytest.approx(min(lengths.min(), *apart), rel=1e-5)
    assert float(bounds.radius_of_gyration_low) == pytest.approx(gyration.min(), rel=1e-5)


def test_masses_enter_the_smallest_radius_of_gyration(lengths):
    frames, masses = square_chain(lengths[:50]), np.array([1.0, 10.0, 100.0, 1.0])
    center = np.einsum("a,fad->fd", masses, frames) / masses.sum()
    square = np.einsum("a,fad->f", masses, (frames - center[:, None]) ** 2) / masses.sum()
    bounds = fit_geometry_bounds(frames, BONDS, masses)
    assert float(bounds.radius_of_gyration_low) == pytest.approx(np.sqrt(square.min()), rel=1e-5)


@eqx.filter_jit
def _violation(bounds, frame, margin):
    return geometry_violation(bounds, frame, margin=margin)


@eqx.filter_jit
def violation_and_gradient(bounds, frame):
    return jax.value_and_grad(lambda x: geometry_violation(bounds, x))(frame)


def violation_of(bounds, *bonds: float, margin: float = 0.0) -> float:
    frame = jnp.asarray(square_chain(np.array([bonds]))[0], jnp.float32)
    return float(_violation(bounds, frame, margin))


def test_a_typical_frame_is_valid(bounds):
    assert violation_of(bounds, 1.0, 1.0, 1.0) == 0.0
    assert violation_of(bounds, 1.0, 1.0, 1.0, margin=0.03) == 0.0


def test_a_stretched_bond_costs_its_squared_excess_over_the_squared_width(bounds):
    high, low = float(bounds.bond_high[2]), float(bounds.bond_low[2])
    expected = ((1.3 - high) / (high - low)) ** 2
    assert violation_of(bounds, 1.0, 1.0, 1.3) == pytest.approx(expected, rel=1e-4)


def test_a_short_bond_is_a_violation(bounds):
    assert violation_of(bounds, 1.0, 0.85, 1.05) > 0.01


def test_all_bonds_at_their_lower_ends_are_a_violation(bounds):
    # Each bond alone is inside its range; together they are shorter than 99 % of the data.
    low = [float(value) + 1e-3 for value in bounds.bond_low]
    assert violation_of(bounds, *low) > 0.0
    assert violation_of(bounds, low[0], 1.0, 1.05) == 0.0


def test_an_overlap_of_atoms_without_bond_is_a_violation(bounds):
    frame = square_chain(np.array([[1.0, 1.0, 1.0]]))[0]
    frame[3] = [1.0, 1.0]  # Atom 3 turns to the other side, one bond length from atom 0.
    assert float(_violation(bounds, jnp.asarray(frame, jnp.float32), 0.0)) > 1.0


def test_a_margin_makes_the_range_narrower(bounds):
    edge = float(bounds.bond_high[1]) - 1e-3
    assert violation_of(bounds, 1.0, edge, 1.0) == 0.0
    assert violation_of(bounds, 1.0, edge, 1.0, margin=0.1) > 0.0


def test_a_margin_asks_no_more_of_a_constrained_bond_than_it_can_give():
    lengths = np.random.default_rng(4).uniform(0.9, 1.1, size=(500, 3))
    lengths[:, 1] = 0.5
    bounds = fit_geometry_bounds(square_chain(lengths), BONDS)
    assert violation_of(bounds, 1.0, 0.5, 1.0, margin=0.02) == 0.0
    assert violation_of(bounds, 1.0, 0.49, 1.0, margin=0.02) > 0.0


def test_the_gradient_of_a_violation_is_that_of_finite_differences(x64, lengths, rng):
    bounds = fit_geometry_bounds(square_chain(lengths), BONDS)
    frame = jnp.asarray(square_chain(np.array([[0.5, 1.4, 0.6]]))[0] + 0.3 * rng.normal(size=(4, 2)))
    direction, step = jnp.asarray(rng.normal(size=(4, 2))), 1e-6
    slope = jnp.sum(violation_and_gradient(bounds, frame)[1] * direction)
    ends = [violation_and_gradient(bounds, frame + sign * step * direction)[0] for sign in (1.0, -1.0)]
    assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_a_system_without_bonds_has_a_shortest_distance_only(rng):
    # More frames than one block.
    frames = rng.normal(size=(300, 3, 2))
    bounds = fit_geometry_bounds(frames, None)
    closest = min(
        np.linalg.norm(frames[:, a] - frames[:, b], axis=1).min() for a, b in ((0, 1), (0, 2), (1, 2))
    )
    assert float(bounds.closest) == pytest.approx(closest, rel=1e-5)
    for frame in frames[:20]:
        # A hair outwards: rounding to float32.
        assert float(_violation(bounds, jnp.asarray(frame, jnp.float32), -1e-5)) == 0.0


def test_a_system_whose_pairs_are_all_bonded_has_no_shortest_nonbonded_distance():
    frames = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [1.2, 0.0]]])
    bounds = fit_geometry_bounds(frames, np.array([[0, 1]]))
    assert np.isinf(float(bounds.closest_nonbonded))
    assert np.isfinite(violation_and_gradient(bounds, jnp.zeros((2, 2)))[1]).all()


def test_coincident_atoms_in_the_data_set_no_bound_and_leave_gradients_finite():
    frames = np.zeros((3, 4, 2))
    frames[:, 2:, 0] = np.array([[0.0], [1.0], [1.1]])
    bounds = fit_geometry_bounds(frames, np.array([[0, 1]]))
    value, gradient = violation_and_gradient(bounds, jnp.zeros((4, 2)))
    assert float(value) == 0.0
    assert np.isfinite(gradient).all()


def test_frames_of_weight_zero_do_not_count_and_all_others_count_alike(lengths, rng):
    frames = square_chain(lengths[:300])
    stretched = np.concatenate([2.0 * frames[:20], frames, 0.3 * frames[:20]])
    weights = np.r_[np.zeros(20), rng.exponential(size=300), np.zeros(20)]
    bounds = fit_geometry_bounds(frames, BONDS)
    weighted = fit_geometry_bounds(stretched, BONDS, weights=weights)
    for mine, theirs in zip(jax.tree.leaves(weighted), jax.tree.leaves(bounds), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert float(fit_geometry_bounds(stretched, BONDS).closest) < 0.5 * float(bounds.closest)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"`weights` must have shape \(5,\), one number for each frame; got \(4,\)"),
        (np.zeros(5), "`weights` are zero for all 5 frames"),
    ],
)
def test_weights_that_do_not_fit_the_frames_are_refused(lengths, weights, message):
    with pytest.raises(InputError, match=message):
        fit_geometry_bounds(square_chain(lengths[:5]), BONDS, weights=weights)


def test_pairs_of_large_systems_are_looked_at_in_fewer_frames(rng, monkeypatch):
    frames = rng.normal(size=(40, 5, 3)).astype(np.float32)
    seen = []
    real = geometry._closest_nonbonded
    monkeypatch.setattr(
        geometry, "_closest_nonbonded", lambda x, excluded: seen.append(len(x)) or real(x, excluded)
    )
    for most, expected in ((40 * 25, 40), (20 * 25, 20), (25, 1)):
        monkeypatch.setattr(geometry, "_MOST_PAIRS", most)
        fit_geometry_bounds(frames, None)
        assert seen[-1] == expected
