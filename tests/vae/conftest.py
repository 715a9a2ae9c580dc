"""Linear VAEs that are solved in closed form, shared by the tests of this room."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.vae import VAE, ModelConfig, make_vae
from polyvae.vae.likelihoods import CorrelatedNormal, Normal

N_FEATURES, LATENT = 5, 2


class LinearNetwork(eqx.Module):
    """A network of one's own: linear maps both ways."""

    to_numbers: jnp.ndarray
    numbers: jnp.ndarray
    to_outputs: jnp.ndarray
    outputs: jnp.ndarray

    def encode(self, inputs):
        product = inputs @ self.to_numbers
        return product + jnp.broadcast_to(self.numbers, product.shape)

    def decode(self, latent):
        product = latent @ self.to_outputs
        return product + jnp.broadcast_to(self.outputs, product.shape)


def exact_network(
    decoder: np.ndarray, bias: np.ndarray, sigma: float, *, posterior: str = "diagonal", widen: float = 1.0
) -> LinearNetwork:
    """The network with decoder x = z W + b and its exact posterior, `widen` times as wide, at noise `sigma`.

    The precision of z given x is 1 + W W^T / sigma^2; a diagonal posterior is exact only if the rows of W are
    orthogonal.
    """
    latent_dim, n_features = decoder.shape
    covariance = np.linalg.inv(np.eye(latent_dim) + decoder @ decoder.T / sigma**2)
    gain = covariance @ decoder / sigma**2
    factor = widen * np.linalg.cholesky(covariance)
    log_diagonal = np.log(np.diagonal(factor))
    if posterior == "diagonal":
        widths = widen / np.sqrt(1.0 / np.diagonal(covariance))
        constants = np.log(widths)
    else:
        constants = np.concatenate([log_diagonal, factor[np.tril_indices(latent_dim, -1)]])
    return LinearNetwork(
        to_numbers=jnp.asarray(np.concatenate([gain.T, np.zeros((n_features, len(constants)))], axis=1)),
        numbers=jnp.asarray(np.concatenate([-gain @ bias, constants])),
        to_outputs=jnp.asarray(decoder),
        outputs=jnp.asarray(bias),
    )


def make_linear_gaussian(
    *, sigma: float, widen: float = 1.0, posterior: str = "diagonal", likelihood: str = "normal", **settings
) -> tuple[VAE, object]:
    """A linear VAE with the exact posterior (`widen` times as wide), and its exact marginal distribution.

    A diagonal posterior gets a decoder with orthogonal rows, a full one any.
    """
    rng = np.random.default_rng(11)
    directions = np.linalg.qr(rng.normal(size=(N_FEATURES, LATENT)))[0].T
    decoder = directions * np.array([[1.4], [0.6]])
    if posterior == "full":
        decoder[1] += 0.7 * decoder[0]
    bias = rng.normal(size=N_FEATURES)
    noise = {
        "normal": Normal.of(N_FEATURES, sigma=sigma),
        "correlated": CorrelatedNormal.isotropic(N_FEATURES, sigma=sigma),
    }[likelihood]
    vae = make_vae(
        noise,
        ModelConfig(latent_dim=LATENT, posterior=posterior, **settings),
        network=exact_network(decoder, bias, sigma, posterior=posterior, widen=widen),
    )
    return vae, scipy.stats.multivariate_normal(bias, decoder.T @ decoder + sigma**2 * np.eye(N_FEATURES))


@pytest.fixture
def linear_gaussian():
    """Makes a linear VAE and its exact marginal."""
    return make_linear_gaussian


@pytest.fixture
def linear_network():
    """Makes the exact network of a linear decoder."""
    return exact_network
