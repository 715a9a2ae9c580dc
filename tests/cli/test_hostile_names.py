"""Names that are quotes, markup, formats, escapes and paths, in files, atoms and residues, through a whole run."""

import csv
import json
import re
import tomllib

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.cli import main
from polyvae.cli.wording import one_line, printable

NAMES = (
    *("<script>alert(1)</script>", "</script><b>", "<!--", "<img src=x onerror=alert(1)>", "&amp;&lt;"),
    *('"', "'", "`id`", "$(id)", "; rm -rf x", "| cat", "a b  c", "%s%n", "{}", "{0.__class__}", "{{7*7}}"),
    *("\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "line\nbreak", "tab\there", "back\\slash", "\r"),
    *("\u202egnp.exe", "\u2066x\u2069", "‮ä", "-rf", "--overwrite", "=1+1", "#", "stop=11", "x" * 200),
)
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _file(name):
    """A name that a file may have."""
    return name.replace("/", "_")


def _letters(name, n):
    """As many letters as a column of a PDB file has, none of which ends the line."""
    return "".join(letter for letter in name if letter not in "\n\r\x85")[:n].ljust(n)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with one short trajectory for each name, whose atoms and residues have all the names too."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for name in NAMES:
        steps = rng.normal(size=(15, len(NAMES), 3)) * 0.6 + 2.0
        lines = []
        for model, frame in enumerate(np.cumsum(steps, axis=1)):
            lines.append(f"MODEL     {model + 1:4d}")
            for serial, (x, y, z) in enumerate(frame):
                atom, residue = _letters(NAMES[serial], 4), _letters(NAMES[serial][::-1], 3)
                lines.append(
                    f"ATOM  {serial + 1:5d} {atom} {residue} A{serial + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                    "  1.00  0.00           C  "
                )
            lines.append("ENDMDL")
        (folder / f"{_file(name)}.pdb").write_text(
            "\n".join([*lines, "END", ""]), encoding="utf-8", newline="\n"
        )
    return folder


@pytest.fixture(scope="module")
def run(hostile, tmp_path_factory):
    """The folder of a run of them all, and what it printed."""
    folder = tmp_path_factory.mktemp("run") / "<b>out\x1b[31m"
    files = [str(hostile / f"{_file(name)}.pdb") for name in NAMES]
    words = ["run", *files, "--bonds", "sequence", "-o", str(folder), "--hidden", "8", "--epochs", "2"]
    words += [
        "--samples",
        "2",
        "--generated",
        "30",
        "--no-compact",
        "--kl-warmup",
        "1",
        "--units",
        "molecular",
    ]
    return folder, words


def test_thirty_names_and_more_are_tried():
    assert len(set(NAMES)) == len(NAMES) >= 30


# Half a minute: so many atoms for the names have many pairs and large covariances.
@pytest.mark.science
def test_a_run_of_hostile_names_writes_what_it_always_does(run, capsys):
    folder, words = run
    assert main(words) == 0
    shown = capsys.readouterr()
    assert CONTROLS.search(shown.out + shown.err) is None
    assert "\\x1b[31m" in shown.out
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "finished"
    assert [entry["name"] for entry in manifest["inputs"]] == words[1 : 1 + len(NAMES)]
    written = {entry["name"] for entry in manifest["files"]} | {"manifest.json"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == written
    assert "compact.pdb" not in written

    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "</script><b>" not in page

    with (folder / "latent.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 15 * len(NAMES)
    settings = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))
    assert settings["trajectories"] == words[1 : 1 + len(NAMES)]
    assert settings["analysis"]["compact"] is False

    first = pv.load(words[1], bonds="sequence").topology
    made = mdtraj.load(str(folder / "generated.pdb")).topology
    assert [atom.name for atom in made.atoms] == [atom.name for atom in first.atoms]
    assert [residue.name for residue in made.residues] == [residue.name for residue in first.residues]


@pytest.mark.parametrize("name", NAMES)
def test_an_error_about_any_name_is_one_line_without_controls(name, tmp_path, capsys):
    path = str(tmp_path / f"{_file(name)}.xtc")
    assert main(["inspect", path]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith("polyvae: error: ")
    assert shown.count("\n") == 1
    assert CONTROLS.search(shown) is None
    assert printable(path, kept="")[-20:] in shown
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_is_refused(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "caf\udce9.xtc")]) == 2
    assert "caf\\udce9.xtc: the name is not valid UTF-8. Rename the file" in capsys.readouterr().err


def test_a_line_keeps_the_breaks_of_names_visible():
    assert one_line("a\nb cannot\nbe read", kept=["a\nb"]) == "a\\nb cannot be read"
