"""Principal axes that follow a trajectory: of the equivalent axes, those nearest to the previous frame.

Principal axes are determined up to order and sign, 24 right-handed choices in three dimensions and 4 in
two. Choosing by the previous frame removes the sudden flips and swaps of the per-frame rule, at a price:
the result depends on the path, axes are no longer ordered by their moments, and no frame can be aligned on
its own, so a model cannot use it for a single conformation. Where two moments coincide the axes themselves
turn freely in their plane; no choice among them helps, and such frames are reported.
"""

from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from polyvae._typing import Frames
from polyvae.errors import InputError
from polyvae.preprocessing.align import padded_chunks
from polyvae.preprocessing.alignment import Alignment
from polyvae.preprocessing.alignment_report import AlignmentReport
from polyvae.preprocessing.fit_alignment import fit_alignment
from polyvae.preprocessing.rigid_motion import RigidMotion


def track_principal_axes(
    positions: Any,
    *,
    weights: Any | None = None,
    segments: Sequence[int] | None = None,
) -> tuple[Float[np.ndarray, "frames atoms dims"], AlignmentReport]:
    """Frames in principal axes that follow the trajectory, and the frames whose axes are nearly undetermined.

    The first frame of each segment takes the per-frame rule of `principal_axes`; nothing is remembered across
    a join.

    Args:
        positions: positions of shape (frames, atoms, dims), nm or reduced units, in order of time.
        weights: positive weights of shape (atoms,), such as masses in Da; None weighs all atoms equally.
        segments: lengths of the joined simulations; None for a single one.

    Returns:
        Canonical positions of the same shape, and the report.

    Raises:
        InputError: if `segments` do not sum to the number of frames; else as `fit_alignment`.
    """
    positions = np.asarray(positions)
    alignment, report = fit_alignment(positions, method="principal_axes", weights=weights)
    n_frames = len(positions)
    lengths = [n_frames] if segments is None else [int(length) for length in segments]
    if sum(lengths) != n_frames or min(lengths) < 1:
        raise InputError(
            f"`segments` must be positive and sum to the number of frames, {n_frames}; got {tuple(lengths)}."
        )
    starts = np.zeros(n_frames, bool)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    # Frames in their own axes differ from the laboratory by a motion; only the rotations need a memory.
    parts = [_motions(alignment, jnp.asarray(chunk)) for chunk in padded_chunks(positions)]
    rotations = jnp.concatenate([part.rotation for part in parts])[:n_frames]
    centers = np.concatenate([part.center for part in parts])[:n_frames]
    nearest = np.asarray(_follow(rotations, jnp.asarray(starts)))
    aligned = np.matmul(positions - centers[:, None, :], np.swapaxes(nearest, 1, 2))
    return aligned.astype(centers.dtype), report


@eqx.filter_jit
def _motions(alignment: Alignment, chunk: Frames) -> RigidMotion:
    return jax.vmap(alignment.motion)(chunk)


@jax.jit
def _follow(
    rotations: Float[Array, "frames dims dims"], starts: Bool[Array, " frames"]
) -> Float[Array, "frames dims dims"]:
    """For each frame the equivalent axes nearest to the frame before; its own where a segment starts."""
    dims = rotations.shape[-1]
    choices = jnp.asarray(signed_permutations(dims), rotations.dtype)

    def step(previous, frame):
        own, is_start = frame
        overlap = jnp.matmul(previous, own.T, precision="highest")
        agreement = jnp.sum(choices * overlap[None], axis=(1, 2))
        chosen = jnp.matmul(choices[jnp.argmax(agreement)], own, precision="highest")
        chosen = jnp.where(is_start, own, chosen)
        return chosen, chosen

    return jax.lax.scan(step, rotations[0], (rotations, starts))[1]


def signed_permutations(dims: int) -> Float[np.ndarray, "choices dims dims"]:
    """All matrices that permute and flip axes and keep them right-handed."""
    identity = np.eye(dims)
    matrices = [
        np.array(signs)[:, None] * identity[list(order)]
        for order in permutations(range(dims))
        for signs in product((1.0, -1.0), repeat=dims)
    ]
    return np.stack([matrix for matrix in matrices if np.linalg.det(matrix) > 0])
