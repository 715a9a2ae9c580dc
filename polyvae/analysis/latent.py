"""The latent trajectory: where the encoder puts every frame, in order of time."""

from dataclasses import dataclass

import numpy as np

from polyvae.trajectory import Trajectory
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
    """

    mean: np.ndarray
    scale: np.ndarray
    times: np.ndarray | None
    segments: tuple[int, ...]
    units: Units
    source: str

    @property
    def span(self) -> np.ndarray:
        """Range of each latent dimension over all frames, shape (latent,)."""
        return np.ptp(self.mean, axis=0)

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
    )
