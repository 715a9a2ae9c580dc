import hashlib

import mdtraj
import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import load, open_trajectory
from polyvae.units import REDUCED


@pytest.fixture
def walk(rng):
    return np.cumsum(rng.normal(size=(10, 6, 2)), axis=1).astype(np.float32)


def test_an_array_is_a_chain_of_beads(walk):
    trajectory = load(walk, units="reduced")
    np.testing.assert_array_equal(trajectory.positions, walk)
    assert trajectory.bonds.tolist() == [[i, i + 1] for i in range(5)]
    assert trajectory.bond_source == "sequence"
    assert trajectory.units is REDUCED
    assert trajectory.times is None
    assert trajectory.source_hash == hashlib.sha256(walk.tobytes()).hexdigest()


def test_npz_keeps_everything(walk, tmp_path):
    path = tmp_path / "walk.npz"
    np.savez(
        path,
        positions=walk,
        times=np.arange(10) * 0.5,
        masses=np.arange(1, 7),
        bonds=np.array([[0, 1], [4, 5]]),
        weights=np.arange(1, 11),
        segments=np.array([4, 6]),
        units="reduced",
    )
    trajectory = load(path, start=1, stride=2)
    assert trajectory.segments == (2, 3)
    np.testing.assert_array_equal(trajectory.positions, walk[1::2])
    np.testing.assert_array_equal(trajectory.times, np.arange(10)[1::2] * 0.5)
    np.testing.assert_array_equal(trajectory.weights, np.arange(1, 11)[1::2])
    np.testing.assert_array_equal(trajectory.masses, np.arange(1, 7))
    assert (trajectory.bonds.tolist(), trajectory.bond_source) == ([[0, 1], [4, 5]], "file")
    assert trajectory.units is REDUCED
    chosen = load(path, atoms=[5, 4, 0])
    np.testing.assert_array_equal(chosen.positions, walk[:, [5, 4, 0]])
    assert chosen.bonds.tolist() == [[1, 0]]
    np.testing.assert_array_equal(chosen.masses, [6, 5, 1])


def test_npy_is_read(walk, tmp_path):
    np.save(tmp_path / "walk.npy", walk)
    np.testing.assert_array_equal(load(tmp_path / "walk.npy", chunk=3).positions, walk)


def test_each_file_is_a_segment_and_chunks_never_cross_joins(peptide, peptide_pdb, tmp_path):
    paths = []
    for number, frames in enumerate((slice(0, 10), slice(10, 23))):
        paths.append(tmp_path / f"{number}.xtc")
        peptide[frames].save(str(paths[-1]))
    source = open_trajectory(paths, top=peptide_pdb, start=1, stride=2)
    assert source.segments == (5, 6)
    assert [len(chunk) for chunk in source.chunks(4)] == [4, 1, 4, 2]
    assert source.load().segments == (5, 6)
    assert source.load().source_hash == source.source_hash


def test_a_trajectory_is_taken_as_it_is(walk):
    first = load(walk, time_step=2.0, units="reduced")
    again = load(first, start=2)
    np.testing.assert_array_equal(again.times, first.times[2:])
    assert again.units is REDUCED


def test_masses_come_from_the_elements(peptide):
    trajectory = load(peptide, atoms="name CA O")
    np.testing.assert_allclose(trajectory.masses[:2], [12.011, 15.999], atol=1e-3)


def test_ca_atoms_are_bonded_in_sequence(peptide):
    trajectory = load(peptide, atoms="name CA")
    assert trajectory.bond_source == "sequence"
    assert trajectory.bonds.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert trajectory.selection == "name CA"


def test_sequence_bonds_do_not_cross_chains(peptide):
    two = peptide.stack(peptide)
    trajectory = load(two, atoms="name CA")
    assert [3, 4] not in trajectory.bonds.tolist()
    assert len(trajectory.bonds) == 6


def test_bonds_can_be_given(walk):
    trajectory = load(walk, bonds=[[0, 5]])
    assert (trajectory.bonds.tolist(), trajectory.bond_source) == ([[0, 5]], "argument")
    assert load(walk, bonds="none").bonds is None


