import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.trajectory.lag_pairs import lag_pairs


def test_pairs_of_all_frames_are_every_frame_and_the_one_after_the_lag():
    pairs = lag_pairs(np.arange(10), (10,), 3)
    np.testing.assert_array_equal(pairs, np.stack([np.arange(7), np.arange(3, 10)], axis=1))


def test_no_pair_crosses_a_join_or_needs_a_frame_that_is_missing():
    rng = np.random.default_rng(0)
    for _ in range(50):
        segments = tuple(int(length) for length in rng.integers(1, 12, rng.integers(1, 5)))
        frames = np.flatnonzero(rng.random(sum(segments)) < 0.8)
        lag = int(rng.integers(1, 4))
        segment_of = np.repeat(np.arange(len(segments)), segments)
        place = {int(frame): row for row, frame in enumerate(frames)}
        wanted = [
            (row, place[frame + lag])
            for frame, row in place.items()
            if frame + lag in place and segment_of[frame] == segment_of[frame + lag]
        ]
        if wanted:
            np.testing.assert_array_equal(lag_pairs(frames, segments, lag), wanted)
        else:
            with pytest.raises(InputError, match="no two of the"):
                lag_pairs(frames, segments, lag)


def test_a_lag_longer_than_every_simulation_names_the_longest_stretch():
    with pytest.raises(InputError, match=r"a\.xtc: no two of the 30 frames .* has 10\. Lower `lag_time`"):
        lag_pairs(np.arange(30), (10, 10, 10), 10, source="a.xtc")
    with pytest.raises(InputError, match="at least 1 frame; got 0"):
        lag_pairs(np.arange(30), (30,), 0)
