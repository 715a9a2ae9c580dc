"""The regression example in its quick preset."""

from pathlib import Path

import pytest

BEST = "mixture prior, 2 nats"
WIDE = "width fixed at 3"
pytestmark = pytest.mark.science  # Trains for most of a minute.


@pytest.fixture(scope="module")
def run(run_quick, tmp_path_factory) -> tuple[dict[str, float], Path]:
    """Numbers that the example returns, and its folder."""
    folder = tmp_path_factory.mktemp("regression")
    return run_quick("regression", folder)[0], folder


def test_generated_points_follow_the_law(run):
    numbers, _ = run
    assert numbers[f"W1, {BEST}"] < 0.04
    # One normal is more than ten times as far away.
    assert numbers["W1, one normal, fitted"] > 0.2


def test_density_of_unseen_points_is_near_the_law(run):
    numbers, _ = run
    # 1.0617 nats is the integral of -p log p; 100 000 draws scatter by 0.8 / sqrt(100 000) = 0.0025.
    assert numbers["-log p, law of the points"] == pytest.approx(1.0617, abs=0.01)
    # The law itself is the best density; grids and sums in float32 are exact to 1e-4.
    assert -1e-4 < numbers[f"-log p, {BEST}"] - numbers["-log p, law of the points"] < 0.03
    assert numbers[f"mass, {BEST}"] == pytest.approx(1.0, abs=1e-3)


def test_latent_keeps_the_points_and_fits_its_prior(run):
    numbers, _ = run
    assert numbers[f"RMSE, {BEST}"] < 0.04
    assert numbers[f"prior W1, {BEST}"] < 0.05
    # The target is 2 nats; the batches' scatter leaves some percent.
    assert numbers[f"rate, {BEST}"] == pytest.approx(2.0, abs=0.2)


def test_learned_width_stays_finite_and_the_turned_sign_runs_away(run):
    numbers, _ = run
    assert 0.05 < numbers[f"sigma, {BEST}"] < 0.15
    assert numbers["largest sigma"] < 1.0
    # The minimum of r² / 2 sigma² + log sigma lies at r.
    assert numbers["right sign"] == pytest.approx(numbers["residual"], rel=1e-6)
    assert numbers["wrong sign"] > 1e4


def test_a_width_beyond_the_data_collapses_the_latent_and_the_doctor_says_why(run):
    numbers, _ = run
    assert numbers["too wide"] == 1.0
    assert numbers[f"rate, {WIDE}"] < 0.01
    # A decoder that knows nothing misses by the standard deviation of the points.
    assert numbers[f"RMSE, {WIDE}"] == pytest.approx(numbers["residual"], rel=0.02)


def test_figures_are_drawn(run):
    for name in ("density", "width"):
        assert (run[1] / f"{name}.png").stat().st_size > 10_000
