"""`polyvae score` on the trajectories that ship with polyvae."""

import json

import pytest

import polyvae as pv
from polyvae.cli import main


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Two XTC files of alanine dipeptide and their topology."""
    folder = tmp_path_factory.mktemp("score")
    top = pv.bundled("alanine_dipeptide.pdb")
    frames = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=top, stride=40)
    for name, part in (("data", frames[:250]), ("made", frames[250:])):
        pv.save_trajectory(part, folder / f"{name}.xtc")
    return str(folder / "data.xtc"), str(folder / "made.xtc"), str(top)


def test_two_xtc_files_are_scored_and_drawn(halves, tmp_path, capsys):
    data, made, top = halves
    words = ["score", data, made, "--top", top, "--bootstrap", "20", "-o", str(tmp_path / "s.json")]
    assert main([*words, "--figure", str(tmp_path / "s.png")]) == 0
    shown = capsys.readouterr().out
    expected = pv.score_ensemble(pv.load(data, top=top), pv.load(made, top=top), bootstrap=20)
    content = json.loads((tmp_path / "s.json").read_text())
    assert content == json.loads(json.dumps(expected.to_json()))
    assert expected.table() in shown
    assert f"overall: {expected.verdict}" in shown
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    # The same topology under its own flag; the same numbers as JSON.
    assert main([*words, "--ensemble-top", top, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == content


def test_bead_chains_are_scored_with_training_frames(capsys):
    data = str(pv.bundled("polymer_2d.npz"))
    words = ["score", data, data, "--stride", "100", "--ensemble.stride", "90", "--training", data]
    assert main([*words, "--bootstrap", "5", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["reference"]["frames"], content["ensemble"]["frames"]) == (200, 223)
    assert "all frames of the reference are training frames" in json.dumps(content["absent"])
    assert {"turn_js_mean", "bond_w1_mean"} <= {row["name"] for row in content["rows"]}
    assert content["unit"] == "σ"


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (3, ["DATA", "none.xtc", "--top", "TOP"], "none.xtc does not exist"),
        (2, ["DATA", "MADE", "--top", "TOP", "-o", "s.txt"], "must end in .json; got .txt"),
        (2, ["DATA", "MADE", "--top", "TOP", "--figure", "s.pdf"], "must end in .png; got .pdf"),
        (3, ["DATA", "MADE", "--top", "TOP", "--ensemble.atoms", "name CA"], ") 1 atoms in 3"),
        (
            3,
            ["DATA", "MADE", "--top", "TOP", "--ensemble.stop", "1"],
            "the ensemble must have at least 2 frames",
        ),
    ],
)
def test_a_mistake_has_its_code_and_one_line(halves, tmp_path, monkeypatch, capsys, code, words, message):
    monkeypatch.chdir(tmp_path)
    names = dict(zip(("DATA", "MADE", "TOP"), halves, strict=True))
    assert main(["score", *(names.get(word, word) for word in words)]) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
