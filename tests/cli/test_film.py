"""`polyvae film`: which frames it takes, and what it refuses."""

import json
import shutil

import pytest
from PIL import Image

from polyvae.cli import main


def test_film_of_a_run_folder_needs_no_other_words(finished, tmp_path, capsys):
    words = ["film", str(finished), "-o", str(tmp_path / "f.gif"), "--frames", "5"]
    assert main(words) == 0
    with Image.open(tmp_path / "f.gif") as image:
        assert image.n_frames == 5
    assert "5 of 200 frames, 0.3 s at 15 a second" in capsys.readouterr().out
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_film_of_other_frames_under_a_model_file(finished, data, tmp_path, capsys):
    words = [
        "film",
        str(finished / "model.json"),
        str(data),
        "--stop",
        "4",
        "-o",
        str(tmp_path / "f.gif"),
        "--quiet",
    ]
    assert main(words) == 0
    assert "4 of 4 frames" in capsys.readouterr().out


def test_film_reads_what_the_run_read(finished, data, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["settings"]["trajectory"]["stride"] = 50
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert main(["film", str(folder), "-o", str(tmp_path / "f.gif"), "--quiet"]) == 0
    assert "4 of 4 frames" in capsys.readouterr().out
    manifest["inputs"][0]["name"] = "gone.npz"
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert main(["film", str(folder), "-o", str(tmp_path / "g.gif")]) == 3
    assert "the run read gone.npz, which is not here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL/model.json"], "is not a run folder, so it does not tell which frames to show"),
        (["MODEL", "--stride", "2"], "Flags for reading go with trajectory files"),
        (["MODEL", "--frames", "1"], "`--frames` must be at least 2"),
        (["MODEL", "-o", "film.avi"], "must end in .gif or .mp4; got .avi"),
        (["MODEL", "-o", "film.mp4"], "apt install ffmpeg"),
    ],
)
def test_mistakes_end_with_code_2(finished, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["film", *(word.replace("MODEL", str(finished)) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
