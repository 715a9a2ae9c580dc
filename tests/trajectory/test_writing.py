import resource

import mdtraj
import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import Trajectory, from_mdtraj, load, save_trajectory

FORMATS = {".pdb": 1e-4, ".xtc": 6e-4, ".dcd": 1e-6, ".npz": 0.0}


@pytest.mark.parametrize("suffix", FORMATS)
class TestEveryFormat:
    def test_round_trip(self, peptide, peptide_pdb, tmp_path, suffix):
        peptide.unitcell_lengths = np.tile([3.0, 3.2, 3.4], (23, 1))
        peptide.unitcell_angles = np.tile([70.0, 80.0, 100.0], (23, 1))
        trajectory = from_mdtraj(peptide)
        path = tmp_path / f"out{suffix}"
        save_trajectory(trajectory, path)
        again = load(path, top=None if suffix == ".npz" else peptide_pdb)
        np.testing.assert_allclose(again.positions, trajectory.positions, atol=FORMATS[suffix])
        np.testing.assert_allclose(again.box, trajectory.box, atol=1e-3)
        assert again.bonds.tolist() == trajectory.bonds.tolist()
        if suffix in (".xtc", ".npz"):
            np.testing.assert_array_equal(again.times, trajectory.times)

    def test_beads_in_two_dimensions_at_a_non_ascii_path(self, rng, tmp_path, suffix):
        folder = tmp_path / "größe und maß"
        folder.mkdir()
        beads = load(np.cumsum(rng.normal(size=(5, 4, 2)), axis=1), bonds=[[0, 1], [1, 3]])
        path = folder / f"perlen é{suffix}"
        save_trajectory(beads, path)
        again = load(path, bonds=None if suffix in (".pdb", ".npz") else "sequence")
        np.testing.assert_allclose(again.positions[..., :2], beads.positions, atol=max(FORMATS[suffix], 1e-6))
        if suffix in (".pdb", ".npz"):
            assert again.bonds.tolist() == [[0, 1], [1, 3]]
        assert [item.name for item in folder.iterdir()] == [path.name]

    def test_refuses_to_overwrite(self, rng, tmp_path, suffix):
        beads = load(rng.normal(size=(5, 4, 3)))
        path = tmp_path / f"out{suffix}"
        save_trajectory(beads, path)
        before = path.read_bytes()
        with pytest.raises(InputError, match="exists already"):
            save_trajectory(beads[:2], path)
        assert path.read_bytes() == before
        save_trajectory(beads[:2], path, overwrite=True)
        assert path.read_bytes() != before

    def test_the_file_size_limit_leaves_nothing(self, rng, tmp_path, suffix):
        beads = load(rng.normal(size=(200, 40, 3)))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            with pytest.raises(InputError, match="Nothing was left behind"):
                save_trajectory(beads, tmp_path / f"out{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_named(rng, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .trr; use .pdb, .xtc"):
        save_trajectory(load(rng.normal(size=(2, 4, 3))), tmp_path / "a.trr")


def test_coordinates_that_a_format_cannot_hold_are_refused(rng, tmp_path):
    beads = load(rng.normal(size=(2, 4, 3)) * 1e7)
    for suffix in (".xtc", ".pdb"):
        with pytest.raises(InputError, match="cannot hold a coordinate"):
            save_trajectory(beads, tmp_path / f"a{suffix}")
    save_trajectory(beads, tmp_path / "a.npz")


def test_bonds_of_a_selection_point_at_its_own_atoms_in_a_pdb_file(tmp_path):
    topology = mdtraj.Topology()
    residue = topology.add_residue("LIG", topology.add_chain())
    carbons = [
        topology.add_atom(f"C{i}", mdtraj.element.carbon, residue, serial=10 + 3 * i) for i in range(3)
    ]
    topology.add_bond(carbons[0], carbons[1])
    topology.add_bond(carbons[1], carbons[2])
    positions = np.array([[[0.0, 0, 0], [0.15, 0, 0], [0.3, 0, 0]]], np.float32)
    bonds = np.array([[0, 1], [1, 2]])
    trajectory = Trajectory(positions=positions, topology=topology, bonds=bonds, bond_source="topology")
    path = save_trajectory(trajectory, tmp_path / "ligand.pdb") or tmp_path / "ligand.pdb"
    lines = path.read_text().splitlines()
    serials = {int(line[6:11]) for line in lines if line.startswith(("ATOM", "HETATM"))}
    connected = {int(word) for line in lines if line.startswith("CONECT") for word in line[6:].split()}
    assert connected == serials == {1, 2, 3}
