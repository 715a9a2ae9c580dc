"""A few frames that stand for many: spread over latent space, each far from all others."""

import numpy as np


def representative_rows(latent: np.ndarray, most: int, *, first: np.ndarray | None = None) -> np.ndarray:
    """Rows picked by farthest-point sampling: each new one lies farthest from all that were picked before.

    Coordinates are divided by their standard deviation, so that no dimension counts for more. The picked points cover
    the cloud evenly, rare regions as well as crowded ones; they are no fair sample of it.

    Args:
        latent: points of shape (rows, latent).
        most: number to pick, fewer where points coincide.
        first: rows that are picked in any case, before all others.

    Returns:
        The rows, ascending.
    """
    points = np.asarray(latent, np.float64)
    width = points.std(axis=0)
    points = (points - points.mean(axis=0)) / np.where(width > 0, width, 1.0)
    picked = [int(np.argmin((points**2).sum(axis=1)))]
    picked = list(dict.fromkeys([*picked, *(int(row) for row in (() if first is None else first))]))[:most]
    square = np.full(len(points), np.inf)
    for row in picked:
        square = np.minimum(square, ((points - points[row]) ** 2).sum(axis=1))
    while len(picked) < min(most, len(points)):
        farthest = int(np.argmax(square))
        if square[farthest] <= 0:
            break
        picked.append(farthest)
        square = np.minimum(square, ((points - points[farthest]) ** 2).sum(axis=1))
    return np.sort(np.array(picked))


def superposed(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Frames turned and moved onto a reference by the best proper rotation, all atoms alike, centered on the origin.

    Args:
        positions: shape (frames, atoms, dims).
        reference: one frame of shape (atoms, dims), or one for each, shape (frames, atoms, dims).

    Returns:
        Shape (frames, atoms, dims), float32.
    """
    moved = np.asarray(positions, np.float64)
    moved = moved - moved.mean(axis=1, keepdims=True)
    onto = np.broadcast_to(np.asarray(reference, np.float64), moved.shape)
    onto = onto - onto.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("fad,fae->fde", moved, onto))
    # The last axis is turned back where the best orthogonal matrix would be a reflection.
    sign = np.ones(u.shape[:2])
    sign[:, -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = np.einsum("fij,fj,fjk->fik", u, sign, vt)
    return np.einsum("fad,fde->fae", moved, rotation).astype(np.float32)
