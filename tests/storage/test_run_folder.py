"""Run folders: nothing of others is touched, and the manifest says what lies there."""

import hashlib
import json

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.storage import RunFolder, check_run_folder, read_manifest
from polyvae.storage.run_folder import plain
from polyvae.training import TrainConfig


def _finished(path, names=("a.txt", "figures/b.png")):
    folder = RunFolder.create(path, command=["polyvae", "run"])
    for name in names:
        folder.file(name).write_text(name)
    folder.close("finished")
    return folder


def test_the_manifest_names_inputs_settings_and_files(tmp_path):
    (tmp_path / "in.npz").write_bytes(b"frames")
    folder = RunFolder.create(
        tmp_path / "deep" / "out ü",
        command=["polyvae", "run", "in.npz"],
        settings={"training": TrainConfig(epochs=3), "seed": 5},
        inputs=[tmp_path / "in.npz"],
    )
    assert read_manifest(folder.path)["status"] == "running"
    folder.file("figures/b.png").write_bytes(b"picture")
    folder.file("never.txt")
    folder.close("finished")
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest["settings"]["training"]["epochs"] == 3
    assert manifest["inputs"][0]["sha256"] == hashlib.sha256(b"frames").hexdigest()
    assert manifest["files"] == [
        {"name": "figures/b.png", "bytes": 7, "sha256": hashlib.sha256(b"picture").hexdigest()}
    ]
    assert (manifest["status"], manifest["command"]) == ("finished", ["polyvae", "run", "in.npz"])
    assert manifest["versions"]["polyvae"]
    assert manifest["started"] <= manifest["finished"]


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    _finished(tmp_path / "out")
    with pytest.raises(InputError, match=r"exists and is not empty.*--overwrite.*--resume"):
        RunFolder.create(tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "a.txt"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    assert RunFolder.create(tmp_path / "out").path == tmp_path / "out"


def test_overwrite_removes_what_polyvae_made_and_nothing_else(tmp_path):
    _finished(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "figures" / "mine.png").write_text("mine")
    RunFolder.create(tmp_path / "out", overwrite=True)
    left = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert left == ["figures", "figures/mine.png", "manifest.json", "notes.txt"]


def test_overwrite_never_follows_a_manifest_out_of_the_folder(tmp_path):
    folder = _finished(tmp_path / "out")
    (tmp_path / "precious.txt").write_text("mine")
    folder.manifest["files"].append({"name": "../precious.txt"})
    folder.close("finished")
    RunFolder.create(tmp_path / "out", overwrite=True)
    assert (tmp_path / "precious.txt").exists()


def test_overwrite_of_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds files but no manifest\.json.*Nothing was changed"):
        RunFolder.create(tmp_path, overwrite=True)
    (tmp_path / "manifest.json").write_text('{"name": "web app"}')
    with pytest.raises(InputError, match="is not a manifest of polyvae"):
        RunFolder.create(tmp_path, overwrite=True)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        RunFolder.create(tmp_path, resume=True)


def test_a_file_that_polyvae_did_not_write_is_kept(tmp_path):
    folder = RunFolder.create(tmp_path / "out")
    (tmp_path / "out" / "summary.json").write_text("mine")
    with pytest.raises(InputError, match=r"summary\.json exists but is not known to manifest\.json"):
        folder.write_json("summary.json", {})


def test_resume_takes_up_an_interrupted_run_only(tmp_path):
    folder = RunFolder.create(tmp_path / "out")
    folder.file("state").write_text("half")
    folder.close("interrupted")
    again = RunFolder.create(tmp_path / "out", resume=True)
    assert again.names == ["state"]
    again.close("finished")
    with pytest.raises(InputError, match="has finished; there is nothing to resume"):
        RunFolder.create(tmp_path / "out", resume=True)
    assert check_run_folder(tmp_path / "new", overwrite=False, resume=True) is None
    with pytest.raises(InputError, match="exclude each other"):
        check_run_folder(tmp_path / "new", overwrite=True, resume=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, not a folder"):
        RunFolder.create(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be made: Not a directory.*\(-o\)"):
        RunFolder.create(tmp_path / "file" / "out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link to nowhere"):
        RunFolder.create(tmp_path / "link")


def test_plain_values_are_json():
    content = plain({"a": np.float32(1.5), "b": (np.int64(2), None), "c": np.array([1.0, np.nan]), 4: True})
    assert json.loads(json.dumps(content)) == {"a": 1.5, "b": [2, None], "c": [1.0, None], "4": True}
