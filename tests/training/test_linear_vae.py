"""Training finds the optimum of a linear VAE, which is probabilistic principal component analysis.

References:
    Tipping & Bishop, Probabilistic principal component analysis, 1999, doi:10.1111/1467-9868.00196.
    Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO, 2019, arXiv:1911.02469.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from polyvae.training import TrainConfig, fit_vae, fit_vae_ensemble
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal

pytestmark = pytest.mark.science

EIGENVALUES = np.array([3.0, 1.5, 0.3, 0.2, 0.1])
LATENT = 2


class LinearNetwork(eqx.Module):
    """Linear maps both ways, drawn at random."""

    to_numbers: jax.Array
    numbers: jax.Array
    to_outputs: jax.Array
    outputs: jax.Array

    def encode(self, inputs):
        product = inputs @ self.to_numbers
        return product + jnp.broadcast_to(self.numbers, product.shape)

    def decode(self, latent):
        product = latent @ self.to_outputs
        return product + jnp.broadcast_to(self.outputs, product.shape)


def linear_vae(likelihood: Normal, seed: int = 0):
    rng = np.random.default_rng(seed)
    n_features = likelihood.n_values
    network = LinearNetwork(
        jnp.asarray(0.3 * rng.normal(size=(n_features, 2 * LATENT)), jnp.float32),
        jnp.zeros(2 * LATENT),
        jnp.asarray(0.3 * rng.normal(size=(LATENT, n_features)), jnp.float32),
        jnp.zeros(n_features),
    )
    return make_vae(likelihood, ModelConfig(latent_dim=LATENT), network=network)


def data(n_rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose covariance has exactly these eigenvalues, and the directions as columns."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(n_rows, len(EIGENVALUES)))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / n_rows)).T
    directions = np.linalg.qr(rng.normal(size=(len(EIGENVALUES),) * 2))[0]
    return ((white * np.sqrt(EIGENVALUES)) @ directions.T).astype(np.float32), directions


@eqx.filter_jit
def exact_elbo(vae, features) -> jax.Array:
    """The ELBO without sampling error: log p(x|z) is quadratic in the noise, and four points integrate it exactly."""
    posterior = vae.encode(features)
    points = np.sqrt(LATENT) * np.concatenate([np.eye(LATENT), -np.eye(LATENT)])
    values = []
    for point in jnp.asarray(points, features.dtype):
        latent = posterior.mean + posterior.scale * point[None, :]
        values.append(jnp.mean(jax.vmap(vae.log_likelihood)(features, vae.outputs(latent))))
    divergence = jnp.mean(jnp.sum(posterior.kl_from_standard_normal(), axis=1))
    return jnp.mean(jnp.stack(values)) - divergence


def test_the_trained_bound_and_subspace_are_those_of_probabilistic_pca():
    features, directions = data()
    config = TrainConfig(epochs=400, batch_size=500, learning_rate=3e-2, kl_warmup=5, patience=None)
    result = fit_vae(linear_vae(Normal.of(len(EIGENVALUES))), features, config, validation=features, seed=0)
    noise = EIGENVALUES[LATENT:].mean()
    spread = np.where(np.arange(len(EIGENVALUES)) < LATENT, EIGENVALUES, noise)
    best = scipy.stats.multivariate_normal(np.zeros(len(EIGENVALUES)), (directions * spread) @ directions.T)
    exact = best.logpdf(features.astype(np.float64)).mean()
    # Nats per frame; 2e-4 for sums in float32.
    assert exact - 1e-3 < float(exact_elbo(result.vae, jnp.asarray(features))) < exact + 2e-4
    decoder = np.asarray(result.vae.network.to_outputs, np.float64)
    angles = np.degrees(scipy.linalg.subspace_angles(decoder.T, directions[:, :LATENT]))
    assert angles.max() < 0.5
    # A diagonal posterior fixes the axes too, though a turn within the plane costs little: to 5 degrees.
    decoder = decoder[np.argsort(-np.linalg.norm(decoder, axis=1))]
    lengths = np.linalg.norm(decoder, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(EIGENVALUES[:LATENT] - noise), rtol=0.01)
    cosines = np.abs(np.sum(decoder * directions[:, :LATENT].T, axis=1)) / lengths
    assert cosines.min() > np.cos(np.radians(5.0))
    assert result.history.sigma[-1] == pytest.approx(np.sqrt(noise), rel=0.01)


def test_trained_latents_die_where_the_noise_exceeds_their_eigenvalues():
    # Where a latent is about to die the bound is flat: large batches keep the noise of training down.
    features, _ = data(8000)
    config = TrainConfig(epochs=200, batch_size=1000, learning_rate=2e-2, kl_warmup=1, patience=None)
    ratios = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2])
    variances = np.concatenate([eigenvalue * ratios for eigenvalue in EIGENVALUES[:LATENT]])
    vaes = [
        linear_vae(Normal.of(len(EIGENVALUES), sigma=float(np.sqrt(variance)), learn=False))
        for variance in variances
    ]
    fits = fit_vae_ensemble(vaes, features, config, validation=features)
    divergences = []
    for fit in fits:
        posterior = fit.vae.encode(jnp.asarray(features))
        each = np.asarray(posterior.kl_from_standard_normal(), np.float64).mean(axis=0)
        divergences.append(np.sort(each)[::-1])
    found = np.stack(divergences)
    expected = 0.5 * np.log(np.maximum(EIGENVALUES[None, :LATENT] / variances[:, None], 1.0))
    np.testing.assert_allclose(found, expected, atol=0.02)
    for latent, eigenvalue in enumerate(EIGENVALUES[:LATENT]):
        own = slice(latent * len(ratios), (latent + 1) * len(ratios))
        alive = found[own, latent] > 0.01
        assert alive.tolist() == [True] * 5 + [False] * 2
        # The divergence falls as half a logarithm of the variance: the line through the living ones ends at zero.
        slope, offset = np.polyfit(np.log(variances[own][alive]), found[own, latent][alive], 1)
        assert slope == pytest.approx(-0.5, rel=0.05)
        assert np.exp(-offset / slope) == pytest.approx(eigenvalue, rel=0.02)
