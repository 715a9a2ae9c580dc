"""`polyvae loop`: killed and taken up again it gives the same numbers; mistakes are named before anything runs."""

import json
import os
import signal

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import free_energy_difference
from polyvae.cli import loop_rounds, main
from polyvae.deployment.openmm import recorded_run
from polyvae.simulation import build_alanine_dipeptide

openmm = pytest.importorskip("openmm")
pytest.importorskip("openmm.app")
pytest.importorskip("openmm_opes")
SMALL = [
    *(
        "--hidden",
        "8",
        "--epochs",
        "2",
        "--batch-size",
        "32",
        "--kl-warmup",
        "1",
        "--rounds",
        "2",
        "--points",
        "21",
    ),
    *("--first-ns", "0.001", "--round-ns", "0.001", "--save", "250", "--record", "10", "--pace", "50"),
    *("--along", "torsion:1-3-4-6", "--second", "-1.4", "0", "--platform", "Reference", "--quiet"),
]


class KilledError(BaseException):
    """Stands for a process that is no more: nothing is tidied up after it."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Alanine dipeptide in a periodic box, as System XML and PDB; the molecule lies across the side of the box."""
    folder = tmp_path_factory.mktemp("system")
    topology, positions = build_alanine_dipeptide()
    topology.setPeriodicBoxVectors(np.eye(3) * 2.4 * openmm.unit.nanometer)
    field = openmm.app.ForceField("amber99sbildn.xml")
    system = field.createSystem(
        topology,
        nonbondedMethod=openmm.app.CutoffPeriodic,
        nonbondedCutoff=1.0 * openmm.unit.nanometer,
        constraints=openmm.app.HBonds,
    )
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    with (folder / "system.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(topology, (positions % 2.4) * openmm.unit.nanometer, file)
    return ["--system", str(folder / "system.xml"), "--structure", str(folder / "system.pdb")]


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "loop"
    assert main(["loop", *files, *SMALL, "-o", str(folder)]) == 0
    return folder


def killing(monkeypatch, module, name, number, when=lambda *arguments: True):
    """Kill at a call of a function, counted from 0 among those that `when` counts."""
    original, calls = getattr(module, name), []

    def call(*arguments, **keywords):
        if when(*arguments):
            calls.append(1)
            if len(calls) > number:
                raise KilledError
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, name, call)


def test_a_loop_leaves_models_frames_with_weights_and_a_summary(whole):
    summary = json.loads((whole / "summary.json").read_text())
    assert [row["round"] for row in summary["rounds"]] == [0, 1, 2]
    assert not summary["stable"]
    assert summary["coordinate"] == "round_2/model.json"
    assert (whole / "figures" / "free_energy.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    names = {entry["name"] for entry in manifest["files"]}
    assert names == {str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()} - {"manifest.json"}
    model = pv.load_model(whole / "round_2" / "model.json")
    assert model.system.n_atoms == 10
    frames = pv.load(whole / "round_2" / "trajectory.npz")
    # A tenth of 50 frames is left out; molecules are whole again.
    assert frames.positions.shape == (45, 10, 3)
    assert frames.times[0] == pytest.approx(6 * 10 * 0.002)
    bonds = frames.positions[:, frames.bonds[:, 0]] - frames.positions[:, frames.bonds[:, 1]]
    assert np.linalg.norm(bonds, axis=-1).max() < 0.2
    assert frames.weights.std() > 0
    # The number of the round is what its frames and weights say.
    from polyvae.features import observable_of

    phi = observable_of("torsion:1-3-4-6", n_atoms=10, dims=3, units=frames.units, masses=None)
    inside = np.asarray((phi.of(frames.positions) >= -1.4) & (phi.of(frames.positions) <= 0))
    row = summary["rounds"][2]
    if row["free_energy_difference"] is not None:
        with pytest.warns(pv.PolyvaeWarning):
            found = free_energy_difference(~inside, inside, weights=frames.weights)
        assert row["free_energy_difference"] == pytest.approx(found.value, abs=1e-6)


def test_a_loop_that_is_killed_anywhere_goes_on_as_if_nothing_had_happened(
    whole, files, tmp_path, monkeypatch, capsys
):
    words = ["loop", *files, *SMALL, "-o", str(tmp_path / "loop")]
    kills = [
        # In the unbiased simulation; while round 1 is biased; between frames and numbers of round 1; while training.
        (recorded_run, "_write", 2, lambda *arguments: True),
        (recorded_run, "_write", 3, lambda path, arrays: "round_1" in str(path)),
        (loop_rounds, "_finish", 0, lambda loop, number, row: number == 1),
        (loop_rounds, "save", 0, lambda *arguments: True),
    ]
    for index, (module, name, number, when) in enumerate(kills):
        with monkeypatch.context() as context:
            killing(context, module, name, number, when)
            with pytest.raises(KilledError):
                main(words if index == 0 else [*words, "--resume"])
    assert json.loads((tmp_path / "loop" / "manifest.json").read_text())["status"] == "running"
    assert main([*words, "--resume"]) == 0
    ours, theirs = (json.loads((each / "summary.json").read_text()) for each in (tmp_path / "loop", whole))
    assert ours == theirs
    for number in range(3):
        one, other = (
            pv.load(each / f"round_{number}" / "trajectory.npz") for each in (tmp_path / "loop", whole)
        )
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.weights, other.weights)
    capsys.readouterr()
    assert main([*words, "--resume"]) == 2
    assert "has finished; there is nothing to resume" in capsys.readouterr().err


