"""Normal likelihoods with independent entries: widths that all frames share, or widths of each frame."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.errors import InputError
from polyvae.vae.distributions import normal_log_density
from polyvae.vae.likelihoods.likelihood import Likelihood

_LARGEST_LOG_SCALE = 10.0


class Normal(Likelihood):
    """Independent normal entries; the outputs are the mean, the width is shared by all frames.

    With a learned width this is the sigma-VAE (Rybkin et al. 2021, arXiv:2006.13202).

    Attributes:
        log_scale: natural logarithm of the standard deviation, one number or one for each entry.
        size: length of the vector.
        learn: the width is trained and refitted; otherwise it stays as it is.
    """

    log_scale: Float[Array, ""] | Float[Array, " values"]
    size: int = eqx.field(static=True)
    learn: bool = eqx.field(static=True, default=True)

    @classmethod
    def of(
        cls, n_values: int, *, sigma: float = 1.0, per_feature: bool = False, learn: bool = True
    ) -> "Normal":
        """The likelihood with standard deviation `sigma`.

        Args:
            n_values: length of the vector.
            sigma: standard deviation to start from, or to stay at.
            per_feature: each entry has its own width.
            learn: the width is trained and refitted.

        Raises:
            InputError: if `sigma` is not positive.
        """
        return cls(
            log_scale=initial_log_scale(n_values, sigma, per_feature=per_feature), size=n_values, learn=learn
        )

    @classmethod
    def squared_error(cls, n_values: int) -> "Normal":
        """The likelihood with -log p = |x - mean|² + (n_values / 2) log(pi): the fixed width 1/sqrt(2)."""
        return cls.of(n_values, sigma=math.sqrt(0.5), learn=False)

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.size

    @property
    def n_outputs(self) -> int:
        """One mean for each entry."""
        return self.size

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        log_scale = self.log_scale if self.learn else jax.lax.stop_gradient(self.log_scale)
        return normal_log_density(x, outputs, log_scale)

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The outputs themselves."""
        return outputs

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        noise = jax.random.normal(key, outputs.shape, outputs.dtype)
        return outputs + jnp.exp(self.log_scale) * noise

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "Normal":
        """The likelihood whose width is the weighted root-mean-square residual, of all entries or of each.

        Where every residual is zero no finite width is best, and the old one stays.
        """
        if not self.learn:
            return self
        square = jnp.matmul(weights / jnp.sum(weights), (x - outputs) ** 2, precision="highest")
        if self.log_scale.ndim == 0:
            square = jnp.mean(square)
        log_scale = jnp.where(square == 0, self.log_scale, 0.5 * jnp.log(jnp.where(square == 0, 1.0, square)))
        return eqx.tree_at(lambda tree: tree.log_scale, self, log_scale)


class PerFrameNormal(Likelihood):
    """Independent normal entries; the outputs are the mean and the width of this frame.

    After the mean come the numbers r that give the width: log(sigma) = 10 tanh(r / 10). That is r itself while r is
    small, and keeps sigma between exp(-10) and exp(10): without a bound the density of a frame that the decoder
    reproduces exactly grows without limit, and training with it.

    Attributes:
        size: length of the vector.
        per_feature: a width for each entry; otherwise one for the frame.
    """

    size: int = eqx.field(static=True)
    per_feature: bool = eqx.field(static=True, kw_only=True)

    @classmethod
    def of(cls, n_values: int, *, per_feature: bool = False) -> "PerFrameNormal":
        """The likelihood of `n_values` entries.

        Args:
            n_values: length of the vector.
            per_feature: a width for each entry; otherwise one for the frame.

        Raises:
            InputError: if `n_values` is below 1.
        """
        check_n_values(n_values)
        return cls(n_values, per_feature=per_feature)

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.size

    @property
    def n_outputs(self) -> int:
        """The mean, then one number for the width, or one for each entry."""
        return 2 * self.size if self.per_feature else self.size + 1

    def log_scale(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """Natural logarithm of the standard deviation of each entry."""
        bounded = _LARGEST_LOG_SCALE * jnp.tanh(outputs[self.size :] / _LARGEST_LOG_SCALE)
        return jnp.broadcast_to(bounded, (self.size,))

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        return normal_log_density(x, self.mean(outputs), self.log_scale(outputs))

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The first `n_values` outputs."""
        return outputs[: self.size]

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        noise = jax.random.normal(key, (self.size,), outputs.dtype)
        return self.mean(outputs) + jnp.exp(self.log_scale(outputs)) * noise


def check_n_values(n_values: int) -> None:
    """Raise an `InputError` unless a vector has entries."""
    if n_values < 1:
        raise InputError(f"`n_values` must be at least 1, the length of the vector; got {n_values}.")


def initial_log_scale(
    n_values: int, sigma: float, *, per_feature: bool
) -> Float[Array, ""] | Float[Array, " values"]:
    """Logarithm of a standard deviation, for one width that all entries share or for one of each entry.

    Raises:
        InputError: if `sigma` is not positive or `n_values` below 1.
    """
    check_n_values(n_values)
    if not sigma > 0:
        raise InputError(f"`sigma` must be positive; got {sigma}. It is a standard deviation.")
    shape = (n_values,) if per_feature else ()
    return device_array(np.full(shape, math.log(sigma)), jnp.result_type(float))
