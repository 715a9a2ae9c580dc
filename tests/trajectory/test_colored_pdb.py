import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError
from polyvae.trajectory import save_colored_pdb


@pytest.fixture
def beads() -> pv.Trajectory:
    return pv.Trajectory(positions=np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32))


def test_the_largest_value_gets_the_largest_b_factor_and_positions_stay(beads, tmp_path):
    path = save_colored_pdb(beads, np.array([0.0, 0.1, 0.2, 0.4]), tmp_path / "ä.pdb")
    lines = [line for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    # Two decimals.
    np.testing.assert_allclose([float(line[60:66]) for line in lines], [0, 25, 50, 99.99], atol=0.011)
    read = mdtraj.load(str(path))
    # PDB holds thousandths of an ångström.
    np.testing.assert_allclose(read.xyz[0, :, :2], beads.positions[0], atol=1e-4)


def test_values_of_zero_stay_zero(beads, tmp_path):
    path = save_colored_pdb(beads, np.zeros(4), tmp_path / "a.pdb")
    assert path.read_text().count("  0.00          ") >= 4


def test_mistakes_are_named_and_leave_no_file(beads, tmp_path):
    for values, name, message in (
        (np.ones(3), "a.pdb", r"`values` must have shape \(4,\), one number for each atom; got \(3,\)"),
        (-np.ones(4), "a.pdb", "finite and not negative"),
        (np.ones(4), "a.xyz", r"written as \.pdb; got \.xyz"),
    ):
        with pytest.raises(InputError, match=message):
            save_colored_pdb(beads, values, tmp_path / name)
    with pytest.raises(InputError, match="cannot hold a coordinate of 200"):
        far = beads.replace(positions=np.full((1, 4, 2), 200, np.float32), segments=(1,))
        save_colored_pdb(far, np.ones(4), tmp_path / "a.pdb")
    assert list(tmp_path.iterdir()) == []
    save_colored_pdb(beads, np.ones(4), tmp_path / "a.pdb")
    with pytest.raises(InputError, match="exists already"):
        save_colored_pdb(beads, np.ones(4), tmp_path / "a.pdb")
