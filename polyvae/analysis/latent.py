"""The latent trajectory: where the encoder puts every frame, in order of time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array

from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory, TrajectorySource
from polyvae.trajectory.read_ahead import read_ahead
from polyvae.trajectory.weights import effective_sample_size, normalized_weights, weighted_mean
from polyvae.units import Units
from polyvae.vae import ConformationModel


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
        return np.ptp(self.mean, axis=0)

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
        steps = self.steps
        return float(np.max(np.abs(steps) / self.span)) if len(steps) else 0.0


def latent_trajectory(
    model: ConformationModel, trajectory: Trajectory | TrajectorySource
) -> LatentTrajectory:
    """Posterior mean and standard deviation of every frame; frames are taken chunk by chunk.

    Args:
        model: a trained model.
        trajectory: frames of the same system, any orientation; a source is read once, and never held as a whole.

    Raises:
        InputError: if the trajectory shows another system, or a frame of a source cannot be read.
    """
    model.system.check(trajectory)
    if isinstance(trajectory, TrajectorySource):
        return _of_source(model, trajectory)
    mean, scale = _encoded(model, trajectory.position_chunks())
    return LatentTrajectory(
        mean=mean,
        scale=scale,
        times=trajectory.times,
        segments=trajectory.segments,
        units=trajectory.units,
        source=trajectory.source,
        weights=trajectory.weights,
    )


def _encoded(model: ConformationModel, pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the frames of all pieces."""

    def moments(frames: np.ndarray) -> tuple[Array, Array]:
        posterior = model.encode(frames)
        return posterior.mean, posterior.scale

    return map_frames(moments, pieces)


def _of_source(model: ConformationModel, source: TrajectorySource) -> LatentTrajectory:
    """The latent trajectory of frames that are still on disk; the next chunk is read while one is encoded."""
    times, weights = [], []

    def positions() -> Iterator[np.ndarray]:
        for chunk in read_ahead(source.chunks(source.chunk)):
            for kept, values in ((times, chunk.times), (weights, chunk.weights)):
                if values is not None:
                    kept.append(values)
            yield chunk.positions

    mean, scale = _encoded(model, positions())
    return LatentTrajectory(
        mean=mean,
        scale=scale,
        times=np.concatenate(times) if times else None,
        segments=source.segments,
        units=source.units,
        source=source.source,
        weights=np.concatenate(weights) if weights else None,
    )
