r"""Parts of the objective that look at the aggregate posterior \(q(z) = \mathrm{mean}_x\, q(z|x)\) of a batch.

The KL divergence of the ELBO, averaged over frames, is mutual information + total correlation + the divergences of
the marginals of q(z) from the prior's. Penalizing the total correlation more than the rest, or the distance of q(z)
from a structured prior, favors latents that vary independently.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae.vae.posteriors import Posterior


def log_aggregate(
    posterior: Posterior,
    latent: Float[Array, "points latent"],
    weights: Float[Array, " frames"] | None = None,
) -> tuple[Float[Array, " points"], Float[Array, "points latent"]]:
    """Log-density of the mixture of all frames' posteriors at some points, and that of each of its marginals.

    Args:
        posterior: of a batch of frames.
        latent: where to evaluate.
        weights: weight of each frame in the mixture; None counts all alike.

    Returns:
        Joint, shape (points,), and marginals, shape (points, latent); nats.
    """
    n_frames = posterior.mean.shape[0]
    if weights is None:
        log_weights = jnp.full(n_frames, -jnp.log(float(n_frames)), latent.dtype)
    else:
        log_weights = jnp.log(weights / jnp.sum(weights))

    def at(point: Float[Array, " latent"]) -> tuple[Array, Array]:
        points = jnp.broadcast_to(point[None, :], posterior.mean.shape)
        joint = jax.nn.logsumexp(posterior.log_prob(points) + log_weights)
        by_dimension = posterior.log_prob_by_dimension(points) + log_weights[:, None]
        return joint, jax.nn.logsumexp(by_dimension, axis=0)

    return jax.vmap(at)(latent)


def total_correlation(
    posterior: Posterior,
    latent: Float[Array, "frames latent"],
    n_frames: int,
    weights: Float[Array, " frames"] | None = None,
) -> Float[Array, ""]:
    r"""Estimate of \(\mathrm{KL}(q(z)\,\|\,\prod_d q(z_d))\) from a batch, nats.

    The point's own frame counts as one of `n_frames`, the others of the batch stand for the rest (stratified
    sampling).

    Args:
        posterior: of a batch of frames.
        latent: one draw from each.
        n_frames: frames of the whole data.
        weights: weight of each frame, of mean 1; None counts all alike.

    References:
        Chen, Li, Grosse & Duvenaud, Isolating sources of disentanglement in variational autoencoders, 2018,
        arXiv:1802.04942, appendix C.2.
    """
    batch = latent.shape[0]
    ones = jnp.ones(batch, latent.dtype) if weights is None else weights
    # A batch in which every weight is zero would take log 0 of its density; shares of this floor are still numbers.
    ones = jnp.maximum(ones, float(jnp.finfo(ones.dtype).tiny) ** 0.5)
    others = (n_frames - 1) / n_frames / max(batch - 1, 1)
    log_weights = jnp.log(others * ones)

    def at(index: Array, point: Array, weight: Array) -> Array:
        own = jnp.log(weight / n_frames)
        logs = jnp.where(jnp.arange(batch) == index, own, log_weights)
        points = jnp.broadcast_to(point[None, :], posterior.mean.shape)
        joint = jax.nn.logsumexp(posterior.log_prob(points) + logs)
        marginals = jax.nn.logsumexp(posterior.log_prob_by_dimension(points) + logs[:, None], axis=0)
        return joint - jnp.sum(marginals)

    values = jax.vmap(at)(jnp.arange(batch), latent, ones)
    return jnp.sum(ones * values) / batch


def prior_mismatch(
    latent: Float[Array, "frames latent"],
    prior_draws: Float[Array, "draws latent"],
    weights: Float[Array, " frames"] | None = None,
) -> Float[Array, ""]:
    """Squared maximum mean discrepancy between a batch of posterior draws and draws of the prior, no unit.

    The kernel is a mean of inverse multiquadrics c / (c + |a - b|^2) with c from 0.2 to 10 times the latent
    dimension. The estimate is unbiased, so it may be negative.

    Args:
        latent: one draw from each frame's posterior.
        prior_draws: draws of the prior.
        weights: weight of each frame, of mean 1 over the data, which keeps the estimate of a batch unbiased; None
            counts all alike.

    References:
        Gretton et al., A kernel two-sample test, 2012, JMLR 13:723; Tolstikhin et al., Wasserstein auto-encoders, 2018,
        arXiv:1711.01558, for the kernel.
    """
    dims = latent.shape[1]
    n_frames, n_draws = latent.shape[0], prior_draws.shape[0]
    ones = jnp.ones(n_frames, latent.dtype) if weights is None else weights

    def kernel(one: Array, other: Array) -> Array:
        square = jnp.sum((one[:, None, :] - other[None, :, :]) ** 2, axis=-1)
        widths = [2.0 * dims * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)]
        return sum((width / (width + square) for width in widths), jnp.zeros_like(square)) / len(widths)

    def among(values: Array) -> Array:
        """Mean over pairs of two different rows; no pair of one row."""
        n_rows = values.shape[0]
        return jnp.sum(values * (1.0 - jnp.eye(n_rows, dtype=values.dtype))) / max(n_rows * (n_rows - 1), 1)

    own = kernel(latent, latent) * ones[:, None] * ones[None, :]
    drawn = kernel(prior_draws, prior_draws)
    across = jnp.sum(kernel(latent, prior_draws) * ones[:, None]) / (n_frames * n_draws)
    return among(own) + among(drawn) - 2.0 * across
