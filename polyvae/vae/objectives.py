"""Objectives, all in nats per frame: sums over features and latent dimensions, means over frames, constants kept.

Every objective is E_q log p(x|z) - beta KL plus an `extra`, so that runs with different objectives can be read side
by side. Frames may carry weights; they enter every mean.
"""

from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import FeatureVector, FeatureVectors
from polyvae.vae.decomposition import prior_mismatch, total_correlation
from polyvae.vae.posteriors import Posterior
from polyvae.vae.priors import Prior
from polyvae.vae.vae import VAE
from polyvae.vae.vamp import posterior_vamp_2

MOST_COMPARED = 1024
"""Penalties of the aggregate posterior compare this many frames of a batch at most, evenly spread over it: their memory
grows with the square. Training batches are smaller; validation frames may be many."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What training maximizes; hashable, known when the epoch is compiled.

    Attributes:
        kind: "elbo", or "iwae" for the importance-weighted bound.
        importance_samples: draws of z for each frame, for "iwae".
        free_bits: KL divergence of each latent dimension that costs nothing, nats.
        total_correlation: weight of the total correlation of the aggregate posterior, beyond its part in the KL.
        prior_matching: weight of the distance of the aggregate posterior from the prior.
        vamp: weight of the VAMP-2 score of draws from the posterior.
        lagged_target: whether the decoder is to give the frame a lag time later, not the frame itself.
    """

    kind: Literal["elbo", "iwae"] = "elbo"
    importance_samples: int = 8
    free_bits: float = 0.0
    total_correlation: float = 0.0
    prior_matching: float = 0.0
    vamp: float = 0.0
    lagged_target: bool = False


class ElboTerms(eqx.Module):
    """The terms of an objective, nats per frame.

    Attributes:
        log_likelihood: E_q log p(x|z), one draw of z a frame, (weighted) mean over frames.
        kl: KL(q(z|x) || p(z)), mean over frames: one number a latent dimension where the prior gives a closed form,
            one in all where it is estimated.
        extra: what the objective has beyond these two, with its sign and weight; 0 for the ELBO.
    """

    log_likelihood: Float[Array, ""]
    kl: Float[Array, " divergences"]
    extra: Float[Array, ""]

    def bound(self, beta: float | Float[Array, ""] = 1.0, *, free_bits: float = 0.0) -> Float[Array, ""]:
        """E_q log p(x|z) - beta KL + extra; the evidence lower bound at beta = 1.

        Args:
            beta: weight of the KL divergence.
            free_bits: KL divergence of each dimension that costs nothing, nats (Kingma et al., 2016,
                arXiv:1606.04934): the larger of the two counts.
        """
        kl = jnp.sum(jnp.maximum(self.kl, free_bits) if free_bits > 0 else self.kl)
        return self.log_likelihood - beta * kl + self.extra


def weighted_mean(
    values: Float[Array, "frames *rest"], weights: Float[Array, " frames"] | None
) -> Float[Array, "*rest"]:
    """Mean over frames of weight times value; weights of mean 1 over the data make it unbiased for a batch."""
    if weights is None:
        return jnp.mean(values, axis=0)
    return jnp.tensordot(weights, values, axes=1) / values.shape[0]


def elbo_terms(
    vae: VAE,
    features: FeatureVectors,
    key: PRNGKeyArray,
    *,
    weights: Float[Array, " frames"] | None = None,
) -> ElboTerms:
    """Terms of the evidence lower bound of a batch, with independent noise for every frame.

    Args:
        vae: the model.
        features: scaled feature vectors, shape (frames, features).
        key: consumed; split it anew for every step.
        weights: weight of each frame, of mean 1 over the data; None counts all alike.
    """
    return _elbo(vae, features, features, key, weights)[0]


def objective_terms(
    vae: VAE,
    features: FeatureVectors,
    key: PRNGKeyArray,
    objective: Objective,
    *,
    beta: Float[Array, ""] | float = 1.0,
    weights: Float[Array, " frames"] | None = None,
    n_frames: int | None = None,
    lagged: FeatureVectors | None = None,
) -> ElboTerms:
    """Terms of any objective of a batch.

    Args:
        vae: the model.
        features: scaled feature vectors, shape (frames, features).
        key: consumed; split it anew for every step.
        objective: what to maximize.
        beta: weight of the KL divergence, which enters the importance weights of "iwae".
        weights: weight of each frame, of mean 1 over the data; None counts all alike.
        n_frames: frames of the whole data, for the total correlation; None takes those of the batch.
        lagged: the vector a lag time after each of `features`, where the objective asks for it.
    """
    targets = features
    if objective.lagged_target:
        assert lagged is not None
        targets = lagged
    elbo_key, extra_key = jax.random.split(key)
    if objective.kind == "iwae":
        terms, latent, posterior, prior = _importance_weighted(
            vae, features, targets, elbo_key, weights, objective.importance_samples, beta
        )
    else:
        terms, latent, posterior, prior = _elbo(vae, features, targets, elbo_key, weights)
    extra = terms.extra
    if vae.likelihood.has_agreement:
        extra = extra + vae.likelihood.agreement(targets, vae.outputs(latent), weights)
    if objective.vamp > 0:
        assert lagged is not None
        extra = extra + objective.vamp * posterior_vamp_2(posterior, vae.encode(lagged), weights)
    n_frames = n_frames or len(features)
    if len(features) > MOST_COMPARED:
        rows = np.linspace(0, len(features) - 1, MOST_COMPARED).round().astype(int)
        latent, posterior = latent[rows], jax.tree.map(lambda leaf: leaf[rows], posterior)
        weights = None if weights is None else weights[rows]
    if objective.total_correlation > 0:
        correlation = total_correlation(posterior, latent, n_frames, weights)
        extra = extra - objective.total_correlation * correlation
    if objective.prior_matching > 0:
        draws = prior.sample(extra_key, len(latent)).astype(latent.dtype)
        extra = extra - objective.prior_matching * prior_mismatch(latent, draws, weights)
    return ElboTerms(log_likelihood=terms.log_likelihood, kl=terms.kl, extra=extra)


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
    posterior = _repeated(vae.encode(features[None, :]), samples)
    latents = posterior.sample(key)
    repeated = jnp.broadcast_to(features[None, :], (samples, features.shape[0]))
    log_likelihood, log_prior = _log_joint(vae, vae.latent_prior(), repeated, latents)
    log_weights = log_likelihood + log_prior - posterior.log_prob(latents)
    return jax.nn.logsumexp(log_weights) - jnp.log(float(samples))


