"""`--dry-run`: the size of a run before it is done, and nothing written."""

import json

import jax
import pytest

import polyvae as pv
from polyvae.cli import main


def test_a_dry_run_says_what_a_run_would_be(finished, data, small, tmp_path, capsys):
    words = ["run", str(data), "-o", str(tmp_path / "r"), *small, "--dry-run", "--json", "-q"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    numbers = json.loads(shown.out)
    assert list(tmp_path.iterdir()) == []
    model = pv.load_model(finished)
    arrays = [leaf for leaf in jax.tree.leaves(model.vae.network) if hasattr(leaf, "dtype")]
    assert numbers["parameters"] == sum(array.size for array in arrays)
    assert (numbers["frames"], numbers["atoms"], numbers["features"]) == (200, 4, 2 * 4 - 3)
    assert numbers["frame_bytes"] == 200 * 4 * 2 * 4
    assert numbers["vector_bytes"] == 0.9 * 200 * 5 * 4
    seconds = numbers["seconds"]
    assert seconds["training_at_most"] == pytest.approx(3 * numbers["seconds_per_epoch"])
    assert all(seconds[name] > 0 for name in ("reading", "startup", "training_at_most", "log_likelihood"))
    # More than the libraries take, less than a small machine has.
    assert 5e7 < numbers["memory_bytes"] < 2e10
    written = sum(entry["bytes"] for entry in json.loads((finished / "manifest.json").read_text())["files"])
    assert written / 3 < numbers["disk_bytes"] < 5 * written


def test_a_dry_run_of_train_says_it_in_words(data, tmp_path, capsys):
    words = ["train", str(data), "-o", str(tmp_path / "t"), "--hidden", "8", "--dry-run"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "frames      200 in 1 simulation\n" in shown.out
    assert "time        about " in shown.out
    assert "200 epochs of " in shown.out
    assert "log-likelihood" not in shown.out
    assert shown.out.endswith("nothing was written\n")
    assert "a trial of 3 epochs" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_is_too_short_is_no_error(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("polyvae.cli.dry_run._FRAMES", 9)
    assert main(["train", str(data), "-o", str(tmp_path / "t"), "--hidden", "8", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "not measured; training on some of the frames failed" in shown
    assert "at least 10 frames" in shown


def test_a_dry_run_refuses_what_a_run_would_refuse(finished, data, tmp_path, capsys):
    assert main(["run", str(data), "-o", str(finished), "--dry-run"]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "none.npz"), "-o", str(tmp_path / "r"), "--dry-run"]) == 3
    assert "none.npz does not exist" in capsys.readouterr().err
