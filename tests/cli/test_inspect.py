"""`polyvae inspect`: what it prints, its JSON, its exit code, and remedies that remedy."""

import json
import shlex

import mdtraj
import numpy as np
import pytest

from polyvae.cli import main


@pytest.fixture
def system():
    """Four alanines without hydrogens, 300 frames 2 ps apart."""
    element, top = mdtraj.element, mdtraj.Topology()
    places = {
        "N": (0, 0, 0),
        "CA": (0.147, 0, 0),
        "C": (0.2, 0.143, 0),
        "O": (0.12, 0.23, 0),
        "CB": (0.2, -0.08, 0.12),
    }
    chain, positions = top.add_chain(), []
    for number in range(4):
        residue = top.add_residue("ALA", chain, resSeq=number + 1)
        for name, place in places.items():
            top.add_atom(name, element.get_by_symbol(name[0]), residue)
            positions.append(np.array(place) + number * np.array([0.33, 0.15, 0.0]))
    top.create_standard_bonds()
    noise = np.random.default_rng(2).normal(scale=0.004, size=(300, 20, 3))
    return mdtraj.Trajectory(np.array(positions) + noise, top, time=2.0 * np.arange(300))


@pytest.fixture
def written(tmp_path, monkeypatch, system):
    """Writes the system as `run.xtc` and `system.pdb` into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(frames=system):
        system[0].save_pdb("system.pdb")
        frames.save_xtc("run.xtc")
        return ["run.xtc", "--top", "system.pdb"]

    return write


def report_of(words, capsys):
    code = main(["inspect", *words, "--json"])
    return code, json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))


def codes(report):
    return {finding["code"] for finding in report["findings"]}


def command_for(report, code):
    (found,) = [finding for finding in report["findings"] if finding["code"] == code]
    program, verb, *rest = shlex.split(found["command"])
    assert (program, verb) == ("polyvae", "run")
    return rest


def test_a_clean_trajectory_is_described_in_a_table(written, capsys):
    words = written()
    assert main(["inspect", *words]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    rows = dict(line.split("  ", 1) for line in shown.out.splitlines() if "  " in line)
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows["frames"] == "300"
    assert rows["atoms"] == "20 in 3 dimensions, 4 residues in 1 chain"
    assert rows["time step"] == "2 ps"
    assert rows["bonds"].startswith("19 (topology)")
    assert " frames = " in rows["autocorrelation"]
    assert "of positions; `polyvae run` takes about" in rows["memory"]
    # Names are as wide as the widest.
    assert len({len(line) - len(line[17:]) for line in shown.out.splitlines()[:9]}) == 1
    # Its axes flip: four residues in a row are nearly symmetric about their middle.
    assert shown.out.endswith("nothing to mend (1 note)\n")


def test_json_has_stable_keys_and_no_nan(written, system, capsys):
    xyz = system.xyz.copy()
    xyz[5] = xyz[4]
    code, report = report_of(written(mdtraj.Trajectory(xyz, system.topology, time=system.time)), capsys)
    assert code == 0
    assert {"source", "n_frames", "n_atoms", "time_step", "box", "segments", "sampling", "command"} <= set(
        report
    )
    assert {"run_memory_mb", "memory_mb", "n_flipped_frames", "degenerate_frames", "missing_frames"} <= set(
        report
    )
    (found,) = [finding for finding in report["findings"] if finding["code"] == "duplicate-frames"]
    assert list(found) == [
        "code", "severity", "what", "remedy", "argument", "command", "options", "n_frames", "frames",
    ]  # fmt: skip
    assert found["frames"] == [{"file": "run.xtc", "frame": 5, "index": 5}]
    assert report["sampling"]["autocorrelation_times"]["radius of gyration"] >= 1


def test_errors_give_exit_code_3_and_come_first(written, system, capsys):
    xyz = system.xyz * 10
    xyz[5] = xyz[4]
    words = written(mdtraj.Trajectory(xyz, system.topology, time=system.time))
    assert main(["inspect", *words]) == 3
    shown = capsys.readouterr().out
    assert shown.index("error    bonds are 9.") < shown.index(
        "warning  1 of 300 frames equals an earlier one"
    )
    assert "[wrong-units]" in shown
    assert "         $ polyvae run run.xtc --top system.pdb --scale 0.1\n" in shown
    assert "         frame 5, numbered as in the file from 0\n" in shown
    assert "1 error, 1 warning" in shown
    assert shown.endswith(
        "all remedies at once: polyvae run run.xtc --top system.pdb --scale 0.1 --start 6\n"
    )
    assert max(map(len, shown.splitlines())) <= 100


def test_printed_commands_mend_units_duplicates_gaps_and_ends(written, system, capsys):
    xyz = system.xyz.copy()
    xyz[5] = xyz[4]
    time = system.time.copy()
    time[200:] += 40
    words = written(mdtraj.Trajectory(10 * xyz, system.topology, time=time))
    with open("run.xtc", "r+b") as file:
        file.truncate(file.seek(0, 2) - 30)
    code, report = report_of(words, capsys)
    assert code == 3
    expected = {"truncated", "wrong-units", "missing-frames", "duplicate-frames"}
    assert expected <= codes(report)
    for name in sorted(expected):
        _, again = report_of(command_for(report, name), capsys)
        assert name not in codes(again)
    # The one command that mends all of them at once, also for those that look at what was read.
    code, again = report_of(shlex.split(report["command"])[2:], capsys)
    assert code == 0
    assert not {finding["severity"] for finding in again["findings"]} & {"error", "warning"}
    assert again["n_frames"] == 194


@pytest.mark.science
def test_the_command_for_nan_is_one_that_training_runs(tmp_path, monkeypatch, capsys, small):
    monkeypatch.chdir(tmp_path)
    positions = np.random.default_rng(0).normal(size=(60, 4, 2)).astype(np.float32)
    positions[7, 2] = np.nan
    np.save("bad run.npy", positions)
    words = ["bad run.npy", "--bonds", "sequence", "--units", "reduced"]
    code, report = report_of(words, capsys)
    assert code == 3
    rest = command_for(report, "nan-frames")
    assert "--on-bad-frame" in rest
    assert main(["train", *words, "-o", "m", *small[:8], "--quiet"]) != 0
    assert "frame 7 holds NaN" in capsys.readouterr().err
    assert main(["train", *rest, "-o", "m", *small[:8], "--quiet"]) == 0
    capsys.readouterr()
    code, again = report_of(rest, capsys)
    assert code == 0
    (found,) = [finding for finding in again["findings"] if finding["code"] == "nan-frames"]
    assert found["severity"] == "note"


def test_nothing_of_xdrfile_reaches_the_user(written, capfd):
    words = written()
    with open("run.xtc", "r+b") as file:
        file.seek(3000)
        file.write(bytes(range(256)))
    assert main(["inspect", *words]) == 3
    assert capfd.readouterr().err == ""
