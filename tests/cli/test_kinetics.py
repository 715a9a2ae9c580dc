"""`polyvae kinetics` on the finished run of a small chain."""

import json

import numpy as np
import pytest

from polyvae.analysis import (
    Sensitivity,
    VampComparison,
    compare_vamp_scores,
    encoder_inputs,
    latent_trajectory,
)
from polyvae.cli import main
from polyvae.errors import PolyvaeWarning
from polyvae.storage import load_model, load_record, read_manifest
from polyvae.training import Split

WORDS = ["--lag-time", "2", "--lag-times", "1", "2", "--quiet"]


@pytest.fixture(scope="module")
def done(finished, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinetics") / "kin"
    words = ["kinetics", str(finished), str(data), *WORDS, "-o", str(folder)]
    assert main([*words, "--split", str(finished / "split.npz")]) == 0
    return folder


def test_scores_are_those_of_the_split_beside_their_baselines(done, finished, data):
    import polyvae as pv

    model, trajectory = load_model(finished), pv.load(data)
    split = load_record(finished / "split.npz", Split)
    with pytest.warns(PolyvaeWarning, match="16 pairs of frames hold fewer than 10 independent blocks"):
        expected = compare_vamp_scores(
            latent_trajectory(model, trajectory),
            2,
            features=encoder_inputs(model, trajectory),
            train=split.train,
            test=split.test,
        )
    found = load_record(done / "scores.npz", VampComparison)
    summary = json.loads((done / "summary.json").read_text("utf-8"))
    assert list(summary["scores"]) == ["latent", "PCA", "TICA"]
    for mine, theirs in zip(found.scores, expected.scores, strict=True):
        # The chunks that frames are encoded in may differ.
        assert mine.vamp2 == pytest.approx(theirs.vamp2, rel=1e-5)
        assert summary["scores"][mine.name]["vamp2"] == mine.vamp2
        assert mine.vamp2_floor > 1
    assert (summary["unit"], summary["frame_time"], summary["folds"]) == ("τ", 5.0, 1)


def test_the_folder_is_whole_and_its_manifest_says_so(done):
    names = {entry["name"] for entry in read_manifest(done)["files"]}
    figures = ("vamp_scores", "implied_timescales", "autocorrelation", "sensitivity", "variables_z1")
    assert {f"figures/{name}.png" for name in figures} <= names
    assert all((done / name).read_bytes() for name in names)
    assert read_manifest(done)["status"] == "finished"
    heard = load_record(done / "sensitivity.npz", Sensitivity)
    lines = (done / "sensitivity.pdb").read_text().splitlines()
    column = [float(line[60:66]) for line in lines if line.startswith(("ATOM", "HETATM"))]
    assert int(np.argmax(column)) == heard.top_atoms[0]


def test_without_a_split_folds_are_scored_and_the_table_says_what_that_means(
    finished, data, tmp_path, capsys
):
    folder = tmp_path / "kin"
    words = ["kinetics", str(finished), str(data), *WORDS, "-o", str(folder), "--folds", "3", "--blocks", "6"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "scores at lag time 10 τ, on 3 folds of contiguous blocks" in shown
    assert "the network may have seen these frames: pass --split" in shown
    assert "z1 follows distance:0-3" in shown
    assert main(words) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    (folder / "mine.txt").write_text("kept")
    assert main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folds"] == 3
    assert (folder / "mine.txt").read_text() == "kept"


def test_a_markov_model_is_tested_where_deeptime_is_there(finished, data, tmp_path, capsys):
    folder = tmp_path / "kin"
    words = ["kinetics", str(finished), str(data), *WORDS, "-o", str(folder), "--n-states", "3"]
    try:
        import deeptime
    except ImportError:
        deeptime = None
    code = main(words)
    captured = capsys.readouterr()
    if deeptime is None:
        assert code == 2
        assert 'pip install "polyvae[kinetics]"' in captured.err
        assert not folder.exists()
    else:
        assert code == 0
        assert "Chapman-Kolmogorov test: " in captured.out
        assert (folder / "figures" / "chapman_kolmogorov.png").exists()


@pytest.mark.parametrize(
    ("code", "change", "message"),
    [
        (2, ["--lag-time", "0"], "`--lag-time` must be at least 1 frame; got 0"),
        (3, ["--lag-time", "150"], "does not fit into blocks of at most 10 frames"),
        (3, ["--lag-times", "1", "200"], "`--lag-time 200` frames apart"),
        (3, ["--split", "SPLIT", "--stride", "2"], "the split is of about"),
        (3, ["--split", "LATENT"], "holds a LatentTrajectory, not a Split"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(code, change, message, finished, data, tmp_path, capsys):
    names = {"SPLIT": str(finished / "split.npz"), "LATENT": str(finished / "latent.npz")}
    words = ["kinetics", str(finished), str(data), *WORDS, "-o", str(tmp_path / "kin")]
    assert main([*words, *(names.get(word, word) for word in change)]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "kin").exists()


def test_nothing_is_left_where_writing_fails(finished, data, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("polyvae.cli.kinetics.save_colored_pdb", full)
    assert main(["kinetics", str(finished), str(data), *WORDS, "-o", str(tmp_path / "kin")]) == 4
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "kin").exists()
