import mdtraj
import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import load, open_trajectory

TOLERANCE = {".gro": 1.1e-3, ".xtc": 6e-4, ".mdcrd": 1.1e-4, ".pdb": 1.1e-4, ".cif": 1.1e-3, ".xyz": 1.1e-4}
"""Each text format rounds: GRO to 0.001 nm, XTC to 0.0005 nm, PDB, mdcrd and xyz to 0.001 Å."""

SUFFIXES = (
    ".xtc",
    ".trr",
    ".dcd",
    ".nc",
    ".h5",
    ".pdb",
    ".pdb.gz",
    ".gro",
    ".lammpstrj",
    ".mdcrd",
    ".xyz",
    ".gsd",
)
TIMED = (".xtc", ".trr", ".nc", ".h5", ".gro")


def write(peptide, path, suffix):
    if suffix == ".gsd":
        pytest.importorskip("gsd")
    if suffix == ".h5":
        pytest.importorskip("tables")
    if suffix in (".gsd", ".lammpstrj") and peptide.unitcell_lengths is None:
        # mdtraj writes these with a box only.
        peptide.unitcell_lengths = np.full((23, 3), 4.0)
        peptide.unitcell_angles = np.full((23, 3), 90.0)
    target = path / f"frames{suffix}"
    peptide.save(str(target))
    return target


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestEveryFormat:
    def test_gives_the_positions_in_nanometers(self, peptide, peptide_pdb, tmp_path, suffix):
        path = write(peptide, tmp_path, suffix)
        trajectory = load(path, top=peptide_pdb)
        np.testing.assert_allclose(trajectory.positions, peptide.xyz, atol=TOLERANCE.get(suffix, 1.1e-4))
        assert trajectory.bond_source == "topology"
        assert len(trajectory.bonds) == 19

    def test_has_times_only_where_the_format_carries_them(self, peptide, peptide_pdb, tmp_path, suffix):
        path = write(peptide, tmp_path, suffix)
        times = load(path, top=peptide_pdb).times
        if suffix in TIMED:
            np.testing.assert_allclose(times, peptide.time, atol=1e-3)
        else:
            assert times is None
            np.testing.assert_array_equal(
                load(path, top=peptide_pdb, time_step=0.5, start=2, stride=3).times, 0.5 * np.arange(2, 23, 3)
            )

    def test_chunks_equal_the_whole(self, peptide, peptide_pdb, tmp_path, suffix):
        path = write(peptide, tmp_path, suffix)
        for window in ({}, {"start": 3, "stride": 4}, {"start": 1, "stop": 20, "stride": 2}):
            source = open_trajectory(path, top=peptide_pdb, atoms="name CA C", **window)
            whole = source.load()
            expected = np.arange(23)[slice(window.get("start"), window.get("stop"), window.get("stride"))]
            assert source.n_frames == whole.n_frames == len(expected)
            pieces = list(source.chunks(4))
            assert max(len(piece) for piece in pieces) <= 4
            np.testing.assert_array_equal(np.concatenate([p.positions for p in pieces]), whole.positions)
            full = load(path, top=peptide_pdb, atoms="name CA C")
            np.testing.assert_array_equal(whole.positions, full.positions[expected])
            if whole.times is not None:
                np.testing.assert_array_equal(np.concatenate([p.times for p in pieces]), whole.times)

    def test_reads_from_non_ascii_and_spaced_paths(self, peptide, peptide_pdb, tmp_path, suffix):
        folder = tmp_path / "größe und maß"
        folder.mkdir()
        path = write(peptide, folder, suffix) if suffix not in (".xtc", ".trr", ".dcd") else None
        if path is None:
            path = folder / f"bahn é{suffix}"
            write(peptide, tmp_path, suffix).rename(path)
        top = peptide_pdb.rename(folder / "ö.pdb")
        assert load(path, top=top).n_frames == 23

    def test_box_survives(self, peptide, peptide_pdb, tmp_path, suffix):
        if suffix == ".xyz":
            pytest.skip("xyz files hold no box")
        peptide.unitcell_lengths = np.full((23, 3), 3.0)
        peptide.unitcell_angles = np.full((23, 3), 90.0)
        path = write(peptide, tmp_path, suffix)
        box = load(path, top=peptide_pdb).box
        np.testing.assert_allclose(box, np.broadcast_to(3.0 * np.eye(3), (23, 3, 3)), atol=1e-4)


