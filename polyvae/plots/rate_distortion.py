"""Rate against distortion: what each nat in the latent buys."""

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import RateDistortion
from polyvae.plots.style import MANY, axes_or_new, style


@style()
def plot_rate_distortion(result: RateDistortion, *, ax: Axes | None = None) -> Axes:
    """Mean square error against rate, one curve a latent size, beside the Gaussian's limit.

    Each point is the mean over seeds at one beta, which stands beside the points of the largest latent.

    Args:
        result: a sweep.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    largest = int(result.latent_dim.max())
    for latent_dim, color in zip(np.unique(result.latent_dim), MANY * len(result.latent_dim), strict=False):
        points = []
        for beta in np.unique(result.beta):
            chosen = (result.latent_dim == latent_dim) & (result.beta == beta)
            points.append((result.rate[chosen].mean(), result.distortion[chosen].mean(), beta))
        points.sort()
        rates, errors, betas = np.array(points).T
        word = "dimension" if latent_dim == 1 else "dimensions"
        ax.plot(rates, errors, "o-", color=color, markersize=4, label=f"{latent_dim} latent {word}")
        if latent_dim == largest:
            for rate, error, beta in zip(rates, errors, betas, strict=True):
                ax.annotate(
                    f"β {beta:g}", (rate, error), xytext=(4, 4), textcoords="offset points", fontsize=7
                )
    shown = result.gaussian_rate <= 1.15 * max(result.rate.max(), 1e-3)
    ax.plot(
        result.gaussian_rate[shown],
        result.gaussian_distortion[shown],
        "--",
        color="0.45",
        linewidth=1.1,
        label="limit of a Gaussian",
    )
    ax.set_xlabel("rate (nats per frame)")
    ax.set_ylabel("mean square error per feature (scaled units²)")
    ax.set_ylim(bottom=0.0)
    ax.set_xlim(left=0.0)
    ax.legend()
    return ax
