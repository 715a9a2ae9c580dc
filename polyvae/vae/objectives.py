"""Objectives, all in nats per frame: sums over features and latent dimensions, means over frames, constants kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import FeatureVector, FeatureVectors
from polyvae.vae.distributions import (
    kl_from_standard_normal,
    normal_log_density,
    standard_normal_log_density,
)
from polyvae.vae.vae import VAE


class ElboTerms(eqx.Module):
    """The two terms of the evidence lower bound, nats per frame.

    Attributes:
        log_likelihood: E_q log p(x|z), one draw of z a frame, mean over frames.
        kl: KL(q(z|x) || p(z)) for each latent dimension, mean over frames.
    """

    log_likelihood: Float[Array, ""]
    kl: Float[Array, " latent"]

    def bound(self, beta: float | Float[Array, ""] = 1.0) -> Float[Array, ""]:
        """E_q log p(x|z) - beta KL; the evidence lower bound at beta = 1."""
        return self.log_likelihood - beta * jnp.sum(self.kl)


def elbo_terms(vae: VAE, features: FeatureVectors, key: PRNGKeyArray) -> ElboTerms:
    """Terms of the evidence lower bound of a batch, with independent noise for every frame.

    Args:
        vae: the model.
        features: scaled feature vectors, shape (frames, features).
        key: consumed; split it anew for every step.
    """
    posterior = vae.encode(features)
    means = vae.decode(posterior.sample(key))
    log_likelihood = jax.vmap(vae.log_likelihood)(features, means)
    kl = jax.vmap(kl_from_standard_normal)(posterior.mean, posterior.log_scale)
    return ElboTerms(log_likelihood=jnp.mean(log_likelihood), kl=jnp.mean(kl, axis=0))


def importance_weighted_bound(
    vae: VAE, features: FeatureVector, key: PRNGKeyArray, *, samples: int
) -> Float[Array, ""]:
    r"""Importance-weighted bound on log p(x) of one frame, nats.

    .. math:: \log \frac{1}{K} \sum_k p(x|z_k)\, p(z_k) / q(z_k|x), \qquad z_k \sim q(z|x)

    It grows with K and reaches log p(x) in the limit.

    Args:
        vae: the model.
        features: one scaled feature vector.
        key: source of the K draws.
        samples: K.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2016, arXiv:1509.00519.
    """
    posterior = vae.encode(features)
    noise = jax.random.normal(key, (samples, vae.latent_dim), posterior.mean.dtype)
    latents = posterior.mean[None, :] + posterior.scale[None, :] * noise
    means = vae.decode(latents)

    def log_weight(latent: Array, mean: Array) -> Array:
        return (
            vae.log_likelihood(features, mean)
            + standard_normal_log_density(latent)
            - normal_log_density(latent, posterior.mean, posterior.log_scale)
        )

    return jax.nn.logsumexp(jax.vmap(log_weight)(latents, means)) - jnp.log(float(samples))
