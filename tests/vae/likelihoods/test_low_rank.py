"""The normal likelihood with a few common directions: known answers and its estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError
from polyvae.vae.likelihoods import LowRankNormal


def _example(rng, n_values=6, rank=2):
    log_scale, factor = 0.3 * rng.normal(size=n_values), rng.normal(size=(n_values, rank))
    return LowRankNormal(jnp.asarray(log_scale), jnp.asarray(factor)), (
        np.diag(np.exp(2 * log_scale)) + factor @ factor.T
    )


def test_log_density_equals_scipy_with_the_full_covariance(x64, rng):
    likelihood, covariance = _example(rng)
    np.testing.assert_allclose(likelihood.covariance, covariance, rtol=1e-14)
    x, mean = rng.normal(size=(2, 6))
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(x)
    assert float(likelihood.log_prob(jnp.asarray(x), jnp.asarray(mean))) == pytest.approx(expected, abs=1e-10)


def test_draws_have_the_covariance(x64, rng):
    likelihood, covariance = _example(rng, n_values=3, rank=1)
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(likelihood.sample, in_axes=(None, 0)))(jnp.zeros(3), keys))
    # Five standard errors of at most sqrt(2 / 20 000) times the largest variance.
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.05 * covariance.max())


def test_float32_keeps_its_digits_where_one_direction_dominates(rng):
    direction = np.full((4, 1), 1e4)
    likelihood = LowRankNormal(jnp.zeros(4, jnp.float32), jnp.asarray(direction, jnp.float32))
    x = (2.0 * direction[:, 0] + np.array([0.5, -0.5, 0.25, -0.25])).astype(np.float32)
    covariance = np.eye(4) + direction @ direction.T
    expected = scipy.stats.multivariate_normal(np.zeros(4), covariance).logpdf(x.astype(float))
    # As a difference of two squares the quadratic form, 4.6, would be off by some of 1.6e9 · 6e-8 = 100.
    assert float(likelihood.log_prob(jnp.asarray(x), jnp.zeros(4))) == pytest.approx(expected, abs=0.02)


def test_the_estimate_of_a_covariance_of_this_form_is_exact(x64, rng):
    factor = np.linalg.qr(rng.normal(size=(6, 2)))[0] * np.array([3.0, 2.0])
    covariance = 0.25 * np.eye(6) + factor @ factor.T
    likelihood = LowRankNormal.from_moment(covariance, 2)
    np.testing.assert_allclose(likelihood.covariance, covariance, atol=1e-12)
    np.testing.assert_allclose(np.exp(likelihood.log_scale), 0.5, rtol=1e-12)


def test_the_estimate_keeps_every_variance(x64, rng):
    samples = rng.normal(size=(50, 5)) * np.array([0.1, 1.0, 2.0, 5.0, 0.5])
    moment = samples.T @ samples / 50
    likelihood = LowRankNormal.from_moment(moment, 2)
    np.testing.assert_allclose(np.diagonal(likelihood.covariance), np.diagonal(moment), rtol=1e-12)


def test_a_moment_of_low_rank_leaves_the_stated_remainder(x64):
    direction = np.array([1.0, 2.0, 3.0])
    likelihood = LowRankNormal.from_moment(np.outer(direction, direction), 1)
    np.testing.assert_allclose(np.exp(2 * likelihood.log_scale), 1e-6 * direction**2, rtol=1e-12)


def test_unusable_moments_are_refused():
    with pytest.raises(InputError, match=r"`rank` must be between 1 and n_values - 1 = 2; got 3"):
        LowRankNormal.from_moment(np.eye(3), 3)
    with pytest.raises(InputError, match="entry 1 has 0"):
        LowRankNormal.from_moment(np.diag([1.0, 0.0, 1.0]), 1)
