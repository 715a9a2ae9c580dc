"""Implied timescales and autocorrelation functions of processes that are known exactly."""

import numpy as np
import pytest

from polyvae.analysis import autocorrelation, implied_timescales, slow_modes
from polyvae.errors import InputError, PolyvaeWarning

from .conftest import autoregressive, two_states


def test_timescales_of_a_markov_process_do_not_change_with_the_lag_time(slow_and_fast):
    found = implied_timescales(slow_and_fast, [1, 2, 5, 10])
    exact = -1 / np.log(0.95)
    # The interval of 95 % is four standard errors wide.
    assert np.all(np.abs(found.timescales[:, 0] - exact) < (found.high - found.low)[:, 0])
    # The fast mode, 1.4 frames, is gone after ten.
    np.testing.assert_allclose(found.timescales[:2, 1], -1 / np.log(0.5), rtol=0.15)
    assert found.is_reversible
    assert np.all(found.blocks >= 10)
    np.testing.assert_array_equal(found.times, found.lag_times)


def test_a_noisy_view_of_two_states_has_timescales_that_grow_with_the_lag_time(rng):
    states = two_states(rng, 30_000, 0.02, 0.02)
    seen = states + 0.5 * rng.normal(size=len(states))
    found = implied_timescales(seen, [1, 5, 20], n_modes=1)
    assert np.all(np.diff(found.timescales[:, 0]) > 0)
    assert found.timescales[-1, 0] < -1 / np.log(0.96)


def test_single_lag_times_are_those_of_slow_modes(slow_and_fast):
    rows = slow_and_fast[:2000]
    for reversible in (True, False):
        many = implied_timescales(rows, [6, 3], reversible=reversible, segments=(900, 1100))
        one = slow_modes(rows, 3, reversible=reversible, segments=(900, 1100))
        np.testing.assert_array_equal(many.lag_times, [3, 6])
        np.testing.assert_allclose(many.values[0], one.values, rtol=1e-12)
        np.testing.assert_allclose(many.timescales[0], one.timescales, rtol=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say():
    exact, hits = -1 / np.log(0.9), 0
    for seed in range(40):
        found = implied_timescales(autoregressive(np.random.default_rng(seed), 3000, 0.9), [2])
        hits += bool(found.low[0, 0] < exact < found.high[0, 0])
    # 95 % of 40 are 38, with a standard deviation of 1.4; block draws are known to cover a little less.
    assert hits >= 33


def test_autocorrelation_of_autoregressive_processes_is_exponential(rng):
    rows = np.stack([autoregressive(rng, 20_000, memory) for memory in (0.9, 0.5)], axis=1)
    found = autocorrelation(rows, 20, segments=(8000, 12_000))
    exact = np.array([0.9, 0.5]) ** found.lag_times[:, None]
    assert np.all(found.correlation[0] == pytest.approx(1.0))
    assert np.all(np.abs(found.correlation - exact)[1:] < 5 * found.error[1:])
    assert np.all(found.error < 0.05)
    # (1 + a) / (1 - a) frames.
    assert found.correlation_time == pytest.approx(19, rel=0.25)


def test_frames_of_weight_zero_are_as_good_as_absent(rng):
    rows = np.cumsum(rng.normal(size=300))
    rows[200:] += 50
    weights = np.r_[np.ones(200), np.zeros(100)]
    mine = autocorrelation(rows, 10, weights=weights, blocks=10)
    theirs = autocorrelation(rows[:200], 10, blocks=10)
    np.testing.assert_allclose(mine.correlation, theirs.correlation, rtol=1e-9)
    np.testing.assert_allclose(mine.error, theirs.error, rtol=1e-6)


def test_many_lags_are_thinned_out_and_a_constant_has_no_correlation(rng):
    rows = np.stack([rng.normal(size=2000), np.ones(2000)], axis=1)
    found = autocorrelation(rows, 150, points=30)
    assert len(found.lag_times) == 30
    assert found.lag_times[-1] == 150
    assert np.isnan(found.correlation[:, 1]).all()
    assert np.isfinite(found.error[:, 0]).all()


def test_lags_longer_than_a_simulation_name_the_remedy(rng):
    rows = rng.normal(size=60)
    with pytest.raises(InputError, match=r"`lag_time`=30 frames apart .* Lower `lag_time`"):
        implied_timescales(rows, [1, 30], blocks=10, segments=(30, 30))
    with pytest.raises(
        InputError, match="below the 30 frames of the longest simulation; got 30. Lower `max_lag`"
    ):
        autocorrelation(rows, 30, segments=(30, 30))
    with pytest.raises(InputError, match="`lag_times` must be whole numbers of frames"):
        implied_timescales(rows, np.array([1.5]))
    with pytest.raises(InputError, match="`points` must be at least 2"):
        autocorrelation(rows, 5, points=1)


def test_too_few_blocks_are_warned_of(rng):
    with pytest.warns(PolyvaeWarning, match="fewer than 10 independent blocks"):
        implied_timescales(rng.normal(size=100), [20])
