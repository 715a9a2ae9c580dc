"""`polyvae export`: what each format writes, and what it refuses."""

import importlib.util

import numpy as np
import pytest

import polyvae as pv
from polyvae.cli import main
from polyvae.cli.export import _serials
from polyvae.deployment.agreement import latent_and_gradient


def test_the_numpy_file_gives_the_latent_of_the_model(finished, data, tmp_path, capsys):
    path = tmp_path / "cv.py"
    words = ["export", str(finished), "--format", "numpy", "-o", str(path)]
    assert main([*words, "--check", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "2 latent dimensions of 4 atoms in" in shown
    assert "compared with the model on 100 frames" in shown
    specification = importlib.util.spec_from_file_location("exported_cv", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    frames = pv.load(data).positions[:5]
    value, gradient = latent_and_gradient(pv.load_model(finished), frames)
    for found, expected in zip(module.latent_and_gradient(frames), (value, gradient), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    assert main(words) == 2
    assert "exists already. Choose another `--output`" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_plumed_and_pycv_files_name_the_serials(finished, tmp_path, capsys):
    for name, form in (("cv.dat", "plumed"), ("cv.py", "pycv")):
        words = ["export", str(finished), "--format", form, "--serials", "7,2-4", "-o", str(tmp_path / name)]
        assert main(words) == 0
        assert "7,2,3,4" in (tmp_path / name).read_text()
    assert main([*words[:-1], str(tmp_path / "other.py"), "--check", "x.npz"]) == 2
    assert "there is nothing to compare. Drop --check." in capsys.readouterr().err


def test_a_selection_without_serials_is_warned_about(tmp_path, capsys):
    names = {"top": pv.bundled("alanine_dipeptide.pdb"), "atoms": "not element H"}
    trajectory = pv.load(pv.bundled("alanine_dipeptide.xtc"), stop=200, **names)
    quick = pv.TrainConfig(epochs=1, batch_size=32)
    model = pv.fit(trajectory, pv.ModelConfig(hidden=(8,)), quick).model
    pv.save(model, tmp_path / "model.json")
    words = ["export", str(tmp_path / "model.json"), "--format", "plumed", "-o", str(tmp_path / "cv.dat")]
    assert main(words) == 0
    assert "the file addresses atoms 1 to 10 of the engine" in " ".join(capsys.readouterr().err.split())
    # The topology of the whole system tells them.
    assert main([*words, "--top", str(names["top"]), "--overwrite"]) == 0
    assert "addresses" not in capsys.readouterr().err
    assert "2,5,6,7,9,11,15,16,17,19" in (tmp_path / "cv.dat").read_text()
    serials = ",".join(str(atom) for atom in range(2, 12))
    assert main([*words, "--serials", serials, "--overwrite"]) == 0
    assert "addresses" not in capsys.readouterr().err


def test_colvars_refuses_two_dimensions_in_one_line(finished, tmp_path, capsys):
    assert main(["export", str(finished), "--format", "colvars", "-o", str(tmp_path / "cv")]) == 3
    error = capsys.readouterr().err
    assert error.startswith("polyvae: error: Colvars fits frames in space")
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ["--format", "plumed", "-o", "cv.txt"], "must end in .dat"),
        (
            2,
            ["--format", "numpy", "--serials", "1-4", "-o", "cv.py"],
            "numpy takes the positions of the model's atoms",
        ),
        (2, ["--format", "plumed", "--serials", "4-1", "-o", "cv.dat"], "cannot read '4-1'"),
        (
            3,
            ["--format", "plumed", "--serials", "1-3", "-o", "cv.dat"],
            "serial numbers of the model's 4 atoms",
        ),
    ],
)
def test_each_mistake_has_its_code(code, words, message, finished, tmp_path, capsys):
    *words, name = words
    assert main(["export", str(finished), *words, str(tmp_path / name)]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_serials_are_numbers_and_ranges():
    assert _serials("5, 7 9-11") == [5, 7, 9, 10, 11]
