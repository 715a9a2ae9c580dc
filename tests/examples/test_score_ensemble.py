"""The example that scores other people's ensembles, in its quick preset."""

import mdtraj
import pytest

pytestmark = pytest.mark.science  # A quarter of a minute.


def test_what_is_wrong_with_an_ensemble_is_said_number_by_number(run_quick, tmp_path):
    numbers, printed = run_quick("score_ensemble", tmp_path)
    # The files are what anyone could hand in.
    opened = mdtraj.load(str(tmp_path / "gaussian.xtc"), top=str(tmp_path / "gaussian.pdb"))
    assert (opened.n_frames, opened.n_atoms) == (800, 22)
    for name in ("gaussian", "noisy_copies"):
        assert numbers[f"{name}, bond_w1_mean"] > 5 * numbers[f"{name}, bond_w1_mean, floor"]
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert numbers["data, bond_w1_mean"] < 3 * numbers["data, bond_w1_mean, floor"]
    # Noise of 0.01 nm moves no size; a Gaussian of the coordinates has atoms inside one another.
    assert numbers["noisy_copies, radius_of_gyration_w1"] < 0.002
    assert numbers["gaussian, clashes_per_frame"] > 5
    assert numbers["data, clashes_per_frame"] < 1
    # Every noisy copy is recognized, and no draw of the Gaussian taken for one.
    assert numbers["noisy_copies, training_copies"] > 0.95
    assert numbers["gaussian, training_copies"] < 0.05
    assert "overall: wrong" in printed
