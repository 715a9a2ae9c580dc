"""A normal likelihood whose entries err together in a few directions, for vectors too long for a full covariance.

References:
    Tipping & Bishop, Probabilistic principal component analysis, J. R. Stat. Soc. B 61, 611 (1999),
    doi:10.1111/1467-9868.00196, for the estimate from a second moment. We depart from it: the remainder has a variance
    of its own for each entry, as in factor analysis.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.errors import InputError
from polyvae.vae.distributions import standard_normal_log_density
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.normal import initial_log_scale

SMALLEST_REMAINDER = 1e-6
"""An estimate leaves each entry at least this share of its variance outside the common directions."""


class LowRankNormal(Likelihood):
    """A normal vector with covariance diag(exp(2 log_scale)) + factor factor^T; the outputs are the mean.

    Work and memory grow with n_values · rank. A factor of zeros stays zero in training: its gradient is zero there.

    Attributes:
        log_scale: natural logarithm of each entry's standard deviation outside the common directions.
        factor: common directions, columns.
        learn: both are trained; otherwise they stay as they are.
    """

    log_scale: Float[Array, " values"]
    factor: Float[Array, "values rank"]
    learn: bool = eqx.field(static=True, default=True)

    @classmethod
    def of(cls, n_values: int, *, rank: int, sigma: float = 1.0, learn: bool = True) -> "LowRankNormal":
        """The likelihood of `n_values` entries, which starts close to that of independent ones.

        The factor starts at a tenth of `sigma` in the first `rank` entries: from zeros it would not move.

        Args:
            n_values: length of the vector.
            rank: number of common directions, below n_values.
            sigma: standard deviation of each entry to start from, or to stay at.
            learn: both parts of the covariance are trained.

        Raises:
            InputError: if `sigma` is not positive or `rank` does not fit.
        """
        log_scale = initial_log_scale(n_values, sigma, per_feature=True)
        _check_rank(rank, n_values)
        factor = device_array(0.1 * sigma * np.eye(n_values, rank), log_scale.dtype)
        return cls(log_scale=log_scale, factor=factor, learn=learn)

    @classmethod
    def from_moment(
        cls, second_moment: Float[np.ndarray, "values values"], rank: int, *, learn: bool = True
    ) -> "LowRankNormal":
        """An estimate from the second moment of residuals that keeps the variance of each entry.

        The factor is Q (L - l)^(1/2): the `rank` leading eigenvectors and eigenvalues, less the mean l of the other
        eigenvalues. The diagonal is what is left of each variance, at least `SMALLEST_REMAINDER` of it. This is the
        maximum of the likelihood where the other eigenvalues are equal, a good start elsewhere.

        Args:
            second_moment: of the residuals x - mean, shape (n_values, n_values).
            rank: number of common directions, below n_values.
            learn: the estimate is trained further.

        Raises:
            InputError: if `rank` does not fit, or an entry has no variance.
        """
        moment = np.asarray(second_moment, np.float64)
        n_values = len(moment)
        _check_rank(rank, n_values)
        variance = np.diagonal(moment)
        if not np.all(variance > 0):
            first = int(np.flatnonzero(~(variance > 0))[0])
            raise InputError(
                f"`second_moment` must have a positive diagonal; entry {first} has {variance[first]:.3g}. "
                "Leave out entries that don't vary."
            )
        values, vectors = np.linalg.eigh((moment + moment.T) / 2)
        noise = max(float(np.mean(values[:-rank])), 0.0)
        factor = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:] - noise, 0.0))
        remainder = np.maximum(variance - np.sum(factor**2, axis=1), SMALLEST_REMAINDER * variance)
        dtype = jnp.result_type(float)
        return cls(
            log_scale=jnp.asarray(0.5 * np.log(remainder), dtype),
            factor=jnp.asarray(factor, dtype),
            learn=learn,
        )

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.log_scale.shape[0]

    @property
    def n_outputs(self) -> int:
        """One mean for each entry."""
        return self.n_values

    @property
    def covariance(self) -> Float[Array, "values values"]:
        """Covariance of x given z."""
        common = jnp.matmul(self.factor, self.factor.T, precision="highest")
        return jnp.diag(jnp.exp(2.0 * self.log_scale)) + common

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        log_scale, factor = self.log_scale, self.factor
        if not self.learn:
            log_scale, factor = jax.lax.stop_gradient((log_scale, factor))
        inverse_scale = jnp.exp(-log_scale)
        white = (x - outputs) * inverse_scale
        white_factor = factor * inverse_scale[:, None]
        identity = jnp.eye(factor.shape[1], dtype=factor.dtype)
        capacitance = identity + jnp.matmul(white_factor.T, white_factor, precision="highest")
        cholesky = jnp.linalg.cholesky(capacitance)
        projected = jnp.matmul(white_factor.T, white, precision="highest")
        common = cho_solve((cholesky, True), projected)
        # r·(1 + B B^T)^-1 r as a sum of squares, in which nothing cancels.
        rest = white - jnp.matmul(white_factor, common, precision="highest")
        log_determinant = jnp.sum(log_scale) + jnp.sum(jnp.log(jnp.diagonal(cholesky)))
        return standard_normal_log_density(rest) - 0.5 * jnp.sum(common**2) - log_determinant

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The outputs themselves."""
        return outputs

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        own_key, common_key = jax.random.split(key)
        own = jax.random.normal(own_key, outputs.shape, outputs.dtype) * jnp.exp(self.log_scale)
        common = jax.random.normal(common_key, (self.factor.shape[1],), outputs.dtype)
        return outputs + own + jnp.matmul(self.factor, common, precision="highest")


def _check_rank(rank: int, n_values: int) -> None:
    if not 0 < rank < n_values:
        raise InputError(f"`rank` must be between 1 and n_values - 1 = {n_values - 1}; got {rank}.")
