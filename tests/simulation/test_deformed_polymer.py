"""The deformed polymer against plane geometry, and its factors against the ranges and directions that it promises."""

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.simulation.deformed_polymer import (
    FACTOR_RANGES,
    RISE,
    SIDE_DISTANCE,
    deformed_polymer,
    deformed_positions,
)

N_BEADS = 9
LENGTH = RISE * (N_BEADS - 1)


def backbone(stretch, bend, twist):
    return deformed_positions(np.array([[stretch, bend, twist]]), n_beads=N_BEADS)[0, :N_BEADS]


def internal_directions(factors):
    """Displacement per unit of each factor without its rigid motion, shape (3, coordinates), by central differences."""
    step = 1e-5
    shifts = step * np.concatenate([np.eye(3), -np.eye(3)])
    ahead, behind = deformed_positions(factors[None, :] + shifts, n_beads=N_BEADS).reshape(2, 3, -1)
    directions = (ahead - behind) / (2 * step)
    positions = deformed_positions(factors[None, :], n_beads=N_BEADS)[0]
    axes = np.eye(3)
    shift = [np.tile(axis, len(positions)) for axis in axes]
    turn = [np.cross(axis, positions - positions.mean(axis=0)).ravel() for axis in axes]
    rigid, _ = np.linalg.qr(np.stack([*shift, *turn], axis=1))
    return directions - (directions @ rigid) @ rigid.T


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.2])
def test_without_bend_and_twist_the_polymer_is_straight_and_of_known_length(stretch):
    positions = deformed_positions(np.array([[stretch, 0.0, 0.0]]), n_beads=N_BEADS)[0]
    steps = np.diff(positions[:N_BEADS], axis=0)
    np.testing.assert_allclose(steps, np.tile([0.0, 0.0, stretch * RISE], (N_BEADS - 1, 1)), atol=1e-12)
    assert np.linalg.norm(positions[N_BEADS - 1] - positions[0]) == pytest.approx(stretch * LENGTH)
    for side, sign in ((positions[N_BEADS : 2 * N_BEADS], 1), (positions[2 * N_BEADS :], -1)):
        expected = positions[:N_BEADS] + sign * np.array([[SIDE_DISTANCE, 0.0, 0.0]])
        np.testing.assert_allclose(side, expected, atol=1e-12)


@pytest.mark.parametrize("bend", [-2.0, 1e-3, 0.7, 2.0])
def test_the_ends_of_an_arc_are_a_chord_apart(bend):
    positions = backbone(1.1, bend, 0.4)
    curvature = bend / (1.1 * LENGTH)
    expected = 2 / curvature * np.sin(curvature * 1.1 * LENGTH / 2)
    assert np.linalg.norm(positions[-1] - positions[0]) == pytest.approx(expected, rel=1e-9)


def test_the_backbone_of_a_bent_polymer_lies_on_a_circle():
    positions = backbone(1.0, 1.6, 0.0)
    radius = LENGTH / 1.6
    distances = np.linalg.norm(positions - np.array([[radius, 0.0, 0.0]]), axis=1)
    np.testing.assert_allclose(distances, radius, rtol=1e-12)
    np.testing.assert_allclose(positions[:, 1], 0.0, atol=1e-12)


def test_rungs_turn_by_the_twist_from_end_to_end_and_stay_square_to_the_axis():
    positions = deformed_positions(np.array([[1.0, 0.0, 0.9]]), n_beads=N_BEADS)[0]
    rungs = positions[N_BEADS : 2 * N_BEADS] - positions[:N_BEADS]
    np.testing.assert_allclose(np.linalg.norm(rungs, axis=1), SIDE_DISTANCE, rtol=1e-12)
    np.testing.assert_allclose(rungs[:, 2], 0.0, atol=1e-12)
    np.testing.assert_allclose(np.diff(np.arctan2(rungs[:, 1], rungs[:, 0])), 0.9 / (N_BEADS - 1), rtol=1e-9)


def test_mirror_twists_are_mirror_images_and_differ():
    left, right = deformed_positions(np.array([[1.0, 0.5, -0.9], [1.0, 0.5, 0.9]]), n_beads=N_BEADS)
    np.testing.assert_allclose(left * np.array([[1.0, -1.0, 1.0]]), right, atol=1e-12)
    assert np.abs(left - right).max() > 0.5


def test_the_map_is_smooth_through_zero_bend():
    bends = np.array([-1e-6, 0.0, 1e-6])
    low, middle, high = (backbone(1.0, bend, 0.3) for bend in bends)
    # A second difference of order bend²; a branch at zero would show as one of order bend.
    np.testing.assert_allclose(low + high, 2 * middle, atol=1e-10)


