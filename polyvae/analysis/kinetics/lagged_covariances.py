r"""Covariances of a coordinate with itself a lag time later, the raw material of every number about slowness.

Over the pairs of frames \((x_i, y_i)\) that lie a lag time apart, with weights \(w_i\) of the first frame,

.. math:: C_{00} = \langle \tilde x \tilde x^T \rangle, \quad C_{0t} = \langle \tilde x \tilde y^T \rangle, \quad
          C_{tt} = \langle \tilde y \tilde y^T \rangle, \qquad \tilde x = x - \langle x \rangle,
          \quad \tilde y = y - \langle y \rangle .

Sums are kept block by block of consecutive frames, so that drawing blocks anew costs one matrix product.
"""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import FEWEST_BLOCKS, MOST_BLOCKS, correlation_time
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError, PolyvaeWarning

_TIMES_PER_BLOCK = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LaggedCovariances:
    """Mean-free covariances over pairs of frames; those of many draws of blocks have one more axis in front.

    Attributes:
        c00: of the first frames, shape (dims, dims).
        c0t: of first frames (rows) with second frames (columns).
        ctt: of the second frames.
        mean_first: mean of the first frames, shape (dims,).
        mean_second: mean of the second frames.
        pairs: number of pairs.
        lag_time: in frames.
        is_reversible: whether every pair counts in both directions, as detailed balance has it; then the means are
            one, `c00` and `ctt` are one, and `c0t` is symmetric.
    """

    c00: np.ndarray
    c0t: np.ndarray
    ctt: np.ndarray
    mean_first: np.ndarray
    mean_second: np.ndarray
    pairs: int
    lag_time: int
    is_reversible: bool


def lagged_covariances(
    latent: LatentTrajectory | Series | np.ndarray,
    lag_time: int,
    *,
    frames: np.ndarray | None = None,
    reversible: bool = False,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
) -> LaggedCovariances:
    """Covariances of a coordinate over all pairs of frames that lie a lag time apart.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims).
        lag_time: lag time in frames.
        frames: indices of the frames to use, ascending, such as one part of a split; both frames of a pair are among
            them. None for all.
        reversible: whether to count every pair in both directions.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones. A pair
            weighs what its first frame does, and a frame of weight zero is as good as absent.

    Raises:
        InputError: if shapes do not fit, a value is not finite, or no two frames lie `lag_time` apart.
    """
    series = series_of(latent, segments=segments, weights=weights)
    first, second = series.pairs(lag_time, frames)
    sums = block_sums(
        series.values[first],
        series.values[second],
        None if series.weights is None else series.weights[first],
        np.zeros(len(first), np.int64),
        reversible=reversible,
    )
    return sums.covariances(lag_time)


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockSums:
    """Weighted sums over the pairs of each block, about a common origin.

    Attributes:
        weight: total weight, shape (blocks,).
        first: of first frames, shape (blocks, dims).
        second: of second frames, shape (blocks, dims).
        m00: of products of first with first frames, shape (blocks, dims, dims).
        m0t: of first with second.
        mtt: of second with second.
        origin: subtracted from all frames before.
        pairs: number of pairs.
        is_reversible: whether pairs count in both directions.
    """

    weight: np.ndarray
    first: np.ndarray
    second: np.ndarray
    m00: np.ndarray
    m0t: np.ndarray
    mtt: np.ndarray
    origin: np.ndarray
    pairs: int
    is_reversible: bool

    def __len__(self) -> int:
        return len(self.weight)

    def covariances(self, lag_time: int, counts: np.ndarray | None = None) -> LaggedCovariances:
        """Covariances of all blocks, or of many draws of them.

        Args:
            lag_time: for the record.
            counts: how often each block is drawn, shape (draws, blocks); None for each once, without an axis of draws.
        """
        drawn = np.ones((1, len(self))) if counts is None else counts.astype(np.float64)
        total = drawn @ self.weight
        mean_first, mean_second = ((drawn @ part) / total[:, None] for part in (self.first, self.second))
        parts = []
        for moments, left, right in (
            (self.m00, mean_first, mean_first),
            (self.m0t, mean_first, mean_second),
            (self.mtt, mean_second, mean_second),
        ):
            mean = np.tensordot(drawn, moments, axes=1) / total[:, None, None]
            parts.append(mean - left[:, :, None] * right[:, None, :])
        results = [*parts, self.origin + mean_first, self.origin + mean_second]
        c00, c0t, ctt, mean_first, mean_second = (part if counts is not None else part[0] for part in results)
        return LaggedCovariances(
            c00=c00,
            c0t=c0t,
            ctt=ctt,
            mean_first=mean_first,
            mean_second=mean_second,
            pairs=self.pairs,
            lag_time=lag_time,
            is_reversible=self.is_reversible,
        )


