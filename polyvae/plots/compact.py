"""The search for compact conformations: the descents, and the best beside the data's most compact frame."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from polyvae.analysis import OptimizedConformations
from polyvae.plots.structures import draw_side_by_side
from polyvae.plots.style import DATA, MODEL, NO_LATENT, axes_or_new, style


@style()
def plot_descents(optimized: OptimizedConformations, *, ax: Axes | None = None) -> Axes:
    """Radius of gyration along every descent; steps with a valid geometry in the model's color, others grey.

    Args:
        optimized: what `polyvae.analysis.minimize_radius_of_gyration` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    trace, unit = optimized.trace, optimized.unit
    steps = np.broadcast_to(np.arange(trace.shape[1]), trace.shape)
    valid = optimized.violation_trace <= 0.0
    ax.add_collection(
        LineCollection(list(np.stack([steps, trace], axis=2)), colors=NO_LATENT, linewidths=0.5, alpha=0.5)
    )
    # A step is drawn as valid where both its ends are; a gap in the line (NaN) everywhere else.
    for start in optimized.start:
        ax.plot(
            steps[start], np.where(valid[start], trace[start], np.nan), color=MODEL, linewidth=0.7, alpha=0.6
        )
    ax.axhline(optimized.data_minimum, color=DATA, linewidth=1.2, linestyle="--")
    finite = trace[np.isfinite(trace)]
    found = np.append(optimized.radius_of_gyration, optimized.data_minimum)
    if finite.size:
        low, high = (
            min(float(np.quantile(finite, 0.001)), float(found.min())),
            float(np.quantile(finite, 0.995)),
        )
        high = max(high, float(found.max()))
        margin = 0.06 * max(high - low, 1e-6 * high)
        # The legend lies above the curves.
        ax.set_ylim(low - margin, high + 0.3 * (high - low) + margin)
    ax.set_xlim(0, max(trace.shape[1] - 1, 1))
    ax.plot([], [], color=MODEL, label="geometry valid")
    ax.plot([], [], color=NO_LATENT, label="not valid")
    ax.plot(
        [], [], color=DATA, linestyle="--", label=f"smallest in the data: {optimized.data_minimum:.3g} {unit}"
    )
    ax.set_xlabel("gradient step")
    ax.set_ylabel(f"radius of gyration ({unit})")
    ax.legend(loc="upper right")
    return ax


@style()
def figure_compact(
    optimized: OptimizedConformations, data_best: np.ndarray | None = None, *, bonds: np.ndarray | None = None
) -> Figure:
    """The descents, the radii of gyration found, and the best structure beside the data's most compact frame.

    Where no start became valid, the figure says so in words.

    Args:
        optimized: what `polyvae.analysis.minimize_radius_of_gyration` returned.
        data_best: the most compact frame of the data, shape (atoms, dims), or None.
        bonds: zero-based atom pairs, or None.
    """
    figure = plt.figure(figsize=(7.2, 3.9))
    grid = figure.add_gridspec(2, 3, width_ratios=(2.4, 0.55, 1.25))
    left = figure.add_subplot(grid[:, 0])
    plot_descents(optimized, ax=left)
    left.set_title(f"{optimized.n_valid} of {optimized.n_starts} starts led to a valid structure")
    middle = figure.add_subplot(grid[:, 1], sharey=left)
    middle.tick_params(labelleft=False)
    middle.set_xlabel("starts")
    low, high = left.get_ylim()
    middle.axhline(optimized.data_minimum, color=DATA, linewidth=1.2, linestyle="--")
    if optimized.n_valid:
        bins = np.linspace(low, high, 50)
        middle.hist(optimized.radius_of_gyration, bins=bins.tolist(), orientation="horizontal", color=MODEL)
        middle.set_title("best valid")
    else:
        middle.set_title("none valid")
        middle.set_xticks([])
    panels = (figure.add_subplot(grid[0, 2]), figure.add_subplot(grid[1, 2]))
    _draw_structures(panels, optimized, data_best, bonds)
    return figure


def _draw_structures(
    panels: tuple[Axes, Axes],
    optimized: OptimizedConformations,
    data_best: np.ndarray | None,
    bonds: np.ndarray | None,
) -> None:
    used, shown, colors = [], [], []
    for ax in panels:
        ax.set_axis_off()
    if data_best is not None:
        panels[0].set_title(f"data, {optimized.data_minimum:.3g} {optimized.unit}")
        used, shown, colors = [panels[0]], [data_best], [DATA]
    if optimized.n_valid:
        panels[1].set_title(f"optimized, {optimized.best:.3g} {optimized.unit}")
        used, shown, colors = [*used, panels[1]], [*shown, optimized.positions[0]], [*colors, MODEL]
    else:
        panels[1].text(
            0.5,
            0.5,
            "No start led to a\nvalid structure, so\nnone is shown.",
            ha="center",
            va="center",
            transform=panels[1].transAxes,
        )
    if used:
        draw_side_by_side(used, shown, colors, bonds=bonds, unit=optimized.unit)
