"""A likelihood with heavy tails: frames far from the decoder's mean count for less than under a normal."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.normal import initial_log_scale

_SMALLEST_DOF = 1.0
_LARGE = 20.0


class StudentT(Likelihood):
    """Independent entries x = mean + scale · t, t from Student's distribution; the outputs are the mean.

    The degrees of freedom are 1 + exp(log_excess_dof): above 1, so that the mean exists. There is no closed-form refit.

    Attributes:
        log_scale: natural logarithm of the scale, one number or one for each entry.
        log_excess_dof: natural logarithm of the degrees of freedom above 1.
        size: length of the vector.
        learn: scale and degrees of freedom are trained; otherwise they stay as they are.
    """

    log_scale: Float[Array, ""] | Float[Array, " values"]
    log_excess_dof: Float[Array, ""]
    size: int = eqx.field(static=True)
    learn: bool = eqx.field(static=True, default=True)

    @classmethod
    def of(
        cls,
        n_values: int,
        *,
        sigma: float = 1.0,
        degrees_of_freedom: float = 5.0,
        per_feature: bool = False,
        learn: bool = True,
    ) -> "StudentT":
        """The likelihood with scale `sigma`.

        Args:
            n_values: length of the vector.
            sigma: scale; the standard deviation is sigma · sqrt(dof / (dof - 2)) above two degrees of freedom.
            degrees_of_freedom: above 1; the larger, the closer to a normal.
            per_feature: each entry has its own scale.
            learn: scale and degrees of freedom are trained.

        Raises:
            InputError: if `sigma` is not positive or `degrees_of_freedom` not above 1.
        """
        if not degrees_of_freedom > _SMALLEST_DOF:
            raise InputError(f"`degrees_of_freedom` must be above 1; got {degrees_of_freedom}.")
        log_excess = math.log(degrees_of_freedom - _SMALLEST_DOF)
        return cls(
            log_scale=initial_log_scale(n_values, sigma, per_feature=per_feature),
            log_excess_dof=jnp.asarray(log_excess, jnp.result_type(float)),
            size=n_values,
            learn=learn,
        )

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.size

    @property
    def n_outputs(self) -> int:
        """One mean for each entry."""
        return self.size

    @property
    def degrees_of_freedom(self) -> Float[Array, ""]:
        """Degrees of freedom, above 1."""
        return _SMALLEST_DOF + jnp.exp(self.log_excess_dof)

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        log_scale, dof = self.log_scale, self.degrees_of_freedom
        if not self.learn:
            log_scale, dof = jax.lax.stop_gradient((log_scale, dof))
        log_scale = jnp.broadcast_to(log_scale, x.shape)
        white = (x - outputs) * jnp.exp(-log_scale)
        normalization = _log_gamma_step(0.5 * dof) - 0.5 * jnp.log(math.pi * dof)
        tails = 0.5 * (dof + 1.0) * jnp.log1p(white**2 / dof)
        return self.size * normalization - jnp.sum(log_scale) - jnp.sum(tails)

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The outputs themselves."""
        return outputs

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        noise = jax.random.t(key, self.degrees_of_freedom, outputs.shape, outputs.dtype)
        return outputs + jnp.exp(self.log_scale) * noise


def _log_gamma_step(x: Float[Array, ""]) -> Float[Array, ""]:
    """Log Gamma(x + 1/2) - log Gamma(x), from Stirling's series where the difference would cancel."""
    large = x > _LARGE
    inverse = 1.0 / jnp.where(large, x, _LARGE)
    square = inverse**2
    series = inverse * (-1 / 8 + square * (1 / 192 + square * (-1 / 640 + square * (17 / 14336))))
    moderate = jnp.where(large, _LARGE, x)
    return jnp.where(large, series - 0.5 * jnp.log(inverse), gammaln(moderate + 0.5) - gammaln(moderate))
