"""The variational autoencoder (VAE): a diagonal normal posterior, a normal decoder, a standard normal prior.

Everything here is for one feature vector; batch it with `jax.vmap`. Features are scaled (no unit),
log-densities in nats.

References:
    Kingma & Welling, Auto-encoding variational Bayes, 2014, arXiv:1312.6114.
    Rybkin, Daniilidis & Levine, Simple and effective VAE training with calibrated decoders (sigma-VAE), 2021,
    arXiv:2006.13202, for the learned width of the decoder.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import FeatureVector, LatentVector
from polyvae.vae.config import ModelConfig
from polyvae.vae.distributions import cholesky_normal_log_density, normal_log_density
from polyvae.vae.networks import MLP, initialize_mlp


class Posterior(eqx.Module):
    """Diagonal normal posterior q(z|x) of one frame, or of a batch of them.

    Attributes:
        mean: mean of each latent dimension.
        log_scale: natural logarithm of the standard deviation of each.
    """

    mean: Float[Array, "*batch latent"]
    log_scale: Float[Array, "*batch latent"]

    @property
    def scale(self) -> Float[Array, "*batch latent"]:
        """Standard deviation of each latent dimension."""
        return jnp.exp(self.log_scale)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch latent"]:
        """One draw for every frame, each with noise of its own."""
        return self.mean + self.scale * jax.random.normal(key, self.mean.shape, self.mean.dtype)


class VAE(eqx.Module):
    """Encoder, decoder and the decoder's noise.

    Attributes:
        encoder: features to posterior mean and log standard deviation.
        decoder: latent to the mean of the features.
        log_sigma: logarithm of the decoder's width, shared by all features.
        residual_cholesky: lower Cholesky factor of the decoder's residual covariance, or None for the shared width.
        learn_sigma: whether training changes `log_sigma`.
    """

    encoder: MLP
    decoder: MLP
    log_sigma: Float[Array, ""]
    residual_cholesky: Float[Array, "features features"] | None
    learn_sigma: bool = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.decoder.weights[0].shape[0]

    @property
    def n_features(self) -> int:
        """Length of the feature vector."""
        return self.encoder.weights[0].shape[0]

    def encode(self, features: Float[Array, "*batch features"]) -> Posterior:
        """Posterior q(z|x) of one feature vector, or of a batch."""
        mean, log_scale = jnp.split(self.encoder(features), 2, axis=-1)
        return Posterior(mean=mean, log_scale=log_scale)

    def decode(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch features"]:
        """Mean of p(x|z)."""
        return self.decoder(latent)

    def log_likelihood(self, features: FeatureVector, mean: FeatureVector) -> Float[Array, ""]:
        """Log p(x|z) of one frame given the decoder's mean at z, nats."""
        if self.residual_cholesky is not None:
            return cholesky_normal_log_density(features, mean, self.residual_cholesky)
        return normal_log_density(features, mean, self.log_sigma)

    def sample(self, latent: LatentVector, key: PRNGKeyArray) -> FeatureVector:
        """One draw from p(x|z)."""
        mean = self.decode(latent)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        if self.residual_cholesky is not None:
            return mean + self.residual_cholesky @ noise
        return mean + jnp.exp(self.log_sigma) * noise


def initialize_vae(config: ModelConfig, n_features: int, *, seed: int) -> VAE:
    """A VAE with fresh weights.

    The decoder starts near zero output, the mean of the scaled data; the posterior near the prior's width.

    Args:
        config: network and noise settings.
        n_features: length of the feature vector.
        seed: seed of the weights.
    """
    rng = np.random.default_rng([seed, 1])
    encoder = initialize_mlp(
        rng, (n_features, *config.hidden, 2 * config.latent_dim), config.activation, output_gain=0.5
    )
    decoder = initialize_mlp(
        rng, (config.latent_dim, *reversed(config.hidden), n_features), config.activation, output_gain=0.5
    )
    return VAE(
        encoder=encoder,
        decoder=decoder,
        log_sigma=jnp.asarray(np.log(config.sigma), jnp.result_type(float)),
        residual_cholesky=None,
        learn_sigma=config.decoder_scale == "learned",
    )
