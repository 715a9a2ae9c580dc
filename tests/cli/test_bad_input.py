"""Mistakes in the input of `polyvae run`: its exit code, one line that names the remedy, and nothing left behind."""

import os
import subprocess
import sys

import mdtraj
import numpy as np
import pytest

from polyvae.cli import main


def _molecule(folder, n_frames=30, n_atoms=12):
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(n_atoms):
        topology.add_atom("CA", mdtraj.element.carbon, topology.add_residue("ALA", chain))
    xyz = np.cumsum(np.random.default_rng(0).normal(size=(n_frames, n_atoms, 3)) * 0.1 + 0.2, axis=1)
    frames = mdtraj.Trajectory(xyz.astype(np.float32), topology)
    frames.save_xtc(str(folder / "m.xtc"))
    frames.save_dcd(str(folder / "m.dcd"))
    frames[0].save_pdb(str(folder / "m.pdb"))
    frames.atom_slice([0, 1, 2])[0].save_pdb(str(folder / "other.pdb"))


def _array(folder, positions):
    np.save(folder / "a.npy", positions.astype(np.float32))
    return ["a.npy", "--units", "reduced"]


def _cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with a molecule in several formats, in which commands run."""
    monkeypatch.chdir(tmp_path)
    _molecule(tmp_path)
    return tmp_path


def _refused(words, capsys, *messages, code=3):
    assert main(["run", *words, "-o", "out"]) == code
    shown = capsys.readouterr().err
    last = shown.strip().splitlines()[-1]
    assert last.startswith("polyvae: error: "), shown
    for message in messages:
        assert message in last
    assert "Traceback" not in shown


def test_a_missing_topology(workplace, capsys):
    _refused(["m.xtc"], capsys, "m.xtc", "top")
    assert not (workplace / "out").exists()


def test_a_wrong_topology(workplace, capsys):
    _refused(["m.xtc", "--top", "other.pdb"], capsys, "m.xtc has 12 atoms but other.pdb has 3")


def test_an_atom_count_that_differs_between_files(workplace, capsys):
    np.save("b.npy", np.zeros((20, 5, 2), np.float32))
    rng = np.random.default_rng(0)
    _refused(["b.npy", *_array(workplace, rng.normal(size=(20, 4, 2)))], capsys, "b.npy", "5")


def test_an_empty_selection(workplace, capsys):
    _refused(["m.xtc", "--top", "m.pdb", "--atoms", "name XX"], capsys, "name XX", "CA")


def test_zero_and_one_frame(workplace, capsys):
    _refused(["m.xtc", "--top", "m.pdb", "--start", "30"], capsys, "no frames are left of 30")
    _refused(["m.xtc", "--top", "m.pdb", "--stop", "1"], capsys, "at least 10 frames", "got 1")


def test_one_atom(workplace, capsys):
    _refused(["m.xtc", "--top", "m.pdb", "--atoms", "index 0"], capsys, "atom")


def test_nan(workplace, capsys):
    positions = np.random.default_rng(0).normal(size=(40, 4, 2))
    positions[11, 3] = np.nan
    _refused(_array(workplace, positions), capsys, "frame 11 holds NaN", "--stop 11")


def test_frames_that_are_all_alike(workplace, capsys):
    positions = np.broadcast_to(np.random.default_rng(0).normal(size=(1, 4, 2)), (40, 4, 2))
    _refused(_array(workplace, positions), capsys, "the same conformation")


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_truncated_files(workplace, capsys, suffix):
    _cut(workplace / f"m.{suffix}", 0.61)
    _refused([f"m.{suffix}", "--top", "m.pdb"], capsys, f"m.{suffix}", "truncated", "--stop ")


def test_a_run_file_with_an_unknown_key(workplace, capsys):
    (workplace / "run.toml").write_text("[model]\nlatents = 3\n")
    _refused(["m.xtc", "--config", "run.toml"], capsys, "run.toml: unknown key 'latents' in [model]", code=2)


def test_an_output_below_a_file(workplace, capsys):
    words = ["train", "m.xtc", "--top", "m.pdb", "--bonds", "sequence", "-o", "m.pdb/out"]
    assert main(words) == 4
    assert "cannot be made" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written(workplace, capsys):
    # Not even root can make a file there.
    assert main(["train", "m.xtc", "--top", "m.pdb", "--bonds", "sequence", "-o", "/proc/out"]) == 4
    assert "/proc/out cannot be made" in capsys.readouterr().err


def test_a_file_size_limit_leaves_nothing_half_written(workplace, tmp_path_factory):
    np.save("a.npy", np.random.default_rng(0).normal(size=(50, 12, 2)).astype(np.float32))
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from polyvae.cli import main\n"
        "sys.exit(main(['marginals', 'a.npy', 'a.npy', '-o', 'marginals.npz', '--units', 'reduced', "
        "'--ensemble.units', 'reduced']))"
    )
    before = sorted(workplace.iterdir())
    # Else the compiled code of other tests would be cut short too.
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("polyvae: error: marginals.npz cannot be written: File too large")
    assert sorted(workplace.iterdir()) == before


def test_a_run_that_could_not_start_leaves_its_folder_free(tmp_path, capsys):
    source = tmp_path / "still.npy"
    np.save(source, np.ones((40, 3, 2), np.float32))
    assert main(["run", str(source), "-o", str(tmp_path / "out"), "--quiet"]) == 3
    assert "the same conformation" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_selection_that_mdtraj_cannot_parse_is_one_short_line(tmp_path, capsys):
    path = tmp_path / "one.pdb"
    path.write_text("ATOM      1  CA  ALA A   1       0.000   0.000   0.000  1.00  0.00           C  \nEND\n")
    assert main(["run", str(path), "--atoms", "resname ALA or", "-o", str(tmp_path / "out")]) == 3
    message = capsys.readouterr().err
    assert "is not in mdtraj's language" in message
    assert len(message) < 500
