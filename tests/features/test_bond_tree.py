"""The order of placement: what is parent to what, in chains, branches, rings and systems of several parts."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.features import BondTree, bond_tree

ETHANE = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6), (1, 7))


def tree_of(bonds, n_atoms, positions=None) -> BondTree:
    positions = np.zeros((1, n_atoms, 3)) if positions is None else positions
    return bond_tree(np.asarray(bonds, int).reshape(-1, 2), n_atoms, positions=positions)


def ring(atoms) -> list[tuple[int, int]]:
    atoms = list(atoms)
    return list(zip(atoms, [*atoms[1:], atoms[0]], strict=True))


def bonds_in(tree: BondTree) -> set[tuple[int, int]]:
    """Bonds of the tree that are no bridges, and those that it leaves out, by the trajectory's numbers."""
    steps = [
        (step, tree.parents[step]) for step in range(1, tree.n_atoms) if step not in tree.bridges
    ] + list(tree.ring_bonds)
    ends = [(tree.atoms[a], tree.atoms[b]) for a, b in steps]
    return {(min(pair), max(pair)) for pair in ends}


def assert_sound(tree: BondTree, bonds, n_atoms: int) -> None:
    assert sorted(tree.atoms) == list(range(n_atoms))
    assert all(parent < step for step, parent in enumerate(tree.parents) if step)
    # Only one atom is placed from the root: all others have a grandparent.
    assert tree.parents.count(0) == 2
    assert bonds_in(tree) == {tuple(sorted(bond)) for bond in bonds}
    assert len(tree.ring_bonds) == len({tuple(sorted(b)) for b in bonds}) - (n_atoms - 1 - len(tree.bridges))
    for step, sibling in enumerate(tree.siblings):
        if sibling >= 0:
            assert tree.parents[sibling] == tree.parents[step]
            assert tree.siblings[sibling] == -1
            assert sibling < step


def test_a_chain_is_placed_from_its_first_atom_to_its_last():
    tree = tree_of([(0, 1), (1, 2), (2, 3), (3, 4)], 5)
    assert tree == BondTree(atoms=(0, 1, 2, 3, 4), parents=(0, 0, 1, 2, 3), siblings=(-1,) * 5)
    assert tree.depth == 4
    np.testing.assert_array_equal(tree.torsion_atoms(), [[0, 1, 2, 3], [1, 2, 3, 4]])


def test_the_order_of_atoms_in_the_file_does_not_matter_for_the_shape():
    tree = tree_of([(4, 2), (2, 0), (0, 3), (3, 1)], 5)
    assert tree.parents == (0, 0, 1, 2, 3)
    assert tree.atoms == (1, 3, 0, 2, 4)


def test_the_larger_branch_comes_first_and_the_others_count_from_it():
    # Ethane from a hydrogen: its carbon, the other carbon before the two hydrogens, then three hydrogens.
    tree = tree_of(ETHANE, 8)
    assert tree == BondTree(
        atoms=(4, 0, 1, 2, 3, 5, 6, 7),
        parents=(0, 0, 1, 1, 1, 2, 2, 2),
        siblings=(-1, -1, -1, 2, 2, -1, 5, 5),
    )
    np.testing.assert_array_equal(
        tree.torsion_atoms(), [[2, 0, 1, 3], [2, 0, 1, 4], [0, 1, 2, 5], [5, 1, 2, 6], [5, 1, 2, 7]]
    )


def test_a_star_hangs_on_one_of_its_arms():
    tree = tree_of([(0, arm) for arm in range(1, 6)], 6)
    assert_sound(tree, [(0, arm) for arm in range(1, 6)], 6)
    assert tree.depth == 2
    assert tree.siblings == (-1, -1, -1, 2, 2, 2)


def test_three_atoms_in_a_line_are_the_smallest_molecule():
    tree = tree_of([(1, 0), (1, 2)], 3)
    assert (tree.atoms, tree.parents) == ((0, 1, 2), (0, 0, 1))
    assert tree.torsion_atoms().shape == (0, 4)


