"""The prior of the second stage reaches the aggregate posterior where that is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.training.data import TrainingData
from polyvae.training.prior_fitting import with_fitted_prior
from polyvae.vae import ModelConfig, NormalMixture, VampPrior, make_vae
from polyvae.vae.likelihoods import Normal

OWN_WIDTH = 0.1


class FirstEntry(eqx.Module):
    """The posterior is normal around the vector's first entry."""

    log_scale: jax.Array

    def encode(self, inputs):
        mean = inputs[..., :1]
        return jnp.concatenate([mean, jnp.broadcast_to(self.log_scale, mean.shape)], axis=-1)

    def decode(self, latent):
        return jnp.concatenate([latent, latent], axis=-1)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr("polyvae.training.prior_fitting._STEPS", 900)


@pytest.fixture(scope="module")
def vae():
    network = FirstEntry(jnp.asarray([np.log(OWN_WIDTH)], jnp.float32))
    return make_vae(Normal.of(2), ModelConfig(latent_dim=1), network=network)


def two_peaks(rng, n_rows: int) -> np.ndarray:
    """Three quarters of the rows around -2, one quarter around 1, both 0.3 wide."""
    center = np.where(rng.uniform(size=n_rows) < 0.75, -2.0, 1.0)
    return (center[:, None] + 0.3 * rng.normal(size=(n_rows, 2))).astype(np.float32)


def data_of(rng, weight_of=lambda rows: np.ones(len(rows))) -> TrainingData:
    train, validation = two_peaks(rng, 2000), two_peaks(rng, 500)
    weights = [weight_of(rows) / weight_of(rows).mean() for rows in (train, validation)]
    return TrainingData(
        train=jnp.asarray(train)[None],
        validation=jnp.asarray(validation),
        train_weights=jnp.asarray(weights[0], jnp.float32),
        validation_weights=jnp.asarray(weights[1], jnp.float32),
    )


def mean_log_density(prior, density: np.ndarray, grid: np.ndarray) -> float:
    """Mean of log p(z) under a density on a grid."""
    values = np.asarray(jax.jit(jax.vmap(prior.log_prob))(jnp.asarray(grid[:, None], jnp.float32)))
    return float(np.sum(density * values) * (grid[1] - grid[0]))


GRID = np.linspace(-5.0, 5.0, 2001)
WIDTH = np.hypot(0.3, OWN_WIDTH)
LEFT, RIGHT = (scipy.stats.norm.pdf(GRID, center, WIDTH) for center in (-2.0, 1.0))


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_the_fitted_prior_is_the_aggregate_posterior(rng, vae, prior):
    config = ModelConfig(latent_dim=1, prior=prior, prior_components=20 if prior == "vamp" else 4)
    fitted = with_fitted_prior(vae, config, data_of(rng), seed=0)
    assert isinstance(fitted.prior, VampPrior if prior == "vamp" else NormalMixture)
    aggregate = 0.75 * LEFT + 0.25 * RIGHT
    entropy = -np.sum(aggregate * np.log(aggregate)) * (GRID[1] - GRID[0])
    reached = mean_log_density(fitted.latent_prior(), aggregate, GRID)
    # 2000 rows; twenty posteriors of width 0.1 cannot make a smooth peak.
    assert -entropy - (0.1 if prior == "vamp" else 0.02) < reached <= -entropy
    # The standard normal is far below.
    assert reached > mean_log_density(vae.prior, aggregate, GRID) + 0.7


def test_rows_count_by_their_weight(rng, vae):
    config = ModelConfig(latent_dim=1, prior="mixture", prior_components=4)
    data = data_of(rng, weight_of=lambda rows: np.where(rows[:, 0] > -0.5, 1.0, 0.0))
    fitted = with_fitted_prior(vae, config, data, seed=0)
    entropy = 0.5 * np.log(2 * np.pi * np.e * WIDTH**2)
    assert -entropy - 0.05 < mean_log_density(fitted.prior, RIGHT, GRID) <= -entropy


def test_networks_and_likelihood_stay_and_the_seed_decides(rng, vae):
    config, data = ModelConfig(latent_dim=1, prior="mixture", prior_components=4), data_of(rng)
    one, again, other = (with_fitted_prior(vae, config, data, seed=seed) for seed in (0, 0, 1))
    assert float(one.network.log_scale[0]) == float(vae.network.log_scale[0])
    assert float(one.likelihood.log_scale) == float(vae.likelihood.log_scale)
    np.testing.assert_array_equal(one.prior.components.mean, again.prior.components.mean)
    assert (one.prior.components.mean != other.prior.components.mean).any()
