import mdtraj
import numpy as np
import pytest

from polyvae import InputError
from polyvae.errors import PolyvaeWarning
from polyvae.trajectory import load
from polyvae.trajectory.topology import (
    bond_length_ratio,
    load_topology,
    masses_of,
    select_atoms,
    sequence_bonds,
)


@pytest.mark.parametrize("suffix", [".pdb", ".gro", ".h5", ".cif"])
def test_topologies_of_many_formats_give_the_same_bonds(peptide, tmp_path, suffix):
    path = tmp_path / f"top{suffix}"
    peptide[0].save(str(path))
    topology = load_topology(path)
    assert [atom.name for atom in topology.atoms] == [atom.name for atom in peptide.topology.atoms]
    assert topology.n_bonds == 19


def test_topologies_of_objects_are_taken(peptide):
    assert load_topology(peptide).n_atoms == 20
    assert load_topology(peptide.topology) is peptide.topology
    assert load_topology(load(peptide)).n_atoms == 20
    assert load_topology(None) is None


def test_selection_by_words_indices_and_masks_agree(peptide):
    topology = peptide.topology
    words = select_atoms("name CA", topology, 20, "x")[0]
    mask = np.zeros(20, bool)
    mask[words] = True
    assert words.tolist() == select_atoms(words.tolist(), None, 20, "x")[0].tolist()
    assert words.tolist() == select_atoms(mask, None, 20, "x")[0].tolist()
    with pytest.raises(InputError, match="holds none of the 20 atoms"):
        select_atoms([], None, 20, "x")


def test_virtual_sites_weigh_nothing_and_unknown_elements_are_a_warning(peptide):
    topology = peptide.topology.copy()
    topology.atom(3).element = mdtraj.element.virtual
    assert masses_of(topology, "x")[3] == 0
    topology.atom(3).element = None
    with pytest.warns(PolyvaeWarning, match=r"x: 1 atoms have no element \(ALA1-O\)"):
        assert masses_of(topology, "x") is None


def test_sequence_bonds_of_one_atom_are_none():
    assert sequence_bonds(None, 1).shape == (0, 2)


def test_bond_length_ratio_is_one_in_nanometers(peptide):
    assert bond_length_ratio(peptide.xyz[0], peptide.topology) == pytest.approx(1, abs=0.15)
    assert bond_length_ratio(10 * peptide.xyz[0], peptide.topology) == pytest.approx(10, rel=0.15)
    assert bond_length_ratio(peptide.xyz[0], None) is None
