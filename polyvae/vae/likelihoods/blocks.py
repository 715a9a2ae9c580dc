"""A likelihood of a vector whose consecutive parts have families of their own, independent given z."""

from itertools import accumulate

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.vae.likelihoods.likelihood import Likelihood


class Blocks(Likelihood):
    """Consecutive parts of one vector, each with its own family; log-densities add.

    Attributes:
        parts: likelihood of each part, in the order of the vector and of the outputs.
    """

    parts: tuple[Likelihood, ...]

    def __check_init__(self):
        if not self.parts:
            raise InputError("`parts` must hold at least one likelihood; got none.")
        for index, part in enumerate(self.parts):
            if not isinstance(part, Likelihood):
                raise InputError(
                    f"`parts` must hold likelihoods, such as Normal.of(3); part {index} is "
                    f"{f'the class {part.__name__}' if isinstance(part, type) else repr(part)}."
                )

    @property
    def n_values(self) -> int:
        """Length of the whole vector."""
        return sum(part.n_values for part in self.parts)

    @property
    def n_outputs(self) -> int:
        """Outputs of all parts."""
        return sum(part.n_outputs for part in self.parts)

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        pieces = zip(self.parts, self._split_values(x), self._split_outputs(outputs), strict=True)
        return jnp.sum(jnp.stack([part.log_prob(values, numbers) for part, values, numbers in pieces]))

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The parts' means, one after the other."""
        pieces = zip(self.parts, self._split_outputs(outputs), strict=True)
        return jnp.concatenate([part.mean(numbers) for part, numbers in pieces])

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        keys = jax.random.split(key, len(self.parts))
        pieces = zip(self.parts, self._split_outputs(outputs), keys, strict=True)
        return jnp.concatenate([part.sample(numbers, part_key) for part, numbers, part_key in pieces])

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "Blocks":
        """The likelihood with each part refitted."""
        pieces = zip(self.parts, self._split_values(x), self._split_outputs(outputs), strict=True)
        parts = tuple(part.refitted(values, numbers, weights) for part, values, numbers in pieces)
        return eqx.tree_at(lambda tree: tree.parts, self, parts)

    def _split_values(self, x: Float[Array, "*batch values"]) -> list[Float[Array, "*batch _"]]:
        return _split(x, [part.n_values for part in self.parts])

    def _split_outputs(self, outputs: Float[Array, "*batch outputs"]) -> list[Float[Array, "*batch _"]]:
        return _split(outputs, [part.n_outputs for part in self.parts])


def _split(array: Float[Array, "*batch n"], sizes: list[int]) -> list[Float[Array, "*batch _"]]:
    return jnp.split(array, list(accumulate(sizes))[:-1], axis=-1)