def block_sums(
    first: np.ndarray,
    second: np.ndarray,
    weights: np.ndarray | None,
    numbers: np.ndarray,
    *,
    reversible: bool = False,
) -> BlockSums:
    """Sums over the pairs of each block.

    Args:
        first: first frames of the pairs, shape (pairs, dims).
        second: second frames.
        weights: of the pairs, or None for equal ones.
        numbers: block of each pair, ascending from 0 without a gap, shape (pairs,).
        reversible: whether pairs count in both directions.
    """
    n_blocks, dims = int(numbers[-1]) + 1, first.shape[1]
    shares = np.ones(len(first)) if weights is None else weights / weights.max()
    # About the mean, products keep their digits where the coordinate is far from zero.
    origin = (shares @ first) / shares.sum()
    edges = np.searchsorted(numbers, np.arange(n_blocks + 1))
    weight = np.add.reduceat(shares, edges[:-1])
    sums = {name: np.empty((n_blocks, dims)) for name in ("first", "second")}
    products = {name: np.empty((n_blocks, dims, dims)) for name in ("m00", "m0t", "mtt")}
    for block, (start, stop) in enumerate(itertools.pairwise(edges.tolist())):
        x, y = first[start:stop] - origin, second[start:stop] - origin
        share = shares[start:stop]
        sums["first"][block], sums["second"][block] = share @ x, share @ y
        weighted = share[:, None] * x
        products["m00"][block], products["m0t"][block] = weighted.T @ x, weighted.T @ y
        products["mtt"][block] = (share[:, None] * y).T @ y
    if reversible:
        mean = 0.5 * (sums["first"] + sums["second"])
        sums = {"first": mean, "second": mean}
        both = 0.5 * (products["m00"] + products["mtt"])
        lagged = 0.5 * (products["m0t"] + products["m0t"].transpose(0, 2, 1))
        products = {"m00": both, "m0t": lagged, "mtt": both}
    return BlockSums(
        weight=weight, **sums, **products, origin=origin, pairs=len(first), is_reversible=reversible
    )


def pair_blocks(
    series: Series, first: np.ndarray, lag_time: int, blocks: int | None, *, time: float | None = None
) -> np.ndarray:
    """Number of the block that each pair belongs to, by its first frame; ascending from 0, shape (pairs,).

    Blocks are stretches of consecutive frames as long as five autocorrelation times of the coordinate, or as the lag
    time where that is longer; they cross neither a join nor a gap between the frames chosen.

    Args:
        series: the coordinate.
        first: index of the first frame of each pair, ascending.
        lag_time: in frames.
        blocks: how many blocks, about; None lets the autocorrelation time choose.
        time: autocorrelation time, in frames; None estimates it from the coordinate.

    Raises:
        InputError: if `blocks` is not between 2 and the number of pairs.

    Warns:
        PolyvaeWarning: if fewer than ten independent blocks fit in.
    """
    n_pairs = len(first)
    if blocks is None:
        if time is None:
            time = correlation_time(series.values, series.segments)
        length = max(_TIMES_PER_BLOCK * time, float(lag_time))
        fitting = int(n_pairs / length)
        blocks = min(MOST_BLOCKS, max(FEWEST_BLOCKS, fitting), n_pairs)
        if fitting < FEWEST_BLOCKS:
            warnings.warn(
                f"{series.source}: {n_pairs} pairs of frames hold fewer than {FEWEST_BLOCKS} independent blocks of "
                f"{length:.3g} frames (the lag time, or five times the memory of the coordinate): errors are too "
                "small. Sample longer, or lower `lag_time`.",
                PolyvaeWarning,
                stacklevel=4,
            )
    elif not 2 <= blocks <= n_pairs:
        raise InputError(
            f"`blocks` must be at least 2 and at most the {n_pairs} pairs of frames; got {blocks}. None chooses."
        )
    segment_of = np.searchsorted(np.cumsum(series.segments), first, side="right")
    breaks = np.flatnonzero((np.diff(first) != 1) | (np.diff(segment_of) != 0)) + 1
    starts = np.r_[0, breaks]
    numbers, begun = np.empty(n_pairs, np.int64), 0
    for start, stop in zip(starts, np.r_[breaks, n_pairs], strict=True):
        count = max(1, round(blocks * (stop - start) / n_pairs))
        numbers[start:stop] = begun + np.arange(stop - start) * count // (stop - start)
        begun += count
    return numbers
