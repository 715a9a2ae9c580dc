"""Observables against known answers, invariances and mdtraj."""

import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import (
    asphericity,
    contacts,
    distance,
    end_to_end_distance,
    pair_distances,
    radius_of_gyration,
    safe_norm,
    torsion,
)

ALL_PAIRS = jnp.asarray(np.stack(np.triu_indices(8, 1), axis=1))


def rotation(rng: np.random.Generator, dims: int) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q


def as_mdtraj(positions: np.ndarray) -> mdtraj.Trajectory:
    topology = mdtraj.Topology()
    residue = topology.add_residue("BEA", topology.add_chain())
    for _ in range(positions.shape[1]):
        topology.add_atom("CA", mdtraj.element.carbon, residue)
    return mdtraj.Trajectory(positions, topology)


def test_two_atoms_have_half_their_distance_as_radius_of_gyration():
    frame = jnp.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    assert float(radius_of_gyration(frame)) == pytest.approx(2.5, rel=1e-6)
    assert float(end_to_end_distance(frame)) == pytest.approx(5.0, rel=1e-6)


def test_ideal_chain_has_the_textbook_mean_square_radius_of_gyration(rng):
    n_bonds, length, n_chains = 20, 1.5, 20_000
    steps = rng.normal(size=(n_chains, n_bonds, 3))
    steps *= length / np.linalg.norm(steps, axis=2, keepdims=True)
    beads = np.concatenate([np.zeros((n_chains, 1, 3)), np.cumsum(steps, axis=1)], axis=1)
    square = np.asarray(jax.jit(jax.vmap(radius_of_gyration))(jnp.asarray(beads, jnp.float32))) ** 2
    expected = length**2 * n_bonds * (n_bonds + 2) / (6 * (n_bonds + 1))
    # Five standard errors of the mean over independent chains.
    assert abs(square.mean() - expected) < 5 * square.std() / np.sqrt(n_chains)


def test_unequal_masses_weigh_center_and_sum(x64, rng):
    frame, masses = rng.normal(size=(7, 3)), rng.uniform(1.0, 200.0, size=7)
    center = masses @ frame / masses.sum()
    expected = np.sqrt(masses @ np.sum((frame - center) ** 2, axis=1) / masses.sum())
    assert float(radius_of_gyration(jnp.asarray(frame), jnp.asarray(masses))) == pytest.approx(
        expected, rel=1e-12
    )


