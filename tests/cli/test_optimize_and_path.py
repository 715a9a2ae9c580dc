"""`polyvae optimize` and `polyvae path`: the files they write, their numbers, and mistakes in their input."""

import csv

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import OptimizationConfig, latent_path
from polyvae.cli import main
from polyvae.trajectory.finding import counted


@pytest.fixture(scope="module")
def model(finished):
    """The model of the finished run, in which a wide range of geometry is valid."""
    return pv.load_model(finished)


@pytest.fixture
def permissive(model, monkeypatch, tmp_path):
    """Commands that take every geometry as valid, whatever three epochs have taught the model."""
    import equinox as eqx
    import jax.numpy as jnp

    wide = eqx.tree_at(
        lambda model: (
            model.geometry.bond_low,
            model.geometry.bond_high,
            model.geometry.mean_bond_low,
            model.geometry.closest_bonded,
            model.geometry.closest_nonbonded,
        ),
        model,
        (jnp.full(3, -1e3), jnp.full(3, 1e3), jnp.full((), -1e3), jnp.zeros(()), jnp.zeros(())),
    )
    for verb in ("optimize", "path"):
        monkeypatch.setattr(f"polyvae.cli.{verb}.load_model", lambda path: wide)
    monkeypatch.chdir(tmp_path)
    return wide


