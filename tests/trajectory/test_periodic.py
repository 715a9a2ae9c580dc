import itertools

import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest

from polyvae.trajectory import load
from polyvae.trajectory.molecules import broken_bonds, molecule_tree
from polyvae.trajectory.periodic import make_whole, nearest_image, reduced_basis, whole_frames

BOXES = {
    "cubic": np.diag([1.1, 1.1, 1.1]),
    "orthorhombic": np.diag([1.0, 1.3, 1.6]),
    "dodecahedron": 1.4 * np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, np.sqrt(0.5)]]),
    "octahedron": 1.6
    * np.array([[1, 0, 0], [1 / 3, np.sqrt(8) / 3, 0], [-1 / 3, np.sqrt(2) / 3, np.sqrt(6) / 3]]),
    "skewed": np.array([[1.2, 0, 0], [1.1, 1.2, 0], [-1.0, 0.9, 1.3]]),
}


@pytest.fixture(params=BOXES)
def box(request):
    return BOXES[request.param].astype(np.float32)


def chain(rng, n_frames=6, n_atoms=30, dims=3):
    steps = rng.normal(size=(n_frames, n_atoms, dims))
    steps *= 0.15 / np.linalg.norm(steps, axis=2, keepdims=True)
    return np.cumsum(steps, axis=1).astype(np.float32)


def wrapped(positions, box):
    fractions = positions @ np.linalg.inv(box)
    return ((fractions - np.floor(fractions)) @ box).astype(np.float32)


def relative(positions):
    return positions - positions[:, :1]


BONDS = np.stack([np.arange(29), np.arange(1, 30)], axis=1)


def test_nearest_image_is_the_shortest_of_all(rng, box):
    displacements = (rng.uniform(-2, 2, size=(200, 3)) @ box).astype(np.float32)
    basis = reduced_basis(jnp.asarray(box))
    ours = displacements + np.asarray(nearest_image(jnp.asarray(displacements), basis) @ basis)
    shifts = np.array(list(itertools.product(range(-6, 7), repeat=3)))
    every = np.linalg.norm(displacements[:, None] + (shifts @ box)[None], axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), every, atol=2e-5)


def test_reduced_basis_spans_the_same_lattice(box):
    basis = np.asarray(reduced_basis(jnp.asarray(box)))
    change = basis @ np.linalg.inv(box)
    np.testing.assert_allclose(change, np.round(change), atol=1e-5)
    assert abs(np.linalg.det(change)) == pytest.approx(1, abs=1e-4)


def test_a_wrapped_chain_is_restored(rng, box):
    positions = chain(rng)
    broken = wrapped(positions, box)
    boxes = np.tile(box, (6, 1, 1))
    assert broken_bonds(broken, boxes, BONDS).all()
    whole = whole_frames(broken, boxes, molecule_tree(BONDS, 30))
    np.testing.assert_allclose(relative(whole), relative(positions), atol=3e-6)
    assert not broken_bonds(whole, boxes, BONDS).any()


def test_agrees_with_mdtraj(rng, box):
    topology = mdtraj.Topology()
    residue = topology.add_residue("BEA", topology.add_chain())
    atoms = [topology.add_atom("B", mdtraj.element.carbon, residue) for _ in range(30)]
    for first, second in BONDS:
        topology.add_bond(atoms[first], atoms[second])
    boxes = np.tile(np.asarray(reduced_basis(jnp.asarray(box))), (6, 1, 1))
    if abs(boxes[0, 0, 1:]).max() > 0 or abs(boxes[0, 1, 2]) > 0:
        pytest.skip("mdtraj keeps boxes in lower-triangular form only")
    broken = wrapped(chain(rng), boxes[0])
    theirs = mdtraj.Trajectory(broken, topology)
    theirs.unitcell_vectors = boxes
    theirs.make_molecules_whole(inplace=True)
    ours = whole_frames(broken, boxes, molecule_tree(BONDS, 30))
    np.testing.assert_allclose(relative(ours), relative(theirs.xyz), atol=1e-5)


def test_whole_frames_come_back_bit_for_bit(rng, box):
    positions = chain(rng)
    np.testing.assert_array_equal(
        whole_frames(positions, np.tile(box, (6, 1, 1)), molecule_tree(BONDS, 30)), positions
    )


def test_two_dimensions_work(rng):
    positions = chain(rng, dims=2)
    square = np.diag([1.0, 1.2]).astype(np.float32)
    boxes = np.zeros((6, 3, 3), np.float32)
    boxes[:, :2, :2] = square
    boxes[:, 2, 2] = 1
    whole = whole_frames(wrapped(positions, square), boxes, molecule_tree(BONDS, 30))
    np.testing.assert_allclose(relative(whole), relative(positions), atol=3e-6)


def test_molecules_move_next_to_the_largest(rng):
    positions = chain(rng)
    bonds = BONDS[BONDS[:, 0] != 19]
    box = np.diag([3.0, 3.0, 3.0]).astype(np.float32)
    positions[:, 20:] += np.array([6.0, -3.0, 0.0], np.float32)
    whole = whole_frames(positions, np.tile(box, (6, 1, 1)), molecule_tree(bonds, 30))
    np.testing.assert_array_equal(whole[:, :20], positions[:, :20])
    apart = whole[:, 20:].mean(axis=1) - whole[:, :20].mean(axis=1)
    assert np.all(np.abs(apart) <= 1.5)


def test_gradient_is_the_identity(rng):
    box = BOXES["dodecahedron"].astype(np.float32)
    broken = jnp.asarray(wrapped(chain(rng), box)[0])
    tree = molecule_tree(BONDS, 30)

    def one(positions):
        return make_whole(
            positions,
            jnp.asarray(box),
            jnp.asarray(tree.jumps),
            jnp.asarray(tree.molecules),
            n_molecules=1,
            anchor=0,
        )

    gradient = jax.jit(jax.grad(lambda positions: jnp.sum(one(positions) * broken)))(broken)
    np.testing.assert_array_equal(gradient, broken)


def test_broken_bonds_names_the_frames(rng):
    positions = chain(rng)
    box = np.tile(np.diag([8.0, 8.0, 8.0]).astype(np.float32), (6, 1, 1))
    positions[3, 10:] += np.array([8.0, 0, 0], np.float32)
    np.testing.assert_array_equal(np.flatnonzero(broken_bonds(positions, box, BONDS)), [3])


def split_peptide(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    whole = peptide.xyz.copy()
    peptide.xyz = np.where(whole > 0.5, whole - 3.0, whole).astype(np.float32)
    return whole


def test_load_repairs_a_split_molecule_and_slices_afterwards(peptide):
    whole = split_peptide(peptide)
    trajectory = load(peptide)
    np.testing.assert_allclose(relative(trajectory.positions), relative(whole), atol=1e-6)
    carbons = peptide.topology.select("name CA")
    np.testing.assert_allclose(
        relative(load(peptide, atoms="name CA").positions), relative(whole[:, carbons]), atol=1e-6
    )
    np.testing.assert_array_equal(load(peptide, whole="no").positions, peptide.xyz)


def test_a_thin_selection_follows_the_bonds_of_the_whole_molecule(peptide):
    whole = split_peptide(peptide)
    ends = [1, 16]
    chosen = load(peptide, atoms=ends)
    np.testing.assert_allclose(relative(chosen.positions), relative(whole[:, ends]), atol=1e-6)
