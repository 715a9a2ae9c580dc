r"""A term in Cartesian space beside a likelihood of internal coordinates.

A likelihood of bonds, angles and torsions does not mind that a small error in one torsion swings the rest of a long
chain (the lever arm), and a free one may leave the latent unused. So training adds what a decoder of positions would
say: the log-density of the superposed frame around the mean conformation, as if its coordinates scattered with one
width, at the width that is optimal for the batch.

.. math::

    -\tfrac{f}{2} \left(\log 2\pi\sigma^2 + 1\right), \qquad
    \sigma^2 = \frac{1}{f} \langle \min_R |R\,x - \mu(z)|^2 \rangle

with f the degrees of freedom that superposition leaves. Bonds that close rings are no coordinates either: for each of
them the log-density of its length in the mean conformation is added, normal around the mean length in the data. Its
width is that of the data, or the root mean square of the batch while that is larger: a ring that is still wide open
would drown everything else.

So that the mean conformation does not shrink or flatten where positions are uncertain, the log-density of its stiff
coordinates is added as well, relative to that of their mean: lengths and stiff angles with the mean and the width of
the data, normal, stiff torsions likewise, von Mises.

All is in nats (the first term per unit of length to the power of f). In the objective the density of stiff coordinates
counts once, all else with a weight; nothing of it is part of log p(x|z).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.features.internal import InternalCoordinates, ring_lengths
from polyvae.preprocessing.kabsch import kabsch_rmsd
from polyvae.vae.likelihoods.likelihood import Likelihood

_LOG_TWO_PI = math.log(2.0 * math.pi)
_SMALLEST = 1e-12


class WithCartesianTerm(Likelihood):
    """A likelihood of internal coordinates, to which training adds the deviation of positions.

    Attributes:
        internal: the likelihood itself; densities, means and draws are its own.
        representation: of the internal coordinates; fixed.
        weight: of the Cartesian term, at least 0.
    """

    internal: Likelihood
    representation: InternalCoordinates
    weight: float = eqx.field(static=True, default=1.0)

    @property
    def n_values(self) -> int:
        """Length of the vector of internal coordinates."""
        return self.internal.n_values

    @property
    def n_outputs(self) -> int:
        """Numbers that the decoder returns for each latent point."""
        return self.internal.n_outputs

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        return self.internal.log_prob(x, outputs)

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The mean conformation."""
        return self.internal.mean(outputs)

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z)."""
        return self.internal.sample(outputs, key)

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "WithCartesianTerm":
        """The likelihood with its inner one refitted."""
        return eqx.tree_at(lambda tree: tree.internal, self, self.internal.refitted(x, outputs, weights))

    @property
    def has_agreement(self) -> bool:
        """Whether training adds `agreement` to the objective."""
        return self.weight > 0

    def agreement(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"] | None,
    ) -> Float[Array, ""]:
        """The Cartesian term times its weight, and the log-density of stiff coordinates, nats per frame."""
        representation = jax.lax.stop_gradient(self.representation)
        truth = jax.vmap(representation.placed)(x)
        means = jax.vmap(self.mean)(outputs)
        built = jax.vmap(representation.placed)(means)
        n_atoms, dims = truth.shape[1:]
        mean = _mean(n_atoms * kabsch_rmsd(built, truth) ** 2, weights)
        free = n_atoms * dims - dims * (dims + 1) // 2
        agreement = -0.5 * free * (jnp.log(mean / free + _SMALLEST) + 1.0 + _LOG_TWO_PI)
        if representation.tree.ring_bonds:
            agreement = agreement + self._closure(representation, built, weights)
        stiff = jax.vmap(lambda row: _stiff_log_density(representation, row))(means)
        return self.weight * agreement + _mean(stiff, weights)

    def _closure(
        self,
        representation: InternalCoordinates,
        built: Float[Array, "frames atoms dims"],
        weights: Float[Array, " frames"] | None,
    ) -> Float[Array, ""]:
        """Log-density of the lengths of bonds that close rings, nats per frame."""
        lengths = jax.vmap(lambda frame: ring_lengths(representation.tree, frame))(built)
        deviations = (lengths - representation.ring_mean[None, :]) / representation.ring_scale[None, :]
        square = _mean(deviations**2, weights)
        variance = jnp.maximum(square, 1.0)
        log_scale = jnp.log(representation.ring_scale) + 0.5 * jnp.log(variance)
        return jnp.sum(-0.5 * square / variance - log_scale - 0.5 * _LOG_TWO_PI)


def _stiff_log_density(
    representation: InternalCoordinates, vector: Float[Array, " values"]
) -> Float[Array, ""]:
    """Log-density of the stiff coordinates of one vector, relative to that of their mean, nats."""
    n_stiff = representation.n_stiff
    torsions = vector[n_stiff:] - representation.torsion_mean
    deviations = jnp.concatenate(
        [0.5 * vector[:n_stiff] ** 2, (1.0 - jnp.cos(torsions)) / representation.torsion_scale**2]
    )
    return -jnp.sum(jnp.where(representation.is_stiff, deviations, 0.0))


def _mean(values: Float[Array, "frames *rest"], weights: Float[Array, " frames"] | None) -> Array:
    if weights is None:
        return jnp.mean(values, axis=0)
    return jnp.tensordot(weights / jnp.sum(weights), values, axes=1)
