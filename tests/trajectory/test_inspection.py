import warnings

import mdtraj
import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import inspect_frames, load
from polyvae.trajectory.finding import clean_stretch, combined_options, counted, frame_list
from polyvae.trajectory.inspection import FrameWatcher


def inspected(source, **options):
    return inspect_frames(source, **options)[0]


def codes(report):
    return [finding.code for finding in report.findings]


def finding(report, code):
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def file_frames(found):
    return [place.frame for place in found.frames]


@pytest.fixture
def long_peptide(peptide):
    """The peptide for 60 frames."""
    xyz = np.concatenate([peptide.xyz, peptide.xyz[::-1] + 0.001, peptide.xyz[:14] + 0.002])
    return mdtraj.Trajectory(xyz, peptide.topology, time=2.0 * np.arange(60))


def test_a_healthy_trajectory_is_described(peptide, peptide_pdb, tmp_path):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    peptide.save(str(tmp_path / "run.xtc"))
    report = inspected(tmp_path / "run.xtc", top=peptide_pdb, chunk=5)
    assert (report.n_frames, report.n_atoms, report.dims, report.n_chains, report.n_residues) == (
        23,
        20,
        3,
        1,
        4,
    )
    assert (report.time_step, report.uniform_times, report.stretches) == (2.0, True, (23,))
    assert report.box == "cubic"
    assert report.box_lengths == pytest.approx((3.0, 3.0, 3.0))
    assert (report.n_bonds, report.bond_source) == (19, "topology")
    assert report.bond_range[0] <= report.bond_range[1] <= report.bond_range[2] < 0.2
    assert report.length_ratio == pytest.approx(1, abs=0.15)
    assert report.memory_mb == pytest.approx(23 * 20 * 3 * 4 / 1e6)
    assert report.file_mb == pytest.approx((tmp_path / "run.xtc").stat().st_size / 1e6)
    assert report.findings == ()


def test_nan_frames_are_listed_not_fatal(rng):
    positions = rng.normal(size=(30, 4, 3))
    positions[3, 1] = np.nan
    positions[8] = np.inf
    report = inspected(positions, chunk=4)
    assert (report.nan_frames, report.n_nan_frames) == ((3, 8), 2)
    found = finding(report, "nan-frames")
    assert (found.severity, found.what, found.argument) == (
        "error",
        "NaN or infinity in 2 of 30 frames",
        "on_bad_frame='skip'",
    )
    assert "start=9" in found.remedy
    assert found.command is None
    skipping = finding(inspected(positions, on_bad_frame="skip"), "nan-frames")
    assert (skipping.severity, skipping.n_frames) == ("note", 2)


def test_frames_are_named_by_their_number_in_the_file_and_among_the_chosen(rng, tmp_path):
    for name, bad in (("a", 25), ("b", 35)):
        positions = rng.normal(size=(60, 4, 3))
        positions[bad] = np.nan
        np.save(tmp_path / f"{name}.npy", positions)
    names = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    report = inspected(names, start=5, stride=10)
    found = finding(report, "nan-frames")
    assert report.nan_frames == (2, 9)
    assert [(place.file, place.frame, place.index) for place in found.frames] == [
        (names[0], 25, 2),
        (names[1], 35, 9),
    ]
    assert found.what == "NaN or infinity in 2 of 12 frames"
    assert frame_list(found.frames, 2) == f"{names[0]} 25, {names[1]} 35"
    # Files share start and stop, so that no stretch is named.
    assert "stop" not in found.remedy
    assert found.command.endswith("--start 5 --stride 10 --on-bad-frame skip")


def test_a_stretch_is_named_in_frames_of_the_file(rng):
    positions = rng.normal(size=(400, 4, 3))
    positions[100] = np.nan
    found = finding(inspected(positions, start=20, stride=10), "nan-frames")
    assert file_frames(found) == [100]
    # Frames 110, 120 ... are the longer part.
    assert "start=110" in found.remedy
    assert "stop" not in found.remedy


def test_angstroms_are_suspected_and_scaled(peptide):
    peptide.xyz = peptide.xyz * 10
    found = finding(inspected(peptide), "wrong-units")
    assert "Å, not nm" in found.what
    assert (found.severity, found.argument) == ("error", "scale=0.1")
    assert "wrong-units" not in codes(inspected(peptide, scale=0.1))
    short = finding(inspected(peptide, scale=0.01), "wrong-units")
    assert "too short" in short.what
    # The scale that was given counts as well.
    assert short.argument == "scale=0.1"


