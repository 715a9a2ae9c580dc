"""Covariances over pairs of frames and the modes made of them, against processes that are known exactly."""

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import LatentTrajectory, lagged_covariances, slow_modes
from polyvae.errors import InputError
from polyvae.units import MOLECULAR

from .conftest import autoregressive, two_states


def latent_of(values, *, times=None, segments=None, weights=None) -> LatentTrajectory:
    return LatentTrajectory(
        mean=values,
        scale=np.ones_like(values),
        times=times,
        segments=segments or (len(values),),
        units=MOLECULAR,
        source="run.xtc",
        weights=weights,
    )


@pytest.mark.parametrize("reversible", [True, False])
def test_modes_of_autoregressive_processes_have_their_eigenvalues(slow_and_fast, reversible):
    modes = slow_modes(slow_and_fast, 3, reversible=reversible)
    # Four standard errors of an autocorrelation of 20 000 frames: sqrt((1 - a^2)(1 + ...)/n), 0.006 at most.
    np.testing.assert_allclose(modes.values, [0.95**3, 0.5**3], atol=0.025)
    assert modes.timescales[0] == pytest.approx(-1 / np.log(0.95), rel=0.2)
    assert modes.unit == "frames"
    psi = modes.of(slow_and_fast)
    # The modes are whitened over the first frames of pairs, which are all but three.
    np.testing.assert_allclose(np.cov(psi[:-3].T, bias=True), np.eye(2), atol=1e-2 if reversible else 1e-9)


def test_two_states_under_gaussian_noise_keep_their_timescale():
    rng = np.random.default_rng(5)
    states = two_states(rng, 30_000, 0.01, 0.03)
    seen = (states + 0.05 * rng.normal(size=len(states)))[:, None]
    modes = slow_modes(seen, 5, reversible=True)
    # Noise of variance v on a signal of variance s lowers every eigenvalue by s / (s + v), here 1.3 %.
    signal = 0.25 * 0.75
    expected = 0.96**5 * signal / (signal + 0.05**2)
    # About 300 passages: the standard error of the eigenvalue is 0.01.
    assert modes.values[0] == pytest.approx(expected, abs=0.04)


