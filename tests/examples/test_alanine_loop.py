"""The loop example in its quick preset."""

import json

import pytest

pytest.importorskip("openmm")
pytest.importorskip("openmm_opes")


@pytest.mark.science  # Compiles for a minute; the command is tested in tests/cli/test_loop.py.
def test_the_quick_preset_goes_through_its_rounds(run_quick, tmp_path):
    numbers, printed = run_quick("alanine_loop", tmp_path / "loop")
    assert numbers["rounds"] == 2
    # 10 ps are no free energy, and the loop says so.
    assert numbers["stable"] == 0
    assert "not stable: it takes two rounds in a row" in printed
    for number in range(3):
        # 5000 steps, one in 50 a frame, a tenth left out.
        assert numbers[f"frames_{number}"] == 90
        # C7eq and its surroundings.
        assert -170 < numbers[f"median_phi_{number}"] < -30
    assert numbers["worth_0"] == 90
    assert 1 < numbers["worth_1"] < 90
    summary = json.loads((tmp_path / "loop" / "summary.json").read_text())
    assert summary["states"]["along"] == "torsion:1-3-4-6"
