"""`--quiet`, `--verbose` and `--json`: one meaning for all commands."""

import json
import re

import pytest

from polyvae.cli import main

# What each answers with, by the words after its name; "OUT" is a fresh path.
CASES = {
    "encode": (["MODEL", "DATA", "-o", "OUT.csv"], {"frames": 200, "latent_dim": 2}),
    "generate": (["MODEL", "-n", "1", "-o", "OUT.npz"], {"conformations": 1, "atoms": 4}),
    "marginals": (["DATA", "DATA", "-o", "OUT.npz"], {"pairs": 6, "unit": "σ"}),
    "score": (["DATA", "DATA", "--bootstrap", "2"], {"unit": "σ"}),
    "fes": (["DATA", "--along", "distance:0-3", "-o", "OUT.npz"], {"units": "kT", "temperature": None}),
    "path": (
        ["MODEL", "z=0,0", "z=0.1,0", "-n", "2", "--kind", "straight", "--no-compare", "-o", "OUT.npz"],
        {"kind": "straight"},
    ),
    "export": (["MODEL", "--format", "numpy", "-o", "OUT.py"], {"latent_dim": 2, "checked_frames": 0}),
    "report": (["MODEL", "-o", "OUT.html"], {"missing": []}),
}


def _words(verb, finished, data, tmp_path):
    names = {"MODEL": str(finished), "DATA": str(data)}
    words = (names.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in CASES[verb][0])
    return [verb, *words]


@pytest.mark.parametrize("verb", CASES)
def test_json_is_one_object_and_quiet_is_silent(verb, finished, data, tmp_path, capsys):
    words = _words(verb, finished, data, tmp_path)
    overwrite = ["--overwrite"] if "-o" in words else []
    assert main([*words, "--json", "-q"]) == 0
    shown = capsys.readouterr()
    numbers = json.loads(shown.out)
    assert shown.err == ""
    assert CASES[verb][1].items() <= numbers.items()
    assert main([*words, "--quiet", *overwrite]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.strip()
    assert not shown.out.startswith("{")


def test_verbose_tells_settings_devices_and_times(finished, tmp_path, capsys):
    words = ["generate", str(finished), "-n", "2", "-o", str(tmp_path / "g.npz"), "--verbose"]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "seed = 0\n" in shown.err
    assert "\njax " in shown.err
    assert re.search(r"\n  writing: \d+\.\d\d s\nall: \d+\.\d\d s\n$", shown.err)
    assert shown.out.splitlines()[0].startswith("2 conformations of 4 atoms in ")


def test_one_of_a_thing_is_not_plural(finished, data, tmp_path, capsys):
    assert main(["generate", str(finished), "-n", "1", "-o", str(tmp_path / "g.npz")]) == 0
    assert capsys.readouterr().out.startswith("1 conformation of 4 atoms in ")
    assert main(["encode", str(finished), str(data), "--stop", "1", "-o", str(tmp_path / "l.npz")]) == 0
    assert capsys.readouterr().out.startswith("1 frame, 2 latent dimensions, ")


def test_fes_says_temperature_and_memory_in_time(data, tmp_path, capsys):
    import polyvae as pv

    words = [
        "fes",
        str(pv.bundled("alanine_dipeptide.xtc")),
        "--top",
        str(pv.bundled("alanine_dipeptide.pdb")),
    ]
    words += [
        "--along",
        "torsion:4-6-8-14",
        "--stop",
        "2000",
        "-o",
        str(tmp_path / "f.npz"),
        "--temperature",
        "310",
    ]
    assert main([*words, "-q"]) == 0
    shown = capsys.readouterr().out
    assert ", kJ/mol at 310 K\n" in shown
    assert " ps)\n" in shown