def test_invertible_linear_maps_change_nothing(slow_and_fast):
    rng = np.random.default_rng(0)
    mapped = slow_and_fast @ rng.normal(size=(2, 2)) * np.array([1e-4, 3.0]) + 7.0
    for reversible in (True, False):
        mine, theirs = (slow_modes(rows, 4, reversible=reversible) for rows in (slow_and_fast, mapped))
        # Condition numbers of the map times the rounding of float64.
        np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-9)
        overlap = np.abs(np.sum(mine.of(slow_and_fast) * theirs.of(mapped), axis=0)) / len(mapped)
        np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_joins_are_never_crossed():
    rng = np.random.default_rng(1)
    segments = (40, 3, 57)
    rows = rng.normal(size=(100, 2)).astype(np.float32)
    found = lagged_covariances(latent_of(rows, segments=segments), 5)
    starts = np.cumsum(segments) - segments
    first = np.concatenate(
        [np.arange(start, start + length - 5) for start, length in zip(starts, segments, strict=True)]
    )
    x, y = rows[first].astype(float), rows[first + 5].astype(float)
    assert found.pairs == len(first) == 35 + 52
    np.testing.assert_allclose(found.c0t, (x - x.mean(0)).T @ (y - y.mean(0)) / len(x), atol=1e-12)
    np.testing.assert_allclose(found.ctt, np.cov(y.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(found.mean_second, y.mean(0), atol=1e-12)


def test_frames_of_weight_zero_are_as_good_as_absent_and_weights_as_copies():
    rng = np.random.default_rng(2)
    rows = np.cumsum(rng.normal(size=(60, 2)), axis=0)
    weights = np.ones(60)
    weights[20:30] = 0.0
    some = np.r_[:20, 30:60]
    for reversible in (True, False):
        mine = lagged_covariances(rows, 2, weights=weights, reversible=reversible)
        theirs = lagged_covariances(rows, 2, frames=some, reversible=reversible)
        assert mine.pairs == theirs.pairs
        for name in ("c00", "c0t", "ctt", "mean_first"):
            np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=1e-12)
    # A simulation that counts twice is one that was done twice.
    twice = np.concatenate([rows, rows[:30]])
    mine = lagged_covariances(rows, 2, segments=(30, 30), weights=np.repeat([2.0, 1.0], 30))
    theirs = lagged_covariances(twice, 2, segments=(30, 30, 30))
    np.testing.assert_allclose(mine.c0t, theirs.c0t, atol=1e-12)


def test_reversible_covariances_are_those_of_both_directions():
    rows = np.random.default_rng(3).normal(size=(50, 2))
    found = lagged_covariances(rows, 1, reversible=True)
    x, y = np.concatenate([rows[:-1], rows[1:]]), np.concatenate([rows[1:], rows[:-1]])
    np.testing.assert_allclose(found.c0t, (x - x.mean(0)).T @ (y - y.mean(0)) / len(x), atol=1e-12)
    np.testing.assert_allclose(found.c00, found.ctt, atol=0)


def test_copies_of_a_coordinate_are_dropped_and_said_so(slow_and_fast):
    copies = np.concatenate([slow_and_fast, slow_and_fast @ np.ones((2, 1)), np.ones((20_000, 1))], axis=1)
    modes = slow_modes(copies, 2, reversible=True)
    assert (modes.rank, modes.dropped) == (2, 2)
    np.testing.assert_allclose(modes.values, slow_modes(slow_and_fast, 2, reversible=True).values, rtol=1e-9)


def test_times_of_a_trajectory_give_timescales_their_unit(slow_and_fast):
    rows = slow_and_fast[:1000]
    in_frames = slow_modes(rows, 2).timescales
    timed = slow_modes(latent_of(rows, times=np.arange(1000) * 0.5), 2)
    assert timed.unit == "ps"
    np.testing.assert_allclose(timed.timescales, 0.5 * in_frames)
    uneven = slow_modes(latent_of(rows, times=np.cumsum(np.random.default_rng(0).random(1000))), 2)
    assert uneven.unit == "frames"


def test_modes_equal_those_of_deeptime():
    decomposition = pytest.importorskip("deeptime.decomposition")
    rng = np.random.default_rng(4)
    rows = np.stack([autoregressive(rng, 3000, memory) for memory in (0.97, 0.8, 0.3)], axis=1)
    rows = rows @ rng.normal(size=(3, 3))
    pieces = [rows[:1200], rows[1200:]]
    tica = decomposition.TICA(lagtime=7).fit_from_timeseries(pieces).fetch_model()
    mine = slow_modes(rows, 7, reversible=True, segments=(1200, 1800))
    # Both diagonalize the same matrices in float64.
    np.testing.assert_allclose(mine.values, tica.singular_values, atol=1e-6)
    theirs = tica.transform(rows)
    same = np.abs(np.sum(mine.of(rows) * theirs, axis=0)) / np.linalg.norm(mine.of(rows), axis=0)
    np.testing.assert_allclose(same, np.linalg.norm(theirs, axis=0), rtol=1e-6)
    vamp = decomposition.VAMP(lagtime=7).fit_from_timeseries(pieces).fetch_model()
    free = slow_modes(rows, 7, segments=(1200, 1800))
    np.testing.assert_allclose(free.values, vamp.singular_values, atol=1e-6)
    np.testing.assert_allclose(pv.vamp_score(rows, 7, segments=(1200, 1800)).vamp2, vamp.score(2), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": np.zeros((20, 2))}, "the coordinate is constant over the 18 pairs"),
        ({"lag_time": 20}, r"`lag_time`=20 frames apart .* has 20\. Lower `lag_time`"),
        ({"lag_time": 0}, "at least 1 frame; got 0"),
        ({"n_modes": 3}, "at most the 2 independent directions of the coordinate; got 3"),
        ({"segments": (5, 5)}, "`segments` sum to 10; expected 20"),
        ({"frames": np.array([3, 2])}, "must ascend from 0"),
        ({"frames": np.array([5, 21])}, "below the 20 frames; got 5 to 21"),
        ({"frames": np.array([0.5])}, "must be indices of frames"),
        ({"latent": np.full((20, 2), np.nan)}, "NaN or infinity in 20 of 20 frames"),
        ({"latent": np.zeros((20, 2, 2))}, r"shape \(frames, dims\); got \(20, 2, 2\)"),
        ({"weights": np.ones(3)}, r"`weights` must have shape \(20,\)"),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {"latent": np.random.default_rng(0).normal(size=(20, 2)), "lag_time": 2} | change
    latent, lag_time = arguments.pop("latent"), arguments.pop("lag_time")
    with pytest.raises(InputError, match=message):
        slow_modes(latent, lag_time, **arguments)


def test_rows_of_another_coordinate_are_refused(slow_and_fast):
    modes = slow_modes(slow_and_fast, 1)
    with pytest.raises(InputError, match=r"`rows` must have shape \(frames, 2\); got \(5, 3\)"):
        modes.of(np.zeros((5, 3)))
    assert modes.of(latent_of(slow_and_fast)).shape == (20_000, 2)
