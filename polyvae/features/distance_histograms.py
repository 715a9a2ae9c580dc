"""Histograms of pair distances, streamed: memory holds the counts and one piece of the frames, never all distances.

Two passes over the same pieces. `distance_ranges` finds the smallest and the largest distance of each pair, its mean
and its standard deviation; `distance_counts` counts into equal bins. Both take any iterable of pieces, such as
`Trajectory.position_chunks` gives, so that a trajectory on disk is never in memory as a whole.

The frames are the last axis of every array inside: a pair is then one contiguous row of distances, and its bins stay in
the nearest cache while that row is counted. Of the ways to count in JAX this one, a scatter of row after row, is the
fastest (`benchmarks/distance_histograms.py`), and its time does not depend on the number of bins.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int, Num

from polyvae._typing import Frames, Pairs
from polyvae.errors import InputError

_FRAMES_AT_ONCE = 2048
_PAIRS_AT_ONCE = 64
_CALL_BYTES = 4_000_000
_CALL_DISTANCES = 4_000_000


class FrameChunk(NamedTuple):
    """Some frames.

    Attributes:
        positions: shape (chunk, atoms, dims), unit of length.
        weights: statistical weight of each frame, finite and not negative, shape (chunk,), or None for ones. All
            chunks have weights or none has.
        labels: number of the histogram that each frame counts towards, shape (chunk,), or None for the first.
    """

    positions: np.ndarray
    weights: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceRanges:
    """Range and moments of pair distances over frames of a weight above zero.

    Attributes:
        low: smallest distance of each pair, shape (pairs,), unit of length.
        high: largest distance.
        mean: mean distance, with the weights of the frames.
        standard_deviation: square root of the mean square deviation from it (no correction of its bias).
    """

    low: Float64[np.ndarray, " pairs"]
    high: Float64[np.ndarray, " pairs"]
    mean: Float64[np.ndarray, " pairs"]
    standard_deviation: Float64[np.ndarray, " pairs"]


def distance_ranges(chunks: Iterable[FrameChunk], pairs: Pairs) -> DistanceRanges:
    """Smallest, largest and mean distance of each pair, and its standard deviation, in one pass.

    Distances are float32. Sums over 2048 frames are float32, of differences from the first frame's distance, so that
    stiff bonds keep their digits; sums over all frames are float64.

    Args:
        chunks: pieces of the frames; labels are ignored.
        pairs: zero-based atom pairs, shape (pairs, 2).

    Raises:
        InputError: if no frame has a weight above zero.
    """
    n_pairs = len(pairs)
    atoms, rows = _numbered(pairs)
    first: np.ndarray | None = None
    low, high = np.full(n_pairs, np.inf), np.full(n_pairs, -np.inf)
    total, sums, squares = 0.0, np.zeros(n_pairs), np.zeros(n_pairs)
    for call in _calls(chunks, atoms, n_pairs):
        if first is None:
            frame = call.positions[0]
            first = np.linalg.norm(frame[rows[:, 0]] - frame[rows[:, 1]], axis=1).astype(np.float32)
        part = _ranges(call.positions, call.weights.astype(np.float32), rows, first)
        # One row for each 2048 frames.
        lows, highs, deviations, square_deviations = (
            np.asarray(value)[:, :n_pairs].astype(np.float64) for value in part
        )
        low, high = np.minimum(low, lows.min(axis=0)), np.maximum(high, highs.max(axis=0))
        total += call.weights.sum(dtype=np.float64)
        sums += deviations.sum(axis=0)
        squares += square_deviations.sum(axis=0)
    if first is None:
        raise InputError("A distance distribution needs at least one frame of a weight above zero; got none.")
    shift = sums / total
    variance = np.maximum(squares / total - shift**2, 0.0)
    return DistanceRanges(
        low=low, high=high, mean=first[:n_pairs] + shift, standard_deviation=np.sqrt(variance)
    )


def distance_counts(
    chunks: Iterable[FrameChunk],
    pairs: Pairs,
    low: Float[np.ndarray, " pairs"],
    high: Float[np.ndarray, " pairs"],
    *,
    bins: int,
    histograms: int = 1,
) -> Num[np.ndarray, "histograms pairs bins"]:
    """Frames, or the sum of their weights, in each of the equal bins of each pair's distance.

    Bins are as those of `numpy.histogram`, with the last one closed; distances and edges are float32, so that a
    distance within rounding of an edge may fall to either side. Distances beyond the edges count in the first or the
    last bin. Memory is 4 bytes a bin, 8 with weights, and some tens of MB besides.

    Args:
        chunks: pieces of the frames, with labels below `histograms` where there are several.
        pairs: zero-based atom pairs, shape (pairs, 2).
        low: lower edge of the first bin of each pair, shape (pairs,), unit of length.
        high: upper edge of the last bin, above `low`.
        bins: number of bins.
        histograms: number of histograms of each pair.

    Returns:
        uint32 counts of frames, exact below 2³² of them, or float64 sums of weights where the chunks have weights.

    Raises:
        InputError: if `high` is not above `low`.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if not (high > low).all():
        pair = int(np.argmin(high > low))
        raise InputError(f"`high` must be above `low`; got {high[pair]} and {low[pair]} for pair {pair}.")
    n_pairs = len(pairs)
    atoms, rows = _numbered(pairs)
    scale = bins / (high - low)
    low, scale = (np.resize(value, len(rows)).astype(np.float32) for value in (low, scale))
    counts: Array | None = None
    for call in _calls(chunks, atoms, n_pairs):
        dtype = np.uint32 if call.is_equal else np.float64
        with jax.enable_x64(True):
            if counts is None:
                counts = jnp.zeros((len(rows), histograms * bins), dtype)
            # Calls return before they end: without a wait, pieces would queue up in memory.
            counts.block_until_ready()
            counts = _add_counts(
                counts,
                call.positions,
                call.weights.astype(dtype),
                call.labels * bins,
                rows,
                low,
                scale,
                bins,
            )
    if counts is None:
        return np.zeros((histograms, n_pairs, bins), np.uint32)
    return np.asarray(counts)[:n_pairs].reshape(n_pairs, histograms, bins).swapaxes(0, 1)


