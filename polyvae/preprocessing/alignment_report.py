"""What an alignment did to a trajectory, as a record."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentReport:
    """Outcome of an alignment.

    Attributes:
        method: name of the method.
        n_frames: number of frames seen.
        degenerate: indices of the frames whose orientation is nearly undetermined: two principal moments
            within 1 % of the sum of all, or a turn that costs less than 0.1 % of the covariance with the
            reference (nearly collinear or coincident atoms, a mirror image of the reference).
        iterations: passes that refined the reference; 0 where there is nothing to refine.
        converged: the reference stopped changing, or there was nothing to refine.
        rmsd_to_reference: mean over frames of the RMSD per bead to the reference after alignment, in the unit
            of the positions; NaN for methods without a reference.
    """

    method: str
    n_frames: int
    degenerate: Int[np.ndarray, " degenerate"]
    iterations: int = 0
    converged: bool = True
    rmsd_to_reference: float = float("nan")

    @property
    def n_degenerate(self) -> int:
        """Number of frames whose orientation is nearly undetermined."""
        return len(self.degenerate)
