"""Posteriors: densities against scipy, divergences against quadrature, sampling and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.vae import DiagonalNormal, FullNormal
from polyvae.vae.posteriors import n_posterior_numbers, posterior_of

FACTOR = np.array([[0.7, 0.0, 0.0], [-0.4, 0.5, 0.0], [0.3, 0.2, 1.2]])
MEAN = np.array([0.3, -0.8, 1.1])


def posterior(kind: str, dims: int):
    """A posterior and the scipy distribution that it is."""
    mean, factor = MEAN[:dims], FACTOR[:dims, :dims]
    if kind == "full":
        ours = FullNormal(mean=jnp.asarray(mean), cholesky=jnp.asarray(factor))
        return ours, scipy.stats.multivariate_normal(mean, factor @ factor.T)
    widths = np.diagonal(factor)
    ours = DiagonalNormal(mean=jnp.asarray(mean), log_scale=jnp.log(jnp.asarray(widths)))
    return ours, scipy.stats.multivariate_normal(mean, np.diag(widths**2))


# Compiled whole: every operation by itself takes longer.
log_probs = jax.jit(jax.vmap(lambda ours, points: ours.log_prob(points), in_axes=(None, 0)))
marginals = jax.jit(jax.vmap(lambda ours, points: ours.log_prob_by_dimension(points), in_axes=(None, 0)))
samples = jax.jit(jax.vmap(lambda ours, key: ours.sample(key), in_axes=(None, 0)))
divergences = jax.jit(lambda ours: ours.kl_from_standard_normal())

both_kinds = pytest.mark.parametrize("kind", ["diagonal", "full"])


@both_kinds
def test_log_densities_equal_scipy(x64, rng, kind):
    ours, theirs = posterior(kind, 3)
    points = rng.normal(size=(20, 3))
    np.testing.assert_allclose(log_probs(ours, jnp.asarray(points)), theirs.logpdf(points), rtol=1e-10)


@both_kinds
def test_marginal_densities_and_widths_equal_scipy(x64, rng, kind):
    ours, theirs = posterior(kind, 3)
    widths = np.sqrt(np.diagonal(theirs.cov))
    points = rng.normal(size=(20, 3))
    expected = scipy.stats.norm.logpdf(points, theirs.mean, widths)
    np.testing.assert_allclose(
        jax.vmap(ours.log_prob_by_dimension)(jnp.asarray(points)), expected, rtol=1e-10
    )
    np.testing.assert_allclose(ours.scale, widths, rtol=1e-12)
    np.testing.assert_allclose(jnp.exp(ours.log_scale), widths, rtol=1e-12)


@both_kinds
def test_draws_have_the_mean_and_the_covariance(x64, key, kind):
    ours, theirs = posterior(kind, 3)
    n = 40_000
    draws = np.asarray(samples(ours, jax.random.split(key, n)))
    # Standard errors: s/sqrt(n) of a mean, at most sqrt(2/n) s^2 of a covariance; five of each.
    np.testing.assert_allclose(draws.mean(axis=0), theirs.mean, atol=5 * 1.3 / np.sqrt(n))
    np.testing.assert_allclose(np.cov(draws.T), theirs.cov, atol=5 * 1.6 * np.sqrt(2 / n))


@both_kinds
def test_the_divergence_from_a_standard_normal_equals_its_integral(x64, kind):
    ours, theirs = posterior(kind, 2)
    grid = np.linspace(-9.0, 9.0, 361)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    log_q, log_p = theirs.logpdf(points), scipy.stats.norm.logpdf(points).sum(axis=1)
    integral = np.sum(np.exp(log_q) * (log_q - log_p)) * (grid[1] - grid[0]) ** 2
    # The trapezoidal rule is exact to rounding for a smooth function that vanishes at the ends.
    assert float(jnp.sum(divergences(ours))) == pytest.approx(integral, abs=1e-9)


@both_kinds
def test_the_divergence_equals_a_monte_carlo_mean(x64, key, kind):
    ours, _ = posterior(kind, 3)
    draws = np.asarray(samples(ours, jax.random.split(key, 40_000)))
    log_p = np.sum(-0.5 * draws**2 - 0.5 * np.log(2 * np.pi), axis=1)
    ratios = np.asarray(log_probs(ours, jnp.asarray(draws))) - log_p
    expected = float(jnp.sum(divergences(ours)))
    assert abs(ratios.mean() - expected) < 5 * ratios.std() / np.sqrt(len(ratios))


def test_the_rows_of_a_full_covariance_split_its_divergence_into_parts_that_are_not_negative(x64, rng):
    factors = np.tril(rng.normal(size=(200, 4, 4)))
    diagonal = np.arange(4)
    factors[:, diagonal, diagonal] = np.exp(rng.normal(size=(200, 4)))
    means = rng.normal(size=(200, 4))
    parts = divergences(FullNormal(mean=jnp.asarray(means), cholesky=jnp.asarray(factors)))
    covariances = factors @ factors.transpose(0, 2, 1)
    traces, log_determinants = np.trace(covariances, axis1=1, axis2=2), np.linalg.slogdet(covariances)[1]
    expected = 0.5 * (traces + np.sum(means**2, axis=1) - 4 - log_determinants)
    assert float(parts.min()) >= 0.0
    np.testing.assert_allclose(parts.sum(axis=1), expected, rtol=1e-10)


def test_a_full_posterior_without_correlation_is_the_diagonal_one(x64, rng):
    mean, log_scale = jnp.asarray(rng.normal(size=(2, 5, 3)))
    diagonal = DiagonalNormal(mean=mean, log_scale=log_scale)
    full = FullNormal(mean=mean, cholesky=jax.vmap(jnp.diag)(jnp.exp(log_scale)))
    point = jnp.asarray(rng.normal(size=(5, 3)))
    np.testing.assert_allclose(full.log_prob(point), diagonal.log_prob(point), rtol=1e-10)
    np.testing.assert_allclose(full.kl_from_standard_normal(), diagonal.kl_from_standard_normal(), atol=1e-12)
    key = jax.random.key(0)
    np.testing.assert_allclose(full.sample(key), diagonal.sample(key), rtol=1e-12)


@both_kinds
def test_dividing_latents_changes_the_density_by_the_volume(x64, rng, kind):
    ours, _ = posterior(kind, 3)
    scale, point = jnp.array([0.5, 2.0, 1.7]), jnp.asarray(rng.normal(size=3))
    divided = ours.divided_by(scale)
    expected = float(ours.log_prob(point) + jnp.sum(jnp.log(scale)))
    assert float(divided.log_prob(point / scale)) == pytest.approx(expected, rel=1e-12)


@both_kinds
def test_no_gradient_flows_through_a_stopped_posterior(x64, kind):
    ours, _ = posterior(kind, 2)
    point = jnp.zeros(2)
    flowing, stopped = (
        jax.jit(jax.grad(lambda q, stop=stop: (q.stopped() if stop else q).log_prob(point)))(ours)
        for stop in (False, True)
    )
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(stopped))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(flowing))


def test_the_numbers_of_an_encoder_are_mean_log_diagonal_and_rows_below_it():
    numbers = jnp.array([1.0, 2.0, 3.0, 0.0, np.log(2.0), np.log(4.0), 10.0, 20.0, 30.0])
    posterior_from = jax.jit(posterior_of, static_argnums=(0, 2))
    full = posterior_from("full", numbers, 3)
    np.testing.assert_array_equal(full.mean, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(full.cholesky, [[1, 0, 0], [10, 2, 0], [20, 30, 4]], rtol=1e-6)
    diagonal = posterior_from("diagonal", numbers[:6], 3)
    np.testing.assert_array_equal(diagonal.mean, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(diagonal.scale, [1, 2, 4], rtol=1e-6)
    assert (n_posterior_numbers("full", 3), n_posterior_numbers("diagonal", 3)) == (9, 6)
    batch = posterior_from("full", jnp.stack([numbers, 2 * numbers]), 3)
    np.testing.assert_array_equal(batch.cholesky[0], full.cholesky)
