"""A network that knows what a chain in a plane is: the decoder turns latent points into turn angles and bond lengths.

    z -> perceptron -> turn angles, bond lengths -> chain -> superposed on the reference -> feature vector

It is an example of polyvae's protocol for own networks: two methods, `encode` and `decode`. The encoder sees bond
lengths, turn angles and the feature vector. Start values put the first latent dimensions on the turn angles.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.vae import MLP, ConformationModel, initialize_mlp
from polyvae.vae.posteriors import n_posterior_numbers

_BOND, _BOND_SPREAD, _ANGLE_SPREAD = 1.0, 0.2, 0.7
"""Rough mean and spread of bond lengths (σ) and spread of turn angles (radians): start values only."""


class ChainNetwork(eqx.Module):
    """Encoder and decoder of a chain of beads in two dimensions.

    Attributes:
        encoder: bond lengths, turn angles and features to the numbers of the posterior.
        decoder: latent to turn angles and bond lengths.
        basis: rows that span the coordinates left free by alignment, (features, 2 beads).
        mean: mean of the coordinates in that basis.
        scale: their divisor.
        reference: frame that chains are superposed on, (beads, 2).
        latent_dim: number of latent dimensions.
    """

    encoder: MLP
    decoder: MLP
    basis: jax.Array
    mean: jax.Array
    scale: jax.Array
    reference: jax.Array
    latent_dim: int = eqx.field(static=True)

    def encode(self, inputs: Any) -> Any:
        """Numbers of the posterior."""
        if inputs.ndim > 1:
            return jax.vmap(self.encode)(inputs)
        basis, mean, scale, reference = self._fixed()
        positions = ((inputs * scale + mean) @ basis).reshape(reference.shape)
        bonds = positions[1:] - positions[:-1]
        lengths = jnp.sqrt(jnp.sum(bonds**2, axis=1) + 1e-6)
        cross = bonds[:-1, 0] * bonds[1:, 1] - bonds[:-1, 1] * bonds[1:, 0]
        angles = jnp.arctan2(cross, jnp.sum(bonds[1:] * bonds[:-1], axis=1))
        spread = (lengths - _BOND) / _BOND_SPREAD
        numbers = self.encoder(jnp.concatenate([inputs, spread, jnp.cos(angles), jnp.sin(angles), angles]))
        direct = (angles / _ANGLE_SPREAD)[: self.latent_dim]
        # Posteriors start at a third of the prior's width: the angles are known.
        shifted = numbers.at[: len(direct)].add(direct)
        return shifted.at[self.latent_dim : 2 * self.latent_dim].add(-1.0)

    def decode(self, latent: Any) -> Any:
        """The feature vector of the chain that a latent point stands for."""
        if latent.ndim > 1:
            return jax.vmap(self.decode)(latent)
        basis, mean, scale, reference = self._fixed()
        n_angles = len(reference) - 2
        numbers = 0.3 * self.decoder(latent)
        direct = jnp.zeros(n_angles, latent.dtype).at[: min(n_angles, self.latent_dim)].set(latent[:n_angles])
        angles = _ANGLE_SPREAD * (direct + numbers[:n_angles])
        lengths = _BOND + _BOND_SPREAD * numbers[n_angles:]
        directions = jnp.concatenate([jnp.zeros(1, latent.dtype), jnp.cumsum(angles)])
        bonds = lengths[:, None] * jnp.stack([jnp.cos(directions), jnp.sin(directions)], axis=1)
        positions = jnp.concatenate([jnp.zeros((1, 2), latent.dtype), jnp.cumsum(bonds, axis=0)])
        positions = positions - jnp.mean(positions, axis=0)[None, :]
        # The rotation onto the reference, as one complex number of length one.
        along = jnp.sum(positions * reference)
        across = jnp.sum(positions[:, 0] * reference[:, 1] - positions[:, 1] * reference[:, 0])
        size = jnp.sqrt(along**2 + across**2 + 1e-4)
        cosine, sine = along / size, across / size
        turned = jnp.stack(
            [
                cosine * positions[:, 0] - sine * positions[:, 1],
                sine * positions[:, 0] + cosine * positions[:, 1],
            ],
            axis=1,
        )
        return (basis @ turned.reshape(-1) - mean) / scale

    def _fixed(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        return jax.lax.stop_gradient((self.basis, self.mean, self.scale, self.reference))


def chain_network(
    model: ConformationModel, seed: int, *, hidden: tuple[int, ...] = (128, 128)
) -> ChainNetwork:
    """A chain network with fresh weights for a model of aligned frames in two dimensions.

    Args:
        model: before training; its representation and reference are used.
        seed: of the weights.
        hidden: widths of the hidden layers.
    """
    rng = np.random.default_rng([seed, 7])
    representation, reference = model.representation, model.alignment.reference
    assert reference is not None
    n_beads, latent_dim = len(reference), model.latent_dim
    n_angles, n_bonds = n_beads - 2, n_beads - 1
    numbers = n_posterior_numbers(model.vae.posterior, latent_dim)
    n_inputs = representation.n_features + n_bonds + 3 * n_angles
    return ChainNetwork(
        encoder=initialize_mlp(rng, (n_inputs, *hidden, numbers), "silu", output_gain=0.05),
        decoder=initialize_mlp(rng, (latent_dim, *hidden, n_angles + n_bonds), "silu", output_gain=0.05),
        basis=representation.basis,
        mean=representation.mean,
        scale=representation.scale,
        reference=jnp.asarray(reference, representation.basis.dtype),
        latent_dim=latent_dim,
    )
