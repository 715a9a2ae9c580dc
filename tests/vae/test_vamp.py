"""The differentiable VAMP-2 score: exact values, laws, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae.posteriors import DiagonalNormal, FullNormal
from polyvae.vae.vamp import posterior_vamp_2, vamp_2


def pairs_of(n: int, dims: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, dims))
    return first, np.tanh(first @ rng.normal(size=(dims, dims))) + 0.3 * rng.normal(size=(n, dims))


def reference(first, second, weights=None) -> float:
    weights = np.full(len(first), 1 / len(first)) if weights is None else weights / weights.sum()
    first, second = first - weights @ first, second - weights @ second
    roots = []
    for values in (first, second):
        widths, axes = np.linalg.eigh(values.T @ (weights[:, None] * values))
        roots.append(axes / np.sqrt(widths) @ axes.T)
    return 1 + np.linalg.norm(roots[0] @ (first.T @ (weights[:, None] * second)) @ roots[1]) ** 2


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_the_score_is_the_norm_of_the_whitened_covariance(dims):
    first, second = pairs_of(300, dims)
    weights = np.random.default_rng(1).random(300)
    # The ridge lowers the score by about its size, 1e-5, a dimension.
    assert float(vamp_2(jnp.asarray(first), jnp.asarray(second))) == pytest.approx(
        reference(first, second), abs=1e-4
    )
    assert float(vamp_2(jnp.asarray(first), jnp.asarray(second), jnp.asarray(weights))) == pytest.approx(
        reference(first, second, weights), abs=1e-4
    )


def test_a_coordinate_that_repeats_itself_scores_one_and_its_dimensions():
    first, _ = pairs_of(100, 3)
    assert float(vamp_2(jnp.asarray(first), jnp.asarray(first))) == pytest.approx(4.0, abs=1e-4)


def test_linear_maps_change_nothing_and_frames_of_weight_zero_do_not_count(x64):
    first, second = pairs_of(300, 3)
    rng = np.random.default_rng(2)
    turn, other = rng.normal(size=(2, 3, 3))
    mapped = vamp_2(jnp.asarray(first @ turn + 5.0), jnp.asarray(second @ other - 3.0))
    # The ridge is not invariant: 1e-5 of the mean variance, beside the smallest one of a skewed map.
    assert float(mapped) == pytest.approx(float(vamp_2(jnp.asarray(first), jnp.asarray(second))), abs=3e-3)
    weights = np.where(np.arange(300) < 200, 1.0, 0.0)
    assert float(vamp_2(jnp.asarray(first), jnp.asarray(second), jnp.asarray(weights))) == pytest.approx(
        float(vamp_2(jnp.asarray(first[:200]), jnp.asarray(second[:200]))), abs=1e-9
    )


def test_a_coordinate_that_does_not_move_scores_one_with_a_finite_gradient():
    still = jnp.ones((50, 2))
    value, gradient = jax.value_and_grad(lambda x: vamp_2(x, x))(still)
    assert float(value) == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(np.asarray(gradient)).all()


def test_the_gradient_is_that_of_finite_differences(x64):
    first, second = (jnp.asarray(values) for values in pairs_of(40, 2))
    direction = jnp.asarray(np.random.default_rng(3).normal(size=(40, 2)))
    _, slope = jax.jvp(lambda x: vamp_2(x, second), (first,), (direction,))
    step = 1e-5
    ends = [float(vamp_2(first + sign * step * direction, second)) for sign in (1, -1)]
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_what_training_maximizes_is_that_of_draws_and_a_tenth_of_correlations_of_means(x64):
    first, second = pairs_of(200_000, 2)
    scale = np.array([0.5, 0.8])
    posteriors = [
        DiagonalNormal(
            mean=jnp.asarray(mean), log_scale=jnp.log(jnp.broadcast_to(jnp.asarray(scale), mean.shape))
        )
        for mean in (first, second)
    ]
    rng = np.random.default_rng(4)
    draws = [mean + scale * rng.normal(size=mean.shape) for mean in (first, second)]
    centered = [mean - mean.mean(axis=0) for mean in (first, second)]
    whitened = [np.linalg.qr(mean)[0] for mean in centered]
    correlations = np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False)
    expected = 1 + 0.9 * (reference(*draws) - 1) + 0.1 * correlations.sum()
    # 200 000 draws have a standard error of some thousandths.
    assert float(posterior_vamp_2(*posteriors)) == pytest.approx(expected, abs=0.01)
    full = [
        FullNormal(mean=one.mean, cholesky=jnp.broadcast_to(jnp.diag(jnp.asarray(scale)), (*first.shape, 2)))
        for one in posteriors
    ]
    assert float(posterior_vamp_2(*full)) == pytest.approx(float(posterior_vamp_2(*posteriors)), abs=1e-9)


def test_the_gradient_of_the_trained_score_is_that_of_finite_differences(x64):
    first, second = (jnp.asarray(values) for values in pairs_of(40, 3))
    log_scale = jnp.full((40, 3), -0.5)

    def score(mean):
        return posterior_vamp_2(
            DiagonalNormal(mean=mean, log_scale=log_scale), DiagonalNormal(mean=second, log_scale=log_scale)
        )

    direction = jnp.asarray(np.random.default_rng(3).normal(size=(40, 3)))
    slope = jnp.sum(jax.grad(score)(first) * direction)
    step = 1e-5
    ends = [float(score(first + sign * step * direction)) for sign in (1, -1)]
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)
