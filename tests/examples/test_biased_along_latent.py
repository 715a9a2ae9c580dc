"""The biased simulation in its quick preset."""

import pytest

pytest.importorskip("openmm")
pytest.importorskip("openmm_opes")

pytestmark = pytest.mark.science  # Half a minute, most of it to compile.


def test_the_coordinate_follows_umbrellas_and_opes_fills_it(run_quick, tmp_path):
    numbers, _ = run_quick("biased_along_latent", tmp_path)
    # A restraint of 200 kJ/mol at 300 K leaves 0.11 latent units, and what the molecule itself wants moves it.
    for place in range(3):
        assert numbers[f"held {place}"] == pytest.approx(numbers[f"center {place}"], abs=0.5)
    assert numbers["held 0"] < numbers["held 1"] < numbers["held 2"]
    # 3000 steps, a row each 20, a kernel each 100 at most.
    assert numbers["rows"] in (150, 151)
    assert 1 <= numbers["kernels"] <= 30
    assert 0 < numbers["largest bias"] < 45
    for name in ("umbrellas", "free_energy_latent", "free_energy_phi"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