def _elbo(
    vae: VAE, features: FeatureVectors, targets: FeatureVectors, key: PRNGKeyArray, weights: Array | None
) -> tuple[ElboTerms, Array, Posterior, Prior]:
    posterior = vae.encode(features)
    latent = posterior.sample(key)
    log_likelihood = jax.vmap(vae.log_likelihood)(targets, vae.outputs(latent))
    prior = vae.latent_prior()
    terms = ElboTerms(
        log_likelihood=weighted_mean(log_likelihood, weights),
        kl=weighted_mean(prior.kl(posterior, latent), weights),
        extra=jnp.zeros((), features.dtype),
    )
    return terms, latent, posterior, prior


def _importance_weighted(
    vae: VAE,
    features: FeatureVectors,
    targets: FeatureVectors,
    key: PRNGKeyArray,
    weights: Array | None,
    samples: int,
    beta: Array | float,
) -> tuple[ElboTerms, Array, Posterior, Prior]:
    """The importance-weighted bound with doubly reparametrized gradients.

    The gradient reaches the encoder only along the draws, each weighted with its normalized importance weight w times
    1 - beta + beta w: for beta = 1 the square, and the signal-to-noise ratio grows with K instead of falling (Tucker et
    al., Doubly reparameterized gradient estimators, 2019, arXiv:1810.04152). We depart from it by beta, with which only
    that share of log w depends on q. The decoder's and the prior's gradients are the usual ones.
    """
    frames = features.shape[0]
    posterior = vae.encode(features)
    flat = _repeated(posterior, samples)
    repeated = jnp.repeat(targets, samples, axis=0)
    drawn = flat.sample(key)
    prior = vae.latent_prior()

    def log_weights(latent: Array) -> tuple[Array, Array]:
        log_likelihood, log_prior = _log_joint(vae, prior, repeated, latent)
        gap = log_prior - flat.stopped().log_prob(latent)
        return log_likelihood + beta * gap, log_likelihood

    shape = (frames, samples)
    # Both passes compute the same numbers, which the compiler does once.
    fixed = jax.lax.stop_gradient(log_weights(jax.lax.stop_gradient(drawn))[0]).reshape(shape)
    normalized = jax.nn.softmax(fixed, axis=1)
    latent = _with_scaled_gradient(drawn, (1.0 - beta + beta * normalized).reshape(-1))
    value, log_likelihood = log_weights(latent)
    # The gradient of the first part is the bound's; only the value of the second counts.
    surrogate = jnp.sum(normalized * value.reshape(shape), axis=1)
    bound = jax.nn.logsumexp(fixed, axis=1) - jnp.log(float(samples))
    bound = bound + surrogate - jax.lax.stop_gradient(surrogate)
    log_likelihood = weighted_mean(log_likelihood.reshape(shape).mean(axis=1), weights)
    divergence = weighted_mean(prior.kl(flat, drawn).reshape(*shape, -1).mean(axis=1), weights)
    elbo = jax.lax.stop_gradient(log_likelihood - beta * jnp.sum(divergence))
    terms = ElboTerms(
        log_likelihood=jax.lax.stop_gradient(log_likelihood),
        kl=jax.lax.stop_gradient(divergence),
        extra=weighted_mean(bound, weights) - elbo,
    )
    one_draw = drawn.reshape(*shape, -1)[:, 0]
    return terms, one_draw, posterior, prior


def _log_joint(vae: VAE, prior: Prior, features: Array, latent: Array) -> tuple[Array, Array]:
    """Log p(x|z) and log p(z) of pairs of rows."""
    return jax.vmap(vae.log_likelihood)(features, vae.outputs(latent)), jax.vmap(prior.log_prob)(latent)


def _repeated(posterior: Posterior, samples: int) -> Posterior:
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), posterior)


@jax.custom_vjp
def _with_scaled_gradient(values: Float[Array, "rows n"], factors: Float[Array, " rows"]) -> Array:
    """The values unchanged; the gradient through each row is multiplied by its factor."""
    del factors
    return values


def _scaled_forward(values: Array, factors: Array) -> tuple[Array, Array]:
    return values, factors


def _scaled_backward(factors: Array, gradient: Array) -> tuple[Array, Array]:
    return gradient * factors[:, None], jnp.zeros_like(factors)


_with_scaled_gradient.defvjp(_scaled_forward, _scaled_backward)
