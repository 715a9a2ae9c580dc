"""The normal likelihood with a full covariance: known answers and its refit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError
from polyvae.vae.likelihoods import CorrelatedNormal

COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 0.6, 0.1], [-0.2, 0.1, 0.3]])


def test_log_density_equals_scipy(x64, rng):
    x, mean = rng.normal(size=(2, 3))
    value = CorrelatedNormal.from_covariance(COVARIANCE).log_prob(jnp.asarray(x), jnp.asarray(mean))
    expected = scipy.stats.multivariate_normal(mean, COVARIANCE).logpdf(x)
    assert float(value) == pytest.approx(expected, abs=1e-10)


def test_the_covariance_is_the_one_that_was_given(x64):
    np.testing.assert_allclose(
        CorrelatedNormal.from_covariance(COVARIANCE).covariance, COVARIANCE, atol=1e-14
    )
    isotropic = CorrelatedNormal.isotropic(3, sigma=0.2)
    np.testing.assert_allclose(isotropic.covariance, 0.04 * np.eye(3), atol=1e-16)


def test_draws_have_the_covariance(x64):
    likelihood = CorrelatedNormal.from_covariance(COVARIANCE)
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(likelihood.sample, in_axes=(None, 0)))(jnp.zeros(3), keys))
    # The standard error of an entry is at most sqrt(2 / 20 000) = 0.01 for variances up to 1.
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=0.05)


def test_a_refitted_covariance_is_the_weighted_second_moment(x64, rng):
    x, mean = rng.normal(size=(2, 40, 3))
    weights = rng.uniform(size=40)
    fitted = CorrelatedNormal.isotropic(3).refitted(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(weights))
    residual = x - mean
    expected = np.einsum("f,fi,fj->ij", weights / weights.sum(), residual, residual)
    np.testing.assert_allclose(fitted.covariance, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("flaw", ["few frames", "dependent entries", "constant entry"])
def test_a_second_moment_without_an_inverse_leaves_the_covariance_as_it_was(flaw, rng):
    x = rng.normal(size=(2 if flaw == "few frames" else 40, 3)).astype(np.float32)
    if flaw == "dependent entries":
        x[:, 2] = x[:, 0] - x[:, 1]
    if flaw == "constant entry":
        x[:, 1] = 0.0
    likelihood = CorrelatedNormal.isotropic(3, sigma=0.5)
    fitted = likelihood.refitted(jnp.asarray(x), jnp.zeros_like(jnp.asarray(x)), jnp.ones(len(x)))
    np.testing.assert_array_equal(fitted.lower, likelihood.lower)
    np.testing.assert_array_equal(fitted.log_diagonal, likelihood.log_diagonal)


def test_entries_above_the_diagonal_do_nothing(x64, rng):
    likelihood = CorrelatedNormal.from_covariance(COVARIANCE)
    noise = jnp.asarray(np.triu(rng.normal(size=(3, 3))))
    other = CorrelatedNormal(likelihood.log_diagonal, likelihood.lower + noise)
    x = jnp.asarray(rng.normal(size=3))
    assert other.log_prob(x, jnp.zeros(3)) == likelihood.log_prob(x, jnp.zeros(3))


def test_unusable_covariances_are_refused():
    with pytest.raises(InputError, match="must be symmetric"):
        CorrelatedNormal.from_covariance(np.array([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(InputError, match=r"positive definite; its smallest eigenvalue is -1"):
        CorrelatedNormal.from_covariance(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(InputError, match="`sigma` must be positive"):
        CorrelatedNormal.isotropic(2, sigma=0.0)
