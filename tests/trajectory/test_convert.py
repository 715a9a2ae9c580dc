import numpy as np

from polyvae.trajectory import from_mdtraj, load, to_mdtraj


def test_round_trip_through_mdtraj_is_exact(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    again = to_mdtraj(from_mdtraj(peptide))
    np.testing.assert_array_equal(again.xyz, peptide.xyz)
    np.testing.assert_array_equal(again.time, peptide.time)
    np.testing.assert_allclose(again.unitcell_vectors, peptide.unitcell_vectors, atol=1e-6)
    assert again.topology == peptide.topology


def test_beads_get_a_topology_and_a_third_dimension(rng):
    beads = load(rng.normal(size=(3, 4, 2)), time_step=0.5)
    out = to_mdtraj(beads)
    assert [residue.name for residue in out.topology.residues] == ["BEA"] * 4
    assert out.topology.n_bonds == 3
    np.testing.assert_array_equal(out.xyz[..., :2], beads.positions)
    np.testing.assert_array_equal(out.xyz[..., 2], 0)
    np.testing.assert_array_equal(out.time, [0, 0.5, 1])
    assert from_mdtraj(out).masses is None