def test_equal_masses_of_any_size_change_nothing(rng):
    frame = jnp.asarray(rng.normal(size=(7, 2)), jnp.float32)
    masses = jnp.full(7, 12.011, jnp.float32)
    np.testing.assert_allclose(radius_of_gyration(frame, masses), radius_of_gyration(frame), rtol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_observables_do_not_change_under_rigid_motion(x64, rng, dims):
    frame = rng.normal(size=(6, dims))
    moved = frame @ rotation(rng, dims).T + 10.0 * rng.normal(size=dims)
    pairs = jnp.array([[0, 1], [2, 5]])
    masses = jnp.asarray(rng.uniform(1.0, 20.0, size=6))
    for observable in (
        radius_of_gyration,
        lambda x: radius_of_gyration(x, masses),
        end_to_end_distance,
        lambda x: pair_distances(x, pairs),
    ):
        np.testing.assert_allclose(observable(jnp.asarray(moved)), observable(jnp.asarray(frame)), rtol=1e-12)


def test_distances_and_radius_of_gyration_agree_with_mdtraj(rng):
    positions = rng.normal(size=(50, 9, 3)).astype(np.float32)
    pairs = np.array([[0, 8], [3, 4], [7, 2]])
    trajectory = as_mdtraj(positions)
    frames = jnp.asarray(positions)
    ours = jax.vmap(lambda frame: pair_distances(frame, jnp.asarray(pairs)))(frames)
    # float32 on both sides.
    np.testing.assert_allclose(ours, mdtraj.compute_distances(trajectory, pairs), rtol=1e-5)
    # Equal masses only: mdtraj's own formula is wrong for unequal ones.
    np.testing.assert_allclose(jax.vmap(radius_of_gyration)(frames), mdtraj.compute_rg(trajectory), rtol=1e-5)


def test_gradients_are_finite_where_atoms_coincide():
    frame = jnp.zeros((4, 3))
    pairs = jnp.array([[0, 1], [1, 3]])
    for observable in (radius_of_gyration, end_to_end_distance, lambda x: jnp.sum(pair_distances(x, pairs))):
        value, gradient = jax.jit(jax.value_and_grad(observable))(frame)
        assert float(value) == 0.0
        np.testing.assert_array_equal(gradient, np.zeros((4, 3)))


def test_gradients_equal_finite_differences(x64, rng):
    frame, masses = jnp.asarray(rng.normal(size=(5, 3))), jnp.asarray(rng.uniform(1.0, 20.0, size=5))
    direction, step = jnp.asarray(rng.normal(size=(5, 3))), 1e-6
    for observable in (lambda x: radius_of_gyration(x, masses), end_to_end_distance):
        slope = jnp.sum(jax.jit(jax.grad(observable))(frame) * direction)
        numeric = (observable(frame + step * direction) - observable(frame - step * direction)) / (2 * step)
        assert float(slope) == pytest.approx(float(numeric), rel=1e-7)


def test_norm_of_a_batch_is_the_euclidean_length(rng):
    vectors = rng.normal(size=(3, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(safe_norm(jnp.asarray(vectors)), np.linalg.norm(vectors, axis=-1), rtol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_rod_has_asphericity_one_and_a_ball_zero(dims):
    rod = jnp.arange(5.0)[:, None] * jnp.ones((1, dims))
    ball = jnp.concatenate([jnp.eye(dims), -jnp.eye(dims)])
    # float32
    assert float(asphericity(rod)) == pytest.approx(1.0, abs=1e-6)
    assert float(asphericity(ball)) == pytest.approx(0.0, abs=1e-6)


def test_a_disk_in_space_has_asphericity_one_quarter():
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    disk = jnp.asarray(np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1), jnp.float32)
    assert float(asphericity(disk)) == pytest.approx(0.25, abs=1e-6)


def test_asphericity_is_the_relative_shape_anisotropy_of_mdtraj(rng):
    positions = rng.normal(size=(30, 9, 3)).astype(np.float32)
    expected = mdtraj.relative_shape_antisotropy(as_mdtraj(positions))
    np.testing.assert_allclose(jax.vmap(asphericity)(jnp.asarray(positions)), expected, atol=1e-5)


def test_asphericity_depends_on_masses_but_not_on_scale_or_orientation(x64, rng):
    frame, masses = rng.normal(size=(6, 3)), rng.uniform(1.0, 20.0, size=6)
    center = masses @ frame / masses.sum()
    tensor = ((frame - center).T * masses / masses.sum()) @ (frame - center)
    a, b, c = np.linalg.eigvalsh(tensor)
    expected = ((a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2) / (2 * (a + b + c) ** 2)
    measured = lambda x: float(asphericity(jnp.asarray(x), jnp.asarray(masses)))  # noqa: E731
    assert measured(frame) == pytest.approx(expected, rel=1e-12)
    assert measured(1e-40 * frame @ rotation(rng, 3).T + 0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 3)),
        np.full((4, 2), 1e-25),
        np.arange(4.0)[:, None] * np.ones((1, 3)),
        np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]),
        np.concatenate([np.eye(3), -np.eye(3)]),
    ],
    ids=["collapsed", "tiny", "collinear", "planar", "symmetric"],
)
def test_asphericity_has_a_finite_gradient_on_degenerate_frames(frame):
    value, gradient = jax.value_and_grad(asphericity)(jnp.asarray(frame, jnp.float32))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_gradients_of_shape_and_contacts_equal_finite_differences(x64, rng):
    frame, direction = jnp.asarray(rng.normal(size=(8, 3))), jnp.asarray(rng.normal(size=(8, 3)))
    smooth = lambda x: contacts(x, ALL_PAIRS, r0=1.2, d0=0.3, n=4, m=9)  # noqa: E731
    for observable in (asphericity, smooth, lambda x: distance(x, 2, 6)):
        slope = jnp.sum(jax.grad(observable)(frame) * direction)
        numeric = (observable(frame + 1e-6 * direction) - observable(frame - 1e-6 * direction)) / 2e-6
        assert float(slope) == pytest.approx(float(numeric), rel=1e-6)


