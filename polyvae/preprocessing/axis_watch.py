"""Frames whose principal axes are nearly undetermined, and frames where they flip, found chunk by chunk in NumPy.

A flip is a jump of the description, not of the molecule: the axes of a frame point along the same lines as those of the
frame before, but in another order or the other way. Frames are compared in their own axes, so that tumbling does not
matter. Of all right-handed choices of order and direction (24 in three dimensions, 4 in two) one brings a frame nearest
to the one before. If the choice of `principal_axes` makes the step at least twice as long, the axes have flipped.
Neighbors that have little in common do not flip: no choice brings them together.
"""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int

from polyvae.preprocessing.align import SMALLEST_GAP
from polyvae.preprocessing.tracking import signed_permutations
from polyvae.trajectory.frame_checks import about_center, atom_means

_STEP = 2.0
"""How many times longer than it need be a step is that counts as a flip."""


class AxisWatch:
    """Takes frames in order and keeps the numbers of those whose axes are degenerate or flip."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._last_frame = -1
        self.degenerate: list[int] = []
        self.flips: list[int] = []

    def begin_simulation(self) -> None:
        """Says that another simulation begins with the next frame."""
        self._last = None

    def add(
        self, positions: Float[np.ndarray, "frames atoms dims"], frames: Int[np.ndarray, " frames"]
    ) -> None:
        """Takes the next frames and their numbers; frames whose numbers do not follow each other are not compared."""
        canonical, gap = own_axes(positions)
        is_degenerate = gap < SMALLEST_GAP
        self.degenerate += frames[is_degenerate].tolist()
        if self._last is not None:
            canonical = np.concatenate([self._last, canonical])
            frames = np.concatenate([[self._last_frame], frames])
        self._last, self._last_frame = canonical[-1:], int(frames[-1])
        follows = np.diff(frames) == 1
        self.flips += frames[1:][follows & _flipped(canonical)].tolist()


def own_axes(
    positions: Float[np.ndarray, "frames atoms dims"],
) -> tuple[Float[np.ndarray, "frames atoms dims"], Float[np.ndarray, " frames"]]:
    """Frames in their principal axes by the rule of `principal_axes`, and the smallest gap between two moments.

    The gap is that of `moment_gap`, over the sum of the moments.
    """
    centered = about_center(positions)
    dims = positions.shape[2]
    tensors = np.matmul(centered.transpose(0, 2, 1), centered).astype(np.float64)
    values, vectors = np.linalg.eigh(tensors)
    gap = np.diff(values, axis=1).min(axis=1) / np.maximum(values.sum(axis=1), 1e-30)
    axes = vectors[:, :, ::-1].astype(np.float32)
    canonical = np.matmul(centered, axes)
    signs = _signs(canonical)
    # The last axis makes the rotation proper.
    signs[:, -1] = np.sign(np.linalg.det(axes)) * signs[:, : dims - 1].prod(axis=1)
    return canonical * signs[:, None], gap


def _signs(projections: Float[np.ndarray, "frames atoms dims"]) -> Float[np.ndarray, "frames dims"]:
    """Sign of each axis by the rule of `principal_axes`, but for the last."""
    squares = projections * projections
    second, third = atom_means(squares), atom_means(squares * projections)
    symmetric = np.abs(third) <= np.finfo(np.float32).eps ** 0.5 * second**1.5
    if symmetric.any():
        off_center = np.argmax(np.abs(projections) > 0.1 * np.sqrt(second)[:, None], axis=1)
        first = np.take_along_axis(projections, off_center[:, None], axis=1)[:, 0]
        third = np.where(symmetric, first, third)
    return np.where(third < 0, -1, 1).astype(np.float32)


_choices = cache(signed_permutations)


def _flipped(canonical: Float[np.ndarray, "frames atoms dims"]) -> Bool[np.ndarray, " steps"]:
    """Whether each frame but the first has flipped beside the one before."""
    choices = _choices(canonical.shape[2])
    overlap = np.matmul(canonical[1:].transpose(0, 2, 1), canonical[:-1]).astype(np.float64)
    sizes = np.einsum("fai,fai->f", canonical, canonical).astype(np.float64)
    both = sizes[1:] + sizes[:-1]
    agreement = overlap.reshape(-1, choices[0].size) @ choices.reshape(len(choices), -1).T
    nearest = agreement.max(axis=1)
    as_chosen = np.trace(overlap, axis1=1, axis2=2)
    # Differences of large numbers: what is left of equal frames is rounding.
    shortest = np.maximum(both - 2 * nearest, 1e-6 * both)
    return both - 2 * as_chosen >= _STEP**2 * shortest