def rows_of(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_optimize_writes_structures_table_figure_and_nearest_frames(permissive, data, tmp_path, capsys):
    words = ["optimize", "MODEL", "--observable", "distance:0-3", "--target", "3", "--trajectory", str(data)]
    words += ["--stride", "2", "--starts", "4", "--steps", "60", "--seed", "3", "-o", "o.npz"]
    assert main([*words, "--table", "t.csv", "--figure", "f.png", "--nearest", "n.npz"]) == 0
    trajectory = pv.load(data, stride=2)
    expected = pv.optimize(
        permissive,
        "distance:0-3",
        target=3.0,
        trajectory=trajectory,
        starts=4,
        config=OptimizationConfig(steps=60),
        seed=3,
    )
    np.testing.assert_array_equal(pv.load("o.npz").positions, expected.positions)
    np.testing.assert_array_equal(pv.load("n.npz").positions, trajectory.positions[expected.nearest_frames])
    rows = rows_of(tmp_path / "t.csv")
    # Written with nine digits.
    np.testing.assert_allclose([float(row["value"]) for row in rows], expected.values, rtol=1e-8)
    assert [int(row["nearest_frame"]) for row in rows] == expected.nearest_frames.tolist()
    assert [int(row["reached"]) for row in rows] == expected.reached.astype(int).tolist()
    assert set(rows[0]) >= {"conformation", "start", "radius_of_gyration", "log_density", "z1", "z2"}
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    # Frames of the wanted value, which the 4 structures need not have as their nearest.
    nearest = np.array([float(row["nearest_value"]) for row in rows])
    ends = np.linalg.norm(trajectory.positions[:, 0] - trajectory.positions[:, 3], axis=1)
    np.testing.assert_allclose(nearest, ends[expected.nearest_frames], rtol=1e-5)
    assert np.abs(nearest - 3.0).max() <= max(expected.tolerance, np.quantile(np.abs(ends - 3.0), 0.01))
    shown = capsys.readouterr().out
    assert f"{expected.n_valid} of 4 starts led to a valid conformation" in shown
    assert f"nearest distance:0-3 {expected.best:.4g} σ" in shown
    assert f"{counted(int(expected.reached.sum()), 'conformation')} within" in shown


def test_optimize_without_a_valid_result_writes_nothing(finished, tmp_path, capsys, monkeypatch):
    import equinox as eqx
    import jax.numpy as jnp

    narrow = eqx.tree_at(
        lambda model: (model.geometry.bond_low, model.geometry.bond_high),
        pv.load_model(finished),
        (jnp.full(3, 50.0), jnp.full(3, 51.0)),
    )
    monkeypatch.setattr("polyvae.cli.optimize.load_model", lambda path: narrow)
    monkeypatch.chdir(tmp_path)
    assert main(["optimize", "MODEL", "--starts", "2", "--steps", "5", "--table", "t.csv"]) == 1
    assert "no file is written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_path_writes_the_string_and_a_table_of_both_kinds(permissive, data, tmp_path, capsys):
    words = ["path", "MODEL", "3", "z=-0.5,0.25", "--trajectory", str(data), "-n", "7"]
    assert main([*words, "-o", "p.npz", "--table", "t.csv", "--figure", "f.png"]) == 0
    trajectory = pv.load(data)
    expected = latent_path(
        permissive, trajectory[3:4], np.array([-0.5, 0.25]), n=7, kind="string", trajectory=trajectory
    )
    np.testing.assert_allclose(pv.load("p.npz").positions, expected.trajectory.positions, atol=1e-6)
    rows = rows_of(tmp_path / "t.csv")
    assert [row["path"] for row in rows] == ["straight"] * 7 + ["string"] * 7
    density = [float(row["log_density"]) for row in rows[7:]]
    np.testing.assert_allclose(density, expected.log_density, rtol=1e-5)
    assert float(rows[-1]["z1"]) == pytest.approx(-0.5)
    shown = capsys.readouterr().out
    assert "string path of 7 frames in p.npz" in shown
    assert f"{int(expected.plausible.sum())} of 7" in shown
    assert f"`from`: the path's end is {expected.end_rmsd[0]:.3g} σ (RMSD)" in shown
    assert "`to`:" not in shown
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_path_between_two_files_of_one_frame(permissive, data, tmp_path):
    trajectory = pv.load(data)
    for name, frame in (("a.npz", 0), ("b.npz", 150)):
        pv.save_trajectory(trajectory[frame : frame + 1], tmp_path / name)
    words = ["path", "MODEL", "a.npz", "b.npz", "--kind", "straight", "--no-compare", "-n", "5"]
    assert main([*words, "--stride", "3", "-o", "p.npz", "--table", "t.csv"]) == 0
    expected = latent_path(permissive, trajectory.positions[0], trajectory.positions[150], n=5)
    np.testing.assert_allclose(pv.load("p.npz").positions, expected.trajectory.positions, atol=1e-6)
    assert len(rows_of(tmp_path / "t.csv")) == 5


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (3, ["optimize", "MODEL", "--observable", "size"], "`--observable` 'size' is not known"),
        (3, ["optimize", "MODEL", "--observable", "distance:0-9"], "below n_atoms=4"),
        (2, ["optimize", "MODEL", "--starts", "0"], "`--starts` must be at least 1"),
        (2, ["optimize", "MODEL", "-o", "o.txt"], "must end in .pdb or .xtc"),
        (2, ["optimize", "MODEL", "--table", "t.txt"], "must end in .csv"),
        (2, ["optimize", "MODEL", "--nearest", "n.pdb"], "give them with --trajectory"),
        (3, ["optimize", "MODEL", "--trust", "aggregate"], "needs the data"),
        (3, ["optimize", "MODEL", "--goal", "maximize", "--target", "3"], "exclude each other"),
        (2, ["path", "MODEL", "0", "1"], "is the number of a frame: give the frames with --trajectory"),
        (2, ["path", "MODEL", "0", "200", "--trajectory", "DATA"], "must be below the 200 frames"),
        (2, ["path", "MODEL", "z=1,x", "z=0,0"], "is no latent point"),
        (2, ["path", "MODEL", "z=1,2,3", "z=0,0"], "must have 2 numbers; got 3"),
        (
            3,
            ["path", "MODEL", "z=0,0", "DATA"],
            "`end` must be one conformation; got a trajectory of 200 frames",
        ),
        (3, ["path", "MODEL", "z=0,0", "five.npy", "--units", "reduced"], "trained on 4 atoms"),
        (3, ["path", "MODEL", "z=0,0", "none.pdb"], "none.pdb"),
        (2, ["path", "MODEL", "z=0,0", "z=1,0", "-n", "1"], "`--n` must be at least 2"),
    ],
)
def test_a_mistake_has_its_code_and_nothing_written(
    finished, data, tmp_path, capsys, monkeypatch, code, words, message
):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "five.npy", np.random.default_rng(0).normal(size=(1, 5, 2)).astype(np.float32))
    names = {"MODEL": str(finished), "DATA": str(data)}
    assert main([names.get(word, word) for word in words]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["five.npy"]
