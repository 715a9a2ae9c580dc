"""Blocked splits: nothing twice, gaps kept, joins not crossed; autocorrelation time of a known process."""

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training import autocorrelation_time, blocked_split

CASES = {
    "one run": ((1000,), 5),
    "without gap": ((1000,), 0),
    "two runs": ((600, 400), 6),
    "a run of three frames beside a long one": ((1000, 3), 8),
    "many short runs": ((30,) * 40, 4),
    "a gap longer than a block": ((200,), 50),
    "few frames": ((12,), 1),
}


def split(segments, gap, *, seed=0, blocks=20, validation=0.1, test=0.1):
    return blocked_split(
        segments,
        validation_fraction=validation,
        test_fraction=test,
        blocks=blocks,
        gap=gap,
        correlation_time=1.0,
        seed=seed,
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_no_frame_is_in_two_parts_and_each_part_is_in_order(case, seed):
    segments, gap = CASES[case]
    parts = split(segments, gap, seed=seed)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0
    assert together.max() < sum(segments)
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_training_frames_keep_the_gap_from_held_out_frames_of_the_same_run_only(case, seed):
    segments, gap = CASES[case]
    parts = split(segments, gap, seed=seed)
    ids = np.repeat(np.arange(len(segments)), segments)
    held_out = np.concatenate([parts.validation, parts.test])
    near = np.abs(np.arange(sum(segments))[:, None] - held_out[None, :]) <= parts.gap
    near &= ids[:, None] == ids[held_out][None, :]
    expected = np.flatnonzero(~near.any(axis=1))
    np.testing.assert_array_equal(parts.train, expected)


@pytest.mark.parametrize("seed", range(5))
def test_parts_have_the_fractions_asked_for(seed):
    parts = split((1000,), 2, seed=seed, validation=0.13, test=0.2)
    assert len(parts.validation) == 130
    assert len(parts.test) == 200
    assert len(parts.train) >= 1000 - 330 - 2 * 2 * 8


def test_a_gap_that_fits_is_kept_in_full_and_a_longer_one_cut_to_a_quarter_of_a_block():
    assert split((1000,), 12).gap == 12
    assert split((1000,), 50).gap == 12


def test_one_short_run_does_not_take_the_gap_away_from_the_others():
    assert split((1000, 3), 8).gap == 8


def test_short_runs_are_dealt_out_whole_where_blocks_would_leave_no_room_for_the_gap():
    segments, length = (30,) * 40, 30
    parts = split(segments, 10)
    touched = np.unique(parts.train // length)
    assert parts.gap > 5
    assert len(np.intersect1d(touched, np.unique(parts.test // length))) <= 1


def test_the_split_depends_on_the_seed_alone():
    one, again, other = split((1000,), 5, seed=1), split((1000,), 5, seed=1), split((1000,), 5, seed=2)
    np.testing.assert_array_equal(one.test, again.test)
    assert not np.array_equal(one.test, other.test)


def test_held_out_frames_come_in_contiguous_blocks():
    parts = split((1000,), 0)
    for part in (parts.validation, parts.test):
        assert np.count_nonzero(np.diff(part) > 1) <= 2


def test_too_few_frames_are_an_error():
    with pytest.raises(InputError, match=r"at least 10 frames.*got 9"):
        split((9,), 0)


def test_a_single_block_cannot_be_split():
    with pytest.raises(InputError, match="No frames are left for validation: 1000 frames in 1 blocks"):
        split((1000,), 0, blocks=1)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_process_is_the_known_one(rng, coefficient):
    n_frames = 200_000
    noise = rng.normal(size=n_frames)
    series = np.empty(n_frames)
    series[0] = noise[0] / np.sqrt(1 - coefficient**2)
    for frame in range(1, n_frames):
        series[frame] = coefficient * series[frame - 1] + noise[frame]
    known = (1 + coefficient) / (1 - coefficient)
    # Error of the estimate: about known * sqrt(4 * 5 * known / frames), at most 4.4 %; twice that.
    assert autocorrelation_time(series[:, None]) == pytest.approx(known, rel=0.09)


def test_the_slowest_observable_decides(rng):
    slow = np.repeat(rng.normal(size=500), 40)
    fast = rng.normal(size=20_000)
    both = autocorrelation_time(np.stack([fast, slow], axis=1))
    assert both == pytest.approx(autocorrelation_time(slow[:, None]), rel=1e-9)
    assert both == pytest.approx(40, rel=0.3)


def test_a_constant_observable_does_not_count(rng):
    fast = rng.normal(size=1000)
    both, alone = np.stack([fast, np.ones(1000)], axis=1), fast[:, None]
    assert autocorrelation_time(both) == pytest.approx(autocorrelation_time(alone), rel=1e-9)
    assert autocorrelation_time(np.ones((100, 2))) == 1.0


def test_no_lag_crosses_a_join(rng):
    n_runs, length = 50, 40
    runs = rng.normal(size=(n_runs, length))
    series = runs.reshape(-1, 1)
    centered = runs - runs.mean()
    lags = np.array([np.sum(centered[:, : length - lag] * centered[:, lag:]) for lag in range(length)])
    running = 2 * np.cumsum(lags / lags[0]) - 1
    window = np.argmax(np.arange(length) >= 5 * running)
    value = autocorrelation_time(series, (length,) * n_runs)
    assert value == pytest.approx(max(1.0, running[window]), rel=1e-9)
