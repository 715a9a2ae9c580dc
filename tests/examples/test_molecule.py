"""The molecule example in its quick preset."""

import mdtraj
import pytest

pytestmark = pytest.mark.science  # Takes minutes, nearly all of them to compile.


@pytest.fixture(scope="module")
def run(run_quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("molecule")
    return folder, run_quick("molecule", folder)[0]


def test_generated_molecules_keep_handedness_and_bonds(run):
    _, numbers = run
    assert numbers["wrong_chirality"] == 0.0
    # Bonds of this molecule scatter by 0.003 nm.
    assert numbers["bonds"] < 1e-3


def test_the_quick_preset_is_near_the_data(run):
    _, numbers = run
    assert numbers["rmsd"] < numbers["pca_rmsd"]
    # Converged runs reach the floor.
    assert numbers["w1"] < 4 * numbers["floor"]
    assert numbers["string"] >= numbers["straight"] - 0.5
    assert numbers["valid"] > 0


def test_generated_files_open_in_mdtraj(run):
    folder, _ = run
    opened = mdtraj.load(str(folder / "generated.xtc"), top=str(folder / "generated.pdb"))
    assert opened.n_frames == 2000
    assert mdtraj.compute_phi(opened)[1].shape == (2000, 1)
    assert mdtraj.load(str(folder / "path.pdb")).n_frames > 10
