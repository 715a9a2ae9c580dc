"""The run file that a run leaves repeats it bit for bit, from wherever it is called."""

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from polyvae.cli import main
from polyvae.cli.options import AnalysisConfig, TrajectoryOptions
from polyvae.cli.parsing import parse
from polyvae.cli.run import RunCommand
from polyvae.cli.run_file import seen_from, settings_text
from polyvae.training import TrainConfig
from polyvae.vae import ModelConfig

# These hold times, the command or the name of the folder.
_DIFFERENT = {"manifest.json", "summary.json", "report.html"}


def test_the_run_file_repeats_a_run_bit_for_bit(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--config", str(finished / "run.toml"), "-o", "again", "-q"]) == 0
    assert capsys.readouterr().err == ""
    names = {entry["name"] for entry in json.loads((finished / "manifest.json").read_text())["files"]}
    assert {"model.safetensors", "latent.npz", "generated.npz", "run.toml"} <= names
    again = tmp_path / "again"
    different = {name for name in names if (again / name).read_bytes() != (finished / name).read_bytes()}
    assert different <= _DIFFERENT
    first, second = (json.loads((each / "summary.json").read_text()) for each in (finished, again))
    for summary in (first, second):
        del summary["training"]["seconds"], summary["training"]["startup_seconds"]
    assert first == second


def test_the_run_file_names_seed_versions_and_every_setting(finished):
    text = (finished / "run.toml").read_text(encoding="utf-8")
    assert text.startswith("# The same run again: polyvae run --config run.toml -o ANOTHER_FOLDER\n")
    versions = json.loads((finished / "manifest.json").read_text())["versions"]
    assert f"jax {versions['jax']}, " in text
    content = tomllib.loads(text)
    assert content["seed"] == 0
    for table, kind in (
        ("trajectory", TrajectoryOptions),
        ("model", ModelConfig),
        ("training", TrainConfig),
        ("analysis", AnalysisConfig),
    ):
        # TOML has no null: what is missing is None by default.
        missing = [field for field in dataclasses.fields(kind) if field.name not in content[table]]
        assert all(field.default is None for field in missing)


def test_paths_of_inputs_are_seen_from_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = parse(RunCommand, ["data/a.npz", "/b.npz", "--top", "s.pdb", "--store", "kept"], verb="run")
    folder = Path("out/run 1")
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(settings_text(settings, folder=folder))
    content = tomllib.loads((folder / "run.toml").read_text())
    assert content["trajectories"] == ["../../data/a.npz", "/b.npz"]
    assert content["trajectory"]["top"] == "../../s.pdb"
    again = parse(RunCommand, ["--config", "out/run 1/run.toml"], verb="run")
    assert again.trajectories == ("data/a.npz", "/b.npz")
    assert (again.trajectory.top, again.trajectory.store) == ("s.pdb", "kept")
    assert seen_from(Path("x/run.toml"), "None") == "None"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--patience", "None", "--gap", "3", "--learning-rate", "1e-5", "--rate-target", "2.5"],
        ["--atoms", "name \"CA\" or name 'C\\'", "--augmentation", "mirror", "reversal", "--hidden", "4"],
        [
            "--decoder-scale",
            "fixed",
            "--residual",
            "isotropic",
            "--likelihood",
            "normal",
            "--memory",
            "2GB",
            "--no-compact",
        ],
        ["--kl-warmup", "0", "--free-bits", "0.1", "--starts", "7", "--seed", "9", "--mass-weighted"],
    ],
)
def test_settings_come_back_from_their_text(words, tmp_path):
    settings = parse(RunCommand, ["/a.npz", *words], verb="run")
    (tmp_path / "run.toml").write_text(settings_text(settings))
    again = parse(RunCommand, ["--config", str(tmp_path / "run.toml")], verb="run")
    assert dataclasses.replace(again, config=None) == settings


def test_an_odd_float_keeps_its_bits(tmp_path):
    beta = float(np.nextafter(0.1, 1))
    settings = parse(RunCommand, ["/a.npz", "--beta", repr(beta)], verb="run")
    (tmp_path / "run.toml").write_text(settings_text(settings))
    assert parse(RunCommand, ["--config", str(tmp_path / "run.toml")], verb="run").model.beta == beta
