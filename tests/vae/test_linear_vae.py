"""A linear VAE is probabilistic principal component analysis: its optimum is known in closed form.

With data of covariance S, eigenvalues l_i and directions u_i, the best decoder at noise sigma has the columns
u_i (l_i - sigma^2)^(1/2) where l_i > sigma^2 and zeros elsewhere; the best sigma^2 is the mean of the eigenvalues left
out. The ELBO is then the exact log-likelihood, each divergence is log(l_i / sigma^2) / 2, and a latent dies exactly
where sigma^2 reaches its eigenvalue.

References:
    Tipping & Bishop, Probabilistic principal component analysis, 1999, doi:10.1111/1467-9868.00196.
    Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO, 2019, arXiv:1911.02469.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from polyvae.vae import VAE, ElboTerms, ModelConfig, Objective, make_vae, objective_terms
from polyvae.vae.likelihoods import Normal

EIGENVALUES = np.array([2.0, 1.0, 0.3, 0.2])
MEAN = np.array([0.5, -1.0, 0.0, 2.0])
LATENT = 2


def data(n_rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose mean and covariance are exactly these, and the directions of the eigenvalues as columns."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(n_rows, len(EIGENVALUES)))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / n_rows)).T
    directions = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return (white * np.sqrt(EIGENVALUES)) @ directions.T + MEAN, directions


def optimum(linear_network, sigma: float, posterior: str = "diagonal") -> VAE:
    """The closed-form optimum at this noise; under a full posterior turned to axes of no meaning."""
    _, directions = data()
    decoder = (directions[:, :LATENT] * np.sqrt(np.maximum(EIGENVALUES[:LATENT] - sigma**2, 0.0))).T
    if posterior == "full":
        decoder = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]) @ decoder
    network = linear_network(decoder, MEAN, sigma, posterior=posterior)
    config = ModelConfig(latent_dim=LATENT, posterior=posterior)
    return make_vae(Normal.of(len(EIGENVALUES), sigma=sigma), config, network=network)


@pytest.fixture
def quadrature(x64, monkeypatch):
    """The ELBO with its mean over z exact: everything is quadratic in the noise, and so are four points enough.

    Draws of the posterior are replaced by ±sqrt(2) along each axis, each frame once with each.
    """
    points = np.sqrt(LATENT) * np.concatenate([np.eye(LATENT), -np.eye(LATENT)])
    n_points = len(points)

    def instead(key, shape, dtype):
        return jnp.asarray(np.repeat(points, shape[0] // n_points, axis=0), dtype)

    def terms(vae, features: np.ndarray) -> ElboTerms:
        with monkeypatch.context() as patch:
            patch.setattr(jax.random, "normal", instead)
            rows = jnp.asarray(np.tile(features, (n_points, 1)))
            return objective_terms(vae, rows, jax.random.key(0), Objective())

    return terms


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_the_closed_form_optimum_has_the_exact_log_likelihood_and_no_gradient(
    quadrature, linear_network, posterior
):
    features, directions = data()
    best = np.sqrt(EIGENVALUES[LATENT:].mean())
    vae = optimum(linear_network, best, posterior)
    spread = np.maximum(EIGENVALUES, best**2) * np.array([1.0, 1.0, 0.0, 0.0]) + best**2 * np.array(
        [0, 0, 1, 1]
    )
    exact = (
        scipy.stats.multivariate_normal(MEAN, (directions * spread) @ directions.T).logpdf(features).mean()
    )
    value, gradient = eqx.filter_jit(
        eqx.filter_value_and_grad(lambda vae: quadrature(vae, features).bound())
    )(vae)
    assert float(value) == pytest.approx(exact, abs=1e-10)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0.0, atol=1e-9)


def test_divergences_at_the_optimum_are_half_the_logarithms_of_signal_to_noise(quadrature, linear_network):
    features, _ = data()
    sigma = 0.7
    terms = quadrature(optimum(linear_network, sigma), features)
    np.testing.assert_allclose(terms.kl, 0.5 * np.log(EIGENVALUES[:LATENT] / sigma**2), rtol=1e-10)


def test_a_wider_decoder_than_an_eigenvalue_leaves_nothing_to_gain_from_its_latent(
    quadrature, linear_network
):
    features, directions = data()
    # The second latent is dead: decoder and encoder know nothing of it, its posterior is the prior.
    for variance, alive in ((0.9, True), (1.1, False)):
        sigma = np.sqrt(variance)
        decoder = np.stack([directions[:, 0] * np.sqrt(EIGENVALUES[0] - variance), np.zeros(4)])
        config = ModelConfig(latent_dim=LATENT)

        def at(step: float, decoder=decoder, sigma=sigma, config=config) -> float:
            moved = decoder + np.stack([np.zeros(4), step * directions[:, 1]])
            network = linear_network(moved, MEAN, sigma)
            vae = make_vae(Normal.of(4, sigma=sigma, learn=False), config, network=network)
            return float(quadrature(vae, features).bound())

        gain = at(0.05) - at(0.0)
        # To lowest order the gain is step^2 (l - sigma^2) / (2 sigma^4).
        assert gain == pytest.approx(0.05**2 * (1.0 - variance) / (2 * variance**2), rel=0.1)
        assert (gain > 0) == alive


def threshold(variances: np.ndarray, divergences: np.ndarray, smallest: float = 0.003) -> float:
    """Largest variance of the noise at which the divergence is above `smallest`, by interpolation."""
    above = np.flatnonzero(divergences > smallest)[-1]
    pair = slice(above, above + 2)
    return float(np.interp(-smallest, -divergences[pair], variances[pair]))


def test_trained_to_convergence_latents_die_where_the_noise_exceeds_their_eigenvalues(
    quadrature, linear_network
):
    features, _ = data()
    start = linear_network(np.random.default_rng(0).normal(size=(LATENT, 4)), MEAN, 1.0)
    vae = make_vae(Normal.of(4, learn=False), ModelConfig(latent_dim=LATENT), network=start)
    flat, unflatten = ravel_pytree(start)

    def terms(values: jax.Array, log_scale: jax.Array) -> ElboTerms:
        parts = lambda tree: (tree.network, tree.likelihood.log_scale)  # noqa: E731
        return quadrature(eqx.tree_at(parts, vae, (unflatten(values), log_scale)), features)

    cost = jax.jit(jax.value_and_grad(lambda values, log_scale: -terms(values, log_scale).bound()))
    divergences = jax.jit(lambda values, log_scale: terms(values, log_scale).kl)

    def trained(variance: float) -> np.ndarray:
        """Divergences at the optimum for this noise, the larger one first."""
        log_scale = jnp.asarray(0.5 * np.log(variance))

        def numbers(values: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = cost(jnp.asarray(values), log_scale)
            return float(value), np.asarray(gradient)

        found = minimize(numbers, np.asarray(flat), jac=True, method="L-BFGS-B", options={"ftol": 1e-15})
        return np.sort(np.asarray(divergences(jnp.asarray(found.x), log_scale)))[::-1]

    for latent, eigenvalue in enumerate(EIGENVALUES[:LATENT]):
        variances = eigenvalue * np.array([0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.1])
        found = np.stack([trained(variance) for variance in variances])
        expected = 0.5 * np.log(np.maximum(EIGENVALUES[None, :LATENT] / variances[:, None], 1.0))
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert threshold(variances, found[:, latent]) == pytest.approx(eigenvalue, rel=0.02)