class _Call(NamedTuple):
    """What one call of a kernel takes: frames filled up to a fixed number with copies of weight zero."""

    positions: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    is_equal: bool


def _calls(chunks: Iterable[FrameChunk], atoms: np.ndarray, n_pairs: int) -> Iterator[_Call]:
    """The frames of a weight above zero and the atoms that count, in pieces of one size: nothing compiles twice."""
    size = 0
    for chunk in chunks:
        positions, weights, labels = chunk
        counts = None if weights is None or weights.all() else weights > 0
        if size == 0:
            size = _call_size(len(positions), len(atoms) * positions.shape[2] * 4, n_pairs)
        for start in range(0, len(positions), size):
            rows = np.arange(start, min(start + size, len(positions)))
            if counts is not None:
                rows = rows[counts[rows]]
            if len(rows) == 0:
                continue
            # Filled up with a frame that counts, so that no range grows.
            filled = np.concatenate([rows, np.full(size - len(rows), rows[-1])])
            # A copy, as the kernel may run on while the caller fills its buffer with other frames.
            is_all = positions.shape[1] == len(atoms)
            part = positions[filled] if is_all else positions[filled[:, None], atoms]
            weight = np.zeros(size)
            weight[: len(rows)] = 1.0 if weights is None else weights[rows]
            label = np.zeros(size, np.int32) if labels is None else labels[filled].astype(np.int32)
            yield _Call(np.asarray(part, np.float32), weight, label, weights is None)


def _call_size(n_frames: int, bytes_a_frame: int, n_pairs: int) -> int:
    """Frames in one call: a power of two, with work enough to be worth a call, and not far above what there is."""
    size = _FRAMES_AT_ONCE
    while size > 1 and size * bytes_a_frame > _CALL_BYTES:
        size //= 2
    while (
        size < n_frames and 2 * size * bytes_a_frame <= _CALL_BYTES and 2 * size * n_pairs <= _CALL_DISTANCES
    ):
        size *= 2
    return size


