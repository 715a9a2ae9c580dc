"""The free-energy difference of every round of a loop, with its error."""

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import FreeEnergyRounds
from polyvae.plots.style import DATA, NO_LATENT, axes_or_new, style


@style()
def plot_rounds(rounds: FreeEnergyRounds, *, ax: Axes | None = None) -> Axes:
    """Estimate and standard error of each round; a gray band is the mean of the last two.

    Args:
        rounds: estimates of the rounds.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    known = [
        (number, each)
        for number, each in zip(rounds.rounds, rounds.differences, strict=True)
        if each is not None
    ]
    mean, error = rounds.combined()
    if np.isfinite(mean):
        ax.axhspan(
            mean - error, mean + error, color=NO_LATENT, alpha=0.3, linewidth=0, label="last two ± 1 s.e."
        )
    if known:
        # An unknown error has no bar, but its estimate is shown.
        errors = [each.error if np.isfinite(each.error) else 0.0 for _, each in known]
        values = [each.value for _, each in known]
        ax.errorbar([number for number, _ in known], values, errors, fmt="o-", color=DATA, capsize=3)
    ax.set_xticks(rounds.rounds)
    ax.set_xlim(min(rounds.rounds) - 0.5, max(rounds.rounds) + 0.5)
    ax.set_xlabel("round")
    ax.set_ylabel(f"free-energy difference ({rounds.units})")
    if np.isfinite(mean):
        ax.legend(loc="best")
    return ax
