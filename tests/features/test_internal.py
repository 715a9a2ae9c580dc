"""The internal representation: scales, rings, densities in space, and data that cannot be used."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import InternalCoordinates, bond_tree, fit_cartesian, fit_internal
from polyvae.features.bond_check import check_bond_lengths
from polyvae.preprocessing import align, fit_alignment

CHAIN = np.array([(0, 1), (1, 2), (2, 3), (3, 4)])
# A ring of six, another on its bond 3-4, and a tail.
FUSED = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (4, 6), (6, 7), (7, 8), (8, 9), (9, 3), (0, 10)]
)


def walks(n_frames: int, n_atoms: int, dims: int, seed: int = 0) -> np.ndarray:
    """Chains of bonds of about 1 that wander, turned and shifted at random."""
    rng = np.random.default_rng(seed)
    bonds = np.array([0.2, 1.0, 0.4])[:dims] * np.where(np.arange(n_atoms - 1) % 2, 1, -1)[:, None]
    bonds[:, 0] = 0.8
    bonds = bonds + 0.15 * rng.normal(size=(n_frames, n_atoms - 1, dims))
    positions = np.concatenate([np.zeros((n_frames, 1, dims)), np.cumsum(bonds, axis=1)], axis=1)
    rotation = np.linalg.qr(rng.normal(size=(n_frames, dims, dims)))[0]
    rotation[:, :, 0] *= np.linalg.det(rotation)[:, None]
    return np.einsum("fai,fji->faj", positions, rotation) + rng.normal(size=(n_frames, 1, dims))


def fused_rings(n_frames: int = 40) -> np.ndarray:
    corners = np.array(
        [(np.cos(turn), np.sin(turn), 0.2 * (-1) ** i) for i, turn in enumerate(np.arange(6) * np.pi / 3)]
    )
    shift = corners[3] + corners[4]
    far = shift[None] - corners[[0, 1, 5, 2]] * np.array([1, 1, -1.0])
    atoms = np.concatenate([corners, far[[1, 0, 2, 3]], corners[:1] * 2])
    return atoms[None] + 0.04 * np.random.default_rng(1).normal(size=(n_frames, 11, 3))


def fitted(positions, bonds, weights=None) -> InternalCoordinates:
    n_atoms = positions.shape[1]
    alignment = fit_alignment(positions.astype(np.float32), method="procrustes")[0]
    canonical = np.asarray(align(alignment, positions.astype(np.float32)))
    cartesian = fit_cartesian(alignment, lambda: [canonical])
    tree = bond_tree(bonds, n_atoms, positions=positions)
    return fit_internal(
        tree,
        cartesian,
        np.asarray(alignment.reference),
        lambda: [canonical],
        weights=weights,
        source="run.xtc",
    )


@eqx.filter_jit
def features_of(representation, frames):
    return jax.vmap(representation)(frames)


@eqx.filter_jit
def positions_of(representation, features):
    return jax.vmap(representation.positions)(features)


@eqx.filter_jit
def closures_of(representation, frames):
    return jax.vmap(lambda frame: representation.ring_closure(frame))(frames)


def canonical_frame(representation, positions):
    """The first frame, on the reference."""
    return positions_of(representation, features_of(representation, jnp.asarray(positions[:1])))[0]


@eqx.filter_jit
def volume_of(representation, frame):
    return representation.log_volume(frame)


@pytest.fixture(scope="module", params=[2, 3], ids=["2-D", "3-D"])
def chain(request):
    positions = walks(200, 5, request.param).astype(np.float32)
    return positions, fitted(positions, CHAIN)


@pytest.fixture(scope="module")
def rings():
    positions = fused_rings().astype(np.float32)
    return positions, fitted(positions, FUSED)


def test_lengths_and_angles_are_scaled_and_torsions_are_not(chain):
    positions, representation = chain
    dims = positions.shape[2]
    features = np.asarray(features_of(representation, jnp.asarray(positions)))
    assert features.shape == (200, 5 * dims - dims * (dims + 1) // 2)
    assert representation.n_features == features.shape[1]
    stiff = features[:, : representation.n_stiff]
    # Sums of 200 numbers in single precision.
    np.testing.assert_allclose(stiff.mean(axis=0), 0, atol=2e-5)
    np.testing.assert_allclose(stiff.std(axis=0), 1, rtol=1e-4)
    assert np.abs(features[:, representation.n_stiff :]).max() <= np.pi
    lengths = np.linalg.norm(np.diff(positions, axis=1), axis=2)
    np.testing.assert_allclose(representation.mean[:4], lengths.mean(axis=0), rtol=1e-5)
    assert np.all(np.asarray(representation.low)[:4] < lengths.min(axis=0))
    assert np.all(np.asarray(representation.high)[:4] > lengths.max(axis=0))


def test_positions_come_back_on_the_reference_and_no_motion_changes_the_vector(chain):
    positions, representation = chain
    rng = np.random.default_rng(3)
    dims = positions.shape[2]
    rotation = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
    rotation[:, 0] *= np.linalg.det(rotation)
    features = features_of(representation, jnp.asarray(positions))
    moved = features_of(representation, jnp.asarray(positions @ rotation.T + np.float32(0.5), jnp.float32))
    # Lengths and angles in units of their spread, 0.15: single precision of positions of size 5.
    np.testing.assert_allclose(features, moved, atol=2e-5)
    built = np.asarray(positions_of(representation, features))
    assert np.abs(built.mean(axis=1)).max() < 1e-6
    distances = lambda frames: np.linalg.norm(frames[:, :, None] - frames[:, None], axis=3)  # noqa: E731
    np.testing.assert_allclose(distances(built), distances(positions), atol=1e-5)
    again = np.asarray(positions_of(representation, features_of(representation, jnp.asarray(built))))
    np.testing.assert_allclose(again, built, atol=1e-5)


def test_the_volume_is_the_determinant_of_finite_differences(x64):
    positions = walks(30, 5, 3)
    representation = fitted(positions, CHAIN)
    cartesian = representation.cartesian
    frame = canonical_frame(representation, positions)
    point = np.asarray(cartesian(frame))
    step = 1e-5 * np.eye(len(point))
    rows = jnp.asarray(np.concatenate([point + step, point - step]))
    values = np.asarray(jax.jit(jax.vmap(lambda row: representation(cartesian.positions(row))))(rows))
    jacobian = (values[: len(point)] - values[len(point) :]) / 2e-5
    expected = np.linalg.slogdet(jacobian)[1] + float(cartesian.log_volume)
    # Central differences: 1e-10 of curvature, 1e-11 of rounding, for each of a dozen numbers.
    np.testing.assert_allclose(volume_of(representation, frame), expected, atol=1e-6)


def test_the_volume_in_the_plane_is_that_of_bonds_and_of_the_rotation(x64):
    # With all coordinates, d(positions) = d(center) d(rotation) prod(length d(length) d(turn)). The center is `n` times
    # narrower an axis for an orthonormal coordinate of it, and the rotation moves the frame along the direction that
    # alignment fixes by (positions . reference) / |reference|.
    positions = walks(30, 5, 2)
    representation = fitted(positions, CHAIN)
    frame = canonical_frame(representation, positions)
    reference = np.asarray(representation.reference)
    lengths = np.linalg.norm(np.diff(np.asarray(frame), axis=0), axis=1)
    rotation = np.sum(np.asarray(frame) * reference) / np.linalg.norm(reference)
    scaled = np.sum(np.log(np.asarray(representation.scale)))
    expected = np.log(5) + np.log(rotation) - np.sum(np.log(lengths)) - scaled
    # The alignment behind the Cartesian basis is fitted in single precision.
    np.testing.assert_allclose(volume_of(representation, frame), expected, atol=1e-5)


def test_bonds_that_close_rings_are_measured_against_the_data(rings):
    positions, representation = rings
    tree = representation.tree
    assert len(tree.ring_bonds) == 2
    closure = np.asarray(closures_of(representation, jnp.asarray(positions)))
    assert closure.shape == (40, 2)
    # Mean and spread of the data themselves, in single precision.
    np.testing.assert_allclose(closure.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(closure.std(axis=0), 1, rtol=1e-3)
    first, second = (tree.atoms[step] for step in tree.ring_bonds[0])
    lengths = np.linalg.norm(positions[:, first] - positions[:, second], axis=1)
    np.testing.assert_allclose(representation.ring_mean[0], lengths.mean(), rtol=1e-5)
    features = representation(jnp.asarray(positions[0]))
    np.testing.assert_allclose(representation.ring_closure(features), closure[0], atol=1e-3)
    # A torsion turned half around opens a ring.
    opened = features.at[representation.n_stiff].add(np.pi)
    assert np.abs(representation.ring_closure(opened)).max() > 5


def test_a_chain_has_nothing_to_close(chain):
    positions, representation = chain
    assert representation.ring_closure(jnp.asarray(positions[0])).shape == (0,)


def test_a_ring_of_beads_in_the_plane_comes_back_closed():
    turns = np.arange(7) * 2 * np.pi / 7
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    positions = (circle[None] + 0.05 * np.random.default_rng(2).normal(size=(30, 7, 2))).astype(np.float32)
    bonds = np.stack([np.arange(7), (np.arange(7) + 1) % 7], axis=1)
    representation = fitted(positions, bonds)
    built = np.asarray(positions_of(representation, features_of(representation, jnp.asarray(positions))))
    lengths = lambda frames: np.linalg.norm(frames[:, bonds[:, 0]] - frames[:, bonds[:, 1]], axis=2)  # noqa: E731
    np.testing.assert_allclose(lengths(built), lengths(positions), atol=1e-5)


def test_frames_of_weight_zero_do_not_count():
    positions = walks(60, 5, 2).astype(np.float32)
    spoiled = positions.copy()
    spoiled[50:] *= 7.0
    spoiled[55, 1] = spoiled[55, 0]
    weights = np.where(np.arange(60) < 50, 1.0, 0.0)
    tree = bond_tree(CHAIN, 5, positions=positions)
    cartesian = fitted(positions, CHAIN).cartesian
    one = fit_internal(tree, cartesian, positions[0], lambda: [positions[:50]])
    two = fit_internal(tree, cartesian, positions[0], lambda: [spoiled[:30], spoiled[30:]], weights=weights)
    for name in ("mean", "scale", "low", "high"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-5, err_msg=name)


def test_coincident_atoms_are_named():
    positions = walks(20, 5, 3)
    positions[13, 2] = positions[13, 1]
    tree = bond_tree(CHAIN, 5, positions=positions)
    with pytest.raises(InputError, match=r"run\.xtc: atoms 1 and 2 coincide in frame 13.*Repair the file"):
        check_bond_lengths(tree, positions, source="run.xtc")
    with pytest.raises(InputError, match=r"run\.xtc: atoms 1 and 2 coincide in frame 13"):
        fitted(positions, CHAIN)
    check_bond_lengths(tree, positions, weights=np.where(np.arange(20) == 13, 0.0, 1.0))


def test_a_molecule_torn_by_the_boundary_is_named_with_and_without_a_box():
    positions = walks(40, 5, 3)
    tree = bond_tree(CHAIN, 5, positions=positions)
    torn = positions.copy()
    torn[7, 3:] += np.array([9.0, 0, 0])
    message = r"atoms 2 and 3 are bonded, but .* apart in frame 7 .*periodic boundary.*whole=\"auto\""
    with pytest.raises(InputError, match=message):
        check_bond_lengths(tree, torn)
    box = np.broadcast_to(9.0 * np.eye(3), (40, 3, 3))
    with pytest.raises(InputError, match=message):
        check_bond_lengths(tree, torn, box=box)
    # Torn in every frame, only the box tells.
    torn[:, 3:] = positions[:, 3:] + np.array([9.0, 0, 0])
    check_bond_lengths(tree, torn)
    with pytest.raises(InputError, match="atoms 2 and 3 are bonded.*in frame 0"):
        check_bond_lengths(tree, torn, box=box)
    check_bond_lengths(tree, positions, box=box)


def test_bonds_that_stretch_far_by_themselves_are_not_torn():
    # Normal steps in the plane: one bond in 500 is longer than 3 medians.
    positions = np.cumsum(np.random.default_rng(0).normal(size=(3000, 5, 2)), axis=1)
    lengths = np.linalg.norm(np.diff(positions, axis=1), axis=2)
    assert lengths.max() > 3 * np.median(lengths)
    check_bond_lengths(bond_tree(CHAIN, 5, positions=positions[:5]), positions)


def test_a_bridge_between_chains_may_be_as_long_as_it_is():
    positions = walks(40, 5, 3)
    positions[7, 3:] += np.array([30.0, 0, 0])
    with pytest.warns(match="2 separate chains"):
        tree = bond_tree(CHAIN[[0, 1, 3]], 5, positions=positions)
    check_bond_lengths(tree, positions)


def test_no_frames_are_refused():
    positions = walks(20, 5, 2)
    representation = fitted(positions, CHAIN)
    with pytest.raises(InputError, match="no frames to fit"):
        fit_internal(representation.tree, representation.cartesian, positions[0], list)
