"""Kabsch superposition: the rotation of one frame onto a reference, and the RMSD that remains.

Rotations are proper (determinant +1): a mirror image is never turned into its original.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae._typing import Frame, Rotation
from polyvae.preprocessing.centering import center
from polyvae.preprocessing.optimal_rotation import optimal_rotation


def kabsch_rotation(
    frame: Frame, reference: Frame, weights: Float[Array, " atoms"] | None = None
) -> Rotation:
    """Rotation R that minimizes Σ_i w_i |R (x_i - x̄) - (y_i - ȳ)|².

    Where R is not unique (collinear or coincident atoms, mirror images of symmetric clouds), one of the best,
    with finite gradients; see `optimal_rotation`.

    Args:
        frame: the frame to turn, shape (atoms, dims), dims 2 or 3.
        reference: the frame to turn it onto, same shape and unit.
        weights: positive weights of shape (atoms,) for centers and fit; None weighs all atoms equally.

    Returns:
        The rotation: `center(frame, weights) @ R.T` lies on `center(reference, weights)`.
    """
    return optimal_rotation(covariance(center(frame, weights), center(reference, weights), weights))


def covariance(
    frame: Frame, reference: Frame, weights: Float[Array, " atoms"] | None
) -> Float[Array, "dims dims"]:
    """Σ_i w_i x_i ⊗ y_i of two centered frames, shape (dims, dims)."""
    if weights is not None:
        reference = reference * weights.astype(reference.dtype)[:, None]
    return jnp.matmul(frame.T, reference, precision="highest")


def kabsch_rmsd(
    x: Float[Array, "*batch atoms dims"],
    y: Float[Array, "*#batch atoms dims"],
    weights: Float[Array, " atoms"] | None = None,
) -> Float[Array, "*batch"]:
    """Root-mean-square deviation per bead after the best proper rotation and translation.

    sqrt(Σ_i w_i |R x_i + t - y_i|² / Σ_i w_i); with equal weights the definition used for every number in
    polyvae. The gradient is exact, and zero where the frames coincide.

    Args:
        x: frames of shape (..., atoms, dims), nm or reduced units.
        y: frames to compare with, of the same shape, or one frame (atoms, dims) for all.
        weights: positive weights of shape (atoms,); None weighs all atoms equally.

    Returns:
        RMSD of shape (...), in the unit of the positions.
    """
    batch, shape = x.shape[:-2], x.shape[-2:]
    y = jnp.broadcast_to(y.reshape((1,) * (x.ndim - y.ndim) + y.shape), x.shape)
    rmsd = jax.vmap(_rmsd, in_axes=(0, 0, None))(x.reshape(-1, *shape), y.reshape(-1, *shape), weights)
    return rmsd.reshape(batch)


def _rmsd(x: Frame, y: Frame, weights: Float[Array, " atoms"] | None) -> Float[Array, ""]:
    if weights is None:
        weights = jnp.ones(x.shape[0], x.dtype)
    weights = weights.astype(x.dtype)
    x, y = center(x, weights), center(y, weights)
    # At the best rotation the deviation is stationary: the gradient needs no derivative of it.
    rotation = jax.lax.stop_gradient(optimal_rotation(covariance(x, y, weights)))
    # The explicit difference keeps the digits that |x|² + |y|² - 2λ would lose on similar frames.
    turned = jnp.matmul(x, rotation.T, precision="highest")
    mean_square = jnp.sum(weights[:, None] * (turned - y) ** 2) / jnp.sum(weights)
    positive = mean_square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, mean_square, 1)), 0)
