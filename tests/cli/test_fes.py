"""`polyvae fes` along torsions of alanine dipeptide and latent dimensions of a model."""

import json

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import FreeEnergySurface, LatentTrajectory, latent_trajectory
from polyvae.cli import main
from polyvae.storage import load_record, save_record
from polyvae.units import MOLECULAR

XTC, PDB = (str(pv.bundled(f"alanine_dipeptide.{suffix}")) for suffix in ("xtc", "pdb"))
PHI, PSI = "torsion:4-6-8-14", "torsion:6-8-14-16"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    chain = pv.load(pv.bundled("polymer_2d.npz"))[:500]
    result = pv.fit(chain, pv.ModelConfig(hidden=(8,)), pv.TrainConfig(epochs=1))
    pv.save(result.model, folder / "model.json")
    return result.model, folder / "model.json", chain


def test_the_basins_of_alanine_dipeptide_are_found_and_drawn(tmp_path, capsys):
    words = ["fes", XTC, "--top", PDB, "--along", PHI, PSI, "--bins", "40", "-o", str(tmp_path / "fes.npz")]
    assert main([*words, "--figure", str(tmp_path / "fes.png")]) == 0
    shown = capsys.readouterr().out
    assert "free energy along torsion 4-6-8-14 (rad) and torsion 6-8-14-16 (rad), kJ/mol" in shown
    assert "bins have fewer than 5 independent visits" in shown
    surface = load_record(tmp_path / "fes.npz", FreeEnergySurface)
    assert surface.periods == (2 * np.pi, 2 * np.pi)
    assert (tmp_path / "fes.png").read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--overwrite", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    extended, helical = content["basins"][:2]
    # C7eq/C5 and the right-handed helix.
    assert extended["minimum"][0] < -0.9
    assert abs(extended["minimum"][1] - 2.7) < 0.5
    assert abs(helical["minimum"][1] + 0.3) < 0.5
    assert 0.2 < helical["free_energy"] < 1.5
    assert 0.05 < helical["free_energy_error"] < 0.3
    assert content["paths"][0]["barrier"] > 4
    assert sum(basin["population"] for basin in content["basins"]) == pytest.approx(1, abs=0.02)


def test_latent_dimensions_come_from_a_model_or_from_their_own_file(model, tmp_path, capsys):
    trained, path, chain = model
    pv.save_trajectory(chain, tmp_path / "chain.npz")
    latent = latent_trajectory(trained, chain)
    words = ["--model", str(path), "--along", "z2", "radius_of_gyration", "--bins", "5", "--json"]
    assert main(["fes", str(tmp_path / "chain.npz"), *words, "-o", str(tmp_path / "one.npz")]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["coordinates"] == ["latent z2", "radius of gyration (σ)"]
    assert content["units"] == "kT"
    save_record(latent, tmp_path / "latent.npz")
    assert main(["fes", str(tmp_path / "latent.npz"), "--along", "z2", "-o", str(tmp_path / "two.npz")]) == 0
    surface = load_record(tmp_path / "two.npz", FreeEnergySurface)
    expected = pv.free_energy_surface(latent, dimensions=(1,), units="kT")
    np.testing.assert_array_equal(surface.energy, expected.energy)
    assert isinstance(load_record(tmp_path / "latent.npz", LatentTrajectory), LatentTrajectory)


def test_weight_outside_of_all_basins_is_told(tmp_path, capsys, rng):
    mean = 0.2 * rng.normal(size=(10_000, 1))
    # A single visit: no bin there is well sampled.
    mean[4000:4300] += 5.0
    latent = LatentTrajectory(
        mean=mean.astype(np.float32),
        scale=np.full((10_000, 1), 0.1, np.float32),
        times=None,
        segments=(10_000,),
        units=MOLECULAR,
        source="array",
    )
    save_record(latent, tmp_path / "latent.npz")
    assert main(["fes", str(tmp_path / "latent.npz"), "--along", "z1", "-o", str(tmp_path / "fes.npz")]) == 0
    assert "3.0 % of the weight lies in no basin" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, [], "Name at least one trajectory file"),
        (2, [XTC, "--top", PDB], "z1 is a latent dimension: name the model with --model"),
        (2, [XTC, "--top", PDB, "--along", "a", "b", "c"], "`--along` takes one or two coordinates; got 3"),
        (3, [XTC, "--top", PDB, "--along", "gyration", "--stop", "20"], "'gyration' is not known"),
        (2, [XTC, "--top", PDB, "--along", PHI, "-o", "fes.txt"], "must end in .npz; got .txt"),
        (3, ["CHAIN", "--model", "MODEL", "--along", "z3"], "z3 is not one of the 2 latent dimensions"),
        (3, ["LATENT", "--along", PHI], "is an observable of positions: name trajectory files"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(code, words, message, model, tmp_path, monkeypatch, capsys):
    trained, path, chain = model
    monkeypatch.chdir(tmp_path)
    pv.save_trajectory(chain[:50], "chain.npz")
    save_record(latent_trajectory(trained, chain[:50]), "latent.npz")
    names = {"CHAIN": "chain.npz", "LATENT": "latent.npz", "MODEL": str(path)}
    assert main(["fes", *(names.get(word, word) for word in words)]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "fes.npz").exists()


def test_an_old_surface_is_kept_unless_asked(tmp_path, capsys):
    (tmp_path / "fes.npz").write_bytes(b"old")
    words = ["fes", XTC, "--top", PDB, "--along", PHI, "-o", str(tmp_path / "fes.npz")]
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "fes.npz").read_bytes() == b"old"
