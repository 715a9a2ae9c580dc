"""`polyvae report`: the same page again, gaps named, and nothing left behind where it cannot be written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from polyvae.analysis import RunOverview
from polyvae.cli import main
from polyvae.storage import load_record


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run <b>1</b>")


def test_the_page_is_that_of_the_run_to_the_byte(run, capsys):
    before = (run / "report.html").read_bytes()
    assert main(["report", str(run), "--overwrite"]) == 0
    assert (run / "report.html").read_bytes() == before
    shown = capsys.readouterr()
    assert f"report in {run / 'report.html'}" in shown.out
    assert shown.err == ""
    assert b'id="run-data"' in before


def test_the_manifest_knows_the_new_page(run):
    (run / "figures" / "compact.png").unlink()
    assert main(["report", str(run), "--overwrite"]) == 0
    content = (run / "report.html").read_bytes()
    (entry,) = [
        entry
        for entry in json.loads((run / "manifest.json").read_text())["files"]
        if entry["name"] == "report.html"
    ]
    assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_page_is_not_replaced_unless_asked(run, tmp_path, capsys):
    assert main(["report", str(run)]) == 2
    assert "exists already" in capsys.readouterr().err
    manifest = (run / "manifest.json").read_bytes()
    assert main(["report", str(run), "-o", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").stat().st_size > 500_000
    assert (run / "manifest.json").read_bytes() == manifest
    assert main(["report", str(run), "-o", str(tmp_path / "other.pdf")]) == 2
    assert "must end in .html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("overview.npz", "overview.npz is not there, so there is no interactive part"),
        ("summary.json", "summary.json is not there, so there are no numbers"),
        ("manifest.json", "manifest.json is not there"),
        ("figures/free_energy.png", "no free_energy.png"),
    ],
)
def test_a_missing_part_is_named_and_the_rest_is_shown(run, name, said, capsys):
    (run / name).unlink()
    assert main(["report", str(run), "--overwrite"]) == 0
    assert said in capsys.readouterr().err
    page = (run / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert ('id="run-data"' in page) == (name != "overview.npz")
    assert "How this was made" in page


@pytest.mark.parametrize("name", ["overview.npz", "summary.json", "manifest.json"])
def test_a_damaged_part_is_named_and_the_rest_is_shown(run, name, capsys):
    (run / name).write_bytes((run / name).read_bytes()[:100])
    code = main(["report", str(run), "-o", str(run.parent / "page.html")])
    assert code == 0
    assert name in capsys.readouterr().err
    assert name in (run.parent / "page.html").read_text(encoding="utf-8")


def test_all_figures_may_be_missing(run, capsys):
    shutil.rmtree(run / "figures")
    assert main(["report", str(run), "--overwrite"]) == 0
    assert (
        "learning_curves.png, reconstruction.png, structures.png, free_energy.png" in capsys.readouterr().err
    )
    assert "This run made no figures." in (run / "report.html").read_text(encoding="utf-8")


def test_an_interrupted_run_says_so(run, capsys):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    assert main(["report", str(run), "--overwrite"]) == 0
    assert "interrupted before its end" in capsys.readouterr().err


def test_what_is_no_run_folder_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 3
    assert "is not a folder" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 3
    assert "is not the folder of a run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_command_is_refused(tmp_path, capsys):
    (tmp_path / "summary.json").write_text('{"scores": []}', encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 3
    assert "holds the results of another command" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(run, capsys):
    run.chmod(0o500)
    try:
        assert main(["report", str(run), "--overwrite"]) == 4
    finally:
        run.chmod(0o700)
    assert "not writable" in capsys.readouterr().err


def test_a_read_only_folder_is_named_to_root_too(run, capsys, monkeypatch):
    monkeypatch.setattr("polyvae.cli.options.os.access", lambda *_: False)
    before = (run / "report.html").read_bytes()
    assert main(["report", str(run), "--overwrite"]) == 4
    assert "is not writable. Choose another `--output`" in capsys.readouterr().err
    assert (run / "report.html").read_bytes() == before


def test_a_full_disk_keeps_the_old_page_and_leaves_nothing(run):
    before = (run / "report.html").read_bytes()
    names = sorted(path.name for path in run.iterdir())
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from polyvae.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(run), "--overwrite"], capture_output=True, text=True
    )
    assert done.returncode == 4
    assert "report.html cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert (run / "report.html").read_bytes() == before
    assert sorted(path.name for path in run.iterdir()) == names


def test_the_overview_of_a_run_shows_its_frames(run):
    overview = load_record(run / "overview.npz", RunOverview)
    assert overview.n_frames == len(overview.frames) == 200
    assert [structures.name for structures in overview.structures][:2] == ["data", "generated"]
    summary = json.loads((run / "summary.json").read_text())
    assert [each["coordinate"] for each in summary["meaning"]["coordinates"]] == [0, 1]
    assert {row["name"] for row in summary["score"]["rows"]} >= {"pair_distance_w1_mean"}
