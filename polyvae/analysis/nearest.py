"""The frame of a trajectory nearest to each of some conformations, by Kabsch RMSD.

All pairs are compared: the covariance of a conformation with a frame gives their best rotation and how well it fits,
and the covariances of many pairs are one matrix product. The RMSD itself is computed anew for the winners, since
the difference of large squares loses digits for similar frames.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae.preprocessing import kabsch_rmsd
from polyvae.preprocessing.optimal_rotation import optimal_rotation

_PAIRS = 200_000


def nearest_frames(
    conformations: Float[np.ndarray, "found atoms dims"],
    frames: Float[np.ndarray, "frames atoms dims"],
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest frame of each conformation, and the RMSD from it.

    Args:
        conformations: any orientation, in the unit of the frames.
        frames: of the same atoms, at least one.

    Returns:
        Indices and RMSD, both of shape (found,).
    """
    size = max(1, min(len(frames), _PAIRS // max(len(conformations), 1)))
    found = jnp.asarray(conformations)
    best_square = np.full(len(conformations), np.inf)
    index = np.zeros(len(conformations), np.int64)
    for start in range(0, len(frames), size):
        # The last chunk overlaps the one before it: one shape, compiled once.
        start = min(start, len(frames) - size)
        squares = _squares(found, jnp.asarray(frames[start : start + size], found.dtype))
        chosen = np.asarray(jnp.argmin(squares, axis=0))
        square = np.asarray(jnp.min(squares, axis=0), np.float64)
        better = square < best_square
        index = np.where(better, start + chosen, index)
        best_square = np.where(better, square, best_square)
    return index, np.asarray(kabsch_rmsd(found, jnp.asarray(frames[index], found.dtype)))


@jax.jit
def _squares(
    found: Float[Array, "found atoms dims"], frames: Float[Array, "frames atoms dims"]
) -> Float[Array, "frames found"]:
    """Sums of squared deviations at the best rotation, up to rounding."""
    found = found - jnp.mean(found, axis=1, keepdims=True)
    frames = frames - jnp.mean(frames, axis=1, keepdims=True)
    covariances = jnp.einsum("kai,faj->fkij", found, frames, precision="highest")
    dims = found.shape[2]
    flat = covariances.reshape(-1, dims, dims)
    rotations = jax.vmap(optimal_rotation)(flat)
    overlap = jnp.einsum("pij,pji->p", rotations, flat, precision="highest").reshape(covariances.shape[:2])
    own = jnp.sum(frames**2, axis=(1, 2))[:, None] + jnp.sum(found**2, axis=(1, 2))[None, :]
    return own - 2.0 * overlap