def test_a_loop_takes_metadynamics_and_learns_from_frames_as_they_were_sampled(files, tmp_path):
    words = ["--bias", "metadynamics", "--learn-from", "sampled", "--rounds", "1", "--latent-dim", "1"]
    # States by the basins of the coordinate, of which so short a simulation may have one only.
    small = SMALL[: SMALL.index("--along")] + SMALL[SMALL.index("--platform") :]
    assert main(["loop", *files, *small, *words, "-o", str(tmp_path / "loop")]) == 0
    with np.load(tmp_path / "loop" / "round_1" / "metadynamics.npz") as state:
        assert state["hills"].shape == (10, 3)
    summary = json.loads((tmp_path / "loop" / "summary.json").read_text())
    assert summary["states"]["along"] is None
    assert not summary["stable"]


def test_a_signal_ends_the_loop_and_says_how_to_go_on(files, tmp_path, monkeypatch, capsys):
    original = recorded_run._write

    def write(path, arrays):
        original(path, arrays)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(recorded_run, "_write", write)
    assert main(["loop", *files, *SMALL, "-o", str(tmp_path / "loop")]) == 143
    shown = capsys.readouterr().err
    assert "interrupted. Go on with: polyvae loop" in shown
    assert shown.rstrip().endswith("--resume")
    assert json.loads((tmp_path / "loop" / "manifest.json").read_text())["status"] == "interrupted"
    # The signal waits for the end of the pace in which it comes: frames and state have been saved.
    assert (tmp_path / "loop" / "round_0" / "run.npz").exists()


def test_what_was_begun_goes_on_as_it_was_begun(whole, files, tmp_path, monkeypatch, capsys):
    words = ["loop", *files, *SMALL, "-o", str(tmp_path / "loop")]
    with monkeypatch.context() as context:
        killing(context, loop_rounds, "fit", 0)
        with pytest.raises(KilledError):
            main(words)
    assert main([*words, "--resume", "--barrier", "55"]) == 2
    assert "was begun with other settings: --barrier 40.0 became 55.0" in capsys.readouterr().err
    target = tmp_path / "loop" / "round_0" / "trajectory.npz"
    target.write_bytes(target.read_bytes() + b" ")
    assert main([*words, "--resume"]) == 3
    assert "trajectory.npz is not what it was when round 0 ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ["--system", "SYSTEM"], "`--system` and `--structure` belong together"),
        (3, ["--system", "none.xml", "--structure", "PDB"], "none.xml does not exist; give a System XML"),
        (3, ["--system", "SYSTEM", "--structure", "none.pdb"], "none.pdb does not exist; give a PDB file"),
        (2, ["--rounds", "0"], "`--rounds` must be at least 1; got 0"),
        (2, ["--latent-dim", "3"], "`--latent-dim` is 3; a bias fills one or two dimensions"),
        (2, ["--along", "torsion:1-3-4-6"], "`--along` torsion:1-3-4-6 needs `--second`"),
        (2, ["--second", "0", "1"], "are ranges of an observable"),
        (3, ["--along", "torsion:1-3-4-60", "--second", "0", "1"], "60"),
        (
            3,
            ["--along", "distance:0-9", "--second", "1", "0.5"],
            "A range of distance:0-9 must rise; got 1.0 to 0.5",
        ),
        (3, ["--atoms", "nonsense here"], "`--atoms` 'nonsense here' is no selection of mdtraj"),
        (3, ["--atoms", "name ZZ"], "holds no atom"),
        (2, ["--barrier", "-1"], "`--barrier` must be a positive number"),
        (2, ["--settle", "1"], "`--settle` must be from 0 to 0.9"),
        (2, ["--temperature", "0"], "`--temperature` must be a positive number"),
        (2, ["--tolerance", "0"], "`--tolerance` must be positive"),
        (3, ["--platform", "Abacus"], "`--platform` must be one of"),
    ],
)
def test_mistakes_are_named(code, words, message, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"SYSTEM": files[1], "PDB": files[3]}
    assert main(["loop", *(places.get(word, word) for word in words), "--quiet"]) == code
    assert message in capsys.readouterr().err