def test_triclinic_boxes_survive_dcd(peptide, peptide_pdb, tmp_path):
    peptide.unitcell_lengths = np.tile([3.0, 3.2, 3.4], (23, 1))
    peptide.unitcell_angles = np.tile([70.0, 80.0, 100.0], (23, 1))
    box = load(write(peptide, tmp_path, ".dcd"), top=peptide_pdb).box
    np.testing.assert_allclose(box, peptide.unitcell_vectors, atol=1e-5)


def test_dcd_by_memory_map_equals_mdtraj(peptide, peptide_pdb, tmp_path):
    path = write(peptide, tmp_path, ".dcd")
    np.testing.assert_allclose(
        load(path, top=peptide_pdb).positions, mdtraj.load(str(path), top=str(peptide_pdb)).xyz, atol=1e-7
    )


def test_equal_times_are_no_times(peptide, peptide_pdb, tmp_path):
    peptide.time = np.zeros(23)
    assert load(write(peptide, tmp_path, ".xtc"), top=peptide_pdb).times is None


def cut(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


@pytest.mark.parametrize("suffix", [".xtc", ".trr", ".dcd", ".lammpstrj", ".xyz"])
def test_truncated_files_name_the_last_good_frame_and_read_up_to_it(peptide, peptide_pdb, tmp_path, suffix):
    path = cut(write(peptide, tmp_path, suffix), 0.5)
    with pytest.raises(
        InputError, match=r"frames\.\w+ is truncated.*last good frame is \d+.*stop="
    ) as caught:
        load(path, top=peptide_pdb)
    stop = int(str(caught.value).split("`stop=")[1].split("`")[0])
    assert 9 <= stop <= 12
    kept = load(path, top=peptide_pdb, stop=stop)
    np.testing.assert_allclose(kept.positions, peptide.xyz[:stop], atol=1e-3)


@pytest.mark.parametrize("lost", [1, 7, 19, 20])
def test_an_xyz_file_cut_anywhere_inside_a_frame_is_truncated(peptide, peptide_pdb, tmp_path, lost):
    path = write(peptide, tmp_path, ".xyz")
    content = path.read_bytes()
    assert load(path, top=peptide_pdb).n_frames == 23
    lines = content.rstrip().split(b"\n")
    # Whole lines are lost, so every one that is left can be read.
    path.write_bytes(b"\n".join(lines[: len(lines) - lost]))
    with pytest.raises(InputError, match="truncated"):
        load(path, top=peptide_pdb)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # mdtraj leaves its file open
@pytest.mark.parametrize("suffix", [".nc", ".h5", ".gro", ".pdb"])
def test_other_truncated_files_are_refused(peptide, peptide_pdb, tmp_path, suffix):
    path = cut(write(peptide, tmp_path, suffix), 0.487)
    with pytest.raises(InputError, match="truncated"):
        load(path, top=peptide_pdb)


def test_a_dcd_header_that_announces_too_much_is_a_warning(peptide, peptide_pdb, tmp_path):
    path = write(peptide, tmp_path, ".dcd")
    content = bytearray(path.read_bytes())
    content[8:12] = (500).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="announces 500 frames but the file holds 23"):
        trajectory = load(path, top=peptide_pdb)
    assert trajectory.n_frames == 23


def test_a_wrong_suffix_is_refused(peptide_pdb, tmp_path):
    path = tmp_path / "text.xtc"
    path.write_text("not a trajectory at all, but long enough to be looked at twice or more\n" * 20)
    with pytest.raises(InputError, match=r"text\.xtc"):
        load(path, top=peptide_pdb)


def test_missing_library_names_the_extra(peptide, peptide_pdb, tmp_path, monkeypatch):
    import sys

    from polyvae.errors import MissingDependencyError

    path = write(peptide, tmp_path, ".h5")
    monkeypatch.setitem(sys.modules, "tables", None)
    with pytest.raises(MissingDependencyError, match=r"polyvae\[hdf5\]"):
        load(path, top=peptide_pdb)
