"""Agreement of models from several seeds: a matrix of R² between every two latents."""

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import Reproducibility
from polyvae.plots.style import axes_or_new, style

_MOST_NUMBERS = 12


@style()
def plot_reproducibility(result: Reproducibility, *, measure: str = "r2", ax: Axes | None = None) -> Axes:
    """How well each latent (rows) follows from each other one (columns), with the floor in the title.

    Args:
        result: what `polyvae.analysis.reproducibility` returned.
        measure: "r2", or "correlation" for the mean canonical correlation.
        ax: axes to draw on, or None for a new figure.
    """
    n_models = len(result.names)
    ax = axes_or_new(ax, width=1.8 + 0.5 * n_models, height=1.4 + 0.45 * n_models)
    matrix, floor, name = {
        "r2": (result.r2, result.floor_r2, "R² of a linear map"),
        "correlation": (result.mean_correlation, result.floor_correlation, "mean canonical correlation"),
    }[measure]
    cells = ax.imshow(np.clip(matrix, 0.0, 1.0), vmin=0.0, vmax=1.0)
    if n_models <= _MOST_NUMBERS:
        for row in range(n_models):
            for column in range(n_models):
                value = matrix[row, column]
                ax.text(
                    column,
                    row,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="black" if value > 0.6 else "white",
                )
    ax.set_xticks(
        range(n_models),
        result.names,
        rotation=45 if n_models > 3 else 0,
        ha="right" if n_models > 3 else "center",
    )
    ax.set_yticks(range(n_models), result.names)
    ax.set_xlabel("from the latent of")
    ax.set_ylabel("latent of")
    where = "held-out frames" if result.is_held_out else "all frames"
    ax.set_title(f"{where}; floor {floor:.2f}")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(cells, ax=ax, label=name, shrink=0.85)
    return ax
