"""How a training went, in the few numbers that the advice after it depends on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from polyvae.training.config import TrainConfig

LARGE_LEARNING_RATE = 0.01
"""Up to this learning rate Adam trains perceptrons of the usual sizes reliably."""
_LARGE_FALL = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """How the training of one model went.

    Attributes:
        config: settings of training.
        rate: KL divergence from the prior on training frames in the best epoch, nats per frame.
        beta: weight of the KL divergence after each epoch, shape (epochs,).
        bounds: validation bound after each epoch, nats per frame, shape (epochs,).
    """

    config: TrainConfig
    rate: float
    beta: Float[np.ndarray, " epochs"]
    bounds: Float[np.ndarray, " epochs"]

    @property
    def stopped_early(self) -> bool:
        """Whether patience ended it."""
        return len(self.bounds) < self.config.epochs

    @property
    def largest_fall(self) -> float:
        """Largest loss of the validation bound from one epoch to the next, nats; 0 where bounds are not comparable.

        They are not where the weight of the KL divergence, or the penalty for a rate target, changes.
        """
        config = self.config
        comparable = self.bounds[min(config.kl_warmup, len(self.bounds)) :]
        if config.rate_target is not None or config.kl_schedule == "cyclical" or len(comparable) < 2:
            return 0.0
        return max(0.0, float(-np.diff(comparable).min()))

    @property
    def unstable(self) -> bool:
        """Whether steps were so large that training may have lost what it had found.

        A fall counts where it is more than a quarter of all that the bound ever covered, and more than a nat.
        """
        covered = float(np.ptp(self.bounds)) if len(self.bounds) else 0.0
        jumped = self.largest_fall > max(1.0, _LARGE_FALL * covered)
        return self.config.learning_rate > LARGE_LEARNING_RATE or jumped
