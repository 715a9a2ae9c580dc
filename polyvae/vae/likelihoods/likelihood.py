"""The interface of likelihoods: what the decoder's numbers mean.

A decoder returns a vector of numbers for each latent point, the outputs. A likelihood turns them into a probability
distribution p(x|z) of a vector x: its log-density, its mean, a draw from it. Everything is written for one vector;
batch it with `jax.vmap`. Log-densities are in nats, constants kept, sums over the entries of the vector.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Likelihood(eqx.Module):
    """A family of distributions p(x|z) with the decoder's outputs as parameters.

    What all frames share (a width, a covariance) is an array of the likelihood itself, trained with the networks.
    """

    @property
    @abstractmethod
    def n_values(self) -> int:
        """Length of the vector x."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Numbers that the decoder returns for each latent point."""

    @abstractmethod
    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""

    @abstractmethod
    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """Mean of p(x|z); the mean direction for angles, the probabilities for classes."""

    @abstractmethod
    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""

    @property
    def has_agreement(self) -> bool:
        """Whether training adds `agreement` to the objective."""
        return False

    def agreement(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"] | None,
    ) -> Float[Array, ""]:
        """What training adds to the objective beyond the log-density, its weight included, nats per frame.

        Args:
            x: vectors.
            outputs: the decoder's outputs for a latent point of each.
            weights: weight of each frame, or None for equal ones.
        """
        del outputs, weights
        return jnp.zeros((), x.dtype)

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "Likelihood":
        """The likelihood whose shared numbers maximize the weighted log-likelihood of these frames, in closed form.

        Families whose optimum has no closed form return themselves unchanged.

        Args:
            x: vectors.
            outputs: the decoder's outputs for a latent point of each.
            weights: weight of each frame, not negative; their sum does not matter.
        """
        del x, outputs, weights
        return self
