"""A likelihood of classes: a base pair open or closed, a residue's rotamer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.vae.likelihoods.likelihood import Likelihood

_SUM_TOLERANCE = 1e-4


class Categorical(Likelihood):
    """One of several classes, as a one-hot vector; the outputs are log-probabilities up to a constant (logits).

    Soft assignments, probabilities that sum to one, are scored by their expected log-probability.

    Attributes:
        n_classes: number of classes.
    """

    n_classes: int = eqx.field(static=True)

    def __check_init__(self):
        if self.n_classes < 2:
            raise InputError(
                f"`n_classes` must be at least 2; got {self.n_classes}. One class has nothing to tell."
            )

    @property
    def n_values(self) -> int:
        """Number of classes."""
        return self.n_classes

    @property
    def n_outputs(self) -> int:
        """One logit for each class."""
        return self.n_classes

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        return jnp.sum(x * jax.nn.log_softmax(outputs))

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """Probability of each class."""
        return jax.nn.softmax(outputs)

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One class drawn, as a one-hot vector."""
        return jax.nn.one_hot(jax.random.categorical(key, outputs), self.n_classes, dtype=outputs.dtype)


def check_one_hot(x: Float[np.ndarray, "frames classes"], name: str = "x") -> None:
    """Raise an `InputError` unless each row is a distribution over classes: no entry below 0, sum 1 to 1e-4.

    Args:
        x: one-hot rows, or probabilities.
        name: what the message calls them.

    Raises:
        InputError: names the first row that is none.
    """
    good = np.all(x >= 0, axis=1) & (np.abs(np.sum(x, axis=1, dtype=np.float64) - 1.0) <= _SUM_TOLERANCE)
    if not np.all(good):
        row = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"`{name}` must hold one-hot rows, or probabilities that sum to 1; row {row} has the sum "
            f"{np.sum(x[row]):.6g} and the smallest entry {np.min(x[row]):.6g}. Encode classes as one-hot vectors."
        )
