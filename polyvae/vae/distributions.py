"""Log-densities and divergences, all in nats, for one vector; batch them with `jax.vmap`."""

import math

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def standard_normal_log_density(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Log-density of a standard normal vector, nats."""
    return -0.5 * jnp.sum(x**2) - x.shape[-1] * _HALF_LOG_TWO_PI


def normal_log_density(
    x: Float[Array, " n"], mean: Float[Array, " n"], log_scale: Float[Array, ""] | Float[Array, " n"]
) -> Float[Array, ""]:
    """Log-density of a normal vector with independent components, constants kept, nats.

    Args:
        x: where to evaluate.
        mean: mean of each component.
        log_scale: natural logarithm of the standard deviation, shared or per component.
    """
    log_scale = jnp.broadcast_to(log_scale, x.shape)
    return standard_normal_log_density((x - mean) * jnp.exp(-log_scale)) - jnp.sum(log_scale)


def cholesky_normal_log_density(
    x: Float[Array, " n"], mean: Float[Array, " n"], cholesky: Float[Array, "n n"]
) -> Float[Array, ""]:
    """Log-density of a normal vector whose covariance is `cholesky @ cholesky.T` (lower triangular), nats."""
    # The inverse does not depend on x: under `vmap` over x this is one triangular solve and one matrix product.
    whitening = solve_triangular(cholesky, jnp.eye(cholesky.shape[0], dtype=cholesky.dtype), lower=True)
    white = whitening @ (x - mean)
    return standard_normal_log_density(white) - jnp.sum(jnp.log(jnp.diagonal(cholesky)))


def kl_from_standard_normal(mean: Float[Array, " n"], log_scale: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""KL divergence of a diagonal normal from the standard normal, for each component, nats.

    .. math:: (\mu^2 + \sigma^2 - 1)/2 - \log\sigma
    """
    return 0.5 * (mean**2 + jnp.exp(2.0 * log_scale) - 1.0) - log_scale
