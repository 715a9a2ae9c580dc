"""The block bootstrap: frames of a simulation resampled in blocks longer than its memory.

Neighboring frames are alike, so that single frames, drawn anew, would give errors that are far too small. Each joined
simulation is cut into contiguous blocks of at least three autocorrelation times (`autocorrelation_time`: the number
of frames that count as one); between 10 and 100 blocks in all. A replicate draws as many blocks with replacement, and
every number is a function of sums over blocks, so that a replicate costs a matrix product.

References:
    Künsch, Ann. Statist. 17, 1217 (1989), doi:10.1214/aos/1176347265.
"""

from dataclasses import dataclass

import numpy as np

from polyvae.training.splitting import autocorrelation_time
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import effective_sample_size, normalized_weights

_TIMES_PER_BLOCK = 3.0
_FEWEST_BLOCKS, _MOST_BLOCKS = 10, 100
_OBSERVED_PAIRS = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One side of a comparison, with its blocks.

    Attributes:
        coordinates: positions as (dims, atoms, frames), so that a quantity's frames lie together in memory.
        weights: probabilities of the frames, which sum to one.
        is_weighted: whether they differ.
        blocks: block of each frame, shape (frames,).
        draws: how often each block is drawn, shape (replicates, blocks).
        effective_frames: number of frames, or effective sample size of weighted ones; correlations do not enter.
        has_few_blocks: whether blocks are shorter than they should be, so that errors are too small.
        seed: for further draws.
        source: name for messages.
    """

    coordinates: np.ndarray
    weights: np.ndarray
    is_weighted: bool
    blocks: np.ndarray
    draws: np.ndarray
    effective_frames: int
    has_few_blocks: bool
    seed: int
    source: str

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.blocks)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return self.draws.shape[1]

    def block_sums(self, per_frame: np.ndarray, frames: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Weighted sums over the frames of each block of values of shape (frames,), shape (blocks,)."""
        return np.bincount(self.blocks[frames], self.weights[frames] * per_frame, minlength=self.n_blocks)

    def mean(self, per_frame: np.ndarray, frames: np.ndarray | slice = slice(None)) -> float:
        """Weighted mean of one number a frame, over the chosen frames."""
        weights = self.weights[frames]
        return float(weights @ per_frame / weights.sum())

    def resampled_mean(self, per_frame: np.ndarray, frames: np.ndarray | slice = slice(None)) -> np.ndarray:
        """That mean in every replicate, shape (replicates,)."""
        totals = self.draws @ self.block_sums(np.ones(len(per_frame)), frames)
        # A replicate without any of the chosen frames says nothing; the mean itself stands in for it.
        sums = self.draws @ self.block_sums(per_frame, frames)
        mean = self.mean(per_frame, frames)
        return np.where(totals > 0, sums / np.where(totals > 0, totals, 1.0), mean)


def sample_of(trajectory: Trajectory, *, replicates: int, random: np.random.Generator) -> Sample:
    """A trajectory, all of whose frames count, with its blocks and the draws of the bootstrap."""
    n_frames = trajectory.n_frames
    coordinates = np.ascontiguousarray(np.moveaxis(trajectory.positions, 0, 2).swapaxes(0, 1))
    time = autocorrelation_time(_observables(coordinates), trajectory.segments)
    wanted = int(n_frames / np.ceil(_TIMES_PER_BLOCK * time)) if time > 1 else n_frames
    n_blocks = min(max(wanted, _FEWEST_BLOCKS), _MOST_BLOCKS, n_frames)
    blocks, start = [], 0
    for length in trajectory.segments:
        # At least one block a simulation: none crosses a join.
        count = max(1, round(n_blocks * length / n_frames))
        blocks.append(start + np.arange(length) * min(count, length) // length)
        start = int(blocks[-1][-1]) + 1
    draws = random.multinomial(start, np.full(start, 1.0 / start), size=replicates).astype(np.float64)
    weights = trajectory.weights
    return Sample(
        coordinates=coordinates,
        weights=np.full(n_frames, 1.0 / n_frames) if weights is None else normalized_weights(weights),
        is_weighted=weights is not None,
        blocks=np.concatenate(blocks),
        draws=draws,
        effective_frames=max(1, round(effective_sample_size(weights, n_frames))),
        has_few_blocks=wanted < min(_FEWEST_BLOCKS, n_frames),
        seed=int(random.integers(2**31)),
        source=trajectory.source,
    )


def _observables(coordinates: np.ndarray) -> np.ndarray:
    """Some pair distances, evenly over all pairs: no rotation hides in them. Shape (frames, pairs)."""
    first, second = np.triu_indices(coordinates.shape[1], 1)
    chosen = np.unique(np.linspace(0, len(first) - 1, _OBSERVED_PAIRS).round().astype(int))
    difference = coordinates[:, first[chosen]] - coordinates[:, second[chosen]]
    return np.sqrt(np.sum(difference**2, axis=0)).T
