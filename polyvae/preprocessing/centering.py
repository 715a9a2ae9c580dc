"""Centers of conformations: the weighted mean position, and frames moved so that it lies at the origin.

Weights are masses (center of mass) or equal (centroid); only their ratios matter.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae._typing import Frame


def center_of_mass(positions: Frame, weights: Float[Array, " atoms"] | None = None) -> Float[Array, " dims"]:
    """Center of mass Σ w_i r_i / Σ w_i of one frame.

    Args:
        positions: one frame of shape (atoms, dims), nm or reduced units.
        weights: positive weights of shape (atoms,), such as masses in Da; None weighs all atoms equally.

    Returns:
        The center, shape (dims,), in the unit of the positions.
    """
    # Relative to one atom the sum keeps its digits however far the molecule has diffused.
    origin = positions[0]
    shifted = positions - origin[None, :]
    if weights is None:
        return origin + jnp.mean(shifted, axis=0)
    weights = weights.astype(positions.dtype)
    return origin + jnp.sum(weights[:, None] * shifted, axis=0) / jnp.sum(weights)


def center(positions: Frame, weights: Float[Array, " atoms"] | None = None) -> Frame:
    """The frame with its center of mass at the origin; arguments as in `center_of_mass`."""
    return positions - center_of_mass(positions, weights)[None, :]
