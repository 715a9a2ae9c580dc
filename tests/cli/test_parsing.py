"""Flags and run file: one set of names and defaults, and flags win."""

import dataclasses
import inspect

import pytest

import polyvae as pv
from polyvae.cli.options import AnalysisConfig, TrajectoryOptions
from polyvae.cli.parsing import parse
from polyvae.cli.run import RunCommand
from polyvae.cli.usage import UsageError
from polyvae.errors import InputError


def _run(*words):
    return parse(RunCommand, words, verb="run")


def _toml(tmp_path, text):
    path = tmp_path / "rün.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_flags_have_the_defaults_of_python():
    settings = _run("a.xtc")
    assert (settings.model, settings.training) == (pv.ModelConfig(), pv.TrainConfig())
    parameters = inspect.signature(pv.load).parameters
    options = {field.name: field.default for field in dataclasses.fields(TrajectoryOptions)}
    assert options == {name: item.default for name, item in parameters.items() if name != "source"}


def test_flags_set_every_kind_of_value():
    settings = _run(
        *("a b.xtc", "b.xtc", "-o", "out 1", "--hidden", "64", "32", "--patience", "None", "--seed", "4"),
        *(
            "--augmentation",
            "mirror",
            "reversal",
            "--mass-weighted",
            "--atoms",
            "name CA",
            "--learning_rate",
            "1e-2",
        ),
    )
    assert settings.trajectories == ("a b.xtc", "b.xtc")
    assert str(settings.output) == "out 1"
    assert (settings.model.hidden, settings.model.mass_weighted) == ((64, 32), True)
    assert (settings.training.patience, settings.training.learning_rate) == (None, 0.01)
    assert settings.training.augmentation == ("mirror", "reversal")
    assert (settings.trajectory.atoms, settings.seed) == ("name CA", 4)


def test_a_run_file_sets_what_flags_leave(tmp_path):
    path = _toml(
        tmp_path,
        """
        trajectories = ["x.xtc", "y.xtc"]
        seed = 7
        output = "there"
        quiet = true
        [trajectory]
        top = "s.pdb"
        atoms = "-name CA"
        [model]
        hidden = [16, 8]
        beta = 2
        mass_weighted = true
        [training]
        patience = "None"
        augmentation = []
        epochs = 9
        [analysis]
        starts = 5
        """,
    )
    settings = _run("--config", path, "--epochs", "3", "--hidden", "5", "--no-mass-weighted")
    assert settings.trajectories == (str(tmp_path / "x.xtc"), str(tmp_path / "y.xtc"))
    assert (settings.seed, str(settings.output), settings.printing.quiet) == (7, "there", True)
    assert (settings.trajectory.top, settings.trajectory.atoms) == (str(tmp_path / "s.pdb"), "-name CA")
    assert (settings.model.hidden, settings.model.beta, settings.model.mass_weighted) == ((5,), 2.0, False)
    assert (settings.training.epochs, settings.training.patience) == (3, None)
    assert settings.analysis == AnalysisConfig(starts=5)
    assert _run(f"--config={path}", "z.xtc").trajectories == ("z.xtc",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3", r"unknown key 'epochs'\. Known: trajectories, output, seed"),
        ("[model]\nlatent = 2", r"unknown key 'latent' in \[model\]\. Known: latent_dim, hidden"),
        ("[modell]\nlatent_dim = 2", r"unknown key 'modell'"),
        ("model = 3", r"`model` is a table; write \[model\]"),
        ("trajectories = 'a.xtc'", "`trajectories` must be a list of paths"),
        ("[training]\nepochs = {a = 1}", r"\[training\] epochs must be a number"),
        ("seed = ", r"rün\.toml is not valid TOML"),
    ],
)
def test_a_wrong_run_file_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        _run("a.xtc", "--config", _toml(tmp_path, text))


def test_a_missing_run_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read: No such file"):
        _run("a.xtc", "--config", str(tmp_path / "none.toml"))


@pytest.mark.parametrize("text", ["[training]\nepochs = 'many'", "[model]\nactivation = 'sigmoid'"])
def test_a_wrong_value_in_a_run_file_ends_with_code_2(tmp_path, text, capsys):
    with pytest.raises(SystemExit) as ended:
        _run("a.xtc", "--config", _toml(tmp_path, text))
    assert ended.value.code == 2
    assert "invalid" in capsys.readouterr().err


def test_a_value_out_of_range_is_an_error_like_any_other(tmp_path, capsys):
    with pytest.raises(UsageError, match="`latent_dim` must be at least 1; got 0"):
        _run("a.xtc", "--config", _toml(tmp_path, "[model]\nlatent_dim = 0"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stride", "0"], "`stride` must be a whole number of at least 1; got 0"),
        (["--memory", "much"], "`memory` must be a positive size"),
        (["--workers", "0"], "`workers` must be at least 1; got 0"),
        (["--seed", "-1"], "`seed` must not be negative; got -1"),
    ],
)
def test_numbers_out_of_range_are_found_before_any_file_is_read(words, message):
    with pytest.raises(UsageError, match=message):
        _run("none.xtc", *words)


def test_quiet_and_verbose_exclude_each_other():
    with pytest.raises(UsageError, match="`quiet` and `verbose` exclude each other"):
        _run("a.xtc", "-q", "-v")


def test_a_run_file_before_and_after_the_trajectories(tmp_path):
    path = _toml(tmp_path, "[model]\nprior_scales = [1.0, 2.0]\nhidden = [8, 4]")
    for words in (("a.xtc", "--config", path), ("--config", path, "a.xtc")):
        settings = _run(*words)
        assert (settings.trajectories, settings.model.hidden) == (("a.xtc",), (8, 4))


def test_analysis_settings_check_themselves():
    with pytest.raises(InputError, match="`starts` must be at least 1; got 0"):
        AnalysisConfig(starts=0)
