r"""The VAMP-2 score of an encoder, differentiable: how much of the slow motion its latent keeps over a lag time.

.. math:: R_2 = 1 + \lVert C_{00}^{-1/2} C_{0\tau} C_{\tau\tau}^{-1/2} \rVert_F^2
          = 1 + \mathrm{tr}\, C_{00}^{-1} C_{0\tau} C_{\tau\tau}^{-1} C_{0\tau}^T

with mean-free covariances; the 1 is the constant function's. It is 1 for a coordinate without memory, at most 1 + the
number of dimensions, and any invertible linear map of the coordinate leaves it as it is.

The score of posterior means says nothing of their scale: a KL divergence would shrink them until they drown in the
posterior's width. Training therefore maximizes the score of draws z ~ q(z|x), whose noise at both ends of a pair is
independent: their C_{0 tau} is that of the means, C_{00} and C_{tau tau} have the mean posterior covariance added. It
reaches that of the means where posteriors are narrow, so slow motions are bought with nats of information.

Both are flat where nothing slow has been found yet: R_2 is a sum of squares of correlations, and while posteriors are
wide the draws hold little. A tenth of what training maximizes is therefore VAMP-1 of the means, the sum of the
correlations themselves (the nuclear norm in place of the squared Frobenius norm), which the same functions maximize.

References:
    Wu & Noé, Variational approach for learning Markov processes from time series data, 2020,
    doi:10.1007/s00332-019-09567-y.
    Mardt, Pasquali, Wu & Noé, VAMPnets for deep learning of molecular kinetics, 2018, doi:10.1038/s41467-017-02388-1.
    We depart from them by the posterior's noise.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae.vae.posteriors import Posterior

_RIDGE = 1e-5
"""Share of the mean variance that is added to each: a coordinate that does not move has the score 1, not NaN."""
_ROUNDING = 100.0
_OF_MEANS = 0.1


def posterior_vamp_2(
    first: Posterior, second: Posterior, weights: Float[Array, " pairs"] | None = None
) -> Float[Array, ""]:
    """What training maximizes: nine tenths VAMP-2 of draws of z, by expected covariances, and one VAMP-1 of means.

    Args:
        first: posteriors of the earlier frames.
        second: those of the later frames.
        weights: weight of each pair, at least one above zero; None counts all alike.
    """
    shares = _shares(first.mean, weights)
    noise = [jnp.tensordot(shares, posterior.covariance, axes=1) for posterior in (first, second)]
    of_draws = _whitened(first.mean, second.mean, shares, noise[0], noise[1])
    none = jnp.zeros_like(noise[0])
    of_means = _nuclear_norm(_whitened(first.mean, second.mean, shares, none, none))
    return 1.0 + (1.0 - _OF_MEANS) * jnp.sum(of_draws**2) + _OF_MEANS * of_means


def vamp_2(
    first: Float[Array, "pairs latent"],
    second: Float[Array, "pairs latent"],
    weights: Float[Array, " pairs"] | None = None,
) -> Float[Array, ""]:
    """VAMP-2 score of the values of a coordinate at both ends of pairs of frames a lag time apart.

    Args:
        first: at the earlier frames.
        second: at the later frames.
        weights: weight of each pair, at least one above zero; None counts all alike.
    """
    none = jnp.zeros((first.shape[1],) * 2, first.dtype)
    return 1.0 + jnp.sum(_whitened(first, second, _shares(first, weights), none, none) ** 2)


def _shares(values: Array, weights: Array | None) -> Float[Array, " pairs"]:
    weights = jnp.ones(len(values), values.dtype) if weights is None else weights
    return weights / jnp.sum(weights)


def _whitened(
    first: Array, second: Array, shares: Array, first_noise: Array, second_noise: Array
) -> Float[Array, "latent latent"]:
    """The lagged covariance of whitened values, up to a rotation on either side."""
    first, left = _centered_and_factor(first, shares, first_noise)
    second, right = _centered_and_factor(second, shares, second_noise)
    covariance = first.T @ (shares[:, None] * second)
    half = jax.lax.linalg.triangular_solve(left, covariance, left_side=True, lower=True)
    return jax.lax.linalg.triangular_solve(right, half.T, left_side=True, lower=True)


@jax.custom_jvp
def _nuclear_norm(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Sum of the singular values. Its gradient is U V^T, also where the SVD's own is not finite: at equal values."""
    return jnp.sum(jnp.linalg.svd(matrix, compute_uv=False))


@_nuclear_norm.defjvp
def _nuclear_norm_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    left, values, right = jnp.linalg.svd(primals[0], full_matrices=False)
    return jnp.sum(values), jnp.sum((left @ right) * tangents[0])


def _centered_and_factor(
    values: Float[Array, "pairs latent"], shares: Float[Array, " pairs"], noise: Float[Array, "latent latent"]
) -> tuple[Float[Array, "pairs latent"], Float[Array, "latent latent"]]:
    """The values around their mean, and the Cholesky factor of their covariance with noise."""
    centered = values - (shares @ values)[None, :]
    covariance = centered.T @ (shares[:, None] * centered) + noise
    # What rounding of the mean leaves of a coordinate that does not move.
    rounding = _ROUNDING * (8 * jnp.finfo(values.dtype).eps) ** 2 * (shares @ jnp.mean(values**2, axis=1))
    ridge = _RIDGE * jnp.mean(jnp.diagonal(covariance)) + rounding + jnp.finfo(values.dtype).tiny
    return centered, jnp.linalg.cholesky(covariance + ridge * jnp.eye(values.shape[1], dtype=values.dtype))
