"""The choice of a latent size in its quick preset."""

import pytest

pytestmark = pytest.mark.science  # A minute, most of it to compile.


def test_more_latent_dimensions_rebuild_better_for_more_nats(run_quick, tmp_path):
    numbers, _ = run_quick("latent_size", tmp_path)
    for beta in ("0.3", "1"):
        assert numbers[f"distortion, β {beta}, 4"] < 0.8 * numbers[f"distortion, β {beta}, 1"]
        assert numbers[f"rate, β {beta}, 4"] > numbers[f"rate, β {beta}, 1"] > 0.5
    # What is rebuilt is not what is likely: the Gaussian chain, without any latent, is the null model of this polymer.
    assert numbers["chain"] < numbers["Gaussian"] < numbers["β 1, 1"] + 2.0
    assert numbers["chosen"] <= numbers["best"]
    for name in ("rate_distortion", "likelihoods"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
