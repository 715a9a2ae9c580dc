"""Blocks of consecutive frames, which are nearly independent where frames are not, and errors from drawing them anew.

References:
    Flyvbjerg & Petersen, Error estimates on averages of correlated data, 1989, doi:10.1063/1.457480, for blocks.
    Künsch, The jackknife and the bootstrap for general stationary observations, 1989, doi:10.1214/aos/1176347265.
"""

import warnings

import numpy as np

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training.splitting import autocorrelation_time

MOST_BLOCKS = 200
FEWEST_BLOCKS = 10
REPLICAS = 400
_TIMES_PER_BLOCK = 5.0
_CORRELATED_FRAMES = 262_144


def correlation_time(values: np.ndarray, segments: tuple[int, ...]) -> float:
    """Longest integrated autocorrelation time of the columns, in frames; of very many frames, to a stride."""
    stride = -(-len(values) // _CORRELATED_FRAMES)
    starts = np.cumsum(segments) - segments
    rows = [np.arange(start, start + length, stride) for start, length in zip(starts, segments, strict=True)]
    some = values[np.concatenate(rows)] if stride > 1 else values
    return stride * autocorrelation_time(some, tuple(map(len, rows)))


def block_numbers(
    segments: tuple[int, ...], *, blocks: int | None, time: float, source: str = "the coordinates"
) -> np.ndarray:
    """Number of the block that each frame belongs to, shape (frames,); no block crosses a join.

    Args:
        segments: lengths of the joined simulations.
        blocks: how many, or None for blocks of five autocorrelation times, 200 at most and ten at least.
        time: autocorrelation time, in frames.
        source: what messages call the data.

    Raises:
        InputError: if there are fewer frames than blocks.

    Warns:
        PolyvaeWarning: if ten blocks of five autocorrelation times do not fit in.
    """
    n_frames = sum(segments)
    fitting = int(n_frames / (_TIMES_PER_BLOCK * time))
    if blocks is None:
        blocks = min(MOST_BLOCKS, max(FEWEST_BLOCKS, fitting), n_frames)
        if fitting < FEWEST_BLOCKS:
            warnings.warn(
                f"{source} keep their memory for {time:.3g} frames, so that {n_frames} frames hold fewer than "
                f"{FEWEST_BLOCKS} independent blocks: errors are too small, and populations may be far off. Sample "
                "longer, or bias along the coordinate.",
                PolyvaeWarning,
                stacklevel=3,
            )
    elif not 2 <= blocks <= n_frames:
        raise InputError(
            f"`blocks` must be at least 2 and at most the {n_frames} frames; got {blocks}. None chooses."
        )
    numbers, first = np.empty(n_frames, np.int64), 0
    start = 0
    for length in segments:
        count = max(1, round(blocks * length / n_frames))
        numbers[start : start + length] = first + np.arange(length) * count // max(length, 1)
        first, start = first + count, start + length
    return numbers


def bootstrap_counts(n_blocks: int, seed: int) -> np.ndarray:
    """How often each block is drawn in each of 400 replicas, shape (replicas, blocks)."""
    return np.random.default_rng(seed).multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=REPLICAS)
