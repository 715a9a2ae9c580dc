import numpy as np
import pytest

from polyvae.errors import PolyvaeWarning
from polyvae.trajectory import load
from polyvae.trajectory.bond_search import find_bonds
from polyvae.trajectory.raw import RawFrames


def without_bonds(topology, keep=lambda bond: False):
    bare = topology.copy()
    bare._bonds = [bond for bond in bare._bonds if keep(bond)]
    return bare


def test_bonds_of_a_complete_topology_are_left_alone(peptide):
    pairs, source = find_bonds(peptide.topology, RawFrames(positions=peptide.xyz[:1]))
    assert source == "topology"
    assert len(pairs) == 19


def test_missing_bonds_are_found_by_distance(peptide):
    expected = load(peptide).bonds.tolist()
    pairs, source = find_bonds(without_bonds(peptide.topology), RawFrames(positions=peptide.xyz[:1]))
    assert (pairs.tolist(), source) == (expected, "distances")


def test_bonds_of_one_unknown_residue_are_added(peptide):
    expected = load(peptide).bonds.tolist()
    bare = without_bonds(peptide.topology, keep=lambda bond: bond[0].index < 10 and bond[1].index < 10)
    pairs, source = find_bonds(bare, RawFrames(positions=peptide.xyz[:1]))
    assert (pairs.tolist(), source) == (expected, "distances")


def test_bonds_across_the_box_are_found(peptide):
    expected = load(peptide).bonds.tolist()
    positions = np.where(peptide.xyz > 0.5, peptide.xyz - 3, peptide.xyz)[:1].astype(np.float32)
    frame = RawFrames(positions=positions, box=3 * np.eye(3, dtype=np.float32)[None])
    assert find_bonds(without_bonds(peptide.topology), frame)[0].tolist() == expected


def test_atoms_in_another_order_get_their_true_bonds(peptide, peptide_pdb):
    order = np.concatenate([5 * residue + np.array([0, 1, 4, 2, 3]) for residue in range(4)])
    order[-5:] = [15, 16, 19, 18, 17]
    shuffled = peptide.xyz[:, order[::-1]]
    with pytest.warns(PolyvaeWarning, match="another order"):
        trajectory = load(shuffled, top=peptide_pdb)
    lengths = np.linalg.norm(np.diff(trajectory.positions[:, trajectory.bonds], axis=2)[:, :, 0], axis=2)
    assert trajectory.bond_source == "distances"
    assert len(trajectory.bonds) == 19
    assert lengths.max() < 0.2


def test_beads_have_no_bonds_to_search(rng):
    from polyvae.trajectory import to_mdtraj

    beads = to_mdtraj(load(0.1 * rng.normal(size=(2, 5, 3)), bonds="none"))
    assert load(beads).bond_source == "sequence"
