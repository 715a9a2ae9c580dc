"""The VAE and its bounds: sampling, own noise for every frame, and the linear-Gaussian model solved exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.vae import (
    MLP,
    VAE,
    ModelConfig,
    elbo_terms,
    importance_weighted_bound,
    kl_from_standard_normal,
)
from polyvae.vae.vae import initialize_vae

N_FEATURES, LATENT = 5, 2


def linear(weight: np.ndarray, bias: np.ndarray) -> MLP:
    return MLP(weights=(jnp.asarray(weight),), biases=(jnp.asarray(bias),), activation="gelu")


def linear_gaussian(*, sigma: float, widen: float = 1.0, covariance: bool = False) -> tuple[VAE, object]:
    """A linear VAE with the exact posterior (`widen` times as wide), and its exact marginal distribution.

    The decoder's columns are orthogonal, so that the posterior is diagonal: for x = W z + b + noise it has
    precision 1 + |w_d|²/σ² and mean precision⁻¹ w_d·(x - b)/σ².
    """
    rng = np.random.default_rng(11)
    directions = np.linalg.qr(rng.normal(size=(N_FEATURES, LATENT)))[0].T
    decoder = directions * np.array([[1.4], [0.6]])
    bias = rng.normal(size=N_FEATURES)
    precision = 1.0 + np.sum(decoder**2, axis=1) / sigma**2
    gain = decoder / sigma**2 / precision[:, None]
    encoder = np.concatenate([gain.T, np.zeros((N_FEATURES, LATENT))], axis=1)
    encoder_bias = np.concatenate([-gain @ bias, np.log(widen) - 0.5 * np.log(precision)])
    vae = VAE(
        encoder=linear(encoder, encoder_bias),
        decoder=linear(decoder, bias),
        log_sigma=jnp.asarray(np.log(sigma)),
        residual_cholesky=jnp.asarray(sigma * np.eye(N_FEATURES)) if covariance else None,
        learn_sigma=True,
    )
    return vae, scipy.stats.multivariate_normal(bias, decoder.T @ decoder + sigma**2 * np.eye(N_FEATURES))


@eqx.filter_jit
def bounds_of(vae, features, keys):
    """ELBO of each key, over all features."""
    return jax.lax.map(lambda key: elbo_terms(vae, features, key).bound(), keys)


@eqx.filter_jit
def importance_weighted(vae, features, key, samples):
    keys = jax.random.split(key, len(features))
    one = lambda item: importance_weighted_bound(vae, item[0], item[1], samples=samples)  # noqa: E731
    return jax.lax.map(one, (features, keys))


@pytest.mark.parametrize("covariance", [False, True])
def test_the_elbo_of_the_exact_posterior_is_the_exact_log_likelihood(x64, key, covariance):
    vae, marginal = linear_gaussian(sigma=0.4, covariance=covariance)
    features = marginal.rvs(30, random_state=3)
    bounds = np.asarray(bounds_of(vae, jnp.asarray(features), jax.random.split(key, 400)))
    exact = marginal.logpdf(features).mean()
    # Only the draw of z is random; five standard errors.
    assert abs(bounds.mean() - exact) < 5 * bounds.std() / np.sqrt(len(bounds))


@pytest.mark.parametrize("samples", [1, 50])
def test_with_the_exact_posterior_every_importance_weight_is_the_likelihood(x64, key, samples):
    vae, marginal = linear_gaussian(sigma=0.4)
    features = marginal.rvs(20, random_state=3)
    values = importance_weighted(vae, jnp.asarray(features), key, samples)
    np.testing.assert_allclose(values, marginal.logpdf(features), rtol=1e-10)


def test_bounds_rise_from_elbo_over_iwae_to_the_exact_log_likelihood(x64, key):
    vae, marginal = linear_gaussian(sigma=0.4, widen=1.6)
    features = marginal.rvs(20, random_state=3)
    exact = marginal.logpdf(features).mean()
    elbo = float(bounds_of(vae, jnp.asarray(features), jax.random.split(key, 400)).mean())
    few, many = (
        float(importance_weighted(vae, jnp.asarray(features), key, samples).mean()) for samples in (5, 5000)
    )
    # The gap of the ELBO is the divergence of the two posteriors: for widths 1.6 times too large
    gap = LATENT * ((1.6**2 - 1) / 2 - np.log(1.6))
    assert elbo == pytest.approx(exact - gap, abs=0.05)
    assert elbo + 0.05 < few < many + 0.05
    # Relative variance of the weights is about 1; 20 frames with 5000 draws each leave 0.003.
    assert many == pytest.approx(exact, abs=0.015)


def test_beta_weighs_the_divergence_alone(x64, key):
    vae, marginal = linear_gaussian(sigma=0.4)
    terms = elbo_terms(vae, jnp.asarray(marginal.rvs(10, random_state=0)), key)
    assert float(terms.bound(0.0)) == float(terms.log_likelihood)
    assert float(terms.bound(0.5) - terms.bound(1.5)) == pytest.approx(float(terms.kl.sum()), rel=1e-12)


def test_the_divergence_is_a_sum_over_latents_and_a_mean_over_frames(x64, key):
    vae, marginal = linear_gaussian(sigma=0.4)
    features = jnp.asarray(marginal.rvs(10, random_state=0))
    posterior = vae.encode(features)
    each = jax.vmap(kl_from_standard_normal)(posterior.mean, posterior.log_scale)
    terms = elbo_terms(vae, features, key)
    assert each.shape == (10, LATENT)
    np.testing.assert_allclose(terms.kl, each.mean(axis=0), rtol=1e-12)


def test_equal_frames_of_a_batch_get_noise_of_their_own(key):
    vae = initialize_vae(ModelConfig(hidden=(8,)), N_FEATURES, seed=0)
    posterior = vae.encode(jnp.ones((4, N_FEATURES)))
    draws = np.asarray(posterior.sample(key))
    np.testing.assert_array_equal(posterior.mean[0], posterior.mean[1])
    assert len(np.unique(draws[:, 0])) == len(np.unique(draws[:, 1])) == 4
    # Nor do the latents of one frame share theirs.
    noise = (draws - np.asarray(posterior.mean)) / np.asarray(posterior.scale)
    assert len(np.unique(noise)) == noise.size


def test_the_noise_depends_on_the_key_and_on_nothing_else():
    vae = initialize_vae(ModelConfig(hidden=(8,)), N_FEATURES, seed=0)
    posterior = vae.encode(jnp.ones((3, N_FEATURES)))
    one, again, other = (posterior.sample(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


@pytest.mark.parametrize("covariance", [False, True])
def test_gradients_of_the_elbo_equal_finite_differences(x64, key, rng, covariance):
    vae = initialize_vae(ModelConfig(hidden=(7,), activation="tanh", sigma=0.7), N_FEATURES, seed=3)
    if covariance:
        factor = np.tril(0.3 * rng.normal(size=(N_FEATURES, N_FEATURES))) + np.eye(N_FEATURES)
        vae = eqx.tree_at(
            lambda tree: tree.residual_cholesky, vae, jnp.asarray(factor), is_leaf=lambda leaf: leaf is None
        )
    features = jnp.asarray(rng.normal(size=(6, N_FEATURES)))
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    bound = jax.jit(lambda p: elbo_terms(eqx.combine(p, static), features, key).bound(0.7))
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), parameters)
    if covariance:
        # Only the lower triangle is a parameter.
        direction = eqx.tree_at(lambda tree: tree.residual_cholesky, direction, replace_fn=jnp.tril)
    gradient = jax.jit(jax.grad(bound))(parameters)
    products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
    ends = [
        float(bound(jax.tree.map(lambda p, d: p + sign * 1e-6 * d, parameters, direction)))  # noqa: B023
        for sign in (1.0, -1.0)
    ]
    numeric = (ends[0] - ends[1]) / 2e-6
    assert float(sum(jax.tree.leaves(products))) == pytest.approx(numeric, rel=1e-6)


def test_draws_scatter_around_the_decoder_mean_with_its_covariance(rng):
    factor = np.tril(0.5 * rng.normal(size=(N_FEATURES, N_FEATURES))) + np.eye(N_FEATURES)
    vae = initialize_vae(ModelConfig(hidden=(8,)), N_FEATURES, seed=0)
    vae = eqx.tree_at(
        lambda tree: tree.residual_cholesky,
        vae,
        jnp.asarray(factor, jnp.float32),
        is_leaf=lambda leaf: leaf is None,
    )
    latent = jnp.array([0.5, -1.0])
    keys = jax.random.split(jax.random.key(1), 40_000)
    draws = np.asarray(jax.vmap(lambda key: vae.sample(latent, key))(keys), np.float64)
    expected = factor @ factor.T
    # Standard errors of means and covariances are about 1/200 of the variances.
    np.testing.assert_allclose(draws.mean(axis=0), vae.decode(latent), atol=5 * np.sqrt(expected.max()) / 200)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=5 * 1.5 * expected.max() / 200)


def test_draws_with_a_shared_width_have_that_width():
    vae = initialize_vae(ModelConfig(hidden=(8,), sigma=0.3), N_FEATURES, seed=0)
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = np.asarray(jax.vmap(lambda key: vae.sample(jnp.zeros(2), key))(keys))
    # Standard error of a width: 0.3 / sqrt(2 * 20 000).
    np.testing.assert_allclose(draws.std(axis=0), 0.3, atol=5 * 0.3 / 200)


def test_a_fresh_vae_starts_near_the_prior_and_the_mean_of_the_data(rng):
    vae = initialize_vae(ModelConfig(hidden=(32, 32)), N_FEATURES, seed=0)
    features = jnp.asarray(rng.normal(size=(500, N_FEATURES)), jnp.float32)
    posterior = vae.encode(features)
    assert 0.5 < float(posterior.scale.mean()) < 2.0
    assert float(jnp.mean(vae.decode(posterior.mean) ** 2)) < 0.5
    assert (vae.latent_dim, vae.n_features) == (LATENT, N_FEATURES)


def test_float64_holds_throughout_where_it_is_on(x64, key, rng):
    vae = initialize_vae(ModelConfig(hidden=(8,)), N_FEATURES, seed=0)
    terms = elbo_terms(vae, jnp.asarray(rng.normal(size=(3, N_FEATURES))), key)
    assert {leaf.dtype for leaf in jax.tree.leaves((vae, terms))} == {jnp.dtype("float64")}
