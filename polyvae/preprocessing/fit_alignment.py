"""`fit_alignment`: the reference of an alignment from data, and a report on what it does to the frames.

"procrustes" finds the generalized Procrustes mean: align all frames to the mean, average, repeat until it
stays. It starts from the frame of a small sample that is closest to the others, so the result is
deterministic. Averages are accumulated in float64; data may come as an array or, for trajectories larger
than memory, as a function that starts a new pass over chunks. Statistical weights of the frames enter the
mean; frames of weight zero neither enter it nor start it.

References:
    Gower, Psychometrika 40, 33 (1975), doi:10.1007/BF02291478. We keep the size of each frame: no scaling.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
from jax.dtypes import canonicalize_dtype
from jaxtyping import Float

from polyvae._arrays import device_array
from polyvae.errors import InputError
from polyvae.preprocessing.align import align, align_and_judge
from polyvae.preprocessing.alignment import METHODS, Alignment, Method
from polyvae.preprocessing.alignment_report import AlignmentReport
from polyvae.trajectory.weights import normalized_weights, total_weight, weighted_sum, with_weights

ChunkFactory = Callable[[], Iterable[Any]]
"""Starts a new pass over a trajectory: an iterator of position arrays of shape (frames, atoms, dims)."""

_MAX_ITERATIONS = 50
_TOLERANCE = 1e-5
_SAMPLE = 32


def fit_alignment(
    positions: Any,
    *,
    method: str = "procrustes",
    weights: Any | None = None,
    reference: Any | None = None,
    frame_weights: Any | None = None,
    chunk: int = 8192,
) -> tuple[Alignment, AlignmentReport]:
    """Alignment of a trajectory, and what it does to the frames.

    Args:
        positions: positions of shape (frames, atoms, dims), nm or reduced units; or a function without
            arguments that returns an iterator of such arrays. "procrustes" calls it once per iteration, the
            others once or twice.
        method: "procrustes" (turn onto the mean of the aligned frames), "kabsch" (onto `reference`, or onto
            the first frame that counts), "principal_axes", "center" or "none".
        weights: positive weights of shape (atoms,), such as masses in Da; None weighs all atoms equally.
        reference: the frame to turn onto, shape (atoms, dims); for "kabsch" only.
        frame_weights: statistical weight of every frame, in the order of the chunks, or None for equal ones.
        chunk: frames taken at a time from an array.

    Returns:
        The alignment, and a report with the degenerate frames, the iterations and the RMSD to the reference.

    Raises:
        InputError: if the method is unknown, there is no frame, shapes disagree, positions are not finite,
            weights of atoms are not positive, or weights of frames are negative or all zero.
    """
    method = _checked_method(method)
    if reference is not None and method != "kabsch":
        raise InputError(f"`reference` is for method='kabsch' only; got method={method!r}. Leave it out.")
    passes = _passes(positions, chunk)
    if frame_weights is not None:
        frame_weights = normalized_weights(frame_weights, name="frame_weights")
    first, first_weights = _first_chunk(passes, frame_weights)
    shape, dtype = first.shape[1:], first.dtype
    fitted_weights = _checked_weights(weights, shape[0])
    start = None
    if method == "kabsch":
        start = first[0] if reference is None else _checked_reference(reference, shape)
    elif method == "procrustes":
        start = _most_central(first, first_weights)
    alignment = _alignment_to(start, method, fitted_weights, dtype)
    iterations, converged = 0, True
    if method == "procrustes":
        alignment, iterations, converged = _procrustes_mean(passes, alignment, shape, frame_weights)
    return alignment, _report(passes, alignment, shape, frame_weights, iterations, converged)


def _alignment_to(
    reference: np.ndarray | None, method: Method, weights: Float[np.ndarray, " atoms"], dtype: np.dtype
) -> Alignment:
    """The alignment onto a frame, centered in float64."""
    centered = None
    if reference is not None:
        reference = np.asarray(reference, np.float64)
        centered = device_array(reference - weights @ reference, dtype)
    return Alignment(method=method, weights=device_array(weights, dtype), reference=centered)


def _procrustes_mean(
    passes: ChunkFactory, alignment: Alignment, shape: tuple[int, ...], frame_weights: np.ndarray | None
) -> tuple[Alignment, int, bool]:
    """Alignment to the mean of all frames aligned to it, the passes taken, whether the mean came to rest."""
    weights = np.asarray(alignment.weights, np.float64)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        total, count = np.zeros(shape), 0.0
        for part, part_weights in _weighted(passes, shape, frame_weights):
            total += weighted_sum(align(alignment, part), part_weights)
            count += total_weight(part, part_weights)
        previous = np.asarray(alignment.reference, np.float64)
        mean = total / count
        size = np.sqrt(np.mean(np.sum((mean - weights @ mean) ** 2, axis=1)))
        alignment = _alignment_to(mean, "procrustes", weights, alignment.weights.dtype)
        change = np.sqrt(
            np.mean(np.sum((np.asarray(alignment.reference, np.float64) - previous) ** 2, axis=1))
        )
        if change <= _TOLERANCE * size:
            return alignment, iteration, True
    return alignment, _MAX_ITERATIONS, False


def _report(
    passes: ChunkFactory,
    alignment: Alignment,
    shape: tuple[int, ...],
    frame_weights: np.ndarray | None,
    iterations: int,
    converged: bool,
) -> AlignmentReport:
    """One pass over the frames with the final alignment."""
    degenerate, rmsd, count, n_frames = [], 0.0, 0.0, 0
    for part, part_weights in _weighted(passes, shape, frame_weights):
        judged = align_and_judge(alignment, part)
        degenerate.append(n_frames + np.flatnonzero(judged.degenerate))
        rmsd += float(weighted_sum(judged.rmsd, part_weights))
        count += total_weight(part, part_weights)
        n_frames += len(part)
    return AlignmentReport(
        method=alignment.method,
        n_frames=n_frames,
        degenerate=np.concatenate(degenerate),
        iterations=iterations,
        converged=converged,
        rmsd_to_reference=rmsd / count,
    )


def _passes(positions: Any, chunk: int) -> ChunkFactory:
    """Passes over an array in memory, or the function that was given."""
    if callable(positions):
        return cast("ChunkFactory", positions)
    array = np.asarray(positions)
    if array.ndim != 3:
        raise InputError(f"`positions` must have shape (frames, atoms, dims); got {array.shape}.")
    if chunk < 1:
        raise InputError(f"`chunk` must be at least 1; got {chunk}.")
    return lambda: (array[start : start + chunk] for start in range(0, len(array), chunk))


def _first_chunk(
    passes: ChunkFactory, frame_weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The frames that count of the first chunk with any, in the precision of the computation, and their weights."""
    for array, weights in with_weights(map(np.asarray, passes()), frame_weights, name="frame_weights"):
        if array.ndim != 3 or array.shape[2] not in (2, 3) or array.shape[1] == 0:
            raise InputError(
                f"`positions` must have shape (frames, atoms, 2) or (frames, atoms, 3); got {array.shape}."
            )
        if not len(array):
            continue
        first = next(_checked([array], array.shape[1:]))
        if weights is None:
            return first, None
        if weights.any():
            return first[weights > 0], weights[weights > 0]
    raise InputError("`positions` hold no frame; check `start`, `stop` and `stride`.")


