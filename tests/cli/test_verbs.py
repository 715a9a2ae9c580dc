"""The commands that use a trained model or look at a trajectory, each with its numbers."""

import csv
import json

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import DistanceMarginals, LatentTrajectory
from polyvae.cli import main
from polyvae.storage import load_record


def test_encode_writes_the_latent_trajectory(finished, data, tmp_path, capsys):
    expected = pv.latent_trajectory(pv.load_model(finished), pv.load(data, stride=2)).mean
    assert main(["encode", str(finished), str(data), "--stride", "2", "-o", str(tmp_path / "l.npz")]) == 0
    latent = load_record(tmp_path / "l.npz", LatentTrajectory)
    np.testing.assert_array_equal(latent.mean, expected)
    assert "100 frames, 2 latent dimensions" in capsys.readouterr().out
    model = str(finished / "model.json")
    assert main(["encode", model, str(data), "--stride", "2", "-o", str(tmp_path / "l.csv")]) == 0
    with (tmp_path / "l.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[3]["frame"], rows[3]["time"]) == ("3", "30")
    np.testing.assert_array_equal(np.float32([row["z1"] for row in rows]), expected[:, 0])


def test_encode_uses_the_selection_of_the_model(tmp_path):
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(5):
        residue = topology.add_residue("ALA", chain)
        topology.add_atom("CA", mdtraj.element.carbon, residue)
        topology.add_atom("HA", mdtraj.element.hydrogen, residue)
    xyz = np.cumsum(np.random.default_rng(0).normal(size=(80, 10, 3)) * 0.1 + 0.05, axis=1).astype(np.float32)
    frames = mdtraj.Trajectory(xyz, topology)
    frames.save_xtc(str(tmp_path / "r.xtc"))
    frames[0].save_pdb(str(tmp_path / "r.pdb"))
    files = [str(tmp_path / "r.xtc"), "--top", str(tmp_path / "r.pdb")]
    train = [
        "train",
        *files,
        "--atoms",
        "name CA",
        "-o",
        str(tmp_path / "t"),
        "--epochs",
        "1",
        "--hidden",
        "4",
    ]
    assert main([*train, "--quiet", "--bonds", "sequence"]) == 0
    assert (
        main(["encode", str(tmp_path / "t"), *files, "-o", str(tmp_path / "l.npz"), "--bonds", "sequence"])
        == 0
    )
    assert load_record(tmp_path / "l.npz", LatentTrajectory).mean.shape == (80, 2)
    assert main(["generate", str(tmp_path / "t"), "-n", "7", "-o", str(tmp_path / "g.xtc")]) == 0
    # The topology comes along, and is not replaced unasked.
    (tmp_path / "g.xtc").rename(tmp_path / "old.xtc")
    assert main(["generate", str(tmp_path / "t"), "-n", "7", "-o", str(tmp_path / "g.xtc")]) == 2
    assert not (tmp_path / "g.xtc").exists()
    (tmp_path / "old.xtc").rename(tmp_path / "g.xtc")
    generated = pv.load(tmp_path / "g.xtc", top=tmp_path / "g.pdb")
    assert generated.positions.shape == (7, 5, 3)
    assert [atom.name for atom in generated.topology.atoms] == ["CA"] * 5


def test_encode_refuses_another_system(finished, tmp_path, capsys):
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(20, 5, 2)).astype(np.float32))
    words = ["encode", str(finished), str(tmp_path / "other.npy"), "-o", str(tmp_path / "l.npz")]
    assert main([*words, "--units", "reduced"]) == 3
    assert "trained on 4 atoms in 2 dimensions" in capsys.readouterr().err
    assert not (tmp_path / "l.npz").exists()


def test_generate_depends_on_the_seed_alone(finished, tmp_path, capsys):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        words = [
            "generate",
            str(finished),
            "-n",
            "30",
            "-o",
            str(tmp_path / f"{name}.npz"),
            "--seed",
            str(seed),
        ]
        assert main(words) == 0
    a, b, c = (pv.load(tmp_path / f"{name}.npz").positions for name in "abc")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, pv.generate(pv.load_model(finished), 30, seed=5).positions)
    assert not np.array_equal(a, c)
    assert "30 conformations of 4 atoms" in capsys.readouterr().out