def _numbered(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of the pairs, ascending, and the pairs as positions among them, filled up to blocks of one size."""
    atoms, numbers = np.unique(pairs, return_inverse=True)
    numbers = numbers.reshape(pairs.shape).astype(np.int32)
    n_blocks = _pair_blocks(len(pairs))
    n_rows = n_blocks * -(-len(pairs) // n_blocks)
    return atoms, np.resize(numbers, (n_rows, 2))


def _pair_blocks(n_pairs: int) -> int:
    """How many blocks the pairs are taken in; two at least, as XLA fuses a loop of one turn into slower code."""
    return max(2, -(-n_pairs // _PAIRS_AT_ONCE))


def _distances(coordinates: Float[Array, "dims atoms frames"], pairs: Int[Array, "pairs 2"]) -> Array:
    """Shape (pairs, frames)."""
    differences = [axis[pairs[:, 0]] - axis[pairs[:, 1]] for axis in coordinates]
    return jnp.sqrt(sum((part * part for part in differences[1:]), differences[0] * differences[0]))


def _split(values: Array, n_blocks: int) -> Array:
    """The first axis in blocks."""
    return values.reshape(n_blocks, len(values) // n_blocks, *values.shape[1:])


def _frame_blocks(positions: Array, *others: Array) -> tuple[Array, ...]:
    n_blocks = max(1, len(positions) // _FRAMES_AT_ONCE)
    return tuple(_split(values, n_blocks) for values in (positions, *others))


@jax.jit
def _ranges(
    positions: Frames,
    weights: Float[Array, " frames"],
    pairs: Int[Array, "pairs 2"],
    first: Float[Array, " pairs"],
) -> tuple[Array, Array, Array, Array]:
    """Smallest and largest distance and sums of deviations and of their squares, shape (frame blocks, pairs)."""
    n_blocks = _pair_blocks(len(pairs))

    def frames(block: tuple[Array, ...]) -> tuple[Array, ...]:
        positions, weights = block
        coordinates = positions.transpose(2, 1, 0)

        def some_pairs(part: tuple[Array, Array]) -> tuple[Array, ...]:
            pairs, first = part
            distances = _distances(coordinates, pairs)
            deviations = distances - first[:, None]
            sums = jnp.matmul(deviations, weights, precision="highest")
            squares = jnp.matmul(deviations * deviations, weights, precision="highest")
            return distances.min(axis=1), distances.max(axis=1), sums, squares

        found = jax.lax.map(some_pairs, (_split(pairs, n_blocks), _split(first, n_blocks)))
        return tuple(value.reshape(-1) for value in found)

    low, high, sums, squares = jax.lax.map(frames, _frame_blocks(positions, weights))
    return low, high, sums, squares


@partial(jax.jit, donate_argnums=0, static_argnums=7)
def _add_counts(
    counts: Num[Array, "pairs columns"],
    positions: Frames,
    weights: Num[Array, " frames"],
    offsets: Int[Array, " frames"],
    pairs: Int[Array, "pairs 2"],
    low: Float[Array, " pairs"],
    scale: Float[Array, " pairs"],
    bins: int,
) -> Num[Array, "pairs columns"]:
    """The counts with some frames more; `offsets` is the column where the histogram of each frame begins."""
    n_blocks = _pair_blocks(len(pairs))
    size = len(pairs) // n_blocks
    starts = jnp.arange(0, len(pairs), size, dtype=jnp.int32)
    blocks = (*(_split(values, n_blocks) for values in (pairs, low, scale)), starts)

    def add_frames(counts: Array, block: tuple[Array, ...]) -> tuple[Array, None]:
        positions, weights, offsets = block
        coordinates = positions.transpose(2, 1, 0)

        def add_pairs(counts: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
            pairs, low, scale, start = part
            scaled = (_distances(coordinates, pairs) - low[:, None]) * scale[:, None]
            columns = jnp.clip(scaled.astype(jnp.int32), 0, bins - 1) + offsets[None, :]
            # A scatter for each row, which XLA does in place: with the row as an index it is up to a fifth slower.
            add = lambda row, columns: row.at[columns].add(weights, mode="promise_in_bounds")  # noqa: E731
            rows = jax.vmap(add)(jax.lax.dynamic_slice_in_dim(counts, start, size), columns)
            return jax.lax.dynamic_update_slice_in_dim(counts, rows, start, axis=0), None

        return jax.lax.scan(add_pairs, counts, blocks)

    counts, _ = jax.lax.scan(add_frames, counts, _frame_blocks(positions, weights, offsets))
    return counts
