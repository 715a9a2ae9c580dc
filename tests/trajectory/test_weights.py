"""Statistical weights of frames: what is refused, and the means that they make."""

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import (
    chosen_weights,
    counted_frames,
    effective_sample_size,
    normalized_weights,
    second_moment,
    weighted_mean,
    with_weights,
)

NOT_WEIGHTS = {
    "negative": [1.0, -1.0, 2.0],
    "NaN": [1.0, np.nan, 2.0],
    "infinite": [1.0, np.inf, 2.0],
}


@pytest.mark.parametrize("values", [*NOT_WEIGHTS.values(), [0.0, 0.0, 0.0]])
def test_a_trajectory_refuses_what_no_mean_can_use(values):
    with pytest.raises(InputError, match="`weights` must be finite, not negative and not all zero"):
        Trajectory(positions=np.zeros((3, 2, 3)), weights=np.array(values))


def test_a_trajectory_refuses_another_number_of_weights():
    with pytest.raises(InputError, match=r"`weights` must have shape \(3,\); got \(2,\)"):
        Trajectory(positions=np.zeros((3, 2, 3)), weights=np.ones(2))


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e307])
def test_normalized_weights_sum_to_one_at_any_scale(scale):
    weights = scale * np.array([1.0, 0.0, 3.0, 12.0, 4.0])
    np.testing.assert_allclose(normalized_weights(weights), [0.05, 0.0, 0.15, 0.6, 0.2], rtol=1e-14)
    assert effective_sample_size(weights, 5) == pytest.approx(400 / 170)


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_a_weight_that_is_none_is_named_with_its_frame(name):
    with pytest.raises(InputError, match=r"`w` must be finite and not negative; got .* for frame 1"):
        normalized_weights(NOT_WEIGHTS[name], name="w")


@pytest.mark.parametrize(
    ("weights", "n_frames", "message"),
    [
        (np.zeros(4), None, "`weights` are zero for all 4 frames"),
        (np.ones((2, 2)), None, r"must have shape \(frames,\), one number for each frame; got \(2, 2\)"),
        (np.ones(0), None, r"got \(0,\)"),
        (np.ones(4), 5, r"must have shape \(5,\), one number for each frame; got \(4,\)"),
    ],
)
def test_weights_that_fit_no_frames_are_refused(weights, n_frames, message):
    with pytest.raises(InputError, match=message):
        normalized_weights(weights, n_frames)


@pytest.mark.parametrize("weighted", [True, False])
def test_means_and_moments_are_those_of_numpy(rng, weighted):
    values = rng.normal(size=(50, 3))
    weights = rng.exponential(size=50) if weighted else None
    mean = weighted_mean(values, weights)
    np.testing.assert_allclose(mean, np.average(values, axis=0, weights=weights), rtol=1e-12)
    covariance = np.cov(values.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(second_moment(values - mean, weights), covariance, rtol=1e-12)


def test_the_effective_sample_size_of_equal_weights_is_their_number():
    assert effective_sample_size(None, 7) == 7.0
    assert effective_sample_size(np.array([0.0, 3.0, 3.0, 0.0, 3.0]), 5) == pytest.approx(3.0)


def test_the_effective_sample_size_of_normal_log_weights_falls_with_their_variance(rng):
    log_weights = 0.8 * rng.normal(size=200_000)
    # E[w]² / E[w²] = exp(-s²); the relative standard error of the mean of w² is sqrt((e^(4 s²) - 1) / n) = 0.8 %.
    assert effective_sample_size(np.exp(log_weights), 200_000) == pytest.approx(
        200_000 * np.exp(-(0.8**2)), rel=0.04
    )


def test_chunks_get_their_own_weights():
    chunks = [np.arange(3.0), np.arange(0.0), np.arange(2.0)]
    parts = [list(part) for _, part in with_weights(chunks, np.arange(5.0))]
    assert parts == [[0.0, 1.0, 2.0], [], [3.0, 4.0]]
    assert [part for _, part in with_weights(chunks, None)] == [None] * 3


@pytest.mark.parametrize(("n", "message"), [(4, "there are at least 5 frames"), (6, "there are 5 frames")])
def test_more_or_fewer_frames_than_weights_are_refused(n, message):
    with pytest.raises(InputError, match=f"`weights` hold {n} numbers, but {message}"):
        list(with_weights([np.arange(3.0), np.arange(2.0)], np.ones(n)))


def test_chosen_frames_keep_their_weights_and_lose_what_has_none():
    weights = np.array([0.0, 1.0, 0.0, 2.0])
    frames = np.array([1, 2, 3])
    np.testing.assert_array_equal(chosen_weights(weights, frames, name="test frames"), [1.0, 0.0, 2.0])
    np.testing.assert_array_equal(counted_frames(weights, frames, name="test frames"), [1, 3])
    assert chosen_weights(None, frames, name="test frames") is None
    np.testing.assert_array_equal(counted_frames(None, frames, name="test frames"), frames)


def test_chosen_frames_without_any_weight_are_refused():
    with pytest.raises(InputError, match="All 2 test frames have weight zero"):
        chosen_weights(np.array([0.0, 1.0, 0.0]), np.array([0, 2]), name="test frames")
