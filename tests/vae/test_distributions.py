"""Log-densities and divergences against scipy, quadrature and sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

from polyvae.vae import kl_from_standard_normal, normal_log_density, standard_normal_log_density
from polyvae.vae.distributions import cholesky_normal_log_density


def test_standard_normal_equals_scipy(x64, rng):
    x = rng.normal(size=5)
    expected = scipy.stats.norm.logpdf(x).sum()
    assert float(standard_normal_log_density(jnp.asarray(x))) == pytest.approx(expected, abs=1e-10)


def test_normal_with_a_width_for_each_component_equals_scipy(x64, rng):
    x, mean, log_scale = rng.normal(size=(3, 5))
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(log_scale)).sum()
    value = normal_log_density(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(log_scale))
    assert float(value) == pytest.approx(expected, abs=1e-10)


def test_normal_with_one_shared_width_equals_scipy(x64, rng):
    x, mean = rng.normal(size=(2, 5))
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(-1.3)).sum()
    value = normal_log_density(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(-1.3))
    assert float(value) == pytest.approx(expected, abs=1e-10)


def test_normal_with_full_covariance_equals_scipy(x64, rng):
    x, mean = rng.normal(size=(2, 4))
    factor = np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    expected = scipy.stats.multivariate_normal.logpdf(x, mean, factor @ factor.T)
    value = cholesky_normal_log_density(jnp.asarray(x), jnp.asarray(mean), jnp.asarray(factor))
    assert float(value) == pytest.approx(expected, abs=1e-10)


def test_a_larger_width_makes_a_typical_point_less_likely_and_a_far_one_more():
    near, far, origin = jnp.array([0.1]), jnp.array([5.0]), jnp.zeros(1)
    narrow, wide = jnp.asarray(0.0), jnp.asarray(1.0)
    assert normal_log_density(near, origin, wide) < normal_log_density(near, origin, narrow)
    assert normal_log_density(far, origin, wide) > normal_log_density(far, origin, narrow)


def test_densities_integrate_to_one(x64):
    grid = jnp.linspace(-12.0, 12.0, 241)
    cell = float(grid[1] - grid[0])
    mean, log_scale = jnp.array([0.3, -0.5]), jnp.array([0.2, -0.4])
    factor = jnp.array([[0.8, 0.0], [0.5, 1.1]])
    points = jnp.stack(jnp.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    for density in (
        lambda x: normal_log_density(x, mean, log_scale),
        lambda x: cholesky_normal_log_density(x, mean, factor),
    ):
        # The trapezoidal rule is exact to rounding for a Gaussian that vanishes at the ends.
        assert float(jnp.sum(jnp.exp(jax.jit(jax.vmap(density))(points)))) * cell**2 == pytest.approx(
            1.0, abs=1e-10
        )


def test_kl_is_zero_for_the_standard_normal_and_positive_elsewhere(x64, rng):
    np.testing.assert_array_equal(kl_from_standard_normal(jnp.zeros(3), jnp.zeros(3)), 0.0)
    assert (kl_from_standard_normal(*jnp.asarray(rng.normal(size=(2, 50)))) > 0).all()


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.1), (1.5, 1.0), (-0.7, 2.3)])
def test_kl_equals_its_integral(x64, mean, scale):
    q, p = scipy.stats.norm(mean, scale), scipy.stats.norm()
    low, high = mean - 12 * scale, mean + 12 * scale
    integral, _ = quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high, epsabs=1e-12)
    value = kl_from_standard_normal(jnp.array([mean]), jnp.log(jnp.array([scale])))
    assert float(value[0]) == pytest.approx(integral, abs=1e-9)


def test_kl_equals_a_monte_carlo_mean_of_log_densities(x64, key):
    mean, log_scale = jnp.array([0.4, -1.0]), jnp.array([-0.5, 0.3])
    draws = mean[None, :] + jnp.exp(log_scale)[None, :] * jax.random.normal(key, (100_000, 2))
    ratios = jax.jit(
        jax.vmap(lambda z: normal_log_density(z, mean, log_scale) - standard_normal_log_density(z))
    )(draws)
    expected = float(jnp.sum(kl_from_standard_normal(mean, log_scale)))
    # Five standard errors.
    assert abs(float(ratios.mean()) - expected) < 5 * float(ratios.std()) / np.sqrt(len(ratios))