def test_marginals_prints_errors_beside_their_floor(finished, data, tmp_path, capsys):
    ensemble = finished / "generated.npz"
    expected = pv.distance_marginals(pv.load(data), pv.load(ensemble))
    words = ["marginals", str(data), str(ensemble), "-o", str(tmp_path / "m.npz")]
    assert main([*words, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["w1_mean"] == pytest.approx(expected.w1.mean(), rel=1e-12)
    assert numbers["floor_w1_mean"] == pytest.approx(expected.floor_w1.mean(), rel=1e-12)
    assert (numbers["pairs"], numbers["unit"]) == (6, "σ")
    np.testing.assert_array_equal(load_record(tmp_path / "m.npz", DistanceMarginals).w1, expected.w1)
    assert main([*words, "--overwrite", "--ensemble.stop", "30"]) == 0
    assert f"noise floor {expected.floor_w1.mean():.4g}" in capsys.readouterr().out


def test_minimize_rg_writes_the_best_first(finished, tmp_path, capsys):
    words = ["minimize-rg", str(finished), "--starts", "6", "--steps", "60", "--seed", "3"]
    found = pv.minimize_radius_of_gyration(
        pv.load_model(finished), starts=6, seed=3, config=pv.analysis.OptimizationConfig(steps=60)
    )
    code = main([*words, "-o", str(tmp_path / "c.npz")])
    shown = capsys.readouterr().out
    assert f"{found.n_valid} of 6 starts led to a valid conformation" in shown
    if found.n_valid:
        assert code == 0
        np.testing.assert_array_equal(pv.load(tmp_path / "c.npz").positions, found.positions)
        assert f"smallest radius of gyration {found.best:.4g} σ" in shown
    else:
        assert code == 1


def test_minimize_rg_without_a_valid_result_writes_nothing(finished, tmp_path, capsys, monkeypatch):
    import dataclasses

    from polyvae.cli import minimize_rg

    search = minimize_rg.minimize_radius_of_gyration

    def none_valid(*arguments, **options):
        found = search(*arguments, **options)
        empty = {
            name: getattr(found, name)[:0] for name in ("positions", "latent", "radius_of_gyration", "start")
        }
        return dataclasses.replace(found, trajectory=None, **empty)

    monkeypatch.setattr(minimize_rg, "minimize_radius_of_gyration", none_valid)
    words = ["minimize-rg", str(finished), "--starts", "2", "--steps", "5", "-o", str(tmp_path / "c.pdb")]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "0 of 2 starts" in shown.out
    assert "no file is written" in shown.err
    assert not (tmp_path / "c.pdb").exists()


def test_inspect_reports_what_a_file_holds(data, capsys):
    assert main(["inspect", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n_frames"], report["n_atoms"], report["dims"], report["time_step"]) == (200, 4, 2, 5.0)
    assert not [finding for finding in report["findings"] if finding["severity"] != "note"]
    assert main(["inspect", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "time step        5 τ" in shown
    assert "nothing to mend" in shown


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ["generate", "MODEL", "-o", "g.txt"], "must end in .xtc or .dcd or .pdb or .npz; got .txt"),
        (4, ["generate", "MODEL", "-o", "none/g.npz"], "does not exist. Create it first"),
        (2, ["generate", "MODEL", "-o", "old.npz"], "old.npz exists already"),
        (2, ["generate", "MODEL", "-n", "0", "-o", "g.npz"], "`--n` must be at least 1; got 0"),
        (3, ["generate", "nothing", "-o", "g.npz"], "there is no model at this path"),
        (2, ["encode", "MODEL", "-o", "l.npz"], "Name at least one trajectory file"),
        (2, ["encode", "MODEL", "DATA", "-o", "l.txt"], "must end in .npz or .csv"),
        (3, ["marginals", "DATA", "none.npz"], "none.npz does not exist"),
        (2, ["minimize-rg", "MODEL", "--starts", "0"], "`--starts` must be at least 1"),
        (2, ["inspect"], "Name at least one trajectory file"),
    ],
)
def test_a_mistake_has_its_code_and_one_line(
    finished, data, tmp_path, capsys, monkeypatch, code, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.npz").write_text("")
    names = {"MODEL": str(finished), "DATA": str(data)}
    assert main([names.get(word, word) for word in words]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("polyvae: error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.npz"]


def test_demo_runs_everything_on_the_bundled_polymer(tmp_path, capsys, monkeypatch):
    # Every 50th frame, for speed.
    monkeypatch.setattr("polyvae.cli.demo.load", lambda path: pv.load(path, stride=50))
    words = ["demo", "-o", str(tmp_path / "d"), "--epochs", "1", "--hidden", "8", "--quiet"]
    assert main([*words, "--samples", "1", "--generated", "200", "--starts", "2"]) == 0
    shown = capsys.readouterr().out
    assert "report.html" in shown
    assert "figures/latent_trajectory.png" in shown
    summary = json.loads((tmp_path / "d" / "summary.json").read_text())
    assert (summary["data"]["frames"], summary["data"]["atoms"]) == (400, 12)
    assert summary["latent"]["source"].endswith("polymer_2d_dense.npz")
    assert summary["latent"]["frames"] == 160
    settings = json.loads((tmp_path / "d" / "manifest.json").read_text())["settings"]
    assert settings["training"]["augmentation"] == ["mirror", "reversal"]
