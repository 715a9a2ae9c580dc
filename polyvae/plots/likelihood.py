"""Held-out log-likelihood of several models beside those that use no latent: what a choice of size is made by."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import LikelihoodComparison
from polyvae.plots.style import MANY, NO_LATENT, PCA, axes_or_new, style

_MARKERS = "osD^vPX*"
_APART = 0.06


@style()
def plot_likelihoods(
    comparisons: Mapping[str, Mapping[int | float, LikelihoodComparison]],
    *,
    along: str = "latent dimensions",
    ax: Axes | None = None,
) -> Axes:
    """Log-likelihood of held-out frames against a setting, one line a family, with two standard errors.

    All comparisons must be of the same frames. A full-covariance Gaussian and the Gaussian chain stand beside them as
    lines: a model below has not earned its latent.

    Args:
        comparisons: for each family, such as "beta 1", what `polyvae.analysis.compare_likelihoods` returned at each
            value of the setting.
        along: name of the setting.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    places = sorted({place for family in comparisons.values() for place in family})
    for number, (name, family) in enumerate(comparisons.items()):
        at = sorted(family)
        # Beside one another, so that no error bar hides another.
        shift = _APART * (number - (len(comparisons) - 1) / 2)
        ax.errorbar(
            [places.index(place) + shift for place in at],
            [family[place].model.value for place in at],
            yerr=[2 * family[place].model.standard_error for place in at],
            marker=_MARKERS[number % len(_MARKERS)],
            color=MANY[number % len(MANY)],
            markersize=4,
            capsize=2,
            label=name,
        )
    first = next(iter(next(iter(comparisons.values())).values()))
    for found, name, color in (
        (first.gaussian, "one Gaussian, no latent", PCA),
        (first.chain, "Gaussian chain, no latent", NO_LATENT),
    ):
        if found is not None:
            ax.axhline(found.value, color=color, linestyle="--", linewidth=1.2, label=name)
    ax.set_xticks(np.arange(len(places)), [f"{place:g}" for place in places])
    ax.set_xlabel(along)
    ax.set_ylabel("log-likelihood of held-out frames\n(nats per frame, ± 2 s.e.)")
    ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return ax
