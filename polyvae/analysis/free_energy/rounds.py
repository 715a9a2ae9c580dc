"""`FreeEnergyRounds`: the same free-energy difference from one round of sampling after the other, and when to stop."""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.states import FreeEnergyDifference

_STANDARD_ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class FreeEnergyRounds:
    """Estimates from rounds that share no frames.

    Attributes:
        rounds: numbers of the rounds.
        differences: estimate of each, in their order; None for a round that has not seen both states.
        units: of the estimates.
    """

    rounds: tuple[int, ...]
    differences: tuple[FreeEnergyDifference | None, ...]
    units: str = "kJ/mol"

    def is_stable(self, *, tolerance: float, round_trips: int) -> bool:
        """Whether the last two rounds agree within their errors.

        They do if both have at least `round_trips` passages there and back, both standard errors are at most
        `tolerance`, and they differ by at most twice the standard error of their difference.

        Args:
            tolerance: in the unit of the estimates.
            round_trips: in each of the two rounds.
        """
        known = [each for each in self.differences[-2:] if each is not None]
        if len(known) < 2:
            return False
        one, other = known
        if min(one.transitions, other.transitions) // 2 < round_trips:
            return False
        # An error is infinite where a draw of the blocks lacks a state.
        if not max(one.error, other.error) <= tolerance:
            return False
        return abs(one.value - other.value) <= _STANDARD_ERRORS * float(np.hypot(one.error, other.error))

    def combined(self, last: int = 2) -> tuple[float, float]:
        """Mean of the last estimates by the inverse of their variances, and its standard error; NaN without any.

        Args:
            last: how many rounds, counted from the last one back.
        """
        known = [each for each in self.differences[-last:] if each is not None and np.isfinite(each.error)]
        # An error of zero would take all the weight.
        known = [each for each in known if each.error > 0]
        if not known:
            return float("nan"), float("nan")
        precisions = np.array([each.error**-2 for each in known])
        mean = float(np.dot(precisions, [each.value for each in known]) / precisions.sum())
        return mean, float(precisions.sum() ** -0.5)
