"""A run folder with parts missing, a full disk, a folder that may not be written: a clear line, nothing half made."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from polyvae.cli import main

USES = {
    "encode": ["DATA", "-o", "out.npz"],
    "generate": ["-n", "2", "-o", "out.npz"],
    "minimize-rg": ["-o", "out.npz"],
    "optimize": ["-o", "out.npz"],
    "path": ["z=0,0", "z=1,0", "-o", "out.npz"],
    "kinetics": ["DATA", "--lag-time", "2", "-o", "out"],
    "export": ["--format", "numpy", "-o", "out.py"],
}


@pytest.fixture(scope="module")
def damaged(finished, tmp_path_factory):
    """Copies of a run folder, each with another part of the model missing or cut."""
    place = tmp_path_factory.mktemp("damaged")
    for name in ("no json", "no arrays", "cut json", "cut arrays", "other arrays", "empty"):
        (place / name).mkdir()
        if name == "empty":
            continue
        for file in ("model.json", "model.safetensors", "manifest.json"):
            shutil.copy(finished / file, place / name / file)
        target = place / name / ("model.json" if name.endswith("json") else "model.safetensors")
        if name.startswith("no "):
            target.unlink()
        elif name.startswith("cut "):
            target.write_bytes(target.read_bytes()[:-40])
        else:
            target.write_bytes(target.read_bytes()[:-1] + b"\x7f")
    return place


@pytest.mark.parametrize("verb", USES)
def test_a_model_with_parts_missing_is_named(verb, damaged, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in damaged.iterdir():
        words = [str(data) if word == "DATA" else word for word in USES[verb]]
        assert main([verb, str(folder), *words]) == 3
        shown = capsys.readouterr().err
        assert shown.splitlines()[-1].startswith("polyvae: error: ")
        assert str(folder) in shown
        assert "Traceback" not in shown
        assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_manifest_is_gone_or_damaged_is_left_alone(finished, data, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished / "model.json", folder)
    for content, message in (
        (None, "holds files but no manifest.json"),
        ("{", "cannot be read"),
        ("[]", "is not a manifest of polyvae"),
    ):
        if content is not None:
            (folder / "manifest.json").write_text(content)
        for flag in ("--overwrite", "--resume"):
            assert main(["train", str(data), "-o", str(folder), flag]) == 2
            assert message in capsys.readouterr().err
    assert (folder / "model.json").read_bytes() == (finished / "model.json").read_bytes()


_CHILD = """
import json, os, resource, sys
from polyvae.cli import main

limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
codes = [main(words) for words in json.loads(sys.argv[2])]
sys.stdout.write(json.dumps(codes))
"""


def _limited(limit, commands, folder):
    """Exit codes and messages of commands in a process that may write no file larger than `limit` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(limit), json.dumps(commands)],
        cwd=folder,
        # Else the compiled code of other tests would be cut short too.
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder.parent / f"{folder.name}_cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_full_disk_leaves_nothing_half_written(finished, data, tmp_path):
    model, source = str(finished), str(data)
    commands = [
        ["encode", model, source, "-o", "l.csv"],
        ["encode", model, source, "-o", "l.npz"],
        ["generate", model, "-n", "50", "-o", "g.npz"],
        ["score", source, source, "--bootstrap", "2", "-o", "s.json"],
        ["fes", source, "--along", "distance:0-3", "-o", "f.npz"],
        ["export", model, "--format", "numpy", "-o", "cv.py"],
        ["train", source, "-o", "t", "--hidden", "8", "--epochs", "1"],
    ]
    commands = [[*words, "-q"] for words in commands]
    codes, shown = _limited(500, commands, tmp_path)
    assert codes == [4] * len(commands), shown
    assert list(tmp_path.iterdir()) == []
    lines = [line for line in shown.splitlines() if line.startswith("polyvae: error: ")]
    assert len(lines) == len(commands)
    assert all("cannot be written" in line for line in lines)
    assert "Traceback" not in shown


def test_training_that_finds_no_room_leaves_its_folder_free(data, tmp_path):
    # Room for the manifest, not for the state of training.
    words = ["train", str(data), "-o", "t", "--hidden", "64", "--epochs", "2", "-q"]
    (code,), shown = _limited(6000, [words], tmp_path)
    assert code == 4, shown
    assert "cannot be written: File too large" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["train", "run", "demo"])
def test_a_folder_that_may_not_be_written_is_refused_before_any_work(
    verb, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("polyvae.cli.options.os.access", lambda *_: False)
    words = [] if verb == "demo" else [str(data)]
    assert main([verb, *words, "-o", str(tmp_path / "a" / "b")]) == 4
    shown = capsys.readouterr().err
    assert f"b cannot be made: {tmp_path} is not writable. Choose another `--output`" in shown
    assert "reading" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(finished, tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        assert main(["generate", str(finished), "-o", str(tmp_path / "g.npz")]) == 4
    finally:
        tmp_path.chmod(0o700)
    assert "is not writable" in capsys.readouterr().err