def test_split_molecules_are_named_and_watchers_see_them_whole(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    expected = peptide.xyz.copy()
    peptide.xyz[5:, 8:] -= 3.0
    seen = _Seen()
    report = inspect_frames(peptide, chunk=4, watchers=(seen,))[0]
    assert (report.broken_frames, report.first_broken_frame) == (18, 5)
    found = finding(report, "split-molecules")
    assert (found.severity, found.argument, file_frames(found)) == (
        "note",
        "whole='auto'",
        list(range(5, 23)),
    )
    assert finding(inspected(peptide, whole="no"), "split-molecules").severity == "warning"
    sizes = np.ptp(np.concatenate(seen.positions), axis=1)
    np.testing.assert_allclose(sizes, np.ptp(expected, axis=1), atol=1e-5)
    assert report.n_distorted_frames == 0


def test_a_box_without_bonds_is_an_error_that_loading_has_as_well(rng):
    frames = mdtraj.Trajectory(rng.normal(size=(5, 3, 3)), _argon(3))
    frames.unitcell_lengths, frames.unitcell_angles = np.full((5, 3), 3.1), np.full((5, 3), 90.0)
    found = finding(inspected(frames, bonds="none"), "box-without-bonds")
    assert (found.severity, found.argument) == ("error", "whole='no'")
    with pytest.raises(InputError, match="no bonds to tell whether it splits"):
        load(frames, bonds="none")
    assert load(frames, bonds="none", whole="no").n_frames == 5
    assert "box-without-bonds" not in codes(inspected(frames, bonds="none", whole="no"))


def test_truncated_files_are_reported_with_their_good_frames(peptide, peptide_pdb, tmp_path, capfd):
    path = tmp_path / "run.xtc"
    peptide.save(str(path))
    path.write_bytes(path.read_bytes()[:-20])
    report = inspected(path, top=peptide_pdb)
    assert report.n_frames == 22
    found = finding(report, "truncated")
    assert "ends inside frame 22" in found.what
    assert found.command == f"polyvae run {path} --top {peptide_pdb} --stop 22"
    assert "truncated" not in codes(inspected(path, top=peptide_pdb, stop=22))
    # xdrfile has its own words for it.
    assert capfd.readouterr() == ("", "")


def test_a_damaged_header_in_the_middle_is_not_called_an_end(long_peptide, peptide_pdb, tmp_path):
    path = tmp_path / "run.xtc"
    long_peptide.save(str(path))
    content = bytearray(path.read_bytes())
    places = _frame_places(content)
    content[places[20] : places[21]] = b"\xff" * (places[21] - places[20])
    path.write_bytes(content)
    report = inspected(path, top=peptide_pdb)
    assert report.n_frames == 20
    expected = f"frame 20 is damaged, bytes {places[20]} to {places[21] - 1}"
    assert expected in finding(report, "damaged").what
    with pytest.raises(InputError, match=rf"is damaged: {expected}.*stop=20"):
        load(path, top=peptide_pdb)


@pytest.mark.parametrize("filling", [b"\xff", b"\x00"])
def test_a_damaged_body_shows_in_distorted_bonds(long_peptide, peptide_pdb, tmp_path, filling, capfd):
    path = tmp_path / "run.xtc"
    long_peptide.save(str(path))
    content = bytearray(path.read_bytes())
    places = _frame_places(content)
    content[places[20] + 96 : places[21]] = filling * (places[21] - places[20] - 96)
    path.write_bytes(content)
    report = inspected(path, top=peptide_pdb)
    names = {"distorted-bonds", "unreadable-frames"}
    (found,) = [finding for finding in report.findings if finding.code in names]
    assert (found.severity, file_frames(found)) == ("error", [20])
    stretch = clean_stretch(load_spans(path, peptide_pdb), [20])
    assert stretch == {"start": 21}
    assert not names & set(codes(inspected(path, top=peptide_pdb, **stretch)))
    assert capfd.readouterr().err == ""


def test_soft_springs_are_not_distorted_bonds(rng):
    # Bonds of an ideal chain: the longest of 3000 is many times the shortest.
    positions = np.cumsum(rng.normal(size=(500, 7, 3)), axis=1)
    report = inspected(positions, bonds="sequence")
    assert report.n_distorted_frames == 0
    positions[77, 3:] += 100
    assert inspected(positions, bonds="sequence", chunk=30).distorted_frames == (77,)


def test_a_dcd_header_that_announces_too_much_is_a_finding_not_a_warning(peptide, peptide_pdb, tmp_path):
    path = tmp_path / "run.dcd"
    peptide.save(str(path))
    content = bytearray(path.read_bytes())
    content[8:12] = (500).to_bytes(4, "little")
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = inspected(path, top=peptide_pdb)
    assert "announces 500 frames, the file holds 23" in finding(report, "fewer-frames-than-announced").what


def test_duplicates_are_named_wherever_they_are(rng):
    positions = rng.normal(size=(40, 5, 3))
    positions[4] = positions[3]
    positions[20] = positions[3]
    report = inspected(positions, chunk=2)
    assert report.duplicate_frames == 2
    found = finding(report, "duplicate-frames")
    assert file_frames(found) == [4, 20]
    assert "2 of 40 frames equal an earlier one, such as frames 4 and 3" in found.what
    assert found.options == {"start": 21}
    assert "duplicate-frames" not in codes(inspected(positions, **found.options))


def test_each_frame_written_twice_is_mended_by_a_stride(rng):
    positions = np.repeat(rng.normal(size=(20, 5, 3)), 2, axis=0)
    found = finding(inspected(positions, chunk=7), "duplicate-frames")
    assert found.options == {"stride": 2}
    assert "duplicate-frames" not in codes(inspected(positions, stride=2))


def test_files_that_begin_with_the_last_frame_of_the_one_before(rng, tmp_path):
    positions = rng.normal(size=(31, 5, 3))
    names = [str(tmp_path / name) for name in ("1.npy", "2.npy", "3.npy")]
    for number, name in enumerate(names):
        np.save(name, positions[10 * number : 10 * number + 11])
    found = finding(inspected(names), "duplicate-frames")
    assert [(place.file, place.frame) for place in found.frames] == [(names[1], 0), (names[2], 0)]
    assert found.options == {"start": 1}
    assert "duplicate-frames" not in codes(inspected(names, start=1))
    twice = finding(inspected([names[0], names[0]]), "duplicate-frames")
    assert (twice.n_frames, twice.command) == (11, None)


def test_coincident_and_collinear_frames_are_named(rng):
    positions = rng.normal(size=(40, 5, 3))
    positions[6, 2] = positions[6, 0]
    positions[8] = np.arange(5)[:, None] * np.array([1.0, 2.0, 3.0])
    report = inspected(positions, chunk=2)
    assert (report.coincident_frames, report.collinear_frames) == (1, 1)
    assert file_frames(finding(report, "coincident-atoms")) == [6]
    assert "atoms 0 and 2" in finding(report, "coincident-atoms").what
    assert file_frames(finding(report, "collinear-frames")) == [8]
    flat = rng.normal(size=(20, 6, 3)) * np.array([1, 1, 0])
    assert inspected(flat).collinear_frames == 0


def test_an_atom_that_always_lies_on_another_can_be_left_out(peptide, tmp_path):
    peptide.xyz[:, 7] = peptide.xyz[:, 3]
    peptide[:1].save_pdb(str(tmp_path / "p.pdb"))
    peptide.save(str(tmp_path / "run.dcd"))
    found = finding(inspected(str(tmp_path / "run.dcd"), top=str(tmp_path / "p.pdb")), "coincident-atoms")
    assert found.options == {"atoms": "not index 7"}
    again = inspected(str(tmp_path / "run.dcd"), top=str(tmp_path / "p.pdb"), **found.options)
    assert "coincident-atoms" not in codes(again)


def test_water_is_noticed(peptide):
    top = peptide.topology
    residue = top.add_residue("HOH", top.add_chain())
    top.add_atom("O", mdtraj.element.oxygen, residue)
    xyz = np.concatenate([peptide.xyz, np.full((23, 1, 3), 2.0, np.float32)], axis=1)
    found = finding(inspected(mdtraj.Trajectory(xyz, top)), "solvent")
    assert "1 of 21 atoms are water" in found.what
    assert "solvent" not in codes(inspected(mdtraj.Trajectory(xyz, top), **found.options))


def test_few_atoms_and_assumed_bonds_are_noticed(rng):
    report = inspected(rng.normal(size=(12, 2, 3)))
    assert finding(report, "too-few-atoms").severity == "error"
    assert finding(report, "assumed-bonds").severity == finding(report, "no-times").severity == "note"
    assert "assumed-bonds" not in codes(inspected(rng.normal(size=(12, 4, 3)), bonds="sequence"))


def test_what_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        inspected(tmp_path / "none.xtc")


def test_commands_quote_names_and_keep_what_was_asked_for(rng, tmp_path):
    positions = rng.normal(size=(30, 4, 3))
    positions[2] = np.nan
    path = tmp_path / "my run.npy"
    np.save(path, positions)
    found = finding(inspected(path, units="reduced", start=1, chunk=10), "nan-frames")
    assert found.command == f"polyvae run '{path}' --start 1 --units reduced --chunk 10 --on-bad-frame skip"
    # Indices cannot be written on a command line.
    assert finding(inspected(path, atoms=[0, 1, 2]), "nan-frames").command is None


def test_remedies_are_combined(rng):
    positions = rng.normal(size=(60, 4, 3))
    positions[40] = positions[39]
    positions[50] = np.nan
    report = inspected(positions)
    assert combined_options(report.findings) == {"on_bad_frame": "skip", "stop": 40}


def test_numbers_come_with_their_noun():
    assert (counted(1, "frame"), counted(2, "frame"), counted(0, "frame")) == (
        "1 frame",
        "2 frames",
        "0 frames",
    )


class _Seen:
    def __init__(self):
        self.positions = []

    def begin_simulation(self):
        return

    def add(self, positions, frames):
        assert isinstance(self, FrameWatcher)
        assert len(positions) == len(frames)
        self.positions.append(positions)


def load_spans(path, top):
    return inspect_frames(path, top=top)[1].opened.spans


def _argon(number):
    top = mdtraj.Topology()
    for _ in range(number):
        top.add_atom("Ar", mdtraj.element.argon, top.add_residue("AR", top.add_chain()))
    return top


def _frame_places(content):
    places, start = [], 0
    header = bytes(content[:8])
    while (place := bytes(content).find(header, start)) >= 0:
        places.append(place)
        start = place + 8
    return places