def test_factors_move_the_beads_in_orthogonal_directions_of_unequal_variance():
    low, high = np.array(list(FACTOR_RANGES.values())).T
    directions = internal_directions((low + high) / 2)
    gram = directions @ directions.T
    # Central differences with a step of 1e-5 are exact to about 1e-9.
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0.0, atol=1e-6)
    variances = np.diag(gram) * (high - low) ** 2 / 12
    stretch, bend, twist = variances
    assert bend > 2 * stretch > 4 * twist > 0


def test_factors_stay_identifiable_at_the_ends_of_their_ranges():
    for corner in np.stack(np.meshgrid(*FACTOR_RANGES.values()), axis=-1).reshape(-1, 3):
        directions = internal_directions(corner)
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        # Three dependent directions would have a singular value of 0; orthogonal ones have 1.
        assert np.linalg.svd(unit, compute_uv=False)[-1] > 0.5
        # The motion is curved there: stretch and bend are no longer orthogonal.
        assert abs(unit[0] @ unit[1]) > 0.1


def test_factors_fill_their_ranges_and_are_independent():
    drawn = deformed_polymer(4000, seed=3)
    assert drawn.names == ("stretch", "bend", "twist")
    assert drawn.factors.shape == (4000, 3)
    low, high = np.array(list(FACTOR_RANGES.values())).T
    scaled = (drawn.factors - low[None, :]) / (high - low)[None, :]
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    # Standard errors of the mean and the variance of 4000 uniform numbers: 0.0046 and 0.0012; of a correlation: 0.016.
    np.testing.assert_allclose(scaled.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(scaled.var(axis=0), 1 / 12, atol=0.005)
    for columns in (scaled, (scaled - 0.5) ** 2):
        np.testing.assert_allclose(np.corrcoef(columns.T), np.eye(3), atol=0.065)


def test_the_trajectory_is_the_map_of_the_factors_with_noise_of_the_width_asked_for():
    drawn = deformed_polymer(500, seed=1, noise=0.1)
    residual = drawn.trajectory.positions - deformed_positions(drawn.factors)
    # 40 500 normal numbers: standard error 0.35 %.
    assert residual.std() == pytest.approx(0.1, rel=0.015)
    clean = deformed_polymer(500, seed=1, noise=0.0)
    np.testing.assert_array_equal(clean.factors, drawn.factors)
    # float32 positions up to 5 σ.
    np.testing.assert_allclose(clean.trajectory.positions, deformed_positions(drawn.factors), atol=1e-6)


def test_the_trajectory_is_in_reduced_units_with_bonds_along_the_backbone_and_to_the_sides():
    trajectory = deformed_polymer(3, n_beads=4, seed=0).trajectory
    assert trajectory.units.name == "reduced"
    assert (trajectory.n_frames, trajectory.n_atoms, trajectory.dims) == (3, 12, 3)
    backbone_bonds = [[0, 1], [1, 2], [2, 3]]
    side_bonds = [[0, 4], [1, 5], [2, 6], [3, 7], [0, 8], [1, 9], [2, 10], [3, 11]]
    assert trajectory.bonds is not None
    assert trajectory.bonds.tolist() == backbone_bonds + side_bonds


def test_rigid_motion_keeps_every_distance_and_the_handedness():
    still, moved = (deformed_polymer(20, seed=5, noise=0.0, rigid_motion=moves) for moves in (False, True))
    np.testing.assert_array_equal(still.factors, moved.factors)
    pairs = [
        np.linalg.norm(x[:, :, None] - x[:, None, :], axis=-1)
        for x in (still.trajectory.positions, moved.trajectory.positions)
    ]
    # float32 positions up to about 30 σ.
    np.testing.assert_allclose(*pairs, atol=2e-5)
    assert np.abs(still.trajectory.positions - moved.trajectory.positions).max() > 1
    volumes = [
        np.linalg.det(x[:, [1, N_BEADS, N_BEADS - 1]] - x[:, :1])
        for x in (
            still.trajectory.positions.astype(np.float64),
            moved.trajectory.positions.astype(np.float64),
        )
    ]
    np.testing.assert_allclose(*volumes, atol=1e-3)
    assert np.abs(volumes[0]).max() > 0.1


def test_the_seed_decides_every_bit():
    one, again, other = (deformed_polymer(10, seed=seed, rigid_motion=True) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.trajectory.positions, again.trajectory.positions)
    np.testing.assert_array_equal(one.factors, again.factors)
    assert (one.factors != other.factors).all()


def test_numbers_outside_their_range_are_refused():
    with pytest.raises(InputError, match="`n_frames` must be at least 1; got 0"):
        deformed_polymer(0, seed=0)
    with pytest.raises(InputError, match="`n_beads` must be at least 3"):
        deformed_polymer(5, n_beads=2, seed=0)
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="`noise` must be zero or a positive number"):
            deformed_polymer(5, seed=0, noise=noise)
    with pytest.raises(InputError, match=r"`factors` must have shape \(frames, 3\); got \(4, 2\)"):
        deformed_positions(np.zeros((4, 2)))
