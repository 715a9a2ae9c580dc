"""`polyvae run` from end to end: every file and its numbers, and nothing touched that is not its own."""

import hashlib
import json
import os
import signal

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import DistanceMarginals, LatentTrajectory, OptimizedConformations
from polyvae.cli import main
from polyvae.errors import OutputError
from polyvae.storage import load_record
from polyvae.training import History


def test_a_run_writes_what_its_manifest_says(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    names = {entry["name"] for entry in manifest["files"]}
    on_disk = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert on_disk == names | {"manifest.json"}
    assert names >= {
        *("model.safetensors", "model.json", "latent.npz", "latent.csv", "marginals.npz", "generated.npz"),
        *(
            "history.npz",
            "diagnosis.npz",
            "reconstruction.npz",
            "likelihood.npz",
            "optimization.npz",
            "free_energy.npz",
            "linear_maps.npz",
            "overview.npz",
            "summary.json",
            "report.html",
        ),
        *(
            f"figures/{name}.png"
            for name in ("learning_curves", "latent_map", "latent_trajectory", "reconstruction")
        ),
        *(
            f"figures/{name}.png"
            for name in ("distance_marginals", "distance_errors", "structures", "compact", "free_energy")
        ),
        *(f"figures/{name}.png" for name in ("linear_maps", "ensembles")),
    }
    for entry in manifest["files"]:
        content = (finished / entry["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert manifest["settings"]["training"]["epochs"] == 3
    assert manifest["inputs"][0]["name"].endswith("chäin 1.npz")


def test_the_numbers_of_a_run_are_those_of_the_python_functions(finished, data):
    summary = json.loads((finished / "summary.json").read_text())
    trajectory = pv.load(data)
    model = pv.load_model(finished)
    latent = load_record(finished / "latent.npz", LatentTrajectory)
    np.testing.assert_array_equal(latent.mean, pv.latent_trajectory(model, trajectory).mean)
    assert summary["latent"]["largest_step_fraction"] == latent.largest_step
    generated = pv.load(finished / "generated.npz")
    np.testing.assert_array_equal(generated.positions, pv.generate(model, 60, seed=1).positions)
    marginals = pv.distance_marginals(trajectory, generated)
    np.testing.assert_array_equal(load_record(finished / "marginals.npz", DistanceMarginals).w1, marginals.w1)
    assert summary["marginals"]["w1_mean"] == marginals.w1.mean()
    assert summary["marginals"]["unit"] == "σ"
    optimized = load_record(finished / "optimization.npz", OptimizedConformations)
    assert summary["compact"]["valid"] == optimized.n_valid
    assert summary["compact"]["starts"] == 4
    assert len(load_record(finished / "history.npz", History)) == summary["training"]["epochs"] == 3
    data_section = summary["data"]
    assert (data_section["frames"], data_section["atoms"], data_section["time_step"]) == (200, 4, 5.0)
    training = summary["training"]
    assert training["rate_nats"] == pytest.approx(sum(training["kl_per_dimension"]))
    assert summary["reconstruction"]["ratio_to_pca"] == pytest.approx(
        summary["reconstruction"]["rmsd"] / summary["reconstruction"]["pca_rmsd"]
    )
    assert all(summary["likelihood"][key] is not None for key in ("vae_iwae", "gaussian", "gaussian_chain"))


def test_the_report_needs_no_host(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 11
    assert 'src="http' not in page


def test_an_existing_folder_is_refused_before_any_work(finished, data, capsys):
    before = (finished / "summary.json").read_bytes()
    assert main(["run", str(data), "-o", str(finished)]) == 2
    shown = capsys.readouterr()
    assert "exists and is not empty" in shown.err
    assert "reading" not in shown.err
    assert (finished / "summary.json").read_bytes() == before


def test_overwrite_repeats_a_run_to_the_same_bits_and_keeps_other_files(data, small, tmp_path, capsys):
    words = ["run", str(data), "-o", str(tmp_path / "r"), *small]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "reconstruction RMSD, held out (σ)" in shown.out
    assert "noise floor" in shown.out
    assert str(tmp_path / "r" / "report.html") in shown.out
    assert "epoch 3/3  loss" in shown.err
    weights = (tmp_path / "r" / "model.safetensors").read_bytes()
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    (tmp_path / "r" / "notes.txt").write_text("mine")
    assert main([*words, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "r" / "model.safetensors").read_bytes() == weights
    again = json.loads((tmp_path / "r" / "summary.json").read_text())
    for part in (summary, again):
        part["training"].pop("seconds")
        part["training"].pop("startup_seconds")
    assert again == summary
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"


def test_a_finished_run_is_not_resumed(finished, data, capsys):
    assert main(["run", str(data), "-o", str(finished), "--resume"]) == 2
    assert "has finished; there is nothing to resume" in capsys.readouterr().err


def test_a_run_interrupted_after_training_does_not_train_again(data, small, tmp_path, capsys, monkeypatch):
    words = ["run", str(data), "-o", str(tmp_path / "r"), *small]

    def terminate(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("polyvae.cli.workflow.reconstruction_report", terminate)
        assert main(words) == 143
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert shown.startswith("polyvae: interrupted. Go on with: polyvae run")
    assert shown.endswith("--resume")
    weights = (tmp_path / "r" / "model.safetensors").read_bytes()
    assert main([*words, "--resume"]) == 0
    assert "epoch" not in capsys.readouterr().err
    assert (tmp_path / "r" / "model.safetensors").read_bytes() == weights
    assert not (tmp_path / "r" / "checkpoint.safetensors").exists()


def test_a_disk_that_fills_after_training_says_how_to_go_on(data, small, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise OutputError("latent.npz cannot be written: No space left on device.")

    monkeypatch.setattr("polyvae.cli.run.analyze", full)
    assert main(["run", str(data), "-o", str(tmp_path / "r"), *small, "-q"]) == 4
    shown = capsys.readouterr().err
    assert "No space left on device. The training is not lost; then go on with: polyvae run" in shown
    assert shown.endswith(" --resume\n")
    assert (tmp_path / "r" / "checkpoint.safetensors").exists()


def test_a_failed_overwrite_keeps_the_old_run(data, tmp_path, capsys):
    assert (
        main(["train", str(data), "-o", str(tmp_path / "r"), "--hidden", "8", "--epochs", "1", "--quiet"])
        == 0
    )
    assert main(["run", str(tmp_path / "none.npz"), "-o", str(tmp_path / "r"), "--overwrite"]) == 3
    assert "none.npz does not exist" in capsys.readouterr().err
    assert pv.load_model(tmp_path / "r").latent_dim == 2
