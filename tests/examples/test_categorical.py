"""The categorical example in its quick preset."""

from pathlib import Path

import pytest

REBALANCED = "beta 0.9, warmed up"


@pytest.fixture(scope="module")
def run(run_quick, tmp_path_factory) -> tuple[dict[str, float], str, Path]:
    """Numbers that the example returns, what it prints, and its folder."""
    folder = tmp_path_factory.mktemp("categorical")
    return *run_quick("categorical", folder), folder


def test_full_weight_collapses_and_the_doctor_says_so(run):
    numbers, printed, _ = run
    assert numbers["collapsed"] == 1.0
    assert "beta 1: Collapsed: 0.00 nats" in printed
    # The posterior of every point is the prior.
    assert abs(numbers["encoder mean"]) < 0.01
    assert abs(numbers["encoder sd"] - 1.0) < 0.01
    assert numbers["rate, beta 1"] < 0.01
    # No more than the most frequent class is right, and the marginal is all that is learned.
    assert numbers["top-1, beta 1"] < 0.2
    assert numbers["tv, beta 1"] < 0.01


def test_a_little_less_weight_after_a_warm_up_informs_and_calibrates_at_once(run):
    numbers, _, _ = run
    assert numbers["healthy"] == 1.0
    assert numbers[f"top-1, {REBALANCED}"] > 0.9
    assert numbers[f"tv, {REBALANCED}"] < 0.03
    # Two samples of the same law differ by more.
    assert numbers["floor"] > 2.0 * numbers[f"tv, {REBALANCED}"]


def test_likelihood_is_bounded_by_the_entropy_of_the_data(run):
    numbers, _, _ = run
    # The cross entropy cannot be smaller; float32 probabilities sum to one within 1e-6.
    for name, allowed in (("beta 1", 0.001), (REBALANCED, 0.005)):
        assert -1e-5 < numbers[f"nll, {name}"] - numbers["entropy"] < allowed
    # About a class, a latent cannot say more than that; a mismatch with the prior would.
    assert 2.0 < numbers[f"rate, {REBALANCED}"] < numbers["entropy"]


def test_figures_are_drawn(run):
    for name in ("marginals", "balance"):
        assert (run[2] / f"{name}.png").stat().st_size > 10_000
