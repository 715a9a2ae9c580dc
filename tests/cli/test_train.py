"""`polyvae train`, and training that a signal ends: nothing is lost, and it goes on to the same bits."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import polyvae as pv
from polyvae.cli import main
from polyvae.errors import TrainingError

_FLAGS = ["--hidden", "8", "--batch-size", "64", "--seed", "2"]


def test_train_writes_a_model_and_its_curves(data, tmp_path, capsys):
    assert main(["train", str(data), "-o", str(tmp_path / "t"), "--epochs", "2", *_FLAGS]) == 0
    names = sorted(path.name for path in (tmp_path / "t").iterdir())
    assert names == [
        *(
            "diagnosis.npz",
            "history.npz",
            "manifest.json",
            "model.json",
            "model.safetensors",
            "run.toml",
            "split.npz",
            "summary.json",
        ),
    ]
    printed = capsys.readouterr().out
    assert "validation bound" in printed
    assert "nats per frame in" in printed
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert (summary["training"]["epochs"], summary["training"]["status"]) == (2, "finished")
    assert pv.load_model(tmp_path / "t").config.hidden == (8,)


def test_weights_come_from_a_file(data, tmp_path, capsys):
    n_frames = pv.load(data).n_frames
    path = tmp_path / "weights.txt"
    path.write_text("\n".join(str(1 + frame % 3) for frame in range(n_frames)))
    words = ["train", str(data), "--weights", str(path), "-o", str(tmp_path / "w"), "--epochs", "1", *_FLAGS]
    assert main(words) == 0
    summary = json.loads((tmp_path / "w" / "summary.json").read_text())
    # (sum w)² / sum w² of 1, 2, 3 in equal parts, to the frames that are left over.
    assert summary["data"]["weights"]["effective_sample_size"] == pytest.approx(n_frames * 6 / 7, rel=0.01)
    manifest = json.loads((tmp_path / "w" / "manifest.json").read_text())
    assert "weights.txt" in str(manifest["inputs"])


def test_bad_frames_are_left_out_and_said_so(data, tmp_path, capsys):
    content = dict(np.load(data))
    content["positions"][[50, 51, 120], 2] = np.nan
    path = tmp_path / "bad.npz"
    np.savez(path, **content)
    out = tmp_path / "t"
    words = ["train", str(path), "-o", str(out), "--epochs", "1", "--quiet", *_FLAGS]
    assert main(words) == 3
    assert "--on-bad-frame skip" in capsys.readouterr().err
    assert main([*words, "--on-bad-frame", "skip"]) == 0
    assert "bad.npz: 3 bad frames left out (50, 51, 120)" in capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["data"]["segments"] == [50, 68, 79]
    assert summary["data"]["skipped"] == [{"file": str(path), "frames": 3, "first": [50, 51, 120]}]
    # So that the command which goes on with a run makes the same choice.
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["trajectory"]["on_bad_frame"] == "skip"
    assert "--on-bad-frame skip" in " ".join(manifest["command"])
    latent = tmp_path / "latent.npz"
    assert main(["encode", str(out), str(path), "-o", str(latent), "--on-bad-frame", "skip"]) == 0
    encoded = capsys.readouterr()
    assert "197 frames" in encoded.out
    assert "3 bad frames left out" in encoded.err
    with np.load(latent) as record:
        np.testing.assert_array_equal(record["times"], np.delete(content["times"], [50, 51, 120]))


def test_a_training_that_diverges_ends_with_code_1(data, tmp_path, capsys, monkeypatch):
    def diverge(*arguments, **options):
        raise TrainingError("not finite")

    monkeypatch.setattr("polyvae.cli.training.fit", diverge)
    assert main(["train", str(data), "-o", str(tmp_path / "t")]) == 1
    assert "polyvae: error: not finite" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on_to_the_same_bits(data, tmp_path, capsys, monkeypatch, number):
    from polyvae.cli.progress import TrainingProgress

    words = ["train", str(data), "--epochs", "5", *_FLAGS]
    assert main([*words, "-o", str(tmp_path / "whole"), "--quiet"]) == 0

    def interrupt(self, report):
        if report.epoch == 2:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", interrupt)
        assert main([*words, "-o", str(tmp_path / "half")]) == 128 + number
    shown = capsys.readouterr().err
    assert "interrupted after epoch 2 of 5; nothing is lost. Go on with: polyvae train" in shown
    assert shown.strip().endswith("--resume")
    assert json.loads((tmp_path / "half" / "manifest.json").read_text())["status"] == "interrupted"
    assert (tmp_path / "half" / "checkpoint.safetensors").exists()
    assert pv.load_model(tmp_path / "half").latent_dim == 2
    assert main([*words, "-o", str(tmp_path / "half")]) == 2
    assert main([*words, "-o", str(tmp_path / "half"), "--resume", "--epochs", "6"]) == 3
    assert "Cannot resume" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "half"), "--resume", "--quiet"]) == 0
    assert not (tmp_path / "half" / "checkpoint.safetensors").exists()
    for name in ("model.safetensors",):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_sigterm_ends_a_process_with_code_143_and_its_state_saved(data, tmp_path):
    words = [
        "train",
        str(data),
        "-o",
        str(tmp_path / "t"),
        "--epochs",
        "100000",
        "--patience",
        "None",
        *_FLAGS,
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "polyvae", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                break
        process.send_signal(signal.SIGTERM)
        shown = process.stderr.read()
    assert process.returncode == 143
    assert "nothing is lost. Go on with: polyvae train" in shown
    assert "Traceback" not in shown
    left = sorted(path.name for path in (tmp_path / "t").iterdir())
    assert left == [
        *(
            "checkpoint.safetensors",
            "diagnosis.npz",
            "history.npz",
            "manifest.json",
            "model.json",
            "model.safetensors",
            "split.npz",
        ),
    ]
