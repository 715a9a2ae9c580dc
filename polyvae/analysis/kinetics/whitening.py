r"""Linear algebra of slow modes: roots of near-singular covariances and the scores made of them, one or many at once.

A covariance is scaled to unit variances before it is taken apart, so that units of the coordinates do not matter.
Directions whose variance in that scaling is below a cutoff, relative to the largest, are dropped: they are copies of
others to the precision of the numbers, and their inverse is noise.
"""

import numpy as np

CUTOFF = 1e-8
"""Relative eigenvalue of the correlation matrix below which a direction is dropped.

float32 numbers carry a relative rounding of 6e-8, whose square is 4e-15; what coordinates lose when they are computed
leaves 1e-12 to 1e-10 in directions that should be empty.
"""


def inverse_root(covariance: np.ndarray, cutoff: float = CUTOFF) -> tuple[np.ndarray, np.ndarray]:
    """L with Lᵀ C L = 1 on the kept directions, and which they are.

    Args:
        covariance: shape (..., dims, dims).
        cutoff: relative eigenvalue below which a direction is dropped.

    Returns:
        L of shape (..., dims, dims), directions of largest eigenvalue first, dropped ones zero; and a mask of shape
        (..., dims).
    """
    scale = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 0.0))
    inverse = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
    values, vectors = np.linalg.eigh(covariance * inverse[..., :, None] * inverse[..., None, :])
    values, vectors = values[..., ::-1], vectors[..., ::-1]
    is_kept = (values > cutoff * values[..., :1]) & (values > 0)
    factors = np.where(is_kept, 1.0 / np.sqrt(np.where(is_kept, values, 1.0)), 0.0)
    return inverse[..., :, None] * vectors * factors[..., None, :], is_kept


def vamp2_of(c00: np.ndarray, c0t: np.ndarray, ctt: np.ndarray, cutoff: float = CUTOFF) -> np.ndarray:
    """VAMP-2 score, the constant function included, of covariances of shape (..., dims, dims)."""
    left, right = inverse_root(c00, cutoff)[0], inverse_root(ctt, cutoff)[0]
    koopman = np.swapaxes(left, -1, -2) @ c0t @ right
    return 1.0 + np.sum(koopman**2, axis=(-2, -1))


def vampe_of(values: np.ndarray, c00: np.ndarray, c0t: np.ndarray, ctt: np.ndarray) -> np.ndarray:
    """VAMP-E score, the constant function included, of singular values and covariances of singular functions."""
    scaled = values[:, None] * values[None, :]
    return (
        1.0
        + 2.0 * np.einsum("i,...ii->...", values, c0t)
        - np.einsum("...ij,...ji,ij->...", c00, ctt, scaled)
    )


def timescales_of(values: np.ndarray, lag_time: float) -> np.ndarray:
    """Implied timescales -τ / ln|λ|, in the unit of the lag time; NaN where |λ| is 0, or 1 and more."""
    size = np.abs(values)
    is_decaying = (size > 0) & (size < 1)
    return np.where(is_decaying, -lag_time / np.log(np.where(is_decaying, size, 0.5)), np.nan)