@pytest.mark.parametrize("size", [3, 4, 6, 9])
def test_a_ring_without_an_end_is_cut_once_and_placed_as_a_chain(size):
    tree = tree_of(ring(range(size)), size)
    assert_sound(tree, ring(range(size)), size)
    assert len(tree.ring_bonds) == 1
    assert tree.depth == size - 1


FUSED = [*ring(range(6)), (4, 6), (6, 7), (7, 8), (8, 9), (9, 3)]
LINKED_CAGES = [
    (0, 1),
    (0, 2),
    (0, 3),
    (1, 2),
    (1, 3),
    (2, 3),
    (5, 6),
    (5, 7),
    (5, 8),
    (6, 7),
    (6, 8),
    (7, 8),
]
LINKED_CAGES += [(3, 4), (4, 5)]


@pytest.mark.parametrize(
    ("bonds", "n_atoms", "n_rings"),
    [(FUSED, 10, 2), (LINKED_CAGES, 9, 6), ([*ring(range(5)), *ring(range(5, 10)), (4, 5)], 10, 2)],
    ids=["fused rings", "two cages on one atom", "two rings on one bond"],
)
def test_rings_without_ends_are_reached_whole_from_one_neighbor_of_the_root(bonds, n_atoms, n_rings):
    tree = tree_of(bonds, n_atoms)
    assert_sound(tree, bonds, n_atoms)
    assert len(tree.ring_bonds) == n_rings


def test_a_bond_named_twice_or_from_an_atom_to_itself_counts_once_or_not_at_all():
    assert tree_of([(0, 1), (1, 0), (1, 2), (2, 2)], 3) == tree_of([(0, 1), (1, 2)], 3)


def test_separate_chains_are_joined_where_they_are_closest_on_average_and_a_warning_says_so():
    positions = np.zeros((2, 6, 3))
    positions[:, :3, 0] = [0, 1, 2]
    positions[:, 3:, 0] = [0, 1, 2]
    positions[:, 3:, 1] = 5
    # Atoms 2 and 3 meet in the second frame only; on average 1 and 4 are no farther than others but for this.
    positions[1, 3] = [2.0, 1.0, 0.0]
    with pytest.warns(PolyvaeWarning, match=r"melt: the bonds make 2 separate chains.*joined by 1 bridge"):
        tree = bond_tree(np.array([(0, 1), (1, 2), (3, 4), (4, 5)]), 6, positions=positions, source="melt")
    assert_sound(tree, [(0, 1), (1, 2), (3, 4), (4, 5)], 6)
    (bridge,) = tree.bridges
    assert {tree.atoms[bridge], tree.atoms[tree.parents[bridge]]} == {2, 3}


def test_ions_without_any_bond_hang_on_bridges():
    positions = np.arange(5.0)[None, :, None] * np.ones((1, 1, 3))
    with pytest.warns(PolyvaeWarning, match="4 separate chains"):
        tree = tree_of([(0, 1)], 5, positions)
    assert_sound(tree, [(0, 1)], 5)
    assert len(tree.bridges) == 3
    assert tree.parents == (0, 0, 1, 2, 3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(3, 25), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_any_graph_gives_a_sound_tree(n_atoms, n_extra, seed):
    rng = np.random.default_rng(seed)
    names = rng.permutation(n_atoms)
    bonds = {tuple(sorted((names[step], names[rng.integers(step)]))) for step in range(1, n_atoms)}
    for _ in range(n_extra):
        first, second = rng.choice(n_atoms, 2, replace=False)
        bonds.add(tuple(sorted((first, second))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = tree_of(sorted(bonds), n_atoms)
    assert_sound(tree, bonds, n_atoms)


def test_two_atoms_and_missing_bonds_are_refused():
    with pytest.raises(InputError, match="need at least 3 atoms; got 2"):
        tree_of([(0, 1)], 2)
    for bonds in (None, np.zeros((0, 2), int), np.array([[1, 1]])):
        with pytest.raises(InputError, match=r"run\.xtc: internal coordinates need bonds.*Give `bonds`"):
            bond_tree(bonds, 4, positions=np.zeros((1, 4, 3)), source="run.xtc")