def _weighted(
    passes: ChunkFactory, shape: tuple[int, ...], frame_weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The checked chunks of a new pass, each with the weights of its frames."""
    return with_weights(_checked(passes(), shape), frame_weights, name="frame_weights")


def _checked(chunks: Iterable[Any], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The chunks of one pass, finite, of one shape and in the precision of the computation."""
    n_frames = 0
    for part in chunks:
        array = np.asarray(part)
        dtype = canonicalize_dtype(array.dtype) if np.issubdtype(array.dtype, np.floating) else np.float32
        array = array.astype(dtype, copy=False)
        if array.shape[1:] != shape:
            raise InputError(
                f"`positions`: from frame {n_frames} on the shape (atoms, dims) is {array.shape[1:]}; "
                f"expected {shape}, as in the first frame. Select the same atoms from every file."
            )
        finite = np.isfinite(array).all(axis=(1, 2))
        if not finite.all():
            raise InputError(
                f"`positions` hold NaN or infinity, first at frame {n_frames + int(np.argmin(finite))}. "
                "Cut such frames away."
            )
        n_frames += len(array)
        if len(array):
            yield array


def _checked_method(method: str) -> Method:
    """The method, if it is known."""
    for known in METHODS:
        if method == known:
            return known
    raise InputError(f"`method` must be one of {', '.join(METHODS)}; got {method!r}.")


def _checked_weights(weights: Any | None, n_atoms: int) -> Float[np.ndarray, " atoms"]:
    """Weights in float64 that sum to one."""
    if weights is None:
        return np.full(n_atoms, 1 / n_atoms)
    array = np.asarray(weights, np.float64)
    if array.shape != (n_atoms,):
        raise InputError(f"`weights` must have shape ({n_atoms},), one for each atom; got {array.shape}.")
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        atom = int(np.argmax(bad))
        raise InputError(
            f"`weights` must be positive and finite; got {array[atom]} for atom {atom}. "
            "Leave atoms without mass out of the selection, or use equal weights."
        )
    return array / array.sum()


def _checked_reference(reference: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "atoms dims"]:
    """The reference in float64."""
    array = np.asarray(reference, np.float64)
    if array.shape != shape:
        raise InputError(
            f"`reference` must have shape {shape}, as the frames have; got {array.shape}. "
            "Select the same atoms."
        )
    if not np.isfinite(array).all():
        raise InputError("`reference` holds NaN or infinity; give a frame with finite positions.")
    return array


def _most_central(frames: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The frame of a small, even sample whose mean square deviation from the rest of it is smallest.

    Not simply the first frame: simulations often start from a straight chain, onto which no other frame has a
    unique best rotation.
    """
    chosen = np.linspace(0, len(frames) - 1, min(_SAMPLE, len(frames))).astype(int)
    sample = frames[chosen].astype(np.float64)
    centered = sample - sample.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(np.einsum("mia,nib->mnab", centered, centered))
    values[..., -1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))
    squares = np.sum(centered**2, axis=(1, 2))
    deviations = squares[:, None] + squares[None, :] - 2 * values.sum(axis=-1)
    mean = np.average(deviations, axis=1, weights=None if weights is None else weights[chosen])
    return sample[int(np.argmin(mean))]
