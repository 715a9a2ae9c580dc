"""Training, validation and test frames from contiguous blocks with a gap between them.

Neighboring frames of a simulation are nearly the same, so a split of shuffled frames tests memory, not prediction;
a split at one point in time is a change of distribution wherever the run drifts. Here each joined simulation is cut
into blocks, the blocks are dealt out at random, and frames within `gap` of a held-out block leave the training set.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Frame indices of each part, in order of time.

    Attributes:
        train: frames that gradients see.
        validation: frames that decide on early stopping and on the shrinkage of the decoder's covariance.
        test: frames that training never sees; held-out figures come from them.
        gap: frames left out on either side of a held-out block.
        autocorrelation_time: the estimate behind `gap`, in frames.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    gap: int
    autocorrelation_time: float


def autocorrelation_time(
    series: Float[np.ndarray, "frames observables"], segments: tuple[int, ...] | None = None
) -> float:
    """Longest integrated autocorrelation time of some observables, in frames.

    The sum over lags stops at the first one that is at least five times the running estimate (Sokal's window).

    Args:
        series: one column an observable, frames in order of time.
        segments: lengths of the joined simulations, whose ends no lag crosses; None for a single one.

    References:
        Sokal, Monte Carlo methods in statistical mechanics, 1997, doi:10.1007/978-1-4899-0319-8_6.
    """
    n_frames = len(series)
    if n_frames < 4:
        return 1.0
    # One observable at a time: the transforms of a long trajectory are many times its size.
    return max(1.0, *(_correlation_time(column, segments or (n_frames,)) for column in series.T))


def _correlation_time(values: Float[np.ndarray, " frames"], segments: tuple[int, ...]) -> float:
    """Integrated autocorrelation time of one observable, in frames; zero for a constant."""
    centered = np.asarray(values, np.float64) - np.mean(values, dtype=np.float64)
    correlation = np.zeros_like(centered)
    for part in np.split(centered, np.cumsum(segments)[:-1].astype(int)):
        spectrum = np.fft.rfft(part, 2 * len(part))
        correlation[: len(part)] += np.fft.irfft(np.abs(spectrum) ** 2, 2 * len(part))[: len(part)]
    if not correlation[0] > 0:
        return 0.0
    running = 2.0 * np.cumsum(correlation / correlation[0]) - 1.0
    in_window = np.arange(len(running)) >= 5.0 * running
    return float(running[in_window.argmax() if in_window.any() else -1])


def blocked_split(
    segments: tuple[int, ...],
    *,
    validation_fraction: float,
    test_fraction: float,
    blocks: int,
    gap: int,
    correlation_time: float,
    seed: int,
) -> Split:
    """Deal contiguous blocks of frames to training, validation and test.

    Args:
        segments: lengths of the joined simulations; no block crosses a join.
        validation_fraction: share of the frames for validation.
        test_fraction: share of the frames for testing; 0 holds none out.
        blocks: blocks a simulation is cut into; fewer where it is short beside the gap and there are others.
        gap: frames dropped from training on either side of a held-out block; at most a quarter of the mean block, so
            that short trajectories keep frames to train on.
        correlation_time: recorded in the result.
        seed: decides which blocks are held out.

    Raises:
        InputError: if a part would be empty.
    """
    n_frames = sum(segments)
    if n_frames < 10:
        raise InputError(
            f"Training needs at least 10 frames, to hold some out for validation and testing; got {n_frames}. "
            "Lower `stride` or add files."
        )
    edges = []
    start = 0
    for length in segments:
        # Short simulations among many are dealt out in pieces that leave room for the gap, or whole.
        fewest = -(-blocks * length // n_frames)
        count = max(1, min(max(fewest, min(blocks, length // (4 * gap + 1))), length // 2))
        cuts = start + np.round(np.linspace(0, length, count + 1)).astype(int)
        edges.extend(itertools.pairwise(cuts))
        start += length
    order = np.random.default_rng([seed, 2]).permutation(len(edges))
    held_out: dict[str, list[tuple[int, int]]] = {"validation": [], "test": []}
    for part, fraction in (("validation", validation_fraction), ("test", test_fraction)):
        wanted, taken = fraction * n_frames, 0
        while taken < wanted and len(order) > 1:
            first, last = edges[order[0]]
            # Cut the last block short rather than hold out more than was asked for.
            last = min(last, first + max(1, int(np.ceil(wanted - taken))))
            held_out[part].append((int(first), int(last)))
            taken += last - first
            order = order[1:]
    gap = int(min(gap, n_frames // len(edges) // 4))
    ends = np.cumsum(segments)
    left_out = []
    for first, last in held_out["validation"] + held_out["test"]:
        segment = np.searchsorted(ends, first, side="right")
        low, high = int(ends[segment] - segments[segment]), int(ends[segment])
        left_out.append((max(first - gap, low), min(last + gap, high)))
    split = Split(
        train=_frames(_between(left_out, n_frames), n_frames),
        validation=_frames(held_out["validation"], n_frames),
        test=_frames(held_out["test"], n_frames),
        gap=gap,
        autocorrelation_time=correlation_time,
    )
    wanted = {"train": 1.0, "validation": validation_fraction, "test": test_fraction}
    for name, fraction in wanted.items():
        if fraction > 0 and len(getattr(split, name)) == 0:
            raise InputError(
                f"No frames are left for {name}: {n_frames} frames in {len(edges)} blocks, gap {gap}. "
                "Lower `gap`, raise `blocks` or use more frames."
            )
    return split


def _between(ranges: list[tuple[int, int]], n_frames: int) -> list[tuple[int, int]]:
    """The ranges of frames that lie outside all of these."""
    outside, start = [], 0
    for first, last in sorted(ranges):
        if first > start:
            outside.append((start, first))
        start = max(start, last)
    return [*outside, (start, n_frames)] if start < n_frames else outside


def _frames(ranges: list[tuple[int, int]], n_frames: int) -> np.ndarray:
    """Indices of the frames in some ranges, ascending; four bytes each while that is enough."""
    dtype = np.int32 if n_frames < 2**31 else np.int64
    return np.concatenate(
        [np.arange(0, dtype=dtype), *(np.arange(*pair, dtype=dtype) for pair in sorted(ranges))]
    )
