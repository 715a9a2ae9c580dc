"""The disentangling example in its quick preset."""

import pytest


@pytest.mark.science  # Trains for most of a minute.
def test_single_latents_follow_single_factors_where_total_correlation_is_penalized(run_quick, tmp_path):
    numbers, _ = run_quick("disentangling", tmp_path)
    # The quick preset is far from converged; shuffled factors reach 0.02, ten seeds of the full one 0.5.
    assert numbers["mig, total correlation 16"] > 0.25
    assert numbers["mig, total correlation 16"] > numbers["mig, ELBO (beta 1)"]
    assert numbers["floor"] < 0.05
    assert (tmp_path / "information.png").stat().st_size > 10_000
