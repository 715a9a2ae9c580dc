"""Observables: differentiable functions of the positions of one frame.

All are invariant to rotation and translation, and have finite gradients where the textbook formula has none (a
distance at zero). Batch them with `jax.vmap`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polyvae._typing import Frame


def safe_norm(vectors: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
    """Euclidean length over the last axis, with gradient zero (not NaN) at length zero.

    Args:
        vectors: any batch of vectors.

    Returns:
        Lengths, in the unit of the vectors.
    """
    square = jnp.sum(vectors**2, axis=-1)
    is_zero = square == 0
    # The inner `where` keeps the square root, whose derivative is infinite at zero, away from zero.
    return jnp.where(
        is_zero, jnp.zeros_like(square), jnp.sqrt(jnp.where(is_zero, jnp.ones_like(square), square))
    )


def pair_distances(frame: Frame, pairs: Int[Array, "pairs 2"]) -> Float[Array, " pairs"]:
    """Distances of the chosen atom pairs of one frame, in the unit of the positions.

    Periodic images are not considered: molecules are made whole when a trajectory is read.

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        pairs: zero-based atom indices.
    """
    return safe_norm(frame[pairs[:, 0]] - frame[pairs[:, 1]])


def end_to_end_distance(frame: Frame) -> Float[Array, ""]:
    """Distance of the first from the last atom, in the unit of the positions."""
    return safe_norm(frame[-1] - frame[0])


def radius_of_gyration(frame: Frame, masses: Float[Array, " atoms"] | None = None) -> Float[Array, ""]:
    r"""Radius of gyration of one frame, in the unit of the positions.

    .. math:: R_g = \sqrt{\sum_i m_i |r_i - r_{com}|^2 / \sum_i m_i}

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        masses: any positive weights, or None for equal ones.
    """
    if masses is None:
        masses = jnp.ones(frame.shape[0], frame.dtype)
    weights = (masses / jnp.sum(masses)).astype(frame.dtype)
    centered = frame - (weights @ frame)[None, :]
    return safe_norm((jnp.sqrt(weights)[:, None] * centered).reshape(-1))
