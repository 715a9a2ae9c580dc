"""Whole trajectories into the canonical frame, in chunks that stay in the cache.

One compiled kernel takes every chunk; the last is padded, so that nothing compiles twice. Covariances with
the reference and centers of mass come from one skinny matrix product (frames, 3 atoms) @ (3 atoms, 12), and
everything after it is elementwise over the frames of the chunk. For principal axes the chunk is transposed once, and
moments are sums over its rows.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from polyvae._arrays import device_array
from polyvae._typing import Frame, Frames
from polyvae.errors import InputError
from polyvae.preprocessing.alignment import Alignment
from polyvae.preprocessing.kabsch import covariance
from polyvae.preprocessing.optimal_rotation import fast_optimal_rotation, turning_stiffness
from polyvae.preprocessing.principal_axes import fast_principal_axes, moment_gap
from polyvae.preprocessing.symmetric_eigen import matrix_of

_CHUNK_BYTES = 4_000_000
_SMALLEST_FAST_CHUNK = 1024
_MOMENT_FRAMES = 128
SMALLEST_GAP = 0.01
_SMALLEST_STIFFNESS = 0.001


class AlignedChunk(NamedTuple):
    """Canonical frames, and what a report needs to know about each of them."""

    positions: np.ndarray
    degenerate: np.ndarray
    rmsd: np.ndarray


def align(
    alignment: Alignment,
    positions: Float[np.ndarray, "frames atoms dims"],
    *,
    out: Float[np.ndarray, "frames atoms dims"] | None = None,
) -> Float[np.ndarray, "frames atoms dims"]:
    """All frames in the canonical frame of `alignment`.

    Args:
        alignment: from `fit_alignment`, or out of a model.
        positions: positions of shape (frames, atoms, dims), nm or reduced units.
        out: array of the same shape and type to write into, or None for a new one; `positions` itself aligns in place,
            which is faster.

    Returns:
        Canonical positions of the same shape and precision.

    Raises:
        InputError: if the number of atoms or dimensions is not that of the alignment, or `out` does not fit.
    """
    n_atoms = alignment.weights.shape[0]
    if positions.ndim != 3 or positions.shape[1] != n_atoms or positions.shape[2] not in (2, 3):
        raise InputError(
            f"`positions` must have shape (frames, {n_atoms}, 2 or 3), as the alignment was "
            f"fitted to {n_atoms} atoms; got {positions.shape}. Select the same atoms as in the fit."
        )
    if alignment.reference is not None and alignment.reference.shape[1] != positions.shape[2]:
        raise InputError(
            f"`positions` must have {alignment.reference.shape[1]} dimensions, as the reference has; "
            f"got shape {positions.shape}."
        )
    if out is not None and (out.shape != positions.shape or out.dtype != positions.dtype):
        raise InputError(
            f"`out` must have shape {positions.shape} and type {positions.dtype}, as `positions` has; got {out.shape} "
            f"and {out.dtype}."
        )
    aligned = np.empty_like(positions) if out is None else out
    start = 0
    for chunk in padded_chunks(positions):
        stop = min(start + len(chunk), len(positions))
        aligned[start:stop] = np.asarray(_align_chunk(alignment, chunk))[: stop - start]
        start = stop
    return aligned


def align_and_judge(alignment: Alignment, positions: Float[np.ndarray, "frames atoms dims"]) -> AlignedChunk:
    """As `align`, with degenerate frames flagged and the RMSD per bead to the reference, if any."""
    aligned = align(alignment, positions)
    judged = [_judge_chunk(alignment, device_array(chunk)) for chunk in padded_chunks(aligned)]
    degenerate, rmsd = (np.concatenate(part)[: len(positions)] for part in zip(*judged, strict=True))
    return AlignedChunk(aligned, degenerate, rmsd)


def padded_chunks(
    positions: Float[np.ndarray, "frames atoms dims"],
) -> Iterator[Float[np.ndarray, "chunk atoms dims"]]:
    """Chunks of one size, at most about 4 MB each; the last repeats its last frame to fill up."""
    n_frames = len(positions)
    bytes_per_frame = max(1, positions[0].nbytes)
    # Powers of two: trajectories of many lengths share a handful of compiled kernels.
    size = 1 << max(0, int(np.log2(max(1, _CHUNK_BYTES // bytes_per_frame))))
    size = min(size, 1 << (n_frames - 1).bit_length())
    for start in range(0, n_frames, size):
        chunk = positions[start : start + size]
        if len(chunk) < size:
            chunk = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
        yield chunk


def map_frames(
    function: Callable[[Float[np.ndarray, "chunk atoms dims"]], Any],
    pieces: Iterable[Float[np.ndarray, "frames atoms dims"]],
) -> Any:
    """What a function of many frames gives for all frames of all pieces, of which one need be in memory.

    Args:
        function: of frames; arrays with one row a frame, or a tree of such. It is called with `padded_chunks`.
        pieces: such as `Trajectory.position_chunks` gives; one frame at least.

    Returns:
        The rows of all frames, NumPy arrays.
    """
    results = []
    for piece in pieces:
        for chunk in padded_chunks(piece):
            kept = min(len(chunk), len(piece))
            results.append(jax.tree.map(lambda rows, kept=kept: np.asarray(rows)[:kept], function(chunk)))
            piece = piece[kept:]
    return jax.tree.map(lambda *rows: np.concatenate(rows), *results)


# Not `eqx.filter_jit`, whose calls cost a tenth of a millisecond more.
@jax.jit
def _align_chunk(alignment: Alignment, chunk: Frames) -> Frames:
    """Canonical frames of one chunk: `alignment` of each, arranged for speed where a rotation is sought."""
    # The fast kernels take seconds to compile; a small chunk is done sooner without them.
    if len(chunk) < _SMALLEST_FAST_CHUNK or alignment.method in ("center", "none"):
        return jax.vmap(alignment)(chunk)
    if alignment.reference is not None:
        return _turned(alignment, chunk)
    # Moments want all coordinates of their frames at hand, in the innermost cache.
    blocks = chunk.reshape(-1, _MOMENT_FRAMES, *chunk.shape[1:])
    return jax.lax.map(lambda block: _turned(alignment, block), blocks).reshape(chunk.shape)


def _turned(alignment: Alignment, frames: Frames) -> Frames:
    weights = alignment.weights.astype(frames.dtype)
    # Relative to one atom sums keep their digits however far the molecule has diffused.
    shifted = frames - frames[:, :1]
    if alignment.reference is None:
        centered, rotation = _in_principal_axes(weights, shifted)
    else:
        centered, rotation = _on_reference(weights, alignment.reference.astype(frames.dtype), shifted)
    # A sum over three terms: XLA's batched product of such small matrices is ten times slower.
    terms = [centered[:, :, a, None] * rotation[:, None, :, a] for a in range(frames.shape[2])]
    return reduce(jnp.add, terms)


def _on_reference(
    weights: Float[Array, " atoms"], reference: Frame, shifted: Frames
) -> tuple[Frames, Float[Array, "frames dims dims"]]:
    """Frames about their centers, and the rotations onto the reference."""
    n_frames, n_atoms, dims = shifted.shape
    identity = jnp.eye(dims, dtype=shifted.dtype)
    # Column (a, b) sums w_i x_ia y_ib over the atoms, column a after them w_i x_ia.
    fit = jnp.einsum("ac,ib->iacb", identity, reference * weights[:, None]).reshape(n_atoms * dims, dims**2)
    columns = jnp.concatenate([fit, _mean_columns(weights, dims)], axis=1)
    sums = jnp.matmul(shifted.reshape(n_frames, n_atoms * dims), columns, precision="highest").T
    covariances = tuple(tuple(sums[a * dims + b] for b in range(dims)) for a in range(dims))
    rotation = matrix_of(fast_optimal_rotation(covariances))
    return shifted - sums[dims**2 :].T[:, None, :], rotation


def _in_principal_axes(
    weights: Float[Array, " atoms"], shifted: Frames
) -> tuple[Frames, Float[Array, "frames dims dims"]]:
    """Frames about their centers, and the rotations into their principal axes."""
    n_frames, n_atoms, dims = shifted.shape
    flat = shifted.reshape(n_frames, n_atoms * dims)
    center = jnp.matmul(flat, _mean_columns(weights, dims), precision="highest")
    # Frames last, so that moments are sums over rows that hold a number of every frame.
    columns = flat.T.reshape(n_atoms, dims, n_frames)
    coordinates = tuple(columns[:, a] - center[None, :, a] for a in range(dims))
    return shifted - center[:, None, :], matrix_of(fast_principal_axes(coordinates, weights))


def _mean_columns(weights: Float[Array, " atoms"], dims: int) -> Float[Array, "columns dims"]:
    """What turns flat frames into their centers, as a product."""
    identity = jnp.eye(dims, dtype=weights.dtype)
    return jnp.einsum("ac,i->iac", identity, weights).reshape(len(weights) * dims, dims)


@eqx.filter_jit
def _judge_chunk(
    alignment: Alignment, canonical: Frames
) -> tuple[Bool[Array, " frames"], Float[Array, " frames"]]:
    return jax.vmap(lambda frame: _judge(alignment, frame))(canonical)


def _judge(alignment: Alignment, canonical: Frame) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Whether a frame's orientation is nearly undetermined, and its RMSD per bead to the reference."""
    weights = alignment.weights.astype(canonical.dtype)
    unknown = jnp.array(jnp.nan, canonical.dtype)
    if alignment.reference is not None:
        reference = alignment.reference.astype(canonical.dtype)
        # The canonical frame is turned already: its own best rotation is the identity.
        identity = jnp.eye(canonical.shape[1], dtype=canonical.dtype)
        stiffness = turning_stiffness(identity, covariance(canonical, reference, weights))
        rmsd = jnp.sqrt(jnp.mean(jnp.sum((canonical - reference) ** 2, axis=1)))
        return stiffness < _SMALLEST_STIFFNESS, rmsd
    if alignment.method == "principal_axes":
        return moment_gap(canonical, weights) < SMALLEST_GAP, unknown
    return jnp.array(False), unknown
