"""The latent trajectory: where the encoder puts every frame, in order of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory, TrajectorySource
from polyvae.trajectory.mapped import joined_rows, row_chunks
from polyvae.trajectory.read_ahead import read_ahead
from polyvae.trajectory.weights import effective_sample_size, normalized_weights, weighted_mean
from polyvae.units import Units
from polyvae.vae import ConformationModel

_MOST_BYTES = 64_000_000
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentTrajectory:
    """Posterior of every frame.

    Attributes:
        mean: posterior means, shape (frames, latent); deterministic, the coordinate to analyse or bias along.
        scale: posterior standard deviations, shape (frames, latent).
        times: time of each frame, or None where the trajectory has none.
        segments: lengths of the joined simulations; no step crosses a join.
        units: units of the times.
        source: what was encoded.
        weights: statistical weight of each frame, or None for equal ones.
    """

    mean: np.ndarray
    scale: np.ndarray
    times: np.ndarray | None
    segments: tuple[int, ...]
    units: Units
    source: str
    weights: np.ndarray | None = None

    @property
    def span(self) -> np.ndarray:
        """Range of each latent dimension over all frames, whatever their weight, shape (latent,)."""
        pieces = [(rows.min(axis=0), rows.max(axis=0)) for rows in row_chunks(self.mean, _ROWS_AT_ONCE)]
        return np.max([high for _, high in pieces], axis=0) - np.min([low for low, _ in pieces], axis=0)

    @property
    def variance(self) -> np.ndarray:
        """Weighted variance of the posterior means over the frames, shape (latent,)."""
        return weighted_mean((self.mean - weighted_mean(self.mean, self.weights)) ** 2, self.weights)

    @property
    def counts(self) -> np.ndarray:
        """How many frames each counts for, shape (frames,): its weight over the mean of all weights above zero."""
        if self.weights is None:
            return np.ones(len(self.mean))
        return np.count_nonzero(self.weights) * normalized_weights(self.weights)

    @property
    def effective_sample_size(self) -> float:
        """Number of frames of equal weight that fix a mean as well."""
        return effective_sample_size(self.weights, len(self.mean))

    @property
    def steps(self) -> np.ndarray:
        """Change from each frame to the next within a simulation, shape (steps, latent)."""
        ids = np.repeat(np.arange(len(self.segments)), self.segments)
        return np.diff(self.mean, axis=0)[np.diff(ids) == 0]

    @property
    def largest_step(self) -> float:
        """Largest step as a fraction of the span, over steps and dimensions; small means continuous in time.

        It says something about the model only where neighboring frames are close in space.
        """
        starts = np.cumsum(self.segments)[:-1]
        largest, start = np.zeros(self.mean.shape[1]), 0
        before = self.mean[:1]
        for rows in row_chunks(self.mean, _ROWS_AT_ONCE):
            steps = np.abs(np.diff(np.concatenate([before, rows]), axis=0))
            joins = starts[(starts >= start) & (starts < start + len(rows))] - start
            steps[joins] = 0
            largest = np.maximum(largest, steps.max(axis=0))
            before, start = np.array(rows[-1:]), start + len(rows)
        moved = largest > 0
        return float(np.max(largest[moved] / self.span[moved])) if moved.any() else 0.0


def latent_trajectory(
    model: ConformationModel, trajectory: Trajectory | TrajectorySource
) -> LatentTrajectory:
    """Posterior mean and standard deviation of every frame; frames are taken chunk by chunk.

    Means and standard deviations of more than 64 MB are kept in temporary files and mapped from there.

    Args:
        model: a trained model.
        trajectory: frames of the same system, any orientation; a source is read once, and never held as a whole.

    Raises:
        InputError: if the trajectory shows another system, or a frame of a source cannot be read.
    """
    model.system.check(trajectory)
    row_bytes = 2 * model.latent_dim * np.dtype(jnp.result_type(float)).itemsize
    on_disk = trajectory.n_frames * row_bytes > _MOST_BYTES
    of_source = isinstance(trajectory, TrajectorySource)
    pieces = _from_source(trajectory) if of_source else _from_memory(trajectory)
    rows = joined_rows(map(partial(_encoded, model), pieces), on_disk=on_disk)
    return LatentTrajectory(
        mean=rows["mean"],
        scale=rows["scale"],
        times=rows.get("times") if of_source else trajectory.times,
        segments=trajectory.segments,
        units=trajectory.units,
        source=trajectory.source,
        weights=rows.get("weights") if of_source else trajectory.weights,
    )


def _encoded(model: ConformationModel, piece: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The piece with means and standard deviations in place of positions."""

    def moments(frames: np.ndarray) -> tuple[Array, Array]:
        posterior = model.encode(frames)
        return posterior.mean, posterior.scale

    mean, scale = map_frames(moments, [piece["positions"]])
    return {"mean": mean, "scale": scale} | {
        name: rows for name, rows in piece.items() if name != "positions"
    }


def _from_memory(trajectory: Trajectory) -> Iterator[dict[str, np.ndarray]]:
    for positions in trajectory.position_chunks():
        yield {"positions": positions}


def _from_source(source: TrajectorySource) -> Iterator[dict[str, np.ndarray]]:
    """Frames that are still on disk; the next chunk is read while one is encoded."""
    for chunk in read_ahead(source.chunks(source.chunk)):
        parts = {"positions": chunk.positions, "times": chunk.times, "weights": chunk.weights}
        yield {name: rows for name, rows in parts.items() if rows is not None}