def test_beads_in_xtc_load_without_topology_when_bonds_are_given(peptide, tmp_path):
    path = tmp_path / "beads.xtc"
    peptide.save(str(path))
    trajectory = load(path, bonds="sequence")
    assert (trajectory.topology, trajectory.bond_source) == (None, "sequence")


def test_scale_converts_angstroms(peptide):
    peptide.xyz = peptide.xyz * 10
    with pytest.raises(InputError, match=r"as if the positions were in Å. Give scale=0.1"):
        load(peptide)
    assert abs(load(peptide, scale=0.1).positions).max() < 2


def test_lengths_ten_times_too_short_are_refused(peptide):
    peptide.xyz = peptide.xyz / 10
    with pytest.raises(InputError, match="scale=10"):
        load(peptide)


def test_bead_models_may_have_any_bond_length(walk):
    assert load(walk * 100).n_atoms == 6


def test_the_placeholder_box_of_openmm_is_dropped(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 2.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    assert load(peptide).box is None
    peptide.unitcell_lengths = np.full((23, 3), 2.5)
    assert load(peptide).box is not None


def test_a_real_two_nanometer_box_is_kept(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 2.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    peptide.xyz = peptide.xyz - 2.0 * (peptide.xyz > 0.7)
    assert load(peptide).box is not None


def test_bad_input_is_named_with_its_remedy(peptide, peptide_pdb, tmp_path, walk):
    xtc = tmp_path / "run.xtc"
    peptide.save(str(xtc))
    (tmp_path / "empty.dcd").touch()
    (tmp_path / "run.txt").write_text("x")
    small = tmp_path / "small.pdb"
    peptide[0].atom_slice(range(10)).save_pdb(str(small))
    npz = tmp_path / "bad.npz"
    np.savez(npz, positions=walk, colour=1)
    cases = [
        ((tmp_path / "none.xtc",), {}, "none.xtc does not exist"),
        ((tmp_path,), {}, "is a folder"),
        ((tmp_path / "empty.dcd",), {}, "empty.dcd is empty.*zero frames"),
        ((tmp_path / "run.txt",), {}, "not a trajectory format"),
        ((xtc,), {}, r"run.xtc: this format carries no topology; give top="),
        ((xtc,), {"top": tmp_path / "none.pdb"}, "topology file .*none.pdb does not exist"),
        ((xtc,), {"top": xtc}, "cannot be read as a topology"),
        ((xtc,), {"top": small}, r"run.xtc has 20 atoms but .*small.pdb has 10"),
        ((xtc,), {"top": 3}, "`top` must be"),
        ((peptide,), {"atoms": "name XY"}, "holds none of the 20 atoms.*Residues present: ALA"),
        ((peptide,), {"atoms": "name =="}, "mdtraj's language"),
        ((peptide,), {"atoms": [0, 20]}, "indices from 0 to 19; got 0 to 20"),
        ((peptide,), {"atoms": [1, 1]}, "more than once"),
        ((peptide,), {"atoms": [0.5]}, "list of atom indices"),
        ((walk,), {"atoms": "name CA"}, "needs a topology"),
        ((walk,), {"start": 10}, "no frames are left of 10 with start=10"),
        ((walk,), {"stride": 0}, "`stride` must be a whole number"),
        ((walk,), {"time_step": -1.0}, "`time_step` must be a positive"),
        ((walk,), {"units": "inch"}, "`units` must be one of molecular, reduced"),
        ((walk,), {"bonds": [[0, 6]]}, "`bonds` must be atom indices from 0 to 5"),
        ((walk,), {"bonds": "all"}, '"sequence"'),
        ((walk,), {"whole": "maybe"}, "`whole` must be"),
        ((walk,), {"whole": "yes"}, "needs a periodic box"),
        ((walk[0],), {}, "must have shape"),
        ((walk[:0],), {}, "zero frames"),
        ((walk[:, :0],), {}, "no atoms"),
        ((None,), {}, "must be a path"),
        ((npz,), {}, r"bad.npz: unknown keys \['colour'\]. Known keys: positions"),
    ]
    for arguments, keywords, message in cases:
        with pytest.raises(InputError, match=message):
            load(*arguments, **keywords)


def test_npz_is_checked(walk, tmp_path):
    path = tmp_path / "walk.npz"
    for content, message in (
        ({"times": np.zeros(3)}, r"`times` must have shape \(10,\)"),
        ({"segments": np.array([3, 3])}, "sum to the 10 frames"),
        ({"units": "inch"}, "`units` must be one of"),
        ({"positions": np.array([object()])}, "cannot be read"),
    ):
        np.savez(path, **{"positions": walk, **content})
        with pytest.raises(InputError, match=message):
            load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="truncated"):
        load(path)


def test_nan_names_the_frame_of_the_file(walk, tmp_path):
    walk[7, 3] = np.nan
    path = tmp_path / "walk.npy"
    np.save(path, walk)
    with pytest.raises(InputError, match=r"walk.npy: frame 7 holds NaN.*atom 3.*stop=7"):
        load(path, start=1, stride=3, chunk=2)
    assert load(path, stop=7).n_frames == 7


def test_one_frame_and_one_atom_load(walk):
    assert load(walk[:1]).n_frames == 1
    assert load(walk[:, :1]).n_atoms == 1


def test_files_of_different_systems_are_refused(walk, tmp_path):
    np.save(tmp_path / "a.npy", walk)
    np.save(tmp_path / "b.npy", walk[:, :4])
    with pytest.raises(InputError, match=r"b.npy has 4 atoms.*a.npy has 6"):
        load([tmp_path / "a.npy", tmp_path / "b.npy"])


def test_files_whose_own_topologies_differ_are_refused(peptide, peptide_pdb, tmp_path):
    renamed = peptide.topology.copy()
    renamed.atom(7).name = "CG"
    mdtraj.Trajectory(peptide.xyz[:2], renamed).save_pdb(str(tmp_path / "renamed.pdb"))
    difference = r"atom 7 \(from 0\) is CG of ALA instead of C of ALA.*top="
    with pytest.raises(InputError, match=f"renamed.pdb and .*peptide.pdb hold different atoms: {difference}"):
        load([peptide_pdb, tmp_path / "renamed.pdb"])
    mutated = peptide.topology.copy()
    mutated.residue(2).name = "GLY"
    mdtraj.Trajectory(peptide.xyz[:2], mutated).save_gro(str(tmp_path / "mutated.gro"))
    peptide[:2].save_gro(str(tmp_path / "first.gro"))
    with pytest.raises(
        InputError, match=r"mutated.gro and .*first.gro.*atom 10 \(from 0\) is N of GLY instead of N of ALA"
    ):
        load([tmp_path / "first.gro", tmp_path / "mutated.gro"])
    # A topology that is given holds for all of them.
    assert load([peptide_pdb, tmp_path / "renamed.pdb"], top=peptide_pdb).n_frames == 3
    assert load([peptide_pdb, peptide_pdb]).segments == (1, 1)


def test_files_with_another_number_of_atoms_name_the_first_that_differs(peptide, peptide_pdb, tmp_path):
    peptide[0].atom_slice([*range(6), *range(10, 20)]).save_pdb(str(tmp_path / "cut.pdb"))
    peptide[0].atom_slice(range(15)).save_pdb(str(tmp_path / "short.pdb"))
    with pytest.raises(
        InputError,
        match=r"cut.pdb has 16 atoms.*peptide.pdb has 20.*atom 6 \(from 0\) is N of ALA instead of CA",
    ):
        load([peptide_pdb, tmp_path / "cut.pdb"])
    with pytest.raises(InputError, match=r"atom 15 \(from 0\) is missing instead of N of ALA"):
        load([peptide_pdb, tmp_path / "short.pdb"])


def test_a_box_without_bonds_is_refused_with_the_way_out(rng, tmp_path):
    path = tmp_path / "gas.npz"
    np.savez(path, positions=rng.normal(size=(3, 5, 3)), box=np.tile(5 * np.eye(3), (3, 1, 1)))
    with pytest.raises(InputError, match=r'top=.*bonds=.*whole="no"'):
        load(path, bonds="none")
    assert load(path, bonds="none", whole="no").box is not None
