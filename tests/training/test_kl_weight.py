"""The weight of the KL divergence: warm-up, cycles, and the controller of the rate."""

import dataclasses
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import PolyvaeWarning
from polyvae.training import TrainConfig
from polyvae.training.kl_weight import check_warmup, elbo_share, gain, next_log_beta, ramp, rate_error
from polyvae.training.plan import EpochPlan, plan_for


def plan_of(n_train: int = 80, **settings) -> EpochPlan:
    return plan_for(TrainConfig(**{"batch_size": 10, **settings}), n_train, analytic_scale=False)


def ramps(plan: EpochPlan, n_steps: int) -> np.ndarray:
    return np.asarray([float(ramp(jnp.asarray(step), plan)) for step in range(n_steps)])


def test_the_warm_up_grows_in_equal_steps_and_then_stays():
    plan = plan_of(epochs=10, kl_warmup=2)
    expected = np.minimum((np.arange(20) + 1) / 16, 1.0)
    np.testing.assert_allclose(ramps(plan, 20), expected, rtol=1e-6)


def test_without_warm_up_the_weight_is_full_from_the_first_step():
    np.testing.assert_array_equal(ramps(plan_of(epochs=10, kl_warmup=0), 3), 1.0)


def test_the_elbo_beside_a_score_grows_by_factors_from_a_thousandth():
    shares = [float(elbo_share(jnp.asarray(grown))) for grown in (0.0, 1 / 3, 2 / 3, 1.0)]
    np.testing.assert_allclose(shares, [1e-3, 1e-2, 1e-1, 1.0], rtol=1e-5)


def test_each_cycle_grows_for_half_and_stays_for_half():
    plan = plan_of(epochs=5, kl_schedule="cyclical", kl_cycles=4)
    cycle = np.minimum((np.arange(10) + 1) / 5, 1.0)
    np.testing.assert_allclose(ramps(plan, 40), np.tile(cycle, 4), rtol=1e-6)


def test_steps_after_the_last_whole_cycle_keep_the_full_weight():
    plan = plan_of(n_train=80, epochs=5, kl_schedule="cyclical", kl_cycles=3)
    assert plan.total_steps == 40
    values = ramps(plan, 40)
    cycle = np.minimum((np.arange(13) + 1) / 6, 1.0)
    np.testing.assert_allclose(values[:39], np.tile(cycle, 3), rtol=1e-6)
    assert values[39] == 1.0


def test_more_cycles_than_steps_still_reach_the_full_weight():
    plan = plan_of(n_train=8, epochs=1, batch_size=1, kl_schedule="cyclical", kl_cycles=50)
    np.testing.assert_array_equal(ramps(plan, 8), 1.0)


def test_the_last_epoch_always_has_the_full_weight():
    for settings in (
        {"epochs": 3, "kl_warmup": 100},
        {"epochs": 1, "kl_warmup": 5},
        {"epochs": 7, "kl_schedule": "cyclical"},
        {"epochs": 3, "kl_schedule": "cyclical", "kl_cycles": 1, "kl_warmup": 100},
    ):
        plan = plan_of(**settings)
        assert float(ramp(jnp.asarray(plan.total_steps - 1), plan)) == 1.0, settings


def test_the_rate_error_is_what_the_weight_of_a_linear_model_lacks_and_bounded():
    # Four dimensions of log(eigenvalue / (beta sigma^2)) / 2 nats each, with a weight too small by 30 %.
    rate = 4 * 0.5 * np.log(5.0 / 0.7)
    target = 4 * 0.5 * np.log(5.0)
    assert float(rate_error(jnp.asarray(rate), target, 4)) == pytest.approx(-np.log(0.7), rel=1e-6)
    for rate, expected in ((2.0, 0.0), (50.0, 1.0), (0.0, -1.0)):
        assert float(rate_error(jnp.asarray(rate), 2.0, 4)) == pytest.approx(expected)


def test_the_weight_rises_where_the_rate_is_too_high_and_falls_where_it_is_too_low():
    plan = plan_of(epochs=200, kl_warmup=0, rate_target=2.0)
    start, step = jnp.asarray(0.3), jnp.asarray(0)
    for rate, moved in ((2.5, 0.005), (1.5, -0.005), (50.0, 0.01), (2.0, 0.0)):
        value = float(next_log_beta(start, jnp.asarray(rate), step, plan, 2))
        assert value == pytest.approx(0.3 + moved, abs=1e-6)


def test_the_controller_slows_down_over_the_second_half_but_never_stops():
    plan = plan_of(epochs=200, kl_warmup=0, rate_target=2.0)
    for progress, expected in ((0.0, 0.01), (0.5, 0.01), (0.75, 0.005), (1.0, 0.001), (2.0, 0.001)):
        assert float(gain(jnp.asarray(int(progress * plan.total_steps)), plan)) == pytest.approx(expected)


def test_the_controller_is_faster_in_a_short_run():
    plan = plan_of(epochs=10, kl_warmup=0, rate_target=2.0)
    assert plan.total_steps == 80
    assert float(gain(jnp.asarray(0), plan)) == pytest.approx(8 / 80)


def test_the_weight_waits_for_the_warm_up_and_stays_within_bounds():
    plan = plan_of(epochs=10, kl_warmup=2, rate_target=2.0)

    def after(log_beta: float, step: int) -> float:
        return float(next_log_beta(jnp.asarray(log_beta), jnp.asarray(50.0), jnp.asarray(step), plan, 2))

    assert after(0.3, 14) == pytest.approx(0.3)
    assert after(0.3, 15) > 0.3
    assert after(6.999, 15) == 7.0
    # From no weight at all it can still grow.
    assert after(-np.inf, 15) == -12.0


def test_a_plan_counts_steps_and_makes_small_batches_of_few_frames():
    plan = plan_of(n_train=85, epochs=3, kl_warmup=1, batch_size=10)
    assert (plan.batch_size, plan.steps, plan.total_steps, plan.warmup_steps) == (10, 8, 24, 8)
    few = plan_of(n_train=20, epochs=3, batch_size=256)
    assert (few.batch_size, few.steps) == (2, 10)
    assert plan_of(n_train=3, epochs=1).batch_size == 1
    assert plan_of(kl_schedule="warmup", kl_cycles=5).cycles == 1
    assert plan_of() == dataclasses.replace(plan_of())
    assert hash(plan_of()) == hash(plan_of())


def test_a_warm_up_longer_than_the_run_is_announced():
    with pytest.warns(PolyvaeWarning, match="`kl_warmup`=7 leaves none of the 5 `epochs`.*shortened to 4"):
        check_warmup(TrainConfig(epochs=5, kl_warmup=7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_warmup(TrainConfig(epochs=8, kl_warmup=7))
        # The default gives way silently, and cycles know no warm-up.
        check_warmup(TrainConfig(epochs=5))
        check_warmup(TrainConfig(epochs=5, kl_warmup=7, kl_schedule="cyclical"))
