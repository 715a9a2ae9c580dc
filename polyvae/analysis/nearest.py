"""The nearest frames by Kabsch RMSD, among thousands: tiles of RMSD matrices without turning a single frame.

For centered frames the RMSD after the best rotation is sqrt((|x|² + |y|² - 2λ) / N). In three dimensions λ is the
largest root of a quartic in the entries of the covariance S = Σ_i x_i ⊗ y_i, found by Newton steps from above; in two
it is the length of (Σ x·y, Σ x×y). float32 loses digits of λ where frames nearly coincide or lie on a line: the
nearest frame is found with it, and measured once more with all digits.

References:
    Theobald, Acta Cryst. A 61, 478 (2005), doi:10.1107/S0108767305015266.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae.preprocessing import kabsch_rmsd
from polyvae.trajectory.mapped import release

_QUERIES, _TARGETS = 64, 1024
_NEWTON_STEPS = 16


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
    n_found = len(conformations)
    queries = _padded(conformations, _QUERIES)
    blocks = queries.reshape(-1, _QUERIES, *queries.shape[1:])
    best_square, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for start in range(0, len(frames), _TARGETS):
        targets = _padded(frames[start : start + _TARGETS], _TARGETS)
        tiles = [_tile(block, targets) for block in blocks]
        square, place = (np.concatenate([np.asarray(tile[part]) for tile in tiles]) for part in (0, 1))
        better = square < best_square
        index = np.where(better, start + np.minimum(place, len(frames) - 1 - start), index)
        best_square = np.where(better, square, best_square)
        release(frames)
    winners = [
        _exact(block, _padded(frames[chosen], 1))
        for block, chosen in zip(blocks, index.reshape(-1, _QUERIES), strict=True)
    ]
    rmsd = np.concatenate([np.asarray(part, np.float64) for part in winners])
    return index[:n_found], rmsd[:n_found]


@jax.jit
def _tile(
    queries: Float[Array, "queries atoms dims"], targets: Float[Array, "targets atoms dims"]
) -> tuple[Array, Array]:
    """Squared RMSD from the nearest target, and which one it is."""
    covariance = jnp.einsum("qan,tam->nmqt", queries, targets, precision="highest")
    first, second = (jnp.sum(frames**2, axis=(1, 2)) for frames in (queries, targets))
    # λ is at most the mean of the two sizes; lengths in its unit start Newton's steps at one.
    bound = 0.5 * (first[:, None] + second[None, :])
    bound = jnp.where(bound > 0, bound, jnp.ones_like(bound))
    root = _largest_root(covariance / bound[None, None])
    square = 2 * bound * (1 - root) / queries.shape[1]
    return jnp.min(square, axis=1), jnp.argmin(square, axis=1)


def _largest_root(covariance: Float[Array, "dims dims queries targets"]) -> Float[Array, "queries targets"]:
    """λ of each covariance, where it is known to be at most one."""
    if covariance.shape[0] == 2:
        (xx, xy), (yx, yy) = covariance
        return jnp.sqrt((xx + yy) ** 2 + (xy - yx) ** 2)
    (a, b, c), (d, e, f), (g, h, i) = covariance
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    product = jnp.einsum("knqt,kmqt->nmqt", covariance, covariance)
    trace = product[0, 0] + product[1, 1] + product[2, 2]
    constant = 2 * jnp.sum(product**2, axis=(0, 1)) - trace**2

    def step(_: Array, root: Array) -> Array:
        value = ((root**2 - 2 * trace) * root - 8 * determinant) * root + constant
        slope = 4 * (root**2 - trace) * root - 8 * determinant
        rises = slope > 0
        # Above the largest root both are positive, and a step never leads below it but by rounding.
        return jnp.where(rises, root - value / jnp.where(rises, slope, jnp.ones_like(slope)), root)

    return jax.lax.fori_loop(0, _NEWTON_STEPS, step, jnp.ones_like(trace))


_exact = jax.jit(partial(kabsch_rmsd, weights=None))


def _padded(frames: np.ndarray, multiple: int) -> np.ndarray:
    """Centered frames, the last repeated until their number is a multiple: one compilation serves all sizes."""
    frames = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64).astype(frames.dtype)
    missing = -len(frames) % multiple
    return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