def pair_at(r: float):
    return jnp.asarray([[0.0, 0.0], [r, 0.0]]), jnp.asarray([[0, 1]])


@pytest.mark.parametrize(
    ("r", "arguments", "expected"),
    [
        (1.0, {"r0": 1.0}, 0.5),
        (1.0, {"r0": 1.0, "n": 6, "m": 8}, 0.75),
        (0.2, {"r0": 1.0, "d0": 0.3}, 1.0),
        (2.0, {"r0": 1.0, "n": 2, "m": 5}, 3 / 31),
        (0.9, {"r0": 1.0, "d0": 0.4, "n": 3}, 1 / (1 + 0.5**3)),
        (1e30, {"r0": 1.0, "n": 20}, 0.0),
    ],
)
def test_the_switch_has_the_values_of_its_formula(r, arguments, expected):
    value, gradient = jax.value_and_grad(contacts)(*pair_at(r), **arguments)
    assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-12)
    assert np.isfinite(gradient).all()


def test_contacts_become_the_hard_count_in_the_sharp_limit(x64, rng):
    frames = jnp.asarray(rng.normal(size=(20, 8, 3)))
    smooth = jax.vmap(lambda x: contacts(x, ALL_PAIRS, r0=1.5, n=4000))(frames)
    distances = np.linalg.norm(frames[:, ALL_PAIRS[:, 0]] - frames[:, ALL_PAIRS[:, 1]], axis=-1)
    # Where no pair lies within 0.2 % of the edge, a switch of power 4000 is off by exp(-8) at most for each of 28.
    clear = np.abs(distances - 1.5).min(axis=1) > 3e-3
    assert clear.sum() >= 10
    assert np.abs(np.asarray(smooth) - (distances < 1.5).sum(axis=1))[clear].max() < 28 * np.exp(-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"r0": 0.0}, "`r0` must be positive; got 0.0"),
        ({"r0": 1.0, "d0": -1.0}, "`d0` must not be negative"),
        ({"r0": 1.0, "n": 6, "m": 6}, "`n` must be at least 1 and `m` larger; got n=6, m=6"),
        ({"r0": 1.0, "n": 0}, "`n` must be at least 1"),
    ],
)
def test_impossible_switches_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        contacts(*pair_at(1.0), **arguments)


def test_torsions_are_those_of_mdtraj_and_turn_with_the_mirror(rng):
    frames = rng.normal(size=(50, 8, 3)).astype(np.float32)
    found = np.array([float(torsion(frame, (1, 2, 5, 7))) for frame in jnp.asarray(frames)])
    expected = mdtraj.compute_dihedrals(as_mdtraj(frames), [[1, 2, 5, 7]])[:, 0]
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * expected), atol=1e-5)
    mirrored = np.array([float(torsion(frame, (1, 2, 5, 7))) for frame in jnp.asarray(frames * [1, 1, -1])])
    np.testing.assert_allclose(mirrored, -found, atol=1e-5)


def test_a_torsion_has_a_gradient_where_it_has_no_meaning():
    line = jnp.asarray(np.arange(4.0)[:, None] * np.ones(3))
    for frame in (line, jnp.zeros((4, 3))):
        value, gradient = jax.value_and_grad(torsion)(frame, (0, 1, 2, 3))
        assert float(value) == 0.0
        assert np.isfinite(gradient).all()
