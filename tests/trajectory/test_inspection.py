import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import inspect_trajectory


def told(report):
    return "\n".join(f"{finding.what} -> {finding.remedy}" for finding in report.findings)


def test_a_healthy_trajectory_is_described(peptide, peptide_pdb, tmp_path):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    peptide.save(str(tmp_path / "run.xtc"))
    report = inspect_trajectory(tmp_path / "run.xtc", top=peptide_pdb, chunk=5)
    assert (report.n_frames, report.n_atoms, report.dims, report.n_chains, report.n_residues) == (
        23,
        20,
        3,
        1,
        4,
    )
    assert (report.time_step, report.uniform_times) == (2.0, True)
    assert report.box == "cubic"
    assert report.box_lengths == pytest.approx((3.0, 3.0, 3.0))
    assert (report.n_bonds, report.bond_source) == (19, "topology")
    assert report.bond_range[0] <= report.bond_range[1] <= report.bond_range[2] < 0.2
    assert report.length_ratio == pytest.approx(1, abs=0.15)
    assert report.memory_mb == pytest.approx(23 * 20 * 3 * 4 / 1e6)
    assert report.file_mb == pytest.approx((tmp_path / "run.xtc").stat().st_size / 1e6)
    assert report.findings == ()


def test_nan_frames_are_listed_not_fatal(rng):
    positions = rng.normal(size=(10, 4, 3))
    positions[3, 1] = np.nan
    positions[8] = np.inf
    report = inspect_trajectory(positions, chunk=4)
    assert (report.nan_frames, report.n_nan_frames) == ((3, 8), 2)
    assert "first at 3 -> cut them away: stop=3" in told(report)


def test_angstroms_are_suspected(peptide):
    peptide.xyz = peptide.xyz * 10
    assert "Å, not nm -> scale=0.1" in told(inspect_trajectory(peptide))


def test_split_molecules_are_counted(peptide):
    peptide.unitcell_lengths = np.full((23, 3), 3.0)
    peptide.unitcell_angles = np.full((23, 3), 90.0)
    peptide.xyz[5:, 8:] -= 3.0
    report = inspect_trajectory(peptide, chunk=4)
    assert (report.broken_frames, report.first_broken_frame) == (18, 5)
    assert 'whole="auto"' in told(report)


def test_truncated_files_are_reported_with_their_good_frames(peptide, peptide_pdb, tmp_path):
    path = tmp_path / "run.xtc"
    peptide.save(str(path))
    path.write_bytes(path.read_bytes()[:-20])
    report = inspect_trajectory(path, top=peptide_pdb)
    assert report.n_frames == 22
    assert "truncated" in told(report)


def test_duplicates_coincident_and_collinear_frames_are_counted(rng):
    positions = rng.normal(size=(9, 5, 3))
    positions[4] = positions[3]
    positions[6, 2] = positions[6, 0]
    positions[8] = np.arange(5)[:, None] * np.array([1.0, 2.0, 3.0])
    report = inspect_trajectory(positions, chunk=2)
    assert (report.duplicate_frames, report.coincident_frames, report.collinear_frames) == (1, 1, 1)
    for words in (
        "equal the one before",
        "two atoms coincide",
        "lie on a line",
        "no bonds are known",
        "no time",
    ):
        assert words in told(report)


def test_uneven_times_are_noticed(rng):
    from polyvae.trajectory import load

    trajectory = load(rng.normal(size=(6, 4, 3))).replace(times=np.array([0, 1, 2, 3, 5, 6.0]))
    report = inspect_trajectory(trajectory)
    assert (report.time_step, report.uniform_times) == (1.0, False)


def test_few_frames_and_atoms_are_noticed(rng):
    assert "only one frame" in told(inspect_trajectory(rng.normal(size=(1, 2, 3))))
    assert "only 2 atoms" in told(inspect_trajectory(rng.normal(size=(1, 2, 3))))


def test_what_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        inspect_trajectory(tmp_path / "none.xtc")
