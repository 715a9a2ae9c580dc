"""A normal likelihood with a full covariance, for vectors whose entries err together.

References:
    Dorta et al., Structured uncertainty prediction networks, 2018, doi:10.1109/CVPR.2018.00574, for the covariance of
    a decoder through the Cholesky factor of its inverse. We depart from it: one covariance for all frames.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.errors import InputError
from polyvae.vae.distributions import standard_normal_log_density
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.normal import check_n_values


class CorrelatedNormal(Likelihood):
    """A normal vector with one full covariance for all frames; the outputs are the mean.

    The covariance is held as the lower triangular matrix W that whitens residuals, covariance = (W^T W)^-1: a
    log-density is then one product, with no factorization and no inverse.

    Attributes:
        log_diagonal: natural logarithm of the diagonal of W.
        lower: W below its diagonal; its other entries are not used.
        learn: the covariance is trained and refitted; otherwise it stays as it is.
    """

    log_diagonal: Float[Array, " values"]
    lower: Float[Array, "values values"]
    learn: bool = eqx.field(static=True, default=True)

    @classmethod
    def of(cls, n_values: int, *, sigma: float = 1.0, learn: bool = True) -> "CorrelatedNormal":
        """The likelihood of `n_values` entries, which starts as that of independent ones.

        Args:
            n_values: length of the vector.
            sigma: standard deviation of each entry to start from, or to stay at.
            learn: the covariance is trained and refitted.

        Raises:
            InputError: if `sigma` is not positive or `n_values` below 1.
        """
        check_n_values(n_values)
        return cls.isotropic(n_values, sigma=sigma, learn=learn)

    @classmethod
    def isotropic(cls, n_values: int, *, sigma: float = 1.0, learn: bool = True) -> "CorrelatedNormal":
        """The likelihood with covariance sigma² times the identity.

        Raises:
            InputError: if `sigma` is not positive.
        """
        if not sigma > 0:
            raise InputError(f"`sigma` must be positive; got {sigma}. It is a standard deviation.")
        dtype = jnp.result_type(float)
        return cls(
            log_diagonal=jnp.full(n_values, -math.log(sigma), dtype),
            lower=jnp.zeros((n_values, n_values), dtype),
            learn=learn,
        )

    @classmethod
    def from_covariance(
        cls, covariance: Float[np.ndarray, "values values"], *, learn: bool = True
    ) -> "CorrelatedNormal":
        """The likelihood with this covariance.

        Args:
            covariance: symmetric and positive definite.
            learn: the covariance is trained and refitted.

        Raises:
            InputError: if `covariance` is not symmetric or not positive definite.
        """
        covariance = np.asarray(covariance, np.float64)
        if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=1e-9 * np.abs(covariance).max()):
            raise InputError("`covariance` must be symmetric; it differs from its transpose.")
        try:
            cholesky = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError as error:
            smallest = np.linalg.eigvalsh(covariance)[0]
            raise InputError(
                f"`covariance` must be positive definite; its smallest eigenvalue is {smallest:.3g}. Estimate it from "
                "more frames than it has rows, or use LowRankNormal."
            ) from error
        whitening = np.linalg.inv(cholesky)
        dtype = jnp.result_type(float)
        return cls(
            log_diagonal=device_array(np.log(np.diagonal(whitening)), dtype),
            lower=device_array(np.tril(whitening, -1), dtype),
            learn=learn,
        )

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.log_diagonal.shape[0]

    @property
    def n_outputs(self) -> int:
        """One mean for each entry."""
        return self.n_values

    @property
    def whitening(self) -> Float[Array, "values values"]:
        """The lower triangular W: W (x - mean) is standard normal."""
        return jnp.tril(self.lower, -1) + jnp.diag(jnp.exp(self.log_diagonal))

    @property
    def covariance(self) -> Float[Array, "values values"]:
        """Covariance of x given z."""
        identity = jnp.eye(self.n_values, dtype=self.lower.dtype)
        root = solve_triangular(self.whitening, identity, lower=True)
        return jnp.matmul(root, root.T, precision="highest")

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        whitening, log_diagonal = self.whitening, self.log_diagonal
        if not self.learn:
            whitening, log_diagonal = jax.lax.stop_gradient((whitening, log_diagonal))
        white = jnp.matmul(whitening, x - outputs, precision="highest")
        return standard_normal_log_density(white) + jnp.sum(log_diagonal)

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The outputs themselves."""
        return outputs

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        noise = jax.random.normal(key, outputs.shape, outputs.dtype)
        return outputs + solve_triangular(self.whitening, noise, lower=True)

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "CorrelatedNormal":
        """The likelihood whose covariance is the weighted second moment of the residuals.

        A second moment that is not positive definite to rounding (fewer frames than entries, entries that depend on
        each other) has no finite optimum, and the old covariance stays. The measure is the share of the variance of
        each entry that the entries before it leave unexplained: it must exceed `n_values` machine epsilons.
        """
        if not self.learn:
            return self
        residuals = (x - outputs) * jnp.sqrt(weights / jnp.sum(weights))[:, None]
        moment = jnp.matmul(residuals.T, residuals, precision="highest")
        cholesky = jnp.linalg.cholesky(moment)
        unexplained = jnp.diagonal(cholesky) ** 2 / jnp.diagonal(moment)
        # A failed factorization is NaN, which exceeds nothing.
        definite = jnp.all(unexplained > self.n_values * jnp.finfo(moment.dtype).eps)
        identity = jnp.eye(self.n_values, dtype=moment.dtype)
        whitening = solve_triangular(jnp.where(definite, cholesky, identity), identity, lower=True)
        return eqx.tree_at(
            lambda tree: (tree.log_diagonal, tree.lower),
            self,
            (
                jnp.where(definite, jnp.log(jnp.diagonal(whitening)), self.log_diagonal),
                jnp.where(definite, jnp.tril(whitening, -1), self.lower),
            ),
        )
