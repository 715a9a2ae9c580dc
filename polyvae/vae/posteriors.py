"""Posteriors q(z|x): normal with a diagonal or a full covariance, of one vector or of a batch of rows.

The divergence from a standard normal comes as one number a latent dimension in both cases. For a full covariance
with Cholesky factor L it is split by rows of L: the numbers are not negative and add up to the divergence.
"""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

PosteriorKind = Literal["diagonal", "full"]


class DiagonalNormal(eqx.Module):
    """Normal with independent latent dimensions.

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

    @property
    def covariance(self) -> Float[Array, "*batch latent latent"]:
        """Covariance matrix of each frame's posterior."""
        identity = jnp.eye(self.mean.shape[-1], dtype=self.mean.dtype)
        return jnp.exp(2.0 * self.log_scale)[..., None] * jnp.broadcast_to(
            identity, (*self.mean.shape, identity.shape[0])
        )

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch latent"]:
        """One draw for every frame, each with noise of its own."""
        return self.mean + self.scale * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def log_prob(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log-density of one latent point for every frame, nats."""
        return jnp.sum(self.log_prob_by_dimension(latent), axis=-1)

    def log_prob_by_dimension(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch latent"]:
        """Log-density of each marginal, nats."""
        white = (latent - self.mean) * jnp.exp(-self.log_scale)
        return -0.5 * white**2 - self.log_scale - _HALF_LOG_TWO_PI

    def kl_from_standard_normal(self) -> Float[Array, "*batch latent"]:
        r"""KL divergence from the standard normal by dimension, \((\mu^2+\sigma^2-1)/2-\log\sigma\), nats."""
        return 0.5 * (self.mean**2 + jnp.exp(2.0 * self.log_scale) - 1.0) - self.log_scale

    def divided_by(self, scale: Float[Array, " latent"]) -> "DiagonalNormal":
        """The distribution of z / scale."""
        scale = jnp.broadcast_to(scale, self.mean.shape)
        return DiagonalNormal(mean=self.mean / scale, log_scale=self.log_scale - jnp.log(scale))

    def stopped(self) -> "DiagonalNormal":
        """The same distribution, through which no gradient flows."""
        return jax.lax.stop_gradient(self)


class FullNormal(eqx.Module):
    """Normal with correlated latent dimensions.

    Attributes:
        mean: mean of each latent dimension.
        cholesky: lower Cholesky factor of the covariance.
    """

    mean: Float[Array, "*batch latent"]
    cholesky: Float[Array, "*batch latent latent"]

    @property
    def scale(self) -> Float[Array, "*batch latent"]:
        """Standard deviation of each latent dimension (of its marginal)."""
        return jnp.sqrt(jnp.sum(self.cholesky**2, axis=-1))

    @property
    def log_scale(self) -> Float[Array, "*batch latent"]:
        """Natural logarithm of `scale`."""
        return 0.5 * jnp.log(jnp.sum(self.cholesky**2, axis=-1))

    @property
    def covariance(self) -> Float[Array, "*batch latent latent"]:
        """Covariance matrix of each frame's posterior."""
        return self.cholesky @ jnp.swapaxes(self.cholesky, -1, -2)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch latent"]:
        """One draw for every frame, each with noise of its own."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.einsum("...ij,...j->...i", self.cholesky, noise)

    def log_prob(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log-density of one latent point for every frame, nats."""
        offset = (latent - self.mean)[..., None]
        white = jax.lax.linalg.triangular_solve(self.cholesky, offset, left_side=True, lower=True)[..., 0]
        return jnp.sum(-0.5 * white**2 - _HALF_LOG_TWO_PI - self._log_diagonal(), axis=-1)

    def log_prob_by_dimension(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch latent"]:
        """Log-density of each marginal, nats; they do not add up to `log_prob`."""
        return self.marginals().log_prob_by_dimension(latent)

    def marginals(self) -> DiagonalNormal:
        """The marginal of each dimension."""
        return DiagonalNormal(mean=self.mean, log_scale=self.log_scale)

    def kl_from_standard_normal(self) -> Float[Array, "*batch latent"]:
        """KL divergence from the standard normal, split by rows of the Cholesky factor, nats."""
        squares = jnp.sum(self.cholesky**2, axis=-1)
        return 0.5 * (self.mean**2 + squares - 1.0) - self._log_diagonal()

    def divided_by(self, scale: Float[Array, " latent"]) -> "FullNormal":
        """The distribution of z / scale."""
        scale = jnp.broadcast_to(scale, self.mean.shape)
        return FullNormal(mean=self.mean / scale, cholesky=self.cholesky / scale[..., :, None])

    def stopped(self) -> "FullNormal":
        """The same distribution, through which no gradient flows."""
        return jax.lax.stop_gradient(self)

    def _log_diagonal(self) -> Float[Array, "*batch latent"]:
        return jnp.log(jnp.diagonal(self.cholesky, axis1=-2, axis2=-1))


Posterior = DiagonalNormal | FullNormal


def n_posterior_numbers(kind: PosteriorKind, latent_dim: int) -> int:
    """How many numbers the encoder returns for one frame."""
    below = latent_dim * (latent_dim - 1) // 2
    return 2 * latent_dim + (below if kind == "full" else 0)


def posterior_of(kind: PosteriorKind, numbers: Float[Array, "*batch numbers"], latent_dim: int) -> Posterior:
    """The posterior that an encoder's numbers stand for.

    Args:
        kind: "diagonal" or "full".
        numbers: mean, logarithms of the standard deviations (of the factor's diagonal), and for a full covariance the
            entries of the Cholesky factor below the diagonal, row by row.
        latent_dim: number of latent dimensions.
    """
    mean = numbers[..., :latent_dim]
    log_scale = numbers[..., latent_dim : 2 * latent_dim]
    if kind == "diagonal":
        return DiagonalNormal(mean=mean, log_scale=log_scale)
    rows, columns = jnp.tril_indices(latent_dim, -1)
    shape = (*mean.shape, latent_dim)
    below = jnp.zeros(shape, mean.dtype).at[..., rows, columns].set(numbers[..., 2 * latent_dim :])
    diagonal = jnp.exp(log_scale)[..., :, None] * jnp.broadcast_to(
        jnp.eye(latent_dim, dtype=mean.dtype), shape
    )
    return FullNormal(mean=mean, cholesky=below + diagonal)
