"""What a search in latent space found, beside what the data hold."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import Trajectory


class BestObserved(NamedTuple):
    """The frame of the data that serves the goal best.

    Attributes:
        value: its observable.
        frame: its index.
    """

    value: float
    frame: int


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizedConformations:
    """Valid conformations found by the descent, best first.

    Attributes:
        positions: shape (valid, atoms, dims), unit of length; empty where no start became valid.
        latent: their latent points, shape (valid, latent).
        radius_of_gyration: theirs, shape (valid,), whatever was optimized.
        start: index of the start that each came from.
        n_starts: number of starts.
        trace: observable along each descent, shape (starts, steps + 1).
        violation_trace: geometry violation along each descent, plus the excess over the region of trust; 0 where
            valid, same shape.
        data_minimum: smallest radius of gyration of the training data.
        trajectory: the valid conformations as a trajectory, or None where there are none.
        unit: unit of length.
        values: observable of the valid conformations, shape (valid,).
        observable: what was optimized, as on the command line.
        value_unit: unit of the observable, empty where there is none or it is not known.
        goal: what was wanted.
        target: the value wanted, or None.
        tolerance: distance from the target up to which a value counts as reached, or None without a target.
        log_density: log-density of the latent points under the region of trust, nats, shape (valid,), or None.
        data_values: observable of every frame of the trajectory given, or None.
        data_weights: weights of these frames, or None for equal ones.
        nearest_frames: index of the frame nearest to each valid conformation, shape (valid,), or None. With a target,
            of the frames within `tolerance` of it; where there is none, of the hundredth that comes closest.
        nearest_rmsd: Kabsch RMSD from it, unit of length, shape (valid,), or None.
        nearest: these frames themselves, or None.
    """

    positions: np.ndarray
    latent: np.ndarray
    radius_of_gyration: np.ndarray
    start: np.ndarray
    n_starts: int
    trace: np.ndarray
    violation_trace: np.ndarray
    data_minimum: float
    trajectory: Trajectory | None
    unit: str
    values: np.ndarray | None = None
    observable: str = "radius_of_gyration"
    value_unit: str | None = None
    goal: Literal["minimize", "maximize", "target"] = "minimize"
    target: float | None = None
    tolerance: float | None = None
    log_density: np.ndarray | None = None
    data_values: np.ndarray | None = None
    data_weights: np.ndarray | None = None
    nearest_frames: np.ndarray | None = None
    nearest_rmsd: np.ndarray | None = None
    nearest: Trajectory | None = None

    def __post_init__(self) -> None:
        # Records written before other observables existed hold radii of gyration alone.
        if self.values is None:
            object.__setattr__(self, "values", self.radius_of_gyration)
        if self.value_unit is None:
            object.__setattr__(self, "value_unit", self.unit)

    @property
    def n_valid(self) -> int:
        """Starts that led to a valid conformation."""
        return len(self.start)

    @property
    def best(self) -> float | None:
        """Observable of the best valid conformation, or None."""
        assert self.values is not None
        return float(self.values[0]) if self.n_valid else None

    @property
    def reached(self) -> np.ndarray:
        """Whether each valid conformation has the target value within the tolerance; all have without a target."""
        assert self.values is not None
        if self.target is None or self.tolerance is None:
            return np.ones(self.n_valid, bool)
        return np.abs(self.values - self.target) <= self.tolerance

    @property
    def best_observed(self) -> BestObserved | None:
        """The frame of the data that serves the goal best, among those with a weight; None without a trajectory."""
        if self.data_values is None:
            return None
        rank = {
            "minimize": self.data_values,
            "maximize": -self.data_values,
            "target": np.abs(self.data_values - (self.target or 0.0)),
        }[self.goal]
        if self.data_weights is not None:
            rank = np.where(self.data_weights > 0, rank, np.inf)
        frame = int(np.argmin(rank))
        return BestObserved(float(self.data_values[frame]), frame)

    def nearest_trajectory(self) -> Trajectory:
        """The frame of the data nearest to each valid conformation, in the same order.

        Raises:
            InputError: if no trajectory was given to the search, or it found nothing.
        """
        if self.nearest is None:
            raise InputError(
                "There are no nearest frames: the search was given no `trajectory`, or found no valid conformation."
            )
        return self.nearest
