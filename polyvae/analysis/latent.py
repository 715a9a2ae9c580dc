"""The latent trajectory: where the encoder puts every frame, in order of time."""

from dataclasses import dataclass

import numpy as np

from polyvae.trajectory import Trajectory
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


def latent_trajectory(model: ConformationModel, trajectory: Trajectory) -> LatentTrajectory:
    """Posterior mean and standard deviation of every frame.

    Args:
        model: a trained model.
        trajectory: frames of the same system, any orientation.

    Raises:
        InputError: if the trajectory shows another system.
    """
    model.system.check(trajectory)
    posterior = model.encode(trajectory.positions)
    return LatentTrajectory(
        mean=np.asarray(posterior.mean),
        scale=np.asarray(posterior.scale),
        times=trajectory.times,
        segments=trajectory.segments,
        units=trajectory.units,
        source=trajectory.source,
        weights=trajectory.weights,
    )
