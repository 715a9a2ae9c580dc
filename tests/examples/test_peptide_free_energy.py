"""The peptide example in its quick preset."""

import pytest

pytestmark = pytest.mark.science  # Half a minute.


def test_basins_of_the_latent_are_those_of_the_torsions(run_quick, tmp_path):
    numbers, printed = run_quick("peptide_free_energy", tmp_path)
    assert "20000 frames in the file, 2 findings" in printed
    assert numbers["frames"] == 5000
    assert numbers["rmsd"] < numbers["pca_rmsd"]
    assert 2 <= numbers["latent_basins"] <= 6
    # C7ax at 500 K; some fifty passages fix it to about 1 kJ/mol.
    assert 9 < numbers["by_phi"] < 15
    assert numbers["passages"] > 20
    assert numbers["agree"] > 0.98
    assert numbers["by_latent"] == pytest.approx(numbers["by_phi"], abs=1.0)
    # The slowest linear mode is the passage of φ.
    assert numbers["tica_follows_phi"] > 0.8
    for name in ("free_energy_torsions", "free_energy_latent", "linear_maps"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
